"""The parts of the benchmark: which cells a round of each runs, and in which order."""

import argparse
from dataclasses import dataclass
from functools import partial

import paced
from cells import Cells, Mix
from results import Results
from services import Shape


@dataclass
class Bench:
    options: argparse.Namespace
    cells: Cells
    results: Results


def throughput_round(bench: Bench, mixes: list[str], libraries: list[str]) -> None:
    cell, cells, options = bench.results.cell, bench.cells, bench.options
    count = options.commands or (20_000 if options.quick else 200_000)
    small = max(count // 13, 1_000)  # the service takes one by one
    if "a" in mixes:
        cell("copy a", partial(cells.in_memory, "bench_copy", Mix("a"), count))
    for mix in mixes:
        cell(f"apply {mix}", partial(cells.in_memory, "bench_apply", Mix(mix), count))
    for library in libraries:
        for mix in mixes:
            cell(f"worker {mix} {library}", partial(cells.drain, Shape("worker", library), Mix(mix), count))
        for mix in [mix for mix in mixes if mix in ("a", "c")]:
            cell(f"service {mix} {library}", partial(cells.drain, Shape("service", library), Mix(mix), small))
    for peer in peers(bench) if "a" in mixes else ():
        cell(f"{peer} a", partial(cells.drain, Shape(peer, "debian"), Mix("a"), count))


def peers(bench: Bench) -> list[str]:
    """Those that could be built."""
    homes = {"go": bench.options.peer_go, "java": bench.options.peer_java}
    return [peer for peer, home in homes.items() if home]


def batch_round(bench: Bench, library: str) -> None:
    cell, cells, quick = bench.results.cell, bench.cells, bench.options.quick
    for size in (100, 2000) if quick else (1, 10, 100, 500, 1000, 2000, 5000):
        count = min(20_000 if quick else 100_000, 2_000 if size == 1 else size * 2_000)
        cell(
            f"batch {size} apply",
            partial(cells.in_memory, "bench_apply", Mix("a"), count, "--batch", str(size)),
        )
        cell(
            f"batch {size} worker",
            partial(cells.drain, Shape("worker", library, batch=size), Mix("a"), count),
        )


def latency_round(bench: Bench, libraries: list[str]) -> None:
    cell, cells, quick = bench.results.cell, bench.cells, bench.options.quick
    seconds = 3 if quick else 15
    for library in libraries[-1:] if quick else libraries:
        floor, worker = Shape("floor", library), Shape("worker", library)
        for rate in (200,) if quick else (50, 200, 2000):
            for shape in (floor, worker):
                cell(
                    f"latency {rate} {shape.kind} {library}",
                    partial(paced.pace, cells, shape, rate, seconds),
                )
        for shape in (floor, worker):
            near_the_most(bench, shape, seconds)
        cell(f"idle worker {library}", partial(paced.idle, cells, worker, seconds))
        cell(f"start worker {library}", partial(paced.start, cells, worker, 1 if quick else 5))
    for peer in [] if quick else peers(bench):
        cell(f"latency 200 {peer}", partial(paced.pace, cells, Shape(peer, "debian"), 200, seconds))


def near_the_most(bench: Bench, shape: Shape, seconds: int) -> None:
    """Latency at 80 % of what a short drain just before has shown to be the most."""
    cell, cells = bench.results.cell, bench.cells
    count = 20_000 if bench.options.quick else 100_000
    name = f"{shape.kind} {shape.library}"
    most = cell(f"most {name}", partial(cells.drain, shape, Mix("a"), count))
    if most is not None:
        rate = max(int(0.8 * most["commands_per_s"]), 1)
        cell(f"latency 80% {name}", partial(paced.pace, cells, shape, rate, seconds))
