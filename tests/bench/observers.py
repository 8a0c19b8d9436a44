"""What is looked at again and again while a cell runs, on a thread and a connection of its own."""

import bisect
import threading
import time
from collections import Counter
from itertools import pairwise
from typing import Any

from procfs import memory_mib, own_cpu
from services import Service
from stack import Servers

Points = list[tuple[float, float]]  # (monotonic time, value), in the order of time
Commits = Points  # commands committed so far


class Observer:
    """Looks every `pause_s` from begin() to end(). What goes wrong meanwhile is raised by end()."""

    pause_s = 0.1

    def __init__(self, servers: Servers):
        self.servers = servers
        self.running: list[Service] = []
        self.sql = servers.connect()
        self.over = threading.Event()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self.run)

    def begin(self, running: list[Service]) -> None:
        self.running = running
        self.thread.start()

    def run(self) -> None:
        try:
            while True:
                self.look()
                if self.over.wait(self.pause_s):
                    return
        except Exception as error:  # of any kind: it belongs to the cell, not to this thread
            self.error = error

    def close(self) -> None:
        self.over.set()
        if self.thread.is_alive():
            self.thread.join()
        self.sql.close()

    def end(self) -> None:
        self.close()
        if self.error is not None:
            raise self.error

    def look(self) -> None:
        raise NotImplementedError

    def told(self, commits: Commits) -> dict[str, Any]:
        """What it adds to the cell's result, after end()."""
        raise NotImplementedError


def interpolate(points: Points, at: float) -> float:
    nth = bisect.bisect_right([time_s for time_s, _ in points], at)
    if nth == 0:
        return points[0][1]
    if nth == len(points):
        return points[-1][1]
    (left, low), (right, high) = points[nth - 1], points[nth]
    return low + (high - low) * (at - left) / (right - left)


def moved(points: Points, left: float, right: float) -> float:
    return interpolate(points, right) - interpolate(points, left)


class Growth(Observer):
    """WAL, checkpoints, CPU time and memory over the run, told in slices of equal length."""

    slices = 10
    cpu_every = 5  # looks: it means reading all of /proc

    def __init__(self, servers: Servers):
        super().__init__(servers)
        self.wal: Points = []
        self.checkpoints: Points = []
        self.postgres: Points = []
        self.own: Points = []
        self.resident: Points = []
        self.peak = 0.0
        self.looks = 0

    def look(self) -> None:
        now = time.monotonic()
        ((wal, checkpoints),) = self.sql.execute(
            "SELECT pg_current_wal_lsn() - '0/0', checkpoints_timed + checkpoints_req FROM pg_stat_bgwriter"
        ).fetchall()
        self.wal.append((now, float(wal)))
        self.checkpoints.append((now, float(checkpoints)))
        if self.looks % self.cpu_every == 0:
            self.postgres.append((now, self.servers.postgres_cpu()))
        self.looks += 1
        if self.running:
            memory = [memory_mib(service.pid) for service in self.running]
            self.resident.append((now, max(resident for resident, _ in memory)))
            self.peak = max(self.peak, *(peak for _, peak in memory))
            self.own.append((now, sum(own_cpu(service.pid) for service in self.running)))

    def told(self, commits: Commits) -> dict[str, Any]:
        began, ended = commits[0][0], commits[-1][0]
        edges = [began + (ended - began) * nth / self.slices for nth in range(self.slices + 1)]
        slices = [self.slice(commits, *pair) for pair in pairwise(edges)]
        told = {
            "slices": slices,
            "first_per_s": slices[0]["commands_per_s"],
            "last_per_s": slices[-1]["commands_per_s"],
            "first_wal_bytes": slices[0]["wal_bytes"],
            "last_wal_bytes": slices[-1]["wal_bytes"],
            "checkpoints": self.checkpoints[-1][1] - self.checkpoints[0][1],
        }
        return told | self.memory(began, ended) if self.running else told

    def slice(self, commits: Commits, left: float, right: float) -> dict[str, float]:
        work = max(moved(commits, left, right), 1.0)
        told = {
            "at_s": (left + right) / 2 - commits[0][0],
            "commands_per_s": work / (right - left),
            "wal_bytes": moved(self.wal, left, right) / work,
            "postgres_us": moved(self.postgres, left, right) * 1e6 / work,
            "checkpoints": moved(self.checkpoints, left, right),
        }
        if self.own:
            told["process_us"] = moved(self.own, left, right) * 1e6 / work
        return told

    def memory(self, began: float, ended: float) -> dict[str, Any]:
        """Flat or not: how much is resident after a third of the run, and at its end."""
        third = began + (ended - began) / 3
        return {
            "resident": [(time_s - began, mib) for time_s, mib in self.resident],
            "peak_mib": self.peak,
            "resident_third_mib": interpolate(self.resident, third),
            "resident_end_mib": interpolate(self.resident, ended),
        }


class Waits(Observer):
    """What the lanes' backends wait for: shares of the samples of pg_stat_activity."""

    pause_s = 0.1

    def __init__(self, servers: Servers):
        super().__init__(servers)
        self.seen: list[tuple[float, str]] = []

    def look(self) -> None:
        now = time.monotonic()
        rows = self.sql.execute(
            "SELECT wait_event_type, wait_event FROM pg_stat_activity"
            " WHERE application_name LIKE 'catalyst-worker lane%'"
        ).fetchall()
        self.seen += [(now, f"{kind}:{event}" if kind else "running") for kind, event in rows]

    def told(self, commits: Commits) -> dict[str, Any]:
        began, ended = commits[0][0], commits[-1][0]
        counted = Counter(what for time_s, what in self.seen if began <= time_s <= ended)
        if not counted:
            raise RuntimeError("no sample of wait events: too few commands")
        total = counted.total()
        return {"waits": {what: count / total for what, count in counted.most_common()}}
