"""Kills and freezes the worker at every named point of base/crash_point.h, under load.

usage: python -m campaign.crash_points [--repeats N] [--seed S] [--only POINT]... [--jobs N]

For each point with one replica and with two: N times a replica is killed there and started again,
then a quarter as often it is stopped there, and goes on after a pause, after its session, or after
another one has done its work. After the kills, and after each stop, all is drained and compared with the
contract: rows, audit events, dead letters, each once. The worker ($CATALYST_WORKER, else
build/dev) must be built with WORKER_CRASH_POINTS; $STACK_DIR names servers to use. One line for each
point, replicas and action; "N passed, N failed" at the end.
"""

import argparse
import contextlib
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import KafkaException, Producer

from harness import make, program
from harness.kafka import Kafka
from harness.model import Model
from harness.program import Worker
from harness.site import Site
from harness.stack import REPOSITORY, Stack, stack_from_environment
from harness.wait import Timeout, wait_until
from harness.wire import IDENTITY, KEYS, Command, Record

from .processes import end_with_this_program

HEADER = REPOSITORY / "base" / "crash_point.h"
VARIABLE = "WORKER_CRASH_POINT"

KILLS_PER_STOP = 4
BURST = 48  # commands published at once
DEADLINE_S = 180.0
LONGEST_PAUSE_S = 3.0

SETTINGS = {
    "CATALYST_BATCH_MAX_MESSAGES": "12",
    # As short as the broker of the stack allows with room for a busy machine.
    "CATALYST_KAFKA_TRANSACTION_TIMEOUT_MS": "2000",
    "CATALYST_KAFKA_SESSION_TIMEOUT_MS": "2500",
    "CATALYST_KAFKA_HEARTBEAT_INTERVAL_MS": "400",
}


@dataclass(frozen=True)
class Plan:
    """How a point is reached."""

    most: int = 6  # it is taken at the 1st to this time that the victim comes by
    guest: bool = False  # a member joins once the victim has partitions: a rebalance under load
    prelude: str = ""  # the victim is stopped there first, so that its transaction fails:
    fenced: bool = False  # by another producer with its transactional id; else its session is over


# Points that are not here are passed with every batch.
PLANS = {
    "in_assign": Plan(most=2, guest=True),
    "after_assigned": Plan(most=2, guest=True),
    "in_revoke": Plan(most=1, guest=True),
    "before_reopen": Plan(most=2, prelude="after_send_offsets", fenced=True),
    "after_reopen": Plan(most=2, prelude="after_send_offsets", fenced=True),
    "before_save": Plan(most=2),
    "after_save": Plan(most=2),
}


def declared_points() -> list[str]:
    points = re.findall(r"^\s*X\((\w+)\)", HEADER.read_text(), re.MULTILINE)
    strangers = PLANS.keys() - set(points)
    assert points and not strangers, f"{HEADER.name} does not declare {sorted(strangers)}"
    return points


