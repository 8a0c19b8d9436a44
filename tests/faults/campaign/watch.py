"""What a read_committed consumer of the audit topic sees, as it comes: how recovery is measured."""

import contextlib
import threading
import time
from bisect import bisect
from dataclasses import dataclass
from itertools import pairwise

import msgpack
from confluent_kafka import Consumer, TopicPartition

from .installation import PARTITIONS, Installation
from .journal import Journal
from .processes import Timeout

# A deadline counts from the latest event on; so many of them are the end all the same.
MOST_DEADLINES = 5

CommandName = tuple[str, str]  # source, id


@dataclass(frozen=True)
class Mark:
    """A moment: its time, and how many records the journal had by then."""

    at: float
    position: int


class Watch:
    def __init__(self, installation: Installation, journal: Journal):
        self.journal = journal
        self.topics = list(installation.names.commands.values())
        self.arrived: dict[CommandName, float] = {}
        # When each event came, in that order.
        self.times: list[float] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": installation.cluster.direct,
                "group.id": "campaign-watch",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "socket.timeout.ms": 5000,
                # Or it may ask a broker that hangs for minutes, having looked too early for the new leader.
                "topic.metadata.refresh.interval.ms": 2000,
                "log_level": 0,
            }
        )
        audit = installation.names.audit
        self._consumer.assign([TopicPartition(audit, n, 0) for n in range(PARTITIONS)])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(30)
        self._consumer.close()

    def mark(self) -> Mark:
        return Mark(time.monotonic(), len(self.journal.sent))

    def progress(self, since: Mark, deadline_s: float) -> float:
        """Seconds until the first audit event of a command that was sent after the mark."""
        return self._wait(since, "an audit event of a new command", 1, deadline_s)

    def served(self, since: Mark, deadline_s: float) -> float:
        """Seconds until every partition of the command topics has had such an audit event."""
        every = len(self.topics) * PARTITIONS
        return self._wait(since, "new commands of every partition are served", every, deadline_s)

    def longest_silence(self, since: Mark) -> float:
        """Seconds without an audit event, at the longest."""
        times = self.times[bisect(self.times, since.at) :]
        return max((b - a for a, b in pairwise([since.at, *times])), default=0.0)

    # --- within --------------------------------------------------------------------------------

    def _wait(self, since: Mark, what: str, wanted: int, deadline_s: float) -> float:
        first: dict[tuple[str, int], float] = {}

        def enough() -> bool:
            first.update(self._first_answers(since))
            return len(first) >= wanted

        begun = time.monotonic()
        while not enough():
            now = time.monotonic()
            # A backlog that is worked off, by replicas that are killed meanwhile, is no standstill.
            news = max(begun, self.times[-1] if self.times else 0.0)
            if now - news > deadline_s or now - begun > MOST_DEADLINES * deadline_s:
                missing = [
                    f"{topic}-{number}"
                    for topic in self.topics
                    for number in range(PARTITIONS)
                    if (topic, number) not in first
                ]
                waited = f"{now - begun:.0f} s, the last event {now - news:.0f} s ago"
                raise Timeout(f"{what}: not within {waited}; none of {missing}")
            time.sleep(0.1)
        return sorted(first.values())[wanted - 1] - since.at

    def _first_answers(self, since: Mark) -> dict[tuple[str, int], float]:
        """By partition of the command."""
        found: dict[tuple[str, int], float] = {}
        for sent in self.journal.sent[since.position :]:
            headers = dict(sent.headers)
            source, command_id = headers.get("ce_source"), headers.get("ce_id")
            if source is None or command_id is None:
                continue
            name = (source.decode(errors="replace"), command_id.decode(errors="replace"))
            at = self.arrived.get(name, 0.0)
            if at > since.at:
                place = (sent.topic, sent.partition)
                found[place] = min(at, found.get(place, at))
        return found

    def _run(self) -> None:
        while not self._over.is_set():
            for message in self._consumer.consume(500, 0.1):
                if message.error() is not None:
                    continue
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    command = msgpack.unpackb(message.value() or b"")["command"]
                    now = time.monotonic()
                    self.arrived.setdefault((command["source"], command["id"]), now)
                    self.times.append(now)
