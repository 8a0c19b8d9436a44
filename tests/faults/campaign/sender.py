"""Publishes the mix and keeps the journal of what was acknowledged."""

import threading
import time
from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaError, Producer

from harness.kafka import Kafka
from harness.wire import Record

from .journal import Journal, Sent
from .mix import Item, Mix

# So many wait for their acknowledgement at most; an outage must not fill the memory.
IN_FLIGHT = 20_000
BUFFERS = {
    "queue.buffering.max.messages": 2 * IN_FLIGHT,
    "queue.buffering.max.kbytes": 1_000_000,
    "message.max.bytes": 4_000_000,
    "linger.ms": 5,
}
# What the journal rests on: nothing is doubled, reordered or given up by the sender itself.
EXACT = {"acks": "all", "enable.idempotence": True, "delivery.timeout.ms": 0}


class SenderFailed(Exception):
    """The producer is beyond repair, or a record was refused: the journal can't be complete."""


class Sender:
    """`topics`: real names by IDENTITY and KEYS. `rate`: records a second, None: as fast as they go.
    run() may be called again; the stream goes on."""

    def __init__(
        self,
        seed: int,
        producer_config: dict[str, str],
        topics: dict[str, str],
        rate: float | None = None,
        start_ms: int | None = None,
    ):
        self.journal = Journal()
        self.rate = rate
        self.topics = topics
        self._config = producer_config
        self._kafka = Kafka(producer_config["bootstrap.servers"])
        partitions = {name: self._kafka.partitions(topic) for name, topic in topics.items()}
        start_ms = int(time.time() * 1000) if start_ms is None else start_ms
        self.mix = Mix(seed, partitions, start_ms)
        settings: dict[str, Any] = {"log_level": 0, "reconnect.backoff.max.ms": 500}
        self._producer = Producer(settings | BUFFERS | producer_config | EXACT | {"error_cb": self._on_error})
        self._waiting = 0
        self.unplaced: list[Sent] = []  # acknowledged, at an offset yet to be found
        self.doubled = 0  # records that are on the topic twice although they were sent once
        self._settled = 0  # so much of the journal is complete, up to these ends of the topics
        self._ends: dict[tuple[str, int], int] = {}
        self._failure: str | None = None

    def run(self, count: int | None = None, until: threading.Event | None = None) -> None:
        """Sends so many, or until the event is set. When it returns, every record is acknowledged
        and in the journal."""
        begin = time.monotonic()
        done = 0
        while (count is None or done < count) and not (until is not None and until.is_set()):
            if not self._room(begin, done):
                continue
            self._send(next(self.mix))
            done += 1
        while self._waiting > 0:
            self._poll(0.1)
        self._place_the_rest()

    # --- within --------------------------------------------------------------------------------

    def _room(self, begin: float, done: int) -> bool:
        """Whether the next one may go; serves acknowledgements, and waits a little when not."""
        early = 0.0 if self.rate is None else begin + done / self.rate - time.monotonic()
        full = self._waiting >= IN_FLIGHT
        self._poll(min(max(early, 0.1 if full else 0.0), 0.1))
        return early <= 0 and not full

    def _poll(self, seconds: float) -> None:
        self._producer.poll(seconds)
        if self._failure is not None:
            raise SenderFailed(self._failure)

    def _send(self, item: Item) -> None:
        record = item.record
        topic = self.topics[record.topic]

        def delivered(error: KafkaError | None, message: Any) -> None:
            self._waiting -= 1
            if error is not None:
                self._failure = f"{topic}: {error.name()}"
                return
            offset = message.offset()
            sent = Sent(
                topic,
                message.partition(),
                -1 if offset is None else offset,
                record.key,
                record.value,
                record.headers,
                record.timestamp_ms,
                item.kind,
            )
            # A retry that the broker knew already is acknowledged, now and then without its offset.
            (self.journal.sent if sent.offset >= 0 else self.unplaced).append(sent)

        while True:
            try:
                self._producer.produce(
                    topic,
                    key=record.key,
                    value=record.value,
                    headers=[*record.headers],
                    timestamp=record.timestamp_ms,
                    partition=-1 if record.partition is None else record.partition,
                    on_delivery=delivered,
                )
                self._waiting += 1
                return
            except BufferError:
                self._poll(0.1)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = f"fatal: {error.name()}"

    def _place_the_rest(self) -> None:
        """Looks for what is on the topics and not in the journal: records that were acknowledged without
        their offset, and records that were written twice. A broker that is killed can forget what an idempotent
        producer wrote last, and takes a retry for something new: to the worker, upstream sent it twice."""
        strangers = self._strangers()
        for sent in self.unplaced:
            found = next((record for record in strangers if _same(record, sent)), None)
            if found is None:
                raise SenderFailed(f"{sent.topic}-{sent.partition}: acknowledged, but not there")
            self._place(sent, found)
            strangers.remove(found)
        self.unplaced = []
        for record in strangers:
            twin = next((sent for sent in reversed(self.journal.sent) if _same(record, sent)), None)
            if twin is not None:  # else the checker finds a gap in the journal
                self._place(twin, record)
                self.doubled += 1
        self._settled = len(self.journal.sent)

    def _place(self, sent: Sent, record: Record) -> None:
        assert record.offset is not None
        self.journal.sent.append(replace(sent, offset=record.offset))

    def _strangers(self) -> list[Record]:
        """Read from the first gap of each topic on."""
        ends = self._kafka.end_offsets(self.topics.values())
        known = {sent.at for sent in self.journal.sent[self._settled :]}
        missing = {
            (topic, partition, offset)
            for (topic, partition), end in ends.items()
            for offset in range(self._ends.get((topic, partition), 0), end)
        } - known
        self._ends = ends
        found = []
        for topic in sorted({topic for topic, _, _ in missing}):
            places = [(partition, offset) for name, partition, offset in missing if name == topic]
            first = {p: end for (name, p), end in ends.items() if name == topic}
            for partition, offset in places:
                first[partition] = min(first[partition], offset)
            records, _ = self._kafka.read_committed_from(topic, first)
            found += [record for record in records if record.at in missing]
        return found


def _same(record: Record, sent: Sent) -> bool:
    """The time as well: a command that upstream sends twice may differ in nothing else, and without
    a ce_time of its own its event tells it."""
    return (
        record.topic,
        record.partition,
        record.key,
        record.value,
        record.headers,
        record.timestamp_ms,
    ) == (sent.topic, sent.partition, sent.key, sent.value, sent.headers, sent.timestamp_ms)
