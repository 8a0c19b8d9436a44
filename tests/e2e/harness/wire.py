"""Commands and audit events as Kafka carries them, written from the contract."""

import base64
import hashlib
import json
import re
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack

MSGPACK = "application/vnd.msgpack"

IDENTITY = "identity"  # the first command topic
KEYS = "keys"  # the second

TYPES = {
    "user.upsert": "dev.catalyst.identity.user.upsert.v1",
    "org.upsert": "dev.catalyst.identity.org.upsert.v1",
    "group.upsert": "dev.catalyst.identity.group.upsert.v1",
    "group.delete": "dev.catalyst.identity.group.delete.v1",
    "membership.upsert": "dev.catalyst.identity.membership.upsert.v1",
    "membership.remove": "dev.catalyst.identity.membership.remove.v1",
    "entitlement.upsert": "dev.catalyst.identity.entitlement.upsert.v1",
    "entitlement.remove": "dev.catalyst.identity.entitlement.remove.v1",
    "key.issue": "dev.catalyst.key.issue.v1",
    "key.record_usage": "dev.catalyst.key.record_usage.v1",
    "key.revoke": "dev.catalyst.key.revoke.v1",
    "audit.append": "dev.catalyst.audit.append.v1",
}

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Record:
    """A Kafka record, to be published or as it was read."""

    topic: str  # IDENTITY, KEYS, or a real name
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int = 1_750_000_000_000
    partition: int | None = None
    offset: int | None = None

    def header(self, name: str) -> bytes | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, f"header {name} {len(found)} times"
        return found[0] if found else None

    def text(self, name: str) -> str | None:
        value = self.header(name)
        return None if value is None else value.decode()

    @property
    def at(self) -> tuple[str, int, int]:
        assert self.partition is not None and self.offset is not None
        return (self.topic, self.partition, self.offset)


@dataclass(frozen=True)
class Command:
    """A command in the terms of the contract; record() is what an upstream service sends."""

    kind: str  # a key of TYPES
    id: str
    data: dict[str, Any]
    source: str = "e2e"
    time: str | None = "2026-03-04T05:06:07.123456Z"
    subject: str | None = None
    authtype: str | None = None
    authid: str | None = None
    carried: dict[str, str] = field(default_factory=dict)  # traceparent, tracestate, ce_correlationid
    key: str | None = None  # the record key; default: the entity's id
    partition: int | None = None
    timestamp_ms: int = 1_750_000_000_000
    mode: str = "msgpack"  # json, structured, structured-base64
    received: bytes | None = None  # the value as it came, when the command was read from a record

    @property
    def type(self) -> str:
        return TYPES[self.kind]

    @property
    def topic(self) -> str:
        return KEYS if self.kind.startswith("key.") else IDENTITY

    def attributes(self) -> dict[str, str]:
        given = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time,
            "subject": self.subject,
            "authtype": self.authtype,
            "authid": self.authid,
        }
        return {name: value for name, value in given.items() if value is not None}

    def value(self) -> bytes:
        if self.received is not None:
            return self.received
        if self.mode == "msgpack":
            return msgpack.packb(self.data, datetime=True)
        if self.mode == "json":
            return json.dumps(self.data).encode()
        event: dict[str, Any] = dict(self.attributes())
        # An attribute like the others; the trace's are headers of their own in every mode.
        if "ce_correlationid" in self.carried:
            event["correlationid"] = self.carried["ce_correlationid"]
        if self.mode == "structured":
            event |= {"datacontenttype": "application/json", "data": self.data}
        else:
            packed = msgpack.packb(self.data, datetime=True)
            event |= {"datacontenttype": MSGPACK, "data_base64": base64.b64encode(packed).decode()}
        return json.dumps(event).encode()

    def _carried_headers(self) -> dict[str, str]:
        if not self.mode.startswith("structured"):
            return self.carried
        return {name: value for name, value in self.carried.items() if name != "ce_correlationid"}

    def record(self) -> Record:
        if self.mode.startswith("structured"):
            headers: Headers = [("content-type", b"application/cloudevents+json; charset=utf-8")]
        else:
            headers = [(f"ce_{name}", value.encode()) for name, value in self.attributes().items()]
            content = "application/json" if self.mode == "json" else MSGPACK
            headers.append(("content-type", content.encode()))
        headers += [(name, value.encode()) for name, value in self._carried_headers().items()]
        key = self.key if self.key is not None else self.data.get("id", self.subject)
        return Record(
            self.topic,
            None if key is None else key.encode(),
            self.value(),
            headers,
            self.timestamp_ms,
            self.partition,
        )

    def but(self, **changes: Any) -> "Command":
        return replace(self, **changes)

    def with_data(self, **changes: Any) -> "Command":
        return replace(self, data=self.data | changes)

    def without(self, *names: str) -> "Command":
        return replace(self, data={k: v for k, v in self.data.items() if k not in names})


