"""Publishes commands and reads audit events by CloudEvents' Python SDK. See ../README.md."""

import base64
import json
import sys
from typing import Any
from uuid import uuid4

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, Producer


def publish(brokers: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": brokers})
    for line in sys.stdin:
        given = json.loads(line)
        attributes = {name: given[name] for name in ("id", "source", "type", "traceparent")}
        attributes["partitionkey"] = given["key"]
        if given["mode"] == "typed":
            attributes["datacontenttype"] = "application/json"
        encode = to_structured if given["mode"] == "structured" else to_binary
        message = encode(CloudEvent(attributes, given["data"]), JSONFormat())
        producer.produce(topic, message.value, message.key, headers=message.headers)
    left = producer.flush(30)
    assert left == 0, f"{left} not published"


def told(event: Any, value: bytes) -> dict[str, Any]:
    return {
        "id": event.get_id(),
        "source": event.get_source(),
        "type": event.get_type(),
        "subject": event.get_subject(),
        "time": event.get_time().isoformat(),
        "causationid": event.get_extension("causationid"),
        "datacontenttype": event.get_datacontenttype(),
        "data": base64.b64encode(value).decode(),
    }


def read(brokers: str, topic: str, count: int) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"sdk-python-{uuid4()}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    while count > 0:
        record = consumer.poll(1)
        if record is None:
            continue
        assert record.error() is None, record.error()
        received: Any = record.headers() or []
        headers = {name: value for name, value in received if value is not None}
        event = from_kafka(KafkaMessage(headers, record.key(), record.value()), JSONFormat())
        data = event.get_data()
        print(json.dumps(told(event, data if isinstance(data, bytes) else str(data).encode())))
        count -= 1
    consumer.close()


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        publish(sys.argv[2], sys.argv[3])
    else:
        read(sys.argv[2], sys.argv[3], int(sys.argv[4]))
