"""Dead letters: what one says of its origin, and how it differs from what the contract asks for."""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

from harness.malformed import MARK, Case
from harness.wire import Record

from .journal import Place, Sent
from .mix import CASES_BY_NAME, MALFORMED

CONNECT = "__connect.errors."
SPRING = "kafka_dlt-"
OWN = "catalyst-dlq-"
FAMILIES = (CONNECT, SPRING, OWN)
REDACTED = "catalyst-dlq-redacted"
NOWHERE: Place = ("", -1, -1)

# Not a map of well-formed values, wherever in it the mistake is; U+0000 is another of them.
NOT_WELL_FORMED = {
    "a tombstone",
    "an empty value",
    "metadata: depth 65",
    "metadata: not UTF-8",
    "metadata: a surrogate",
    "metadata: an overlong form",
    "metadata: a key that is a number",
    "metadata: a key twice",
    "structured: a list",
    "structured: not JSON",
    "structured: no data",
    "structured: data is a text",
    "structured: data_base64 of garbage",
}

# Well-formed JSON, with a value that its field does not take.
WELL_FORMED = {"JSON: a number out of range"}


@dataclass(frozen=True)
class Letter:
    record: Record

    def text(self, name: str) -> str:
        return (self.header(name) or b"").decode(errors="replace")

    def header(self, name: str) -> bytes | None:
        return next((value for header, value in self.record.headers if header == name), None)

    @property
    def origin(self) -> Place:
        try:
            partition, offset = (int(self.text(CONNECT + each)) for each in ("partition", "offset"))
        except ValueError:
            return NOWHERE
        return (self.text(CONNECT + "topic"), partition, offset)

    @property
    def group(self) -> str:
        return self.text(CONNECT + "connector.name")

    @property
    def as_received(self) -> list[tuple[str, bytes | None]]:
        return [each for each in self.record.headers if not each[0].startswith(FAMILIES)]


def case_of(sent: Sent) -> Case:
    return CASES_BY_NAME[sent.kind.removeprefix(MALFORMED)]


def class_of(case: Case) -> str:
    """Which part of the contract the case breaks."""
    name = case.name
    if case.redacted:
        return "secret"
    if name.startswith("ce_type '"):
        return "type"
    if case.says.startswith(("ce_", "content-type", "specversion")):
        return "envelope"
    if name in WELL_FORMED:
        return "field"
    if name in NOT_WELL_FORMED or name.startswith(("body: ", "JSON: ")) or "NUL" in name or "\\x00" in name:
        return "body"
    return "envelope" if name.startswith("structured: ") else "field"


def error_headers(sent: Sent, group: str, message: bytes, task: bytes) -> dict[str, bytes]:
    """What a letter has to carry beside what was received; but for what flags its value. `task` is
    any lane's number."""
    exception = b"dev.catalyst.worker." + class_of(case_of(sent)).encode()
    texts = {
        "topic": sent.topic,
        "partition": str(sent.partition),
        "offset": str(sent.offset),
        "connector.name": group,
        "stage": "VALUE_CONVERTER",
        "class.name": class_of(case_of(sent)),
    }
    return {CONNECT + name: text.encode() for name, text in texts.items()} | {
        CONNECT + "task.id": task if task.isdigit() else b"0",
        CONNECT + "exception.class.name": exception,
        CONNECT + "exception.message": message,
        SPRING + "original-topic": sent.topic.encode(),
        SPRING + "original-partition": struct.pack(">i", sent.partition),
        SPRING + "original-offset": struct.pack(">q", sent.offset),
        SPRING + "original-timestamp": struct.pack(">q", sent.timestamp_ms),
        SPRING + "original-timestamp-type": b"CreateTime",
        SPRING + "original-consumer-group": group.encode(),
        SPRING + "exception-fqcn": exception,
        SPRING + "exception-message": message,
    }


def differences(letter: Letter, sent: Sent, group: str) -> Iterator[str]:
    record = letter.record
    case = case_of(sent)
    if not record.topic.startswith(sent.topic + "."):
        yield "topic"
    if record.key != sent.key:
        yield "key"
    if record.timestamp_ms != sent.timestamp_ms:
        yield "timestamp"
    if letter.as_received != sent.headers:
        yield "headers as received"
    yield from _error_differences(letter, sent, case, group)
    if case.redacted:
        yield from _redaction_differences(record, sent, case)
    elif record.value != sent.value:
        yield "value"


def _error_differences(letter: Letter, sent: Sent, case: Case, group: str) -> Iterator[str]:
    message = letter.header(CONNECT + "exception.message") or b""
    if not message or case.says.encode() not in message:
        yield "exception.message, which does not name the field,"
    if MARK.encode() in message:
        yield "exception.message, which repeats the value,"
    wanted = error_headers(sent, group, message, letter.header(CONNECT + "task.id") or b"")
    found = [each for each in letter.record.headers if each[0].startswith(FAMILIES)]
    names = [name for name, _ in found]
    surplus = [name for name in names if name not in wanted and not (case.redacted and name == REDACTED)]
    if surplus or len(set(names)) != len(names):
        yield "error headers' number"
    if case.redacted and REDACTED not in names:
        yield f"header {REDACTED}"
    for name, value in wanted.items():
        if letter.header(name) != value:
            yield f"header {name}"


def _redaction_differences(record: Record, sent: Sent, case: Case) -> Iterator[str]:
    """Only the secrets are replaced; all else says what it said."""
    if MARK.encode() in (record.value or b""):
        yield "value, which holds the secret,"
        return
    headers = dict(sent.headers)
    content = (headers.get("content-type") or b"").decode()
    try:
        found = _unpacked(content, record.value or b"")
    except (ValueError, KeyError, msgpack.UnpackException):
        yield "value, which can't be read,"
        return
    wanted = _unpacked(content, sent.value or b"")
    for name in case.redacted:
        wanted["data"][name] = "[redacted]"
    if json.dumps(found) != json.dumps(wanted):
        yield "redacted value"


def _unpacked(content: str, value: bytes) -> dict[str, Any]:
    """The data, and in structured mode the attributes too."""
    if not content.startswith("application/cloudevents+json"):
        return {"data": json.loads(value) if "json" in content else msgpack.unpackb(value)}
    event: dict[str, Any] = json.loads(value)
    if "data_base64" in event:
        event["data"] = msgpack.unpackb(base64.b64decode(event.pop("data_base64")))
    return event


def redacted(sent: Sent) -> bytes:
    """The value of a letter of that record, as a worker might write it."""
    case = case_of(sent)
    assert sent.value is not None
    value = sent.value
    content = (dict(sent.headers).get("content-type") or b"").decode()
    event = _unpacked(content, value)
    for name in case.redacted:
        event["data"][name] = "[redacted]"
    if content.startswith("application/cloudevents+json"):
        return json.dumps(event).encode()
    return json.dumps(event["data"]).encode() if "json" in content else msgpack.packb(event["data"])