def is_stopped(worker: Worker) -> bool:
    try:
        stat = Path(f"/proc/{worker.process.pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"


class Cell:
    """One installation: a point with so many replicas."""

    def __init__(self, stack: Stack, logs: Path, point: str, replicas: int, seed: int):
        self.point = point
        self.replicas = replicas
        self.plan = PLANS.get(point, Plan())
        self.chance = random.Random(f"{seed}/{point}/{replicas}")
        name = f"crash-{point.replace('_', '-')}-{replicas}-{uuid4().hex[:6]}"
        self.site = Site(name, stack, Kafka(stack.servers), logs)
        self.site.extra = dict(SETTINGS)
        self.supply = make.stream(sys.maxsize, seed=self.chance.randrange(2**31), entities=60)
        self.published: list[Command] = []
        self.garbage: list[Record] = []
        self.mark = 0  # where in the victim's log the session begins
        self.how = ""  # what the session under way does, for the report

    # --- load --------------------------------------------------------------------------------

    def publish(self) -> None:
        """A burst, with one record in it that is no command."""
        burst: list[Command | Record] = list(islice(self.supply, BURST))
        self.published += [item for item in burst if isinstance(item, Command)]
        topic = self.chance.choice([IDENTITY, KEYS])
        value = f"no command {len(self.garbage)}".encode()
        self.garbage.append(Record(topic, b"garbage", value, [("n", value)]))
        burst.insert(self.chance.randrange(BURST), self.garbage[-1])
        self.site.publish(burst)

    def publish_until(self, what: str, condition: Callable[[], bool]) -> None:
        """Bursts with growing pauses, for the points that only an idle lane passes."""
        end = time.monotonic() + DEADLINE_S
        pause_s = 0.1
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {DEADLINE_S:g} s ({self.how})"
            self.publish()
            with contextlib.suppress(Timeout):
                wait_until(what, condition, pause_s, 0.02)
            pause_s = min(1.5 * pause_s, LONGEST_PAUSE_S)

    # --- the victim --------------------------------------------------------------------------

    def start_victim(self, armed: str = "") -> Worker:
        log = self.site.logs / f"{self.site.name}-a.log"
        self.mark = log.stat().st_size if log.exists() else 0
        environment: dict[str, Any] = {"PGAPPNAME": self.site.name, VARIABLE: armed}
        return self.site.start("a", http=False, **environment)

    def said(self, victim: Worker, words: str) -> int:
        with victim.log_path.open("rb") as log:
            log.seek(self.mark)
            return log.read().decode(errors="replace").count(words)

    def reach(self, action: str) -> Worker:
        """A victim that has died, or has stopped, at the point, and has said so."""
        nth = self.chance.randint(1, self.plan.most)
        # The first time that a producer is opened is at the start.
        prelude = "" if self.plan.fenced and nth == 1 else self.plan.prelude
        armed = f"{self.point}:{nth}:{action}"
        self.how = armed
        if prelude:
            self.how = f"{prelude}:{self.chance.randint(1, 4)}:stop,{armed}"
        victim = self.start_victim(self.how)

        def taken() -> bool:
            code = victim.process.poll()
            assert code in (None, -signal.SIGKILL), f"exit {code} ({self.how})\n{victim.log[-3000:]}"
            return code is not None or is_stopped(victim)

        def taken_here() -> bool:
            # A victim that goes on after a prelude may be stopped again before anybody has looked.
            return taken() and self.said(victim, f"crash point {self.point}: ") > 0

        if prelude:
            self.publish_until(f"stopped at {prelude}", taken)
            assert self.said(victim, f"crash point {prelude}: stop") == 1, self.how
            if self.plan.fenced:
                self.fence()
            else:
                self.wait_session_over()
            self.resume(victim)
        if self.plan.guest:
            with self.guest(victim, taken):
                self.publish_until(f"taken at {self.point}", taken_here)
        else:
            self.publish_until(f"taken at {self.point}", taken_here)
        assert self.said(victim, f"crash point {self.point}: {action}") == 1, self.how
        assert (victim.process.poll() == -signal.SIGKILL) == (action == "kill"), self.how
        return victim

    @contextlib.contextmanager
    def guest(self, victim: Worker, taken: Callable[[], bool]) -> Iterator[None]:
        self.publish_until(
            "partitions assigned", lambda: taken() or self.said(victim, "partitions assigned") > 0
        )
        if taken():
            yield
            return
        log = self.site.logs / f"{self.site.name}-guest.log"
        before = log.stat().st_size if log.exists() else 0
        guest = self.site.start("guest", http=False)
        yield
        # Until it has said something it has not got as far as to take signals.
        wait_until("the guest has begun", lambda: log.stat().st_size > before)
        guest.stop(DEADLINE_S)

    def fence(self) -> None:
        """As a replica does that is started with the victim's instance id."""
        name = f"{self.site.group}.{self.site.name}-a.0"
        Producer(self.site.kafka.settings | {"transactional.id": name}).init_transactions(DEADLINE_S)

    def end_transaction(self) -> None:
        """What PostgreSQL does too, once the transaction of a stopped replica has idled a minute."""
        self.site.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE state = 'idle in transaction' AND application_name = %s",
            self.site.name,
        )

    def resume(self, victim: Worker) -> None:
        victim.process.send_signal(signal.SIGCONT)

    def living(self) -> int:
        return sum(worker.alive() and not is_stopped(worker) for worker in self.site.workers)

    def wait_session_over(self) -> None:
        """Each replica has one lane, and each lane is one member."""
        group = self.site.group

        def left() -> bool:
            try:
                described = self.site.kafka.admin.describe_consumer_groups([group])[group].result(30)
            except KafkaException:  # no answer is not the answer that there are no members
                return False
            return len(described.members) <= self.living()

        wait_until("the session of the stopped replica is over", left, DEADLINE_S, 0.1)

    # --- sessions ----------------------------------------------------------------------------

    def set_up(self) -> None:
        self.site.create()
        if self.replicas == 2:
            self.site.start("b", http=False)

    def kills(self, repeats: int) -> None:
        for _ in range(repeats):
            self.reach("kill")
        victim = self.start_victim()
        self.settle()
        victim.stop(DEADLINE_S)

    def stops(self, repeats: int) -> None:
        for _ in range(repeats):
            self.stop_once()

    def stop_once(self) -> None:
        victim = self.reach("stop")
        until = self.chance.choice(["pause", "session", "drained", "drained"])
        self.how += f", goes on after: {until}"
        replacement = None
        if until == "session":
            self.wait_session_over()
        elif until == "drained":
            if self.chance.random() < 0.9:
                self.end_transaction()
            if self.replicas == 1:
                # With its instance id, and so with its transactional id.
                replacement = self.site.start("a", http=False)
            self.publish()
            self.site.wait_done(DEADLINE_S)
        self.resume(victim)
        self.settle()
        victim.stop(DEADLINE_S)
        if replacement is not None:
            replacement.stop(DEADLINE_S)

    def settle(self) -> None:
        """Drains, and compares all that there is with the contract."""
        self.publish()
        self.site.wait_done(DEADLINE_S)
        self.site.check(Model().take_all(self.published))
        for name in (IDENTITY, KEYS):
            letters = Counter(letter.value for letter in self.site.dead_letters(name))
            sent = Counter(record.value for record in self.garbage if record.topic == name)
            assert letters == sent, f"dead letters of {name}: {letters - sent}, {sent - letters}"


