"""The servers under the benchmark, seen from outside: SQL, topics, offsets, CPU time, memory."""

import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from procfs import own_cpu, tree_cpu

REPOSITORY = Path(__file__).resolve().parents[2]
STACK = REPOSITORY / "deploy" / "local" / "stack.sh"
# A fresh broker makes its coordinators when the first group asks for one.
COORDINATOR_MOVES = {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS}

# The counterpart of the constants in mix.h: what is in the tables before a run.
KEYS, REVOCABLE, USERS = 100_000, 20_000, 50_000
# How far back loaded audit rows go, and the partitions of the audit log.
PAST = timedelta(days=180)


class Servers:
    """A stack of the benchmark's own, made anew and destroyed at the end."""

    # The stack's broker lets the first lane begin alone and interrupts it when the second one is
    # there. Brokers wait three seconds unless told otherwise, so that members who start together
    # begin together; a second is enough here.
    SETTINGS = (
        ("--pg", "shared_buffers=1GB"),
        ("--pg", "max_wal_size=4GB"),
        ("--kafka", "group.initial.rebalance.delay.ms=1000"),
    )
    # As Kafka's documentation recommends for production. A small heap is collected every other
    # second, and everybody waits for it: 70 ms at each p99. The caller's own environment wins.
    JVM: ClassVar = {
        "KAFKA_HEAP_OPTS": "-Xms6g -Xmx6g",
        "KAFKA_JVM_PERFORMANCE_OPTS": "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20"
        " -XX:InitiatingHeapOccupancyPercent=35 -XX:G1HeapRegionSize=16M"
        " -XX:+ExplicitGCInvokesConcurrent",
    }

    def __init__(self, directory: Path, settings: Sequence[str] = ()):
        """`settings` of PostgreSQL, NAME=VALUE, win over those above."""
        self.directory = directory
        self.run("destroy")
        chosen = [*self.SETTINGS, *(("--pg", setting) for setting in settings)]
        self.run("start", *(word for setting in chosen for word in setting))
        values = {}
        for line in self.run("env").splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            values[name] = shlex.split(value)[0]
        self.brokers = values["CATALYST_KAFKA_BOOTSTRAP_SERVERS"]
        self.database_url = values["CATALYST_DATABASE_URL"]
        self.kafka_pid = int(values["STACK_KAFKA_PID"])
        self.postgres_pid = int(values["STACK_POSTGRES_PID"])
        self.admin_url = values["STACK_ADMIN_DATABASE_URL"].rpartition("/")[0] + "/catalyst"
        self.sql = self.connect()
        self.admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 2})

    def run(self, verb: str, *options: str) -> str:
        command = [str(STACK), verb, "--dir", str(self.directory), *options]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=180, check=False, env=os.environ | self.jvm()
        )
        if done.returncode != 0:
            raise RuntimeError(f"{shlex.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def jvm(self) -> dict[str, str]:
        return {name: os.environ.get(name, value) for name, value in self.JVM.items()}

    def connect(self) -> psycopg.Connection:
        """As the superuser, a statement a transaction."""
        return psycopg.connect(self.admin_url, autocommit=True)

    def close(self) -> None:
        self.sql.close()
        self.run("destroy")

    def postgres_cpu(self) -> float:
        return tree_cpu(self.postgres_pid)

    def kafka_cpu(self) -> float:
        return own_cpu(self.kafka_pid)

    def wal_position(self) -> int:
        return int(self.one("SELECT pg_current_wal_lsn() - '0/0'"))

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        found = self.sql.execute(sql, values or None).fetchone()
        if found is None:
            raise RuntimeError(f"no row: {sql}")
        return found

    def one(self, sql: str) -> Any:
        return self.row(sql)[0]

    def audit_rows(self, schema: str, since: datetime) -> int:
        """Those of commands given since then, which the index on the time finds quickly."""
        sql = f"SELECT count(*) FROM {schema}.auth_audit_events WHERE occurred_at >= %s"
        count: int = self.row(sql, [since])[0]
        return count

    def create_topics(self, names: list[str], partitions: int) -> None:
        topics = [NewTopic(name, partitions, 1) for name in names]
        for future in self.admin.create_topics(topics).values():
            future.result()

    def delete_topics(self, names: list[str]) -> None:
        for future in self.admin.delete_topics(names).values():
            future.result()


class Offsets:
    """How far a group has committed in a topic."""

    def __init__(self, servers: Servers, group: str, topic: str):
        self.servers = servers
        self.reader = Consumer(
            {
                "bootstrap.servers": servers.brokers,
                "group.id": group,
                "enable.auto.commit": False,
                # What is committed, whatever else is under way. Stable offsets, librdkafka's default,
                # are those of a moment without a transaction: under load a look takes seconds.
                "isolation.level": "read_uncommitted",
                "log_level": 2,
            }
        )
        partitions = self.reader.list_topics(topic, timeout=10).topics[topic].partitions
        self.partitions = [TopicPartition(topic, number) for number in partitions]
        self.last = 0

    def total(self) -> int:
        return sum(
            self.reader.get_watermark_offsets(partition, timeout=10)[1] for partition in self.partitions
        )

    def await_coordinator(self) -> None:
        """A look while the coordinator is not there takes seconds."""
        for _ in until(60, 0.1):
            if self.look():
                break

    def committed(self) -> int:
        self.look()
        return self.last

    def look(self) -> bool:
        """Whether the coordinator answered."""
        try:
            answer = self.reader.committed(self.partitions, timeout=10)
        except KafkaException as error:
            if error.args[0].code() not in COORDINATOR_MOVES:
                raise
            return False
        self.last = sum(max(partition.offset, 0) for partition in answer)
        return True

    def close(self) -> None:
        self.reader.close()


class Site:
    """Topics and a group of their own for one cell of the benchmark, and empty tables, unless it
    works on those of `schema`. `interval`: the audit log is in partitions of that length."""

    serial = 0

    def __init__(
        self,
        servers: Servers,
        worker: Path,
        mix: str,
        schema: str | None = None,
        interval: str | None = None,
        partitions: int = 4,
    ):
        Site.serial += 1
        self.servers = servers
        self.name = f"cell{Site.serial}"
        self.schema = schema or self.name
        self.partitions = partitions
        self.topic, self.audit = f"{self.name}.commands", f"{self.name}.audit"
        self.topics = [self.topic, f"{self.topic}.dlq", self.audit]
        servers.create_topics(self.topics, partitions)
        if schema is None:
            self.verb(worker, "migrate", "up")
            if interval is not None:
                first = (datetime.now(UTC) - PAST).strftime("%Y-%m-%dT%H:%M:%SZ")
                self.verb(worker, "retention", "partition", "--from", first, interval=interval)
            if mix != "a":
                self.populate()
        servers.sql.execute("CHECKPOINT")

    def verb(self, worker: Path, *words: str, interval: str = "month") -> None:
        done = subprocess.run(
            [worker, *words],
            env=self.environment() | {"CATALYST_AUDIT_PARTITION_INTERVAL": interval},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "CATALYST_DATABASE_URL": self.servers.database_url,
            "CATALYST_DATABASE_SCHEMA": self.schema,
            "CATALYST_KAFKA_BOOTSTRAP_SERVERS": self.servers.brokers,
            "CATALYST_COMMAND_TOPICS": self.topic,
            "CATALYST_AUDIT_TOPIC": self.audit,
            "CATALYST_GROUP_ID": self.name,
            "CATALYST_INSTANCE_ID": "bench",
            "CATALYST_HTTP_LISTEN": "",
        }

    def populate(self) -> None:
        schema, run = self.schema, self.servers.sql.execute
        run(
            f"""INSERT INTO {schema}.auth_keys (id, hash, owner_kind, owner_id, name, created_at,
                    updated_at, status, scopes, labels)
                SELECT 'key-' || lpad(i::text, 7, '0'), md5(i::text) || md5((-i)::text), 'user',
                    'user-' || lpad((i % {USERS})::text, 7, '0'), 'deployment pipeline', now(),
                    now(), 'active', ARRAY['deployments:read', 'deployments:write'],
                    '{{"environment":"production"}}'
                FROM generate_series(0, {KEYS + REVOCABLE - 1}) AS i"""
        )
        run(
            f"""INSERT INTO {schema}.auth_users (id, authentik_id, email, labels)
                SELECT 'user-' || lpad(i::text, 7, '0'), md5(i::text), i || '@example.org', '{{}}'
                FROM generate_series(0, {USERS - 1}) AS i"""
        )
        run(f"VACUUM ANALYZE {schema}.auth_keys, {schema}.auth_users")

    def remove(self) -> None:
        self.servers.delete_topics(self.topics)
        if self.schema == self.name:
            self.servers.sql.execute(f"DROP SCHEMA {self.schema} CASCADE")


def until(deadline_s: float, pause_s: float = 0.05) -> Iterator[None]:
    """Goes round until the caller leaves; raises at the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        yield
        time.sleep(pause_s)
    raise TimeoutError(f"not done within {deadline_s:.0f} s")
