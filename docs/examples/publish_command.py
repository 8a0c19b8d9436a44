"""Publishes one command: an API key is issued. Needs: pip install confluent-kafka msgpack

BOOTSTRAP_SERVERS=localhost:9092 TOPIC=catalyst.key.commands python publish_command.py
"""

import hashlib
import os
import secrets
import uuid
from datetime import UTC, datetime

import msgpack
from confluent_kafka import KafkaError, KafkaException, Message, Producer

secret = secrets.token_urlsafe(32)  # shown to the user once; only its hash travels
key_id = f"key_{uuid.uuid4()}"
data = {
    "id": key_id,
    "hash": hashlib.sha256(secret.encode()).hexdigest(),
    "owner": {"kind": "user", "id": "user_42"},
    "name": "CI pipeline",
    "scopes": ["orders:read", "orders:write"],
}
headers: dict[str, str | bytes | None] = {
    "ce_specversion": "1.0",
    # Yours to choose, and what makes the command take effect once: the same id and source again,
    # after a timeout say, change nothing. Best a UUIDv7 or a ULID; remember it with your own data.
    "ce_id": str(uuid.uuid4()),
    "ce_source": "billing-service",
    "ce_type": "dev.catalyst.key.issue.v1",
    "ce_time": datetime.now(UTC).isoformat(),
    "content-type": "application/vnd.msgpack",
}

producer = Producer(
    {
        "bootstrap.servers": os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092"),
        "enable.idempotence": True,
    }
)


def delivered(error: KafkaError | None, message: Message) -> None:
    if error is not None:
        raise KafkaException(error)
    print(f"{key_id} asked for at {message.topic()}[{message.partition()}]@{message.offset()}")


producer.produce(
    os.environ.get("TOPIC", "catalyst.key.commands"),
    key=key_id,  # commands of one entity share a partition: they take effect in order
    value=msgpack.packb(data),
    headers=headers,
    on_delivery=delivered,
)
if producer.flush(30) > 0:
    raise SystemExit("not delivered within 30 s; the same ce_id may be sent again")
