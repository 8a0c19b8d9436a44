"""Runs the benchmark: cells in rounds, interleaved, medians with spread. Started by run.sh.

A cell is one measurement on tables and topics of its own. Ratios hold within a run: every round
runs every cell once, so that whatever else happens on the machine hits them alike.
"""

import argparse
import json
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
from cells import Cells
from parts import Bench, batch_round, latency_round, throughput_round
from report import goals, print_table
from results import Results
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


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--peer-go", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peer-java", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--quick", action="store_true", help="small and short: does it still measure?"
    )
    parser.add_argument(
        "--mix", action="append", choices=MIXES, help="only this one; may be repeated"
    )
    parser.add_argument(
        "--minutes", type=float, default=20, help="as many rounds as fit (default 20)"
    )
    parser.add_argument(
        "--librdkafka", action="append", choices=("debian", "current"), help="only on this one"
    )
    parser.add_argument("--only", action="append", choices=("throughput", "batches", "latency"))
    parser.add_argument("--commands", type=int, help="per cell; default 200000, --quick 20000")
    parser.add_argument("--charts", type=Path, help="write the plots into this folder")
    return parser.parse_args()


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
    found = sorted(
        Path(sys.prefix).glob("lib/python3*/site-packages/confluent_kafka.libs/librdkafka-*.so*")
    )
    return found[0] if found else None


def main() -> int:
    # As an interrupt does: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = parse()
    mixes = options.mix or (["a", "d"] if options.quick else list(MIXES))
    libraries = options.librdkafka or ["debian", "current"]
    parts = options.only or ["throughput", "batches", "latency"]
    current = find_current()
    if "current" in libraries and current is None:
        print(
            "bench: the tests' Python environment has no librdkafka: deploy/local/install.sh test",
            file=sys.stderr,
        )
        return 1
    facts = machine()
    servers = Servers(options.build / "stack", ["shared_buffers=1GB", "max_wal_size=4GB"])
    bench = Bench(options, Cells(options, servers, current), Results())
    began = time.monotonic()
    rounds = 0
    try:
        # The broker's code is slow until it is compiled, and its first coordinators take a while.
        bench.cells.drain("worker", "a", 5_000 if options.quick else 50_000, libraries[0])
        while True:
            rounds += 1
            print(f"round {rounds}, {time.monotonic() - began:.0f} s", flush=True)
            if "throughput" in parts:
                throughput_round(bench, mixes, libraries, options.quick)
            if "batches" in parts:
                batch_round(bench, libraries[-1], options.quick)
            if "latency" in parts:
                latency_round(bench, libraries, options.quick)
            spent = time.monotonic() - began
            if options.quick or spent + spent / rounds > options.minutes * 60:
                break
    finally:
        servers.close()

    print_table(bench.results, libraries)
    results = options.build / "results"
    results.mkdir(exist_ok=True)
    name = "quick" if options.quick else facts["date"].replace(":", "").replace("+0000", "Z")
    path = results / f"{name}.json"
    told = {
        **facts,
        "rounds": rounds,
        "mixes": mixes,
        "libraries": libraries,
        "samples": bench.results.samples,
        "failures": bench.results.failures,
        "goals": [
            {"name": goal, "measured": value, "wanted": wanted}
            for goal, value, wanted in goals(bench.results, libraries)
        ],
    }
    path.write_text(json.dumps(told, indent=1) + "\n")
    folder = options.charts or results
    charts.write_all(told, folder)
    print(f"\nresults: {path.relative_to(REPOSITORY)}, plots: {folder}")
    for cell, why in bench.results.failures.items():
        print(f"not measured: {cell}: {why}")
    measured = len(bench.results.samples.keys() - bench.results.failures.keys())
    print(f"{measured} passed, {len(bench.results.failures)} failed")
    return 1 if bench.results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
