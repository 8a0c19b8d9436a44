"""Proves that a local stack does what the worker's guarantees rest on.

Against the stack named by the environment (`stack.sh env`): a transaction that commits is seen by a
read_committed consumer, one that aborts is not, a newer producer with the same transactional id
fences the older one, and the database lets role catalyst create and drop. Exit 0 and one line when all of it holds.
"""

import logging
import os
import uuid
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg import sql

SERVERS: dict[str, Any] = {"bootstrap.servers": os.environ["CATALYST_KAFKA_BOOTSTRAP_SERVERS"]}
NAME = f"check-stack-{uuid.uuid4().hex}"


# librdkafka reports the fencing that is provoked here; the exception is what counts.
SILENT = logging.getLogger("librdkafka")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False


def transaction(producer: Producer, value: str, commit: bool) -> None:
    producer.begin_transaction()
    producer.produce(NAME, value=value)
    producer.flush(10)
    if commit:
        producer.commit_transaction(10)
    else:
        producer.abort_transaction(10)


def consume_committed() -> list[str]:
    consumer = Consumer(
        SERVERS
        | {
            "group.id": NAME,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([NAME])
    values = []
    for _ in range(200):
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            break
        values.append((message.value() or b"").decode())
    consumer.close()
    return values


def producer() -> Producer:
    made = Producer(SERVERS | {"transactional.id": NAME, "logger": SILENT})
    made.init_transactions(30)
    return made


def check_kafka() -> None:
    admin = AdminClient(SERVERS)
    admin.create_topics([NewTopic(NAME, 1, 1)])[NAME].result(30)
    try:
        older = producer()
        transaction(older, "first", commit=True)
        transaction(older, "aborted", commit=False)
        newer = producer()
        try:
            transaction(older, "zombie", commit=True)
            raise SystemExit("the older producer was not fenced")
        except KafkaException as error:
            if not error.args[0].fatal():
                raise
        transaction(newer, "second", commit=True)
        seen = consume_committed()
        if seen != ["first", "second"]:
            raise SystemExit(f"a read_committed consumer saw {seen}")
    finally:
        admin.delete_topics([NAME])[NAME].result(30)


def check_postgres() -> None:
    with psycopg.connect(os.environ["CATALYST_DATABASE_URL"]) as connection:
        table = sql.Identifier(NAME)
        connection.execute(sql.SQL("CREATE TABLE {} (id text PRIMARY KEY)").format(table))
        connection.execute(sql.SQL("DROP TABLE {}").format(table))


check_kafka()
check_postgres()
print("stack: transactions, read_committed, fencing and the database work")