# --- times -------------------------------------------------------------------------------------

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))"
)


def parse_time(given: Any) -> datetime:
    """RFC 3339 text or a MessagePack timestamp, truncated to microseconds."""
    if isinstance(given, datetime):
        return given
    if isinstance(given, msgpack.Timestamp):
        return EPOCH + timedelta(seconds=given.seconds, microseconds=given.nanoseconds // 1000)
    match = RFC3339.fullmatch(given)
    assert match, f"not RFC 3339: {given}"
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    micros = int(((match[7] or "") + "000000")[:6])
    at = datetime(year, month, day, hour, minute, 0, micros, UTC) + timedelta(seconds=second)
    if match[8]:
        offset = timedelta(hours=int(match[9]), minutes=int(match[10]))
        at += -offset if match[8] == "+" else offset
    return at


def format_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_of_ms(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


# --- ids ---------------------------------------------------------------------------------------

AUDIT_NAMESPACE = uuid.UUID("8d2f6c1a-417b-4e0d-9b53-6ea217c930f4")
CONFLICT_NAMESPACE = uuid.UUID("1c95e07f-0a66-4b3c-8e21-d548b9047a62")
KEY_NAMESPACE = uuid.UUID("f37028bd-921e-4a57-a4c8-3b0f65de8119")

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _framed(parts: tuple[bytes, ...]) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _v5(namespace: uuid.UUID, *parts: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=hashlib.sha1(namespace.bytes + _framed(parts)).digest()[:16], version=5)


def _milliseconds(command_id: str) -> int | None:
    try:
        parsed = uuid.UUID(command_id) if len(command_id) == 36 else None
    except ValueError:
        parsed = None
    if parsed is not None:
        time_ordered = parsed.bytes[6] >> 4 == 7 and parsed.bytes[8] >> 6 == 2
        return int.from_bytes(parsed.bytes[:6], "big") if time_ordered else None
    upper = command_id.upper()
    if len(upper) != 26 or any(c not in CROCKFORD for c in upper) or upper[0] > "7":
        return None
    value = 0
    for c in upper[:10]:
        value = value << 5 | CROCKFORD.index(c)
    return value


def _time_ordered(command_id: str, hashed: uuid.UUID) -> str:
    milliseconds = _milliseconds(command_id)
    if milliseconds is None:
        return str(hashed)
    mixed = bytearray(milliseconds.to_bytes(6, "big") + hashed.bytes[6:])
    mixed[6] = mixed[6] & 0x0F | 0x80
    return str(uuid.UUID(bytes=bytes(mixed)))


def audit_id_of(source: str, command_id: str) -> str:
    return _time_ordered(command_id, _v5(AUDIT_NAMESPACE, source.encode(), command_id.encode()))


def digest_of(type_name: str, value: bytes) -> bytes:
    return hashlib.sha256(_framed((type_name.encode(), value))).digest()[:16]


def conflict_id_of(source: str, command_id: str, digest: bytes) -> str:
    hashed = _v5(CONFLICT_NAMESPACE, source.encode(), command_id.encode(), digest)
    return _time_ordered(command_id, hashed)


def key_id_of(source: str, command_id: str) -> str:
    return str(_v5(KEY_NAMESPACE, source.encode(), command_id.encode()))


def decode_event(value: bytes) -> dict[str, Any]:
    return msgpack.unpackb(value, strict_map_key=True)
