"""The parts of the benchmark: which cells a round of each runs, and in which order."""

import argparse
from dataclasses import dataclass

from cells import Cells
from results import Results


@dataclass
class Bench:
    options: argparse.Namespace
    cells: Cells
    results: Results


def throughput_round(bench: Bench, mixes: list[str], libraries: list[str], quick: bool) -> None:
    count = bench.options.commands or (20_000 if quick else 200_000)
    small = max(count // 13, 1_000)  # the service takes one by one
    if "a" in mixes:
        bench.results.cell("copy a", lambda: bench.cells.in_memory("bench_copy", "a", count))
    for mix in mixes:
        bench.results.cell(
            f"apply {mix}",
            lambda mix=mix: bench.cells.in_memory("bench_apply", mix, count, "--mix", mix),
        )
    for library in libraries:
        for mix in mixes:
            bench.results.cell(
                f"worker {mix} {library}",
                lambda mix=mix, library=library: bench.cells.drain("worker", mix, count, library),
            )
        for mix in [mix for mix in mixes if mix in ("a", "c")]:
            bench.results.cell(
                f"service {mix} {library}",
                lambda mix=mix, library=library: bench.cells.drain("service", mix, small, library),
            )
    if bench.options.peer_go and "a" in mixes:
        bench.results.cell("go a", lambda: bench.cells.drain("go", "a", count, "debian"))
    if bench.options.peer_java and "a" in mixes:
        bench.results.cell("java a", lambda: bench.cells.drain("java", "a", count, "debian"))


def batch_round(bench: Bench, library: str, quick: bool) -> None:
    for size in (100, 2000) if quick else (1, 10, 100, 500, 1000, 2000, 5000):
        count = min(20_000 if quick else 100_000, 2_000 if size == 1 else size * 2_000)
        bench.results.cell(
            f"batch {size} apply",
            lambda size=size, count=count: bench.cells.in_memory(
                "bench_apply", "a", count, "--batch", str(size)
            ),
        )
        bench.results.cell(
            f"batch {size} worker",
            lambda size=size, count=count: bench.cells.drain(
                "worker", "a", count, library, batch=size
            ),
        )


def latency_round(bench: Bench, libraries: list[str], quick: bool) -> None:
    seconds = 4 if quick else 15
    for library in libraries:
        for rate in (200,) if quick else (50, 200, 2000):
            for kind in ("floor", "worker"):
                bench.results.cell(
                    f"latency {rate} {kind} {library}",
                    lambda kind=kind, rate=rate, library=library: bench.cells.pace(
                        kind, rate, seconds, library
                    ),
                )
        if (most := bench.results.median(f"worker a {library}", "commands_per_s")) and not quick:
            rate = round(0.8 * most, -2)
            bench.results.cell(
                f"latency 80% worker {library}",
                lambda rate=int(rate), library=library: bench.cells.pace(
                    "worker", rate, seconds, library
                ),
            )
        bench.results.cell(
            f"idle worker {library}", lambda library=library: bench.cells.idle(seconds, library)
        )
    if bench.options.peer_go and not quick:
        bench.results.cell("latency 200 go", lambda: bench.cells.pace("go", 200, seconds, "debian"))
    if bench.options.peer_java and not quick:
        bench.results.cell(
            "latency 200 java", lambda: bench.cells.pace("java", 200, seconds, "debian")
        )
