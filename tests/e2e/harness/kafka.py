"""The broker seen by an ordinary client, with a librdkafka other than the worker's."""

import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from .wait import Timeout, wait_until
from .wire import Record

# What a broker that was away answers, or does not, until it leads its partitions again.
COMING_BACK = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._WAIT_COORD,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
}


class Kafka:
    def __init__(self, servers: str):
        self.servers = servers
        self.settings: dict[str, Any] = {
            "bootstrap.servers": servers,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
        self.admin = AdminClient(self.settings)
        self._producer: Producer | None = None
        self._partition_counts: dict[str, int] = {}

    def create_topics(self, partitions: dict[str, int]) -> None:
        config = {"compression.type": "uncompressed"}  # as `migrate up --topics` makes command topics
        wanted = [NewTopic(name, count, 1, config=config) for name, count in partitions.items()]
        for future in self.admin.create_topics(wanted, operation_timeout=30).values():
            future.result(30)
        self._partition_counts |= partitions
        # A broker that has just come back needs a moment before it leads what it was told to lead.
        self.end_offsets(partitions)

    def add_partitions(self, topics: Iterable[str], count: int) -> None:
        """Each topic has `count` afterwards."""
        wanted = [NewPartitions(topic, count) for topic in topics]
        for future in self.admin.create_partitions(wanted, operation_timeout=30).values():
            future.result(30)
        self._partition_counts |= {each.topic: count for each in wanted}
        self._producer = None  # it remembers the old counts for minutes

    def partitions(self, topic: str) -> int:
        if topic not in self._partition_counts:
            described = self.admin.list_topics(topic, timeout=30).topics[topic]
            assert described.error is None, described.error
            self._partition_counts[topic] = len(described.partitions)
        return self._partition_counts[topic]

    def topic_names(self) -> set[str]:
        return set(self.admin.list_topics(timeout=30).topics)

    def produce(self, records: Iterable[Record], deadline_s: float = 60) -> list[Record]:
        """Publishes in order and answers with the coordinates filled in. Survives a broker that is
        away for a while; idempotent, so that nothing is published twice on the way."""
        if self._producer is None:
            self._producer = Producer(
                self.settings
                | {
                    "enable.idempotence": True,
                    "delivery.timeout.ms": 120_000,
                    "message.max.bytes": 4_000_000,
                    "linger.ms": 5,
                }
            )
        producer = self._producer
        records = list(records)
        placed: list[Record | None] = [None] * len(records)
        failures: list[KafkaError] = []

        for index, record in enumerate(records):

            def delivered(
                error: KafkaError | None, message: Any, index: int = index, record: Record = record
            ) -> None:
                if error is not None:
                    failures.append(error)
                    return
                placed[index] = Record(
                    message.topic(),
                    record.key,
                    record.value,
                    record.headers,
                    record.timestamp_ms,
                    message.partition(),
                    message.offset(),
                )

            options: dict[str, Any] = {}
            if record.partition is not None:
                options["partition"] = record.partition
            while True:
                try:
                    producer.produce(
                        record.topic,
                        key=record.key,
                        value=record.value,
                        headers=[*record.headers],
                        timestamp=record.timestamp_ms,
                        on_delivery=delivered,
                        **options,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        left = producer.flush(deadline_s)
        assert left == 0 and not failures, f"{left} records undelivered, {failures[:3]}"
        return [record for record in placed if record is not None]

    def end_offsets(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """High watermarks: behind everything written, committed or not."""
        consumer = Consumer(
            self.settings | {"group.id": "e2e-watermarks", "isolation.level": "read_uncommitted"}
        )

        def ends() -> dict[tuple[str, int], int] | None:
            try:
                return {
                    (topic, partition): consumer.get_watermark_offsets(
                        TopicPartition(topic, partition), timeout=10
                    )[1]
                    for topic in topics
                    for partition in range(self.partitions(topic))
                }
            except KafkaException as error:
                if error.args[0].code() in COMING_BACK:
                    return None
                raise

        topics = list(topics)
        try:
            return wait_until(f"leaders of {topics} answer", ends)
        finally:
            consumer.close()

    def committed(self, group: str, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The group's committed offsets, 0 where there is none."""
        wanted = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in range(self.partitions(topic))
        ]
        # A consumer that never joins: it only asks the coordinator, for stable offsets.
        consumer = Consumer(self.settings | {"group.id": group, "isolation.level": "read_committed"})

        def answer() -> list[TopicPartition] | None:
            try:
                return consumer.committed(wanted, timeout=10)
            except KafkaException as error:
                if error.args[0].code() in COMING_BACK:
                    return None
                raise

        try:
            found = wait_until(f"offsets of group {group}", answer)
        finally:
            consumer.close()
        return {(each.topic, each.partition): max(each.offset, 0) for each in found}

    def reset_group(self, group: str, offsets: dict[tuple[str, int], int]) -> None:
        """What an operator does with kafka-consumer-groups --reset-offsets; the group must be empty."""
        request = ConsumerGroupTopicPartitions(
            group,
            [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()],
        )

        def altered() -> bool:
            try:
                answer = self.admin.alter_consumer_group_offsets([request])[group].result(30)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.NON_EMPTY_GROUP:
                    return False
                raise
            return all(each.error is None for each in answer.topic_partitions)

        wait_until(f"group {group} takes new offsets", altered)

    def limit_record_size(self, topic: str, max_bytes: int) -> None:
        self.configure(topic, {"max.message.bytes": str(max_bytes)})

    def configure(self, topic: str, settings: dict[str, str]) -> None:
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(30)

    def group_members(self, group: str) -> int:
        return len(self._members(group))

    def group_owners(self, group: str) -> int:
        """Members that hold partitions: those that are at work."""
        return sum(bool(member.assignment.topic_partitions) for member in self._members(group))

    def _members(self, group: str) -> list[Any]:
        described = self.admin.describe_consumer_groups([group], request_timeout=30)[group]
        try:
            members: list[Any] = described.result(30).members
        except KafkaException:
            return []
        return members

    def read_committed(self, topic: str, deadline_s: float = 60) -> list[Record]:
        """Everything on the topic, as a read_committed consumer sees it, partition by partition in
        order. Waits for what is written but still in an open transaction."""
        records, _ = self.read_committed_from(topic, {}, deadline_s)
        return sorted(records, key=lambda record: record.at)

    def read_uncommitted(self, topic: str) -> list[Record]:
        """The same with what was aborted, or may be."""
        records, _ = self._read_from(topic, {}, 60, "read_uncommitted")
        return sorted(records, key=lambda record: record.at)

    def read_committed_from(
        self, topic: str, positions: dict[int, int], deadline_s: float = 60
    ) -> tuple[list[Record], dict[int, int]]:
        """The same from these offsets on (0 where there is none), and where to go on from. Records
        of one partition are in order. `deadline_s` without progress is a failure."""
        return self._read_from(topic, positions, deadline_s, "read_committed")

    def _read_from(
        self, topic: str, positions: dict[int, int], deadline_s: float, isolation: str
    ) -> tuple[list[Record], dict[int, int]]:
        ends = {p: end for (_, p), end in self.end_offsets([topic]).items()}
        consumer = Consumer(
            self.settings
            | {
                "group.id": "e2e-reader",
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 50,
            }
        )
        reached = {partition: positions.get(partition, 0) for partition in ends}
        consumer.assign([TopicPartition(topic, each, offset) for each, offset in reached.items()])
        records: list[Record] = []
        deadline = time.monotonic() + deadline_s
        try:
            while any(reached[partition] < end for partition, end in ends.items()):
                if time.monotonic() > deadline:
                    raise Timeout(f"{topic}: read up to {reached} of {ends} in {deadline_s} s")
                for message in consumer.consume(1000, 0.2):
                    error = message.error()
                    if error is None:
                        records.append(_record(message))
                        deadline = time.monotonic() + deadline_s
                    elif error.code() == KafkaError._PARTITION_EOF:
                        # Behind the control records, which have offsets of their own.
                        reached[message.partition() or 0] = message.offset() or 0
                    elif error.code() not in COMING_BACK:
                        raise KafkaException(error)
        finally:
            consumer.close()
        return records, reached


def _record(message: Any) -> Record:
    kind, timestamp_ms = message.timestamp()
    return Record(
        message.topic(),
        message.key(),
        message.value(),
        list(message.headers() or []),
        -1 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        message.partition(),
        message.offset(),
    )
