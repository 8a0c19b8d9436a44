"""Drains a backlog with one worker process and watches its memory.

    drain.py [--messages 1000000] [--limit-mib 150] [--worker BINARY]

The backlog is there before the worker starts: mixed commands of all types on two topics. Reports
the largest resident size that the kernel saw (VmHWM) and the rate; checks that every command has
its audit row. Exit 1: over the limit, or something is missing. The last line is "N passed, N failed".
"""

import argparse
import os
import sys
import time
from pathlib import Path
from uuid import uuid4

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--messages", type=int, default=1_000_000)
parser.add_argument("--limit-mib", type=float, default=150)
parser.add_argument("--lanes", type=int, default=2)
parser.add_argument("--worker", help="default: $CATALYST_WORKER, else build/dev/worker/catalyst-worker")
arguments = parser.parse_args()
if arguments.worker:
    os.environ["CATALYST_WORKER"] = str(Path(arguments.worker).resolve())

# ruff: noqa: E402 - the harness reads the environment when it is imported
from harness import make
from harness.kafka import Kafka
from harness.site import Site
from harness.stack import REPOSITORY, stack_from_environment
from harness.wait import wait_until

CHUNK = 20_000


def resident_kib(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise SystemExit(f"/proc/{pid}/status has no {field}")


def preload(site: Site, total: int) -> int:
    """Publishes the backlog; answers with the number of distinct commands (events to expect)."""
    distinct: set[tuple[str, str, bytes]] = set()
    chunk = []
    for command in make.stream(total, seed=1, entities=20_000):
        chunk.append(command)
        distinct.add((command.source, command.id, command.value()))
        if len(chunk) == CHUNK:
            site.publish(chunk)
            chunk = []
    site.publish(chunk)
    return len(distinct)


def main() -> int:
    stack = stack_from_environment(REPOSITORY / "build" / "drain-stack")
    stack.start()
    site = Site(
        f"drain-{uuid4().hex[:8]}", stack, Kafka(stack.servers), REPOSITORY / "build" / "test-logs" / "e2e", 4
    )
    try:
        site.create()
        began = time.monotonic()
        expected = preload(site, arguments.messages)
        print(f"backlog: {arguments.messages} commands, made in {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        worker = site.start(CATALYST_LANES=str(arguments.lanes))
        pid = worker.process.pid
        largest = 0

        def drained() -> bool:
            nonlocal largest
            assert worker.alive(), worker.log[-4000:]
            largest = max(largest, resident_kib(pid, "VmRSS"))
            return site.backlog() == 0

        wait_until("backlog drained", drained, 120 + arguments.messages / 1000, 0.5)
        took = time.monotonic() - began
        peak_mib = max(largest, resident_kib(pid, "VmHWM")) / 1024
        at_rest_mib = resident_kib(pid, "VmRSS") / 1024
        recorded = site.sql("SELECT count(*) AS n FROM auth_audit_events")[0]["n"]
        site.close()
        print(f"drained in {took:.1f} s, {arguments.messages / took:.0f} commands/s, {arguments.lanes} lanes")
        print(
            f"resident: peak {peak_mib:.1f} MiB, afterwards {at_rest_mib:.1f} MiB, limit {arguments.limit_mib:g} MiB"
        )
        print(f"audit rows: {recorded} of {expected}")
        checks = [peak_mib <= arguments.limit_mib, recorded == expected]
        print(f"{checks.count(True)} passed, {checks.count(False)} failed")
        return 0 if all(checks) else 1
    finally:
        site.abandon()
        stack.stop()


if __name__ == "__main__":
    sys.exit(main())
