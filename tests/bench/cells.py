"""Throughput: how a cell is measured, in memory or end to end. A cell is one measurement on topics
of its own, and on empty tables unless it is given some."""

import argparse
import contextlib
import json
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from observers import Commits, Observer
from procfs import machine_cpu, memory_mib, own_cpu
from results import Result
from services import JVM_WARMUP_SHARE, Service, Services, Shape
from stack import Offsets, Servers, Site, until

# The CPU time of a backend that has ended shows once the postmaster has taken notice.
REAPED_S = 0.3


@dataclass(frozen=True)
class Mix:
    """Which commands: a mix, and options that every program that makes commands knows."""

    name: str
    options: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        return ["--mix", self.name, *self.options]


@dataclass
class Reading:
    """The counters of one moment."""

    time_s: float
    process: float
    postgres: float
    broker: float
    busy: float
    steps: dict[str, float]


@dataclass
class Run:
    """From the first commit that is seen, with all members at work, to the last."""

    born: float
    readings: list[Reading] = field(default_factory=list)
    commits: Commits = field(default_factory=list)

    def figures(self, lanes: int) -> Result:
        before, after = self.readings
        work = self.commits[-1][1] - self.commits[0][1]
        wall = after.time_s - before.time_s
        figures: Result = {
            "commands_per_s": work / wall,
            "process_us": (after.process - before.process) * 1e6 / work,
            "postgres_us": (after.postgres - before.postgres) * 1e6 / work,
            "broker_us": (after.broker - before.broker) * 1e6 / work,
            "busy_cores": (after.busy - before.busy) / wall,
            "first_commit_s": self.commits[0][0] - self.born,
        }
        figures["sum_us"] = sum(figures[f"{who}_us"] for who in ("process", "postgres", "broker"))
        if after.steps:
            figures["steps"] = {
                step: (seconds - before.steps.get(step, 0)) / wall / lanes
                for step, seconds in after.steps.items()
            }
        return figures


