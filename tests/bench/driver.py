"""Runs the benchmark: cells in rounds, interleaved, medians with spread. Started by run.sh.

Ratios hold within a run: every round runs every cell once, so that whatever else happens on the
machine hits them alike.
"""

import argparse
import json
import math
import os
import platform
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import charts
import goals
import growth
import paced
import report
import versus
from cells import Cells, Mix
from parts import Bench, batch_round, latency_round, throughput_round
from results import Results
from scaling import scaling_round
from services import Shape
from stack import REPOSITORY, Servers

# One row per mix: its name in the programs.
MIXES = {
    "a": "A: issue keys",
    "b-uniform": "B: usage, uniform",
    "b-zipf": "B: usage, Zipf 0.99",
    "b-ten": "B: usage, ten hot keys",
    "c": "C: user upserts, half new",
    "d": "D: everything",
}
IN_ROUNDS = ("throughput", "batches", "latency", "scaling")
# Growth loads its tables once and has rounds of its own on them.
PARTS = (*IN_ROUNDS, "growth")
# The rate in commands a second; a slice that takes this share of the last one's time was the last.
WARM_RATE, WARM_SLICE_S, WARM_SLICES_MAX, WARM_ENOUGH = 400, 15, 12, 0.97


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--programs", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--peer-go", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peer-java", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="small and short: does it still measure?")
    parser.add_argument("--mix", action="append", choices=MIXES, help="only this one; may be repeated")
    parser.add_argument("--minutes", type=float, default=20, help="as many rounds as fit (default 20)")
    parser.add_argument(
        "--librdkafka", action="append", choices=("debian", "current"), help="only on this one"
    )
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--commands", type=int, help="in each cell")
    parser.add_argument("--rows", type=int, help="growth: keys and audit rows; default 10000000")
    parser.add_argument("--rounds", type=int, help="growth: default 3; others: this many at least")
    parser.add_argument(
        "--partitioned",
        nargs="?",
        const="month",
        choices=("day", "week", "month"),
        help="the audit log in partitions, by month unless given",
    )
    parser.add_argument("--ids", action="append", choices=growth.KINDS, help="growth: only these")
    parser.add_argument("--pg", action="append", default=[], help="NAME=VALUE, a setting of PostgreSQL's")
    parser.add_argument("--vs", type=Path, help="compare with the worker of this build directory, in turn")
    parser.add_argument("--charts", type=Path, help="write the plots into this folder")
    options = parser.parse_args()
    for name in ("commands", "rows", "rounds"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name}: at least 1")
    return options


def machine() -> dict[str, Any]:
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def find_current() -> Path | None:
    """The librdkafka that confluent-kafka's wheel carries: same ABI, years newer."""
    found = sorted(Path(sys.prefix).glob("lib/python3*/site-packages/confluent_kafka.libs/librdkafka-*.so*"))
    return found[0] if found else None


def run_round(bench: Bench, parts: list[str], mixes: list[str], libraries: list[str]) -> None:
    if "throughput" in parts:
        throughput_round(bench, mixes, libraries)
    if "batches" in parts:
        batch_round(bench, libraries[-1])
    if "latency" in parts:
        latency_round(bench, libraries)
    if "scaling" in parts:
        scaling_round(bench, libraries[-1])


def run_rounds(bench: Bench, parts: list[str], mixes: list[str], libraries: list[str]) -> int:
    options, began = bench.options, time.monotonic()
    while True:
        bench.results.round += 1
        print(f"round {bench.results.round}, {time.monotonic() - began:.0f} s", flush=True)
        run_round(bench, parts, mixes, libraries)
        done, spent = bench.results.round, time.monotonic() - began
        if options.quick or (done >= (options.rounds or 1) and spent + spent / done > options.minutes * 60):
            return done


def warm_up(bench: Bench, library: str) -> None:
    """A broker runs for weeks, and its JVM spends its first two minutes compiling: until it takes no
    less CPU time any more, for single commands, whose ways through it are the most."""
    quick, cells = bench.options.quick, bench.cells
    cells.drain(Shape("worker", library, batch=500), Mix("a"), 20_000 if quick else 50_000)
    last = math.inf
    for _ in range(0 if quick else WARM_SLICES_MAX):
        now = paced.pace(cells, Shape("worker", library), WARM_RATE, WARM_SLICE_S)["broker_cores"]
        print(f"warming up: the broker takes {now:.2f} cores", flush=True)
        if now > last * WARM_ENOUGH:
            break
        last = now


def run_parts(bench: Bench, parts: list[str], mixes: list[str], libraries: list[str]) -> int:
    if "growth" in parts:
        growth.check(bench)
    warm_up(bench, libraries[-1])
    rounds = 0
    if any(part in IN_ROUNDS for part in parts):
        rounds = run_rounds(bench, parts, mixes, libraries)
    if "growth" in parts:
        growth.run(bench, libraries[-1])
    return rounds


def write(bench: Bench, told: dict[str, Any]) -> None:
    results = bench.options.build / "results"
    results.mkdir(exist_ok=True)
    name = "quick" if bench.options.quick else told["date"].replace(":", "").replace("+0000", "Z")
    path = results / f"{name}.json"
    path.write_text(json.dumps(told, indent=1) + "\n")
    folder = bench.options.charts or results
    charts.write_all(told, folder)
    print(f"\nresults: {path.relative_to(REPOSITORY)}, plots: {folder}")


def main() -> int:
    # As an interrupt does: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = parse()
    mixes = options.mix or (["a", "d"] if options.quick else list(MIXES))
    libraries = options.librdkafka or ["debian", "current"]
    parts = options.only or list(PARTS)
    current = find_current()
    if "current" in libraries and current is None:
        print(
            "bench: the tests' Python environment has no librdkafka: deploy/local/install.sh test",
            file=sys.stderr,
        )
        return 1
    facts = machine()
    servers = Servers(options.build / "stack", options.pg)
    if options.vs is not None:
        try:
            pairs = versus.compare(options, servers, current, libraries[-1])
        finally:
            servers.close()
        print(f"{pairs} passed, 0 failed")
        return 0
    bench = Bench(options, Cells(options, servers, current), Results())
    results = bench.results
    try:
        rounds = run_parts(bench, parts, mixes, libraries)
    except Exception as error:  # of any kind: the last line tells the count all the same
        print(f"bench: {error}\n0 passed, 1 failed")
        return 1
    finally:
        servers.close()

    found = goals.measured(results, libraries)
    report.print_all(results, found)
    told = {
        **facts,
        "rounds": rounds,
        "parts": parts,
        "partitioned": options.partitioned,
        "pg": options.pg,
        "jvm": servers.jvm(),
        "mixes": mixes,
        "libraries": libraries,
        "samples": results.samples,
        "failures": results.failures,
        "goals": [
            {
                "name": goal.name,
                "measured": goal.measured,
                "wanted": goal.wanted,
                "met": goal.met,
            }
            for goal in found
        ],
    }
    write(bench, told)
    for cell, why in results.failures.items():
        print(f"not measured: {cell}: {why}")
    measured = len(results.samples.keys() - results.failures.keys())
    print(f"{measured} passed, {len(results.failures)} failed")
    return 1 if results.failures or measured == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