@dataclass(frozen=True)
class Line:
    passed: bool
    what: str


def run_cell(stack: Stack, logs: Path, point: str, replicas: int, repeats: int, seed: int) -> list[Line]:
    cell = Cell(stack, logs, point, replicas, seed)
    lines = []
    try:
        cell.set_up()
        # A stop takes several times as long as a kill, and each is checked for itself.
        stops = -(-repeats // KILLS_PER_STOP)
        for action, sessions, times in (("kill", cell.kills, repeats), ("stop", cell.stops, stops)):
            began = time.monotonic()
            title = f"{point}, replicas {replicas}, {action} x {times}"
            try:
                sessions(times)
                lines.append(Line(True, f"{title} ({time.monotonic() - began:.0f} s)"))
            except Exception:  # whatever it is, it is a finding, and the others go on
                lines.append(Line(False, f"{title}: {cell.how}\n{traceback.format_exc()}"))
                break
        if all(line.passed for line in lines):
            cell.site.close()
    except Exception:
        lines.append(Line(False, f"{point}, replicas {replicas}\n{traceback.format_exc()}"))
    finally:
        cell.site.abandon()
    return lines


def require_points() -> None:
    """A worker without points would never be taken anywhere; this says why."""
    done = program.run("run", env={VARIABLE: "no_such_point"})
    assert done.returncode == program.EXIT_CONFIG and VARIABLE in done.stderr, (
        f"{program.BINARY} has no crash points: build it with WORKER_CRASH_POINTS (preset dev)"
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=1, help="kills per point and replicas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", metavar="POINT")
    parser.add_argument("--jobs", type=int, default=4 * (os.cpu_count() or 1))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    asked = parse(arguments)
    points = declared_points()
    unknown = set(asked.only or []) - set(points)
    if unknown:
        print(f"no such point: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 64
    end_with_this_program()
    require_points()
    stack = stack_from_environment(Path(tempfile.mkdtemp(prefix="catalyst-crash-")) / "stack")
    logs = REPOSITORY / "build" / "test-logs" / "crash-points"
    print(f"seed {asked.seed}, {asked.repeats} kills each, logs in {logs}", flush=True)
    lines: list[Line] = []
    began = time.monotonic()
    stack.start()
    try:
        with ThreadPoolExecutor(asked.jobs) as pool:
            running = [
                pool.submit(run_cell, stack, logs, point, replicas, asked.repeats, asked.seed)
                for point in asked.only or points
                for replicas in (1, 2)
            ]
            for cell in as_completed(running):
                for line in cell.result():
                    print(("ok    " if line.passed else "FAIL  ") + line.what, flush=True)
                    lines.append(line)
    finally:
        stack.stop()
    passed = sum(line.passed for line in lines)
    print(f"{time.monotonic() - began:.0f} s")
    print(f"{passed} passed, {len(lines) - passed} failed")
    return 0 if passed == len(lines) else 1


if __name__ == "__main__":
    sys.exit(main())