class Cells:
    def __init__(self, options: argparse.Namespace, servers: Servers, current: Path | None):
        self.servers = servers
        self.services = Services(options, servers, current)
        self.programs = options.programs / "tests" / "bench"

    # --- without Kafka ---------------------------------------------------------------------------

    def in_memory(
        self,
        program: str,
        mix: Mix,
        count: int,
        *extra: str,
        schema: str | None = None,
        observer: Observer | None = None,
    ) -> Result:
        """The program times itself, the server's side is added here."""
        with contextlib.ExitStack() as stack:
            site = self.services.site(mix.name, schema)
            stack.callback(site.remove)
            command = [str(self.programs / program), "--conninfo", self.servers.database_url]
            command += ["--schema", site.schema, "--commands", str(count), *extra]
            if program == "bench_apply":
                command += mix.arguments
            if observer is not None:
                command.append("--commits")
                stack.callback(observer.close)
                observer.begin([])
            wal, cpu = self.servers.wal_position(), self.servers.postgres_cpu()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(done.stderr.strip())
            told, *more = [json.loads(line) for line in done.stdout.splitlines()]
            time.sleep(REAPED_S)
            figures: Result = {
                "commands_per_s": count / told["seconds"],
                "process_us": told["cpu_us_per_command"],
                "postgres_us": (self.servers.postgres_cpu() - cpu) * 1e6 / count,
                "wal_bytes": (self.servers.wal_position() - wal) / count,
            }
            figures["sum_us"] = figures["process_us"] + figures["postgres_us"]
            if observer is not None:
                observer.end()
                figures |= observer.told(commits_of(more[0]))
            return figures

    def apply_some(self, schema: str, mix: Mix, count: int) -> None:
        """Rows of the worker's own making."""
        command = [str(self.programs / "bench_apply"), "--conninfo", self.servers.database_url]
        command += ["--schema", schema, *mix.arguments, "--commands", str(count), "--lanes", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())

    # --- end to end ------------------------------------------------------------------------------

    def fill(self, site: Site, mix: Mix, count: int) -> None:
        command = [str(self.programs / "bench_load"), "--brokers", self.servers.brokers]
        command += ["--topic", site.topic, *mix.arguments, "--commands", str(count), "fill"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"filling the topic: {done.stderr.strip()}")

    def drain(
        self,
        shape: Shape,
        mix: Mix,
        count: int,
        *,
        schema: str | None = None,
        observer: Observer | None = None,
        settled: bool = False,
    ) -> Result:
        """The topic is full at the start. The clock runs from the first commit that is seen to the
        last, so that joining the group does not count. With `settled` the members join first, on an
        empty topic, and sleep while it is filled; the lanes' steps are told too."""
        with contextlib.ExitStack() as stack:
            site = self.services.site(mix.name, schema)
            stack.callback(site.remove)
            offsets = Offsets(self.servers, site.name, site.topic)
            stack.callback(offsets.close)
            offsets.await_coordinator()
            since = datetime.now(UTC)
            if not settled:
                self.fill(site, mix, count)
            wal = self.servers.wal_position()
            run = Run(time.monotonic())
            running = self.services.start(site, shape, pages=settled)
            for service in running:
                stack.callback(service.kill)
            if observer is not None:
                stack.callback(observer.close)
                observer.begin(running)
            if settled:
                self.start_together(run, site, shape, running, mix, count)
            total = offsets.total()
            # A JVM's first moments do not count.
            skipped = total * JVM_WARMUP_SHARE if shape.kind == "java" else 0
            self.follow(run, running, offsets, skipped, total)
            if observer is not None:
                observer.end()
            peak = max(memory_mib(service.pid)[1] for service in running)
            wal = self.servers.wal_position() - wal
            if settled and not self.services.are_assigned(site, shape.members):
                raise RuntimeError("a member lost its partitions meanwhile")
            for service in running:
                service.stop()
            rows = self.servers.audit_rows(site.schema, since)
            # Every command has its row; repeated ones (1 % of mix d) have none of their own.
            if not count * (0.98 if mix.name == "d" else 1) <= rows <= count:
                raise RuntimeError(f"{rows} audit rows for {count} commands")
            figures = run.figures(shape.processes * shape.lanes)
            figures |= {"wal_bytes": wal / total, "peak_mib": peak}
            if observer is not None:
                figures |= observer.told(run.commits)
            return figures

    def start_together(
        self, run: Run, site: Site, shape: Shape, running: list[Service], mix: Mix, count: int
    ) -> None:
        """Once every member has partitions. Filling takes a fraction of their session's timeout."""
        for _ in until(60, 0.1):
            for service in running:
                service.check()
            if self.services.are_assigned(site, shape.members):
                break
        steps = steps_of(running)
        for service in running:
            service.suspend()
        self.fill(site, mix, count)
        run.readings.append(self.read(running, steps))
        run.commits.append((run.readings[0].time_s, 0))
        for service in running:
            service.resume()

    def follow(self, run: Run, running: list[Service], offsets: Offsets, skipped: float, total: int) -> None:
        """Until all is committed. Unless it runs, the clock starts with the first commit beyond `skipped`."""
        for _ in until(60 + total / 300):
            for service in running:
                service.check()
            done, now = offsets.committed(), time.monotonic()
            if done > skipped:
                if not run.commits:
                    run.readings.append(self.read(running, steps_of(running)))
                if not run.commits or done > run.commits[-1][1]:
                    run.commits.append((now, done))
            if done >= total:
                break
        if len(run.commits) < 2:
            raise RuntimeError("was done before its clock could start: it needs more commands")
        run.readings.append(self.read(running, steps_of(running)))

    def read(self, running: list[Service], steps: dict[str, float]) -> Reading:
        return Reading(
            time.monotonic(),
            sum(own_cpu(service.pid) for service in running),
            self.servers.postgres_cpu(),
            self.servers.kafka_cpu(),
            machine_cpu()[0],
            steps,
        )


def steps_of(running: list[Service]) -> dict[str, float]:
    """Of those that have pages, together."""
    steps: dict[str, float] = {}
    for service in running:
        for step, seconds in service.step_seconds().items() if service.address else ():
            steps[step] = steps.get(step, 0) + seconds
    return steps


def commits_of(told: Result) -> Commits:
    """What bench_apply --commits says, as a running total."""
    commits: Commits = [(told["started_us"] / 1e6, 0)]
    for at_us, count in sorted(told["commits"]):
        commits.append((at_us / 1e6, commits[-1][1] + count))
    return commits
