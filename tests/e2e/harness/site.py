"""One installation of the worker: a schema, topics, a consumer group, and replicas on them."""

import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from confluent_kafka import Consumer, KafkaError, TopicPartition
from psycopg import sql
from psycopg.rows import dict_row

from . import program
from .kafka import Kafka
from .model import TABLES, Event, Model, check_event
from .program import HANG_S, Worker
from .stack import REPOSITORY, Stack
from .wait import wait_until
from .wire import IDENTITY, KEYS, Command, Record

Publishable = Command | Record

RUNTIME = "catalyst_runtime"


class Site:
    def __init__(self, name: str, stack: Stack, kafka: Kafka, logs: Path, partitions: int = 3):
        self.name = name
        self.stack = stack
        self.kafka = kafka
        self.logs = logs
        self.partitions = partitions
        self.schema = name.replace("-", "_")
        self.group = name
        self.audit = f"{name}.audit"
        self.topics = {IDENTITY: f"{name}.identity", KEYS: f"{name}.keys"}
        self.dlq_suffix = ".dlq"
        self.workers: list[Worker] = []
        self.extra: dict[str, str] = {}
        self.arguments: list[str] = []  # of run

    # --- setting up ----------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        return {
            "CATALYST_DATABASE_URL": self.stack.database_url,
            "CATALYST_DATABASE_SCHEMA": self.schema,
            "CATALYST_KAFKA_BOOTSTRAP_SERVERS": self.stack.servers,
            "CATALYST_COMMAND_TOPICS": ",".join(self.topics.values()),
            "CATALYST_AUDIT_TOPIC": self.audit,
            "CATALYST_DLQ_SUFFIX": self.dlq_suffix,
            "CATALYST_GROUP_ID": self.group,
            "CATALYST_LANES": "1",
            "CATALYST_HTTP_LISTEN": "",
            # A killed member is missed soon, and what it left open is aborted soon.
            "CATALYST_KAFKA_SESSION_TIMEOUT_MS": "6000",
            "CATALYST_KAFKA_HEARTBEAT_INTERVAL_MS": "500",
            "CATALYST_KAFKA_TRANSACTION_TIMEOUT_MS": "5000",
        } | self.extra

    def create(self) -> "Site":
        """Topics with the partitions wanted, by the client; schema and tables by the program."""
        dead = [topic + self.dlq_suffix for topic in self.topics.values()]
        names = [*self.topics.values(), *dead, self.audit]
        self.kafka.create_topics(dict.fromkeys(names, self.partitions))
        self.migrate()
        return self

    def migrate(self) -> None:
        program.run_ok("migrate", "up", env=self.env)

    def admin_url(self) -> str:
        """Of the stack's superuser, in the database of the worker."""
        path = urlsplit(self.stack.database_url).path
        return urlsplit(self.stack.admin_url)._replace(path=path).geturl()

    def grant(self) -> None:
        """What deploy/grants.sql gives to the owner, who migrates, and to RUNTIME."""
        owner = urlsplit(self.stack.database_url).username
        variables = {"schema": self.schema, "owner": owner, "runtime": RUNTIME}
        options = [f"-v{name}={value}" for name, value in variables.items()]
        script = REPOSITORY / "deploy" / "grants.sql"
        command = ["psql", "-qX", *options, "-f", str(script), self.admin_url()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    def as_runtime(self) -> "Site":
        """From here on the program comes as the role that may no more than it needs."""
        self.grant()
        url = urlsplit(self.stack.database_url)
        self.extra["CATALYST_DATABASE_URL"] = url._replace(
            netloc=f"{RUNTIME}@{url.hostname}:{url.port}"
        ).geturl()
        return self

    def sibling(self, suffix: str, **changes: Any) -> "Site":
        """A second installation on the same command topics."""
        other = Site(f"{self.name}-{suffix}", self.stack, self.kafka, self.logs, self.partitions)
        other.topics = self.topics
        other.dlq_suffix = f".{suffix}.dlq"
        for name, value in changes.items():
            setattr(other, name, value)
        names = [other.audit, *(topic + other.dlq_suffix for topic in other.topics.values())]
        self.kafka.create_topics(dict.fromkeys(names, other.partitions))
        other.migrate()
        return other

    def start(self, instance: str = "a", ready: bool = True, http: bool = True, **env: str) -> Worker:
        log = self.logs / f"{self.name}-{instance}.log"
        worker = Worker(self.env | env, f"{self.name}-{instance}", log, http, self.arguments)
        self.workers.append(worker)
        return worker.wait_ready() if ready and http else worker

    def revive(self) -> None:
        for worker in self.workers:
            if worker.ended_hanging():
                worker.revive()

    def close(self) -> None:
        """Every replica that a test left running must still be well and stop well."""
        running = [worker for worker in self.workers if worker.alive()]
        self.workers = []
        for worker in running:
            worker.terminate()
        codes = {worker.instance: worker.wait() for worker in running}
        assert all(worker.ended_well() for worker in running), f"exit codes after SIGTERM: {codes}"

    def abandon(self) -> None:
        for worker in self.workers:
            if worker.alive():
                worker.kill()
        self.workers = []

    # --- commands in ---------------------------------------------------------------------------

    def place(self, item: Publishable) -> Record:
        record = item.record() if isinstance(item, Command) else item
        topic = self.topics.get(record.topic, record.topic)
        return Record(topic, record.key, record.value, record.headers, record.timestamp_ms, record.partition)

    def publish(self, items: Iterable[Publishable]) -> list[Record]:
        return self.kafka.produce([self.place(item) for item in items])

    def publish_held(self, items: Iterable[Publishable]) -> list[Record]:
        """While the replicas are suspended: they keep up with the publisher otherwise, and there is no
        middle of the load to do something in."""
        for worker in self.workers:
            worker.process.send_signal(signal.SIGSTOP)
        placed = self.publish(items)
        for worker in self.workers:
            worker.process.send_signal(signal.SIGCONT)
        return placed

    def committed(self) -> dict[tuple[str, int], int]:
        return self.kafka.committed(self.group, self.topics.values())

    def backlog(self) -> int:
        ends = self.kafka.end_offsets(self.topics.values())
        committed = self.committed()
        return sum(end - committed[partition] for partition, end in ends.items())

    def wait_done(self, deadline_s: float = 60) -> None:
        """Until the group's offsets are behind every record that is published now. The end of a
        transaction, as a redrive leaves it, takes an offset too, which no group commits past before
        another record follows: where the group stands still, what is left is looked at."""
        ends = self.kafka.end_offsets(self.topics.values())
        before: dict[tuple[str, int], int] = {}

        def done() -> bool:
            nonlocal before
            self.revive()
            for worker in self.workers:
                code = worker.process.poll()
                assert code in (None, 0, -9), f"{worker.instance}: exit {code}\n{worker.log[-4000:]}"
            committed = self.committed()
            still = committed == before
            before = committed
            behind = {at: end for at, end in ends.items() if committed[at] < end}
            return not behind or (still and not self._has_records({at: committed[at] for at in behind}))

        wait_until(f"group {self.group} at the end of its topics", done, deadline_s + HANG_S, 0.1)

    def _has_records(self, offsets: dict[tuple[str, int], int]) -> bool:
        """Whether a committed record lies at or behind any of the offsets, or may yet: an open
        transaction has neither records nor an end."""
        ends = self.kafka.end_offsets({topic for topic, _ in offsets})
        consumer = Consumer(
            self.kafka.settings
            | {
                "group.id": "e2e-marks",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 50,
            }
        )
        consumer.assign([TopicPartition(*at, offset) for at, offset in offsets.items()])
        unread = set(offsets)
        end = time.monotonic() + 5
        try:
            while unread and time.monotonic() < end:
                message = consumer.poll(0.2)
                if message is None:
                    continue
                error = message.error()
                if error is None or error.code() != KafkaError._PARTITION_EOF:
                    return True  # or a broker that is away: to be asked again
                at = (message.topic() or "", message.partition() or 0)
                if (message.offset() or 0) >= ends[at]:
                    unread.discard(at)
        finally:
            consumer.close()
        return bool(unread)

    def process(self, items: Iterable[Publishable], deadline_s: float = 60) -> list[Record]:
        """Publishes and waits until all of it is behind the group."""
        placed = self.publish(items)
        self.wait_done(deadline_s)
        return placed

    # --- results out ---------------------------------------------------------------------------

    def audit_records(self) -> list[Record]:
        return self.kafka.read_committed(self.audit)

    def audit_by_id(self) -> dict[str, Record]:
        records = self.audit_records()
        by_id = {record.text("ce_id") or "": record for record in records}
        assert len(by_id) == len(records), "an audit event is on the topic twice"
        return by_id

    def dead_letters(self, topic: str = IDENTITY) -> list[Record]:
        return self.kafka.read_committed(self.topics[topic] + self.dlq_suffix)

    def sql(self, query: str, *parameters: Any, url: str | None = None) -> list[dict[str, Any]]:
        with psycopg.connect(url or self.stack.database_url, row_factory=dict_row, autocommit=True) as db:
            db.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self.schema)))
            db.execute("SET timezone TO 'UTC'")
            cursor = db.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def recorded(self) -> int:
        return int(self.sql("SELECT count(*) AS n FROM auth_audit_events")[0]["n"])

    def table(self, name: str) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.sql(f"SELECT * FROM {name}")}

    # --- comparing with the model --------------------------------------------------------------

    def check_rows(self, model: Model) -> None:
        """The seven tables hold what the model says, no more and no less."""
        for table in TABLES:
            found = self.table(table)
            expected = model.rows[table]
            assert found.keys() == expected.keys(), f"{table}: ids"
            for row_id, row in expected.items():
                seen = {name: found[row_id][name] for name in row}
                assert seen == row, f"{table} {row_id}"
        self.check_audit_rows(model.events)

    def check_audit_rows(self, events: Sequence[Event]) -> None:
        found = {str(row["id"]): row for row in self.sql("SELECT * FROM auth_audit_events")}
        expected = {event.id: event for event in events}
        assert found.keys() == expected.keys(), "auth_audit_events: ids"
        for event_id, event in expected.items():
            row = found[event_id]
            assert row["category"] == event.body["category"]
            assert row["action"] == event.body["action"]
            for name in ("actor", "subject", "resource", "metadata"):
                assert row[name] == event.body.get(name), f"{name} of {event.command}"
            assert row["correlation_id"] == event.body.get("correlationId")

    def check_events(self, model: Model, records: list[Record] | None = None) -> None:
        """A read_committed consumer sees the model's events, each once, each to the byte, and those
        of one entity in the model's order."""
        records = self.audit_records() if records is None else records
        ids = [record.text("ce_id") for record in records]
        expected = {event.id: event for event in model.events}
        assert len(set(ids)) == len(ids), "an audit event is on the topic twice"
        missing = expected.keys() - set(ids)
        assert not missing, f"{len(missing)} missing, as {expected[min(missing)].command}"
        surplus = set(ids) - expected.keys()
        assert not surplus, f"{len(surplus)} not expected, as {surplus.pop()}"
        for record in records:
            check_event(record, expected[record.text("ce_id") or ""])
        assert order_by_entity(records) == expected_order(model.events)

    def check(self, model: Model) -> None:
        self.check_events(model)
        self.check_rows(model)


def order_by_entity(records: Iterable[Record]) -> dict[bytes, list[str]]:
    order: dict[bytes, list[str]] = {}
    partitions: dict[bytes, int] = {}
    for record in records:
        assert record.key is not None and record.partition is not None
        order.setdefault(record.key, []).append(record.text("ce_id") or "")
        assert partitions.setdefault(record.key, record.partition) == record.partition
    return order


def expected_order(events: Iterable[Event]) -> dict[bytes, list[str]]:
    order: dict[bytes, list[str]] = {}
    for event in events:
        order.setdefault(event.key.encode(), []).append(event.id)
    return order
