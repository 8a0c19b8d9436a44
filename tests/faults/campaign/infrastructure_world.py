"""What the self-test of the means stands on: all servers, and ordinary clients of them."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from .cluster import Cluster
from .network import Network
from .postgres import PostgresPair
from .processes import wait_until

TOPIC = "selftest"
TRANSACTIONAL_ID = "selftest-lane"
GROUP = "selftest-group"
CLIENT = "selftest"


class World:
    def __init__(self, directory: Path):
        self.directory = directory
        self.network = Network(directory)
        self.cluster = Cluster(directory, network=self.network)
        self.pair = PostgresPair(directory, network=self.network)
        self.committed: list[str] = []
        self.rows = 0

    # --- Kafka, through the proxies ------------------------------------------------------------

    def producer(self) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": self.cluster.servers,
                "transactional.id": TRANSACTIONAL_ID,
                "transaction.timeout.ms": 60_000,
                "reconnect.backoff.max.ms": 500,
                "socket.timeout.ms": 10_000,
                "log_level": 0,
            }
        )
        insist(lambda: producer.init_transactions(30))
        return producer

    def commit(self, producer: Producer, value: str) -> None:
        """One record a partition in a transaction."""
        producer.begin_transaction()
        for partition in range(3):
            producer.produce(TOPIC, value=f"{value}/{partition}", partition=partition)
            self.committed.append(f"{value}/{partition}")
        insist(lambda: producer.commit_transaction(30))

    def produce_and_check(self, value: str) -> None:
        self.commit(self.producer(), value)
        self.check_topic()

    def check_topic(self) -> None:
        """A read_committed consumer past the proxies sees what was committed, each once. A commit
        is answered before its markers are written, so that the end may come a little later."""
        seen: list[str] = []

        def complete() -> bool:
            seen[:] = self._read_topic()
            return len(seen) >= len(self.committed)

        wait_until("all of the transactions", complete, 30, 0.5)
        assert sorted(seen) == sorted(self.committed), f"{len(seen)} of {len(self.committed)} records"

    def _read_topic(self) -> list[str]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.cluster.direct,
                "group.id": "selftest-check",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(3)])
        seen: list[str] = []
        ended: set[int] = set()
        deadline = time.monotonic() + 60
        try:
            while len(ended) < 3:
                assert time.monotonic() < deadline, f"ends of {TOPIC} not reached: {ended}"
                message = consumer.poll(1)
                if message is None:
                    continue
                error = message.error()
                if error is None:
                    seen.append((message.value() or b"").decode())
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition() or 0)
        finally:
            consumer.close()
        return seen

    # --- PostgreSQL, through the proxies -------------------------------------------------------

    def database(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.pair.url, autocommit=True, application_name=CLIENT, connect_timeout=5)

    def insert(self) -> None:
        self.rows += 1
        with self.database() as db:
            db.execute("INSERT INTO rows (id, note) VALUES (%s, 'x')", [str(self.rows)])

    def count_rows(self) -> int:
        return int(self.pair.primary.ask("SELECT count(*) FROM rows", dbname="catalyst"))

    def check_rows(self) -> None:
        with psycopg.connect(self.pair.direct_url) as db:
            row = db.execute("SELECT count(*) FROM rows").fetchone()
        assert row is not None and row[0] == self.rows, f"{row} rows of {self.rows}"


def insist(act: Callable[[], object], deadline_s: float = 120) -> None:
    """As an application does it: what Kafka calls retriable is called again."""
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            act()
            return
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise


@contextlib.contextmanager
def refused(*sqlstates: str | None) -> Iterator[None]:
    """The block must fail with one of these."""
    try:
        yield
    except psycopg.Error as error:
        assert error.sqlstate in sqlstates, f"SQLSTATE {error.sqlstate}, not one of {sqlstates}"
    else:
        raise AssertionError(f"nothing failed; wanted: {sqlstates}")


@contextlib.contextmanager
def lost() -> Iterator[None]:
    """The block must lose its connection, or not get one."""
    try:
        yield
    except psycopg.OperationalError as error:
        assert error.sqlstate is None, f"the server answered: {error.sqlstate}"
    else:
        raise AssertionError("the connection did not fail")


def took(act: Callable[[], object]) -> float:
    since = time.monotonic()
    act()
    return time.monotonic() - since


def in_thread(act: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    return thread, failures
