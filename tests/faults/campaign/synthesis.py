"""Evidence as a right worker would leave it, made from the model: for tests of the checker that run
without servers. The order across entities, offsets and partitions are chosen by a seed."""

import random
import zlib
from copy import deepcopy
from typing import Any

import msgpack

from harness.wire import IDENTITY, KEYS, Record

from .contract import AUDIT_COLUMNS, Contract, Expected, audit_row
from .evidence import Evidence
from .journal import Journal, Sent
from .letters import REDACTED, case_of, error_headers, redacted
from .mix import Mix

TOPICS = {IDENTITY: "synthetic.identity", KEYS: "synthetic.keys"}
AUDIT = "synthetic.audit"
GROUP = "synthetic"
PARTITIONS = 3
START_MS = 1_790_000_000_000
MESSAGE = "what PostgreSQL has, or has not"


def journal(seed: int, count: int) -> Journal:
    """What a sender would have published."""
    mix = Mix(seed, dict.fromkeys(TOPICS, PARTITIONS), START_MS)
    ends: dict[tuple[str, int], int] = {}
    sent: list[Sent] = []
    for _ in range(count):
        item = next(mix)
        record = item.record
        assert record.partition is not None
        where = (TOPICS[record.topic], record.partition)
        offset = ends[where] = ends.get(where, -1) + 1
        sent.append(
            Sent(*where, offset, record.key, record.value, record.headers, record.timestamp_ms, item.kind)
        )
    return Journal(sent)


class Synthesis:
    """Grows with the journal, as a campaign's evidence does."""

    def __init__(self, seed: int):
        self.chance = random.Random(seed)
        self.contract = Contract()
        self.evidence = Evidence({}, {}, {}, [], 0, GROUP)
        self._ends: dict[tuple[str, int], int] = {}

    def follow(self, sent: Journal) -> Evidence:
        added = self.contract.feed(sent)
        for expected in self._interleaved(added.events):
            self._publish(expected)
        for each in added.letters:
            self._bury(each)
        rows = [self._row(expected) for expected in added.events]
        self.chance.shuffle(rows)
        self.evidence.audit_rows += rows
        self.evidence.audit_row_count = len(self.evidence.audit_rows)
        self.evidence.tables = {
            table: deepcopy(list(rows.values())) for table, rows in self.contract.rows.items()
        }
        return self.evidence

    def _interleaved(self, events: list[Expected]) -> list[Expected]:
        """Partitions of commands are consumed side by side."""
        queues: dict[tuple[str, int], list[Expected]] = {}
        for expected in events:
            queues.setdefault(expected.origins[0][:2], []).append(expected)
        order = [where for where, queue in queues.items() for _ in queue]
        self.chance.shuffle(order)
        iterators = {where: iter(queue) for where, queue in queues.items()}
        return [next(iterators[where]) for where in order]

    def _publish(self, expected: Expected) -> None:
        partition = zlib.crc32(expected.key) % PARTITIONS
        body = expected.body | ({"error": _error(expected)} if expected.code else {})
        record = Record(
            AUDIT,
            expected.key,
            msgpack.packb(body),
            list(expected.headers),
            START_MS,
            partition,
            self._offset(AUDIT, partition),
        )
        self.evidence.audit.setdefault(partition, []).append(record)

    def _bury(self, sent: Sent) -> None:
        case = case_of(sent)
        message = f"{case.says}: is not what the contract asks for".encode()
        headers: dict[str, bytes] = error_headers(sent, GROUP, message, b"0")
        if case.redacted:
            headers |= {REDACTED: b"true"}
        topic, partition = sent.topic + ".dlq", self.chance.randrange(PARTITIONS)
        record = Record(
            topic,
            sent.key,
            redacted(sent) if case.redacted else sent.value,
            [*sent.headers, *headers.items()],
            sent.timestamp_ms,
            partition,
            self._offset(topic, partition),
        )
        self.evidence.letters.setdefault((topic, partition), []).append(record)

    def _row(self, expected: Expected) -> tuple[Any, ...]:
        row = list(audit_row(expected, self.chance.choice(expected.origins)))
        if expected.code:
            row[AUDIT_COLUMNS.index("error")] = _error(expected)
        return tuple(row)

    def _offset(self, topic: str, partition: int) -> int:
        """With the gaps that control records make."""
        offset = self._ends.get((topic, partition), 0) + (self.chance.random() < 0.05)
        self._ends[(topic, partition)] = offset + 1
        return offset


def _error(expected: Expected) -> dict[str, Any]:
    return {"code": expected.code, "message": MESSAGE, "details": {"field": "id"}}
