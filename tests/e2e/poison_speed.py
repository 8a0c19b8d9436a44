"""How fast a lane goes on when messages are poison, next to the same number of good ones: every second
one malformed (storm), or one in a hundred refused by PostgreSQL alone (refused).

    CATALYST_WORKER=build/release/worker/catalyst-worker build/venv/bin/python tests/e2e/poison_speed.py

Not a test: it asserts no speed. Good and mixed runs in turn, each on topics of its own that are full
before the worker starts; prints messages a second, and the ratios of the medians."""

import argparse
import time
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import uuid4

from harness import make
from harness.kafka import Kafka
from harness.malformed import CASES
from harness.site import Publishable, Site
from harness.stack import REPOSITORY, Stack, stack_from_environment
from harness.wait import wait_until


def commands(count: int) -> list[Publishable]:
    return [make.user(f"u-{n}") for n in range(count)]


def storm(count: int) -> list[Publishable]:
    small = cycle(case.record for case in CASES if len(case.record.value or b"") < 2000)
    return [item for user in commands(count // 2) for item in (user, next(small))]


def refused(count: int) -> list[Publishable]:
    return [make.user(f"u-{n}", {"displayName": "no" if n % 100 == 50 else "yes"}) for n in range(count)]


def messages_per_second(stack: Stack, items: list[Publishable], logs: Path) -> float:
    site = Site(f"speed-{uuid4().hex[:8]}", stack, Kafka(stack.servers), logs).create()
    site.sql("ALTER TABLE auth_users ADD CONSTRAINT house_rule CHECK (display_name <> 'no')")
    site.publish(items)
    whole = site.backlog()
    site.start()
    left = whole

    def begun() -> bool:
        nonlocal left
        left = site.backlog()
        return left < whole

    wait_until("the first batch", begun, 60, 0.02)
    since = time.monotonic()
    site.wait_done(300)
    took = time.monotonic() - since
    site.close()
    return left / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=100_000, help="of a run")
    parser.add_argument("--rounds", type=int, default=2, help="of both kinds")
    options = parser.parse_args()
    stack = stack_from_environment(REPOSITORY / "build" / "e2e-stack")
    stack.start()
    kinds = {"good": commands, "storm": storm, "refused": refused}
    speeds: dict[str, list[float]] = {kind: [] for kind in kinds}
    with TemporaryDirectory() as logs:
        for _ in range(options.rounds):
            for kind, make_items in kinds.items():
                items = make_items(options.messages)
                speeds[kind].append(messages_per_second(stack, items, Path(logs)))
                print(f"{kind}: {speeds[kind][-1]:.0f} messages/s", flush=True)
    for kind in ("storm", "refused"):
        print(f"{kind} / good: {median(speeds[kind]) / median(speeds['good']):.2f}")
    stack.stop()


if __name__ == "__main__":
    main()
