"""Every shape of message that is no command. Each case: a record, and what its dead letter must say.

MARK stands in values that are wrong: no message, header or log line may repeat it."""

import base64
import json
import struct
from dataclasses import dataclass
from typing import Any

import msgpack

from . import make
from .wire import IDENTITY, MSGPACK, Command, Headers, Record

MARK = "m4rk-of-a-value"


@dataclass(frozen=True)
class Case:
    name: str
    record: Record
    says: str  # must be in the message: the field, or the header
    redacted: tuple[str, ...] = ()  # fields whose values must be gone from the dead letter


CASES: list[Case] = []


def case(name: str, record: Record, says: str, redacted: tuple[str, ...] = ()) -> None:
    CASES.append(Case(name, record, says, redacted))


def _good() -> Command:
    return make.user("bad", id=make.new_id("bad"))


def _headers(record: Record, **changes: bytes | list[bytes] | None) -> Record:
    """The record with headers replaced, removed (None) or given several times (a list)."""
    headers: Headers = [(n, v) for n, v in record.headers if n.replace("-", "_") not in changes]
    for name, value in changes.items():
        real = "content-type" if name == "content_type" else name
        values = value if isinstance(value, list) else [] if value is None else [value]
        headers += [(real, each) for each in values]
    return Record(record.topic, record.key, record.value, headers, record.timestamp_ms)


def _value(value: bytes | None, command: Command | None = None) -> Record:
    good = (command or _good()).record()
    return Record(good.topic, good.key, value, good.headers, good.timestamp_ms)


def _json(value: bytes) -> Record:
    return _headers(_value(value), content_type=b"application/json")


def _structured(event: Any, content_type: bytes = b"application/cloudevents+json") -> Record:
    value = event if isinstance(event, bytes) else json.dumps(event).encode()
    return Record(IDENTITY, b"bad", value, [("content-type", content_type)])


# --- envelope ----------------------------------------------------------------------------------

case("no headers at all", Record(IDENTITY, b"bad", _good().value(), []), "ce_id")
for header in ("ce_specversion", "ce_id", "ce_source", "ce_type", "content_type"):
    name = header.replace("content_type", "content-type")
    if header != "content_type":  # the body tells then
        case(f"without {name}", _headers(_good().record(), **{header: None}), name)
    case(f"empty {name}", _headers(_good().record(), **{header: b""}), name)
for header in ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "content_type"):
    name = header.replace("content_type", "content-type")
    first = next((v for n, v in _good().record().headers if n == name), b"x")
    case(f"{name} twice", _headers(_good().record(), **{header: [first or b"", first or b""]}), name)
for header in ("ce_authtype", "ce_authid", "ce_correlationid"):
    case(f"{header} twice", _headers(_good().record(), **{header: [b"a", b"a"]}), header)
case(
    "without content-type, and the body begins like nothing known",
    _headers(_json(b'[{"id": "bad"}]'), content_type=None),
    "content-type",
)
case(
    "a structured event without its content type",
    _headers(
        Record(
            IDENTITY,
            b"bad",
            b'{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {}}',
            [],
        )
    ),
    "content-type: must be application/cloudevents+json",
)
for version in (b"0.3", b"1.0 ", b"1", b"2.0"):
    case(f"ce_specversion {version!r}", _headers(_good().record(), ce_specversion=version), "specversion")
for header in ("ce_id", "ce_source"):
    case(f"{header} of 257 bytes", _headers(_good().record(), **{header: b"x" * 257}), header)
for header in ("ce_id", "ce_source", "ce_type", "ce_subject", "ce_time"):
    case(f"{header} not UTF-8", _headers(_good().record(), **{header: b"\xff\xfe"}), header)
for header in ("ce_id", "ce_source", "ce_subject"):
    case(f"{header} with NUL", _headers(_good().record(), **{header: b"a\0b"}), header)
    case(f"{header} with a control character", _headers(_good().record(), **{header: b"a\x1bb"}), header)
    case(f"{header} with a C1 control", _headers(_good().record(), **{header: "a\x85b".encode()}), header)
case("ce_subject of 257 bytes", _headers(_good().record(), ce_subject=b"x" * 257), "ce_subject")
for time in (
    MARK.encode(),
    b"2026-01-01",
    b"2026-01-01T00:00:00",
    b"2026-13-01T00:00:00Z",
    b"2026-02-29T00:00:00Z",
    b"2026-01-01T24:00:00Z",
    b"2026-01-01T00:00:61Z",
    b"1998-12-31T23:58:60Z",
    b"2016-06-15T12:00:60Z",
    b"2026-01-01T00:00:00+24:00",
    b"2026-01-01T00:00:00.Z",
    b"0000-01-01T00:00:00Z",
    b"1767225600",
):
    case(f"ce_time {time.decode()}", _headers(_good().record(), ce_time=time), "ce_time")
for kind in (
    "dev.catalyst.identity.user.upsert.v2",
    "user.upsert",
    MARK,
    "dev.catalyst.identity.user.upsert.v1 ",
):
    case(f"ce_type {kind!r}", _headers(_good().record(), ce_type=kind.encode()), "ce_type")
for content in (b"text/plain", b"application/xml", b"application/jsonx", b"application/cbor", MARK.encode()):
    case(f"content-type {content!r}", _headers(_good().record(), content_type=content), "content-type")

# --- bodies ------------------------------------------------------------------------------------

PACKED = _good().value()

case("a tombstone", _value(None), "body")
case("an empty value", _value(b""), "body")
for name, value in {
    "nil": b"\xc0",
    "a number": b"\x2a",
    "a text": msgpack.packb(MARK),
    "a list": b"\x90",
    "never used 0xc1": b"\xc1",
    "cut short": PACKED[:-1],
    "cut to one byte": PACKED[:1],
    "trailing bytes": PACKED + b"\x00",
    "two values": PACKED + PACKED,
    "a map that says 4 billion": b"\xdf\xff\xff\xff\xff",
    "a list that says 4 billion": b"\x81\xa2id\xdd\xff\xff\xff\xff",
    "a text that says 4 billion": b"\x81\xa2id\xdb\xff\xff\xff\xff",
    "a binary that says 4 billion": b"\x81\xa2id\xc6\xff\xff\xff\xff",
    "an extension that says 4 billion": b"\x81\xa2id\xc9\xff\xff\xff\xff\x01",
    "a map of 65,535 entries that are not there": b"\xde\xff\xff\xa1a",
    "a duplicate key": b"\x82\xa2id\xa1a\xa2id\xa1b",
    "a duplicate key in two encodings": b"\x82\xa2id\xa1a\xd9\x02id\xa1b",
    "a key that is a number": b"\x81\x01\xa1a",
    "a key that is nil": b"\x81\xc0\xa1a",
    "a key that is binary": b"\x81\xc4\x02id\xa1a",
    "a key that is not UTF-8": b"\x81\xa2\xff\xfe\xa1a",
    "lists 100,000 deep": b"\x81\xa1a" + b"\x91" * 100_000 + b"\xc0",
    "maps 100,000 deep": b"\x81\xa1a" * 100_000 + b"\xc0",
    "JSON under a MessagePack header": b'{"id": "u"}',
}.items():
    case(f"body: {name}", _value(value), "")

# --- free maps: what JSON can hold --------------------------------------------------------------


def _nested(depth: int, leaf: Any = 1) -> Any:
    for _ in range(depth):
        leaf = {"d": leaf}
    return leaf


def _raw_metadata(metadata: bytes) -> Record:
    """A valid user but for the packed bytes of its metadata."""
    data = msgpack.packb(_good().data)
    assert data[0] == 0x83
    return _value(b"\x84" + data[1:] + msgpack.packb("metadata") + metadata)


for name, packed in {
    "depth 65": msgpack.packb(_nested(64)),
    "not UTF-8": b"\x81\xa1a\xa2\xff\xfe",
    "a surrogate": b"\x81\xa1a\xa3\xed\xa0\x80",
    "an overlong form": b"\x81\xa1a\xa2\xc0\x80",
    "NUL": b"\x81\xa1a\xa3a\0b",
    "NUL in a key": b"\x81\xa3a\0b\x01",
    "NaN": b"\x81\xa1a\xcb" + struct.pack(">d", float("nan")),
    "NaN as float32": b"\x81\xa1a\xca" + struct.pack(">f", float("nan")),
    "infinity": b"\x81\xa1a\xcb" + struct.pack(">d", float("inf")),
    "minus infinity": b"\x81\xa1a\xcb" + struct.pack(">d", float("-inf")),
    "binary": b"\x81\xa1a\xc4\x01x",
    "an extension": b"\x81\xa1a\xd4\x05x",
    "a timestamp": msgpack.packb({"a": msgpack.Timestamp(1, 0)}),
    "a key that is a number": b"\x81\x01\x02",
    "a key twice": b"\x82\xa1a\x01\xa1a\x02",
    "a list": b"\x90",
    "a text": msgpack.packb(MARK),
}.items():
    case(f"metadata: {name}", _raw_metadata(packed), "metadata")

# --- JSON bodies -------------------------------------------------------------------------------

for name, text in {
    "not JSON": MARK.encode(),
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "cut short": b'{"id": "u"',
    "trailing": b'{"id": "u"} x',
    "two values": b"{}{}",
    "a duplicate key": b'{"id": "a", "id": "b"}',
    "NaN": b'{"id": "a", "metadata": {"a": NaN}}',
    "a number out of range": b'{"id": "a", "metadata": {"a": 1e999}}',
    "not UTF-8": b'{"id": "\xff"}',
    "NUL": b'{"id": "a\\u0000b"}',
    "a lone surrogate": b'{"id": "\\ud800"}',
    "100,000 deep": b'{"a":' * 100_000,
    "lists 100,000 deep": b'{"a":' + b"[" * 100_000,
    "MessagePack under a JSON header": PACKED,
}.items():
    case(f"JSON: {name}", _json(text), "")

# --- structured mode ---------------------------------------------------------------------------

EVENT = _good().attributes() | {"datacontenttype": "application/json", "data": _good().data}


def _event(**changes: Any) -> dict[str, Any]:
    merged: dict[str, Any] = EVENT | {"id": make.new_id("bad")} | changes
    return {name: value for name, value in merged.items() if value is not ...}


case("structured: not JSON", _structured(b"{" + MARK.encode()), "")
case("structured: a list", _structured([]), "")
for attribute in ("specversion", "id", "source", "type"):
    case(f"structured: without {attribute}", _structured(_event(**{attribute: ...})), attribute)
    case(f"structured: {attribute} a number", _structured(_event(**{attribute: 1})), attribute)
case("structured: no data", _structured(_event(data=...)), "data")
case("structured: data and data_base64", _structured(_event(data_base64="e30=")), "data_base64")
case(
    "structured: data_base64 is no base64",
    _structured(_event(data=..., data_base64=MARK + "!")),
    "data_base64",
)
case(
    "structured: data_base64 of garbage",
    _structured(_event(data=..., data_base64=base64.b64encode(b"\xc1").decode(), datacontenttype=MSGPACK)),
    "",
)
case("structured: data is a text", _structured(_event(data=MARK)), "body")
case("structured: time is none", _structured(_event(time=MARK)), "time")
case("structured: batch", _structured([_event()], b"application/cloudevents-batch+json"), "ce_id")

# --- fields ------------------------------------------------------------------------------------

GOOD = {
    "user": lambda: make.user("bad"),
    "org": lambda: make.org("bad"),
    "group": lambda: make.group("bad"),
    "group_delete": lambda: make.group_delete("bad"),
    "membership": lambda: make.membership("bad"),
    "membership_remove": lambda: make.membership_remove("bad"),
    "entitlement": lambda: make.entitlement("bad"),
    "entitlement_remove": lambda: make.entitlement_remove("bad"),
    "issue": lambda: make.issue("bad"),
    "use": lambda: make.use("bad"),
    "revoke": lambda: make.revoke("bad"),
    "append": lambda: make.append(subject="bad"),
}
REQUIRED = {
    "user": ("id", "authentikId", "email"),
    "org": ("id", "slug", "status", "ownerUserId", "profile"),
    "group": ("id", "orgId", "slug", "name"),
    "group_delete": ("id",),
    "membership": ("id", "userId", "orgId", "role"),
    "membership_remove": ("id",),
    "entitlement": ("id", "subjectKind", "subjectId", "entitlement"),
    "entitlement_remove": ("id",),
    "issue": ("hash", "owner", "scopes"),
    "use": ("id",),
    "revoke": ("id",),
    "append": ("category", "action"),
}
IDS = {
    "user": ("id", "authentikId", "primaryOrgId"),
    "org": ("id", "slug", "ownerUserId"),
    "group": ("id", "orgId", "slug", "parentGroupId"),
    "membership": ("id", "userId", "orgId", "role"),
    "entitlement": ("id", "subjectId", "entitlement"),
    "issue": ("id", "hash"),
    "use": ("id",),
    "revoke": ("id",),
    "append": ("correlationId",),
}
TIMES = {
    "membership": ("createdAt", "updatedAt"),
    "entitlement": ("createdAt",),
    "issue": ("createdAt", "expiresAt"),
    "use": ("usedAt",),
    "revoke": ("revokedAt",),
    "append": ("occurredAt",),
}
TEXTS = {  # field: most bytes
    "user": {"email": 320, "displayName": 1024, "avatarUrl": 4096},
    "group": {"name": 1024, "description": 4096},
    "issue": {"name": 1024, "description": 4096},
    "revoke": {"reason": 4096},
}
LABELS = {
    "user": "labels",
    "org": "labels",
    "group": "labels",
    "membership": "labelsDelta",
    "issue": "labels",
}
MAPS = {"org": "settings", "entitlement": "metadata", "issue": "metadata", "append": "metadata"}
WRONG_TYPES: dict[str, Any] = {
    "a number": 7,
    "a float": 0.5,
    "true": True,
    "a list": [MARK],
    "a map": {"a": MARK},
    "binary": MARK.encode(),
}


def _field(kind: str, what: str, field: str, /, **changes: Any) -> None:
    good = GOOD[kind]()
    case(f"{kind}: {what}", good.but(key="bad").with_data(**changes).record(), field)


def _fields() -> None:
    wrong: Any
    for kind, names in REQUIRED.items():
        for name in names:
            case(f"{kind}: without {name}", GOOD[kind]().without(name).record(), name)
            _field(kind, f"{name} nil", name, **{name: None})
    for kind, names in IDS.items():
        for name in names:
            for wrong, value in WRONG_TYPES.items():
                _field(kind, f"{name} {wrong}", name, **{name: value})
            _field(kind, f"{name} empty", name, **{name: ""})
            _field(kind, f"{name} of 257 bytes", name, **{name: "x" * 257})
            _field(kind, f"{name} of 129 two-byte characters", name, **{name: "ü" * 129})
            for control in ("\0", "\n", "\x1b", "\x7f", "\x85"):
                _field(kind, f"{name} with {control!r}", name, **{name: MARK + control})
    for kind, names in TIMES.items():
        for name in names:
            for wrong in (MARK, "", "2026-02-30T00:00:00Z", "2026-01-01", 1_767_225_600, 1.5, True, ["x"]):
                _field(kind, f"{name} {wrong!r}", name, **{name: wrong})
            beyond = msgpack.Timestamp(253_402_300_800, 0)
            _field(kind, f"{name} in the year 10000", name, **{name: beyond})
    for kind, limits in TEXTS.items():
        for name, most in limits.items():
            _field(kind, f"{name} of {most + 1} bytes", name, **{name: "x" * (most + 1)})
            _field(kind, f"{name} a number", name, **{name: 7})
            _field(kind, f"{name} with NUL", name, **{name: "a\0b"})
    for kind, name in LABELS.items():
        for wrong in ([], "x", {"a": None}, {"a": [1]}, {"a": {}}, {"a": b"x"}, {"a": float("nan")}):
            _field(kind, f"{name} {wrong!r}", name, **{name: wrong})
    for kind, name in MAPS.items():
        for wrong in ([], "x", 1, {"a": b"x"}, {"a": float("inf")}):
            _field(kind, f"{name} {wrong!r}", name, **{name: wrong})
    _field("user", "email empty", "email", email="")
    _field("user", "avatarUrl a map", "avatarUrl", avatarUrl={})
    for wrong in ("Active", "deleted", "", 1, MARK):
        _field("org", f"status {wrong!r}", "status", status=wrong)
    for wrong in ({}, {"name": ""}, {"name": 1}, {"name": "x", "logoUrl": 1}, {"name": "x" * 1025}, [], MARK):
        _field("org", f"profile {str(wrong)[:40]}", "profile", profile=wrong)
    _field("org", "profile brandColors a list", "profile", profile={"name": "x", "brandColors": []})
    for wrong in ("g-1", [1], [""], ["x" * 257], [None], {"0": "g"}, ["a\0b"]):
        _field("membership", f"groupIds {str(wrong)[:30]!r}", "groupIds", groupIds=wrong)
        _field("issue", f"scopes {str(wrong)[:30]!r}", "scopes", scopes=wrong)
    for wrong in ("group", "User", "", 1, MARK):
        _field("entitlement", f"subjectKind {wrong!r}", "subjectKind", subjectKind=wrong)
    for name in ("owner", "createdBy"):
        for wrong in (
            MARK,
            {},
            {"kind": "user"},
            {"id": "x"},
            {"kind": "robot", "id": "x"},
            {"kind": "user", "id": ""},
            {"kind": 1, "id": "x"},
            {"kind": "user", "id": 1},
        ):
            _field("issue", f"{name} {wrong!r}", name, **{name: wrong})
    _field("revoke", "revokedBy without id", "revokedBy", revokedBy={"kind": "user"})
    for name in ("actor", "subject", "resource"):
        for wrong in (
            MARK,
            [],
            {},
            {"id": "x"},
            {"type": "", "id": "x"},
            {"type": 1, "id": "x"},
            {"type": "t", "id": ""},
            {"type": "t", "id": "x", "labels": []},
        ):
            _field("append", f"{name} {wrong!r}", name, **{name: wrong})
    for name in ("actor", "subject"):
        _field("append", f"{name} without id", name, **{name: {"type": "t"}})
    for name in ("category", "action"):
        _field("append", f"{name} a number", name, **{name: 1})
        _field("append", f"{name} of 4097 bytes", name, **{name: "x" * 4097})


_fields()

for field, value in {"action": "a\nb", "category": "\u0085"}.items():
    case(
        f"append with a control character in its {field}",
        make.append({field: value}).record(),
        f"{field}: must not contain control characters",
    )

# --- secrets -----------------------------------------------------------------------------------

for name in ("secret", "token", "plaintext"):
    case(
        f"issue with {name}",
        make.issue("bad", {name: MARK, "name": "kept"}).record(),
        name,
        redacted=(name,),
    )
    case(
        f"issue with {name} as a map",
        make.issue("bad", {name: {"nested": [MARK]}}).record(),
        name,
        redacted=(name,),
    )
    case(
        f"issue with {name} in JSON",
        make.issue("bad", {name: MARK, "labels": {"a": 1.0}}, mode="json").record(),
        name,
        redacted=(name,),
    )
case(
    "issue with all three",
    make.issue("bad", {"secret": MARK, "token": MARK, "plaintext": MARK}).record(),
    "secret",
    redacted=("secret", "token", "plaintext"),
)
case(
    "issue with a secret and other mistakes",
    make.issue("bad", {"secret": MARK, "hash": 7}).record(),
    "secret",
    redacted=("secret",),
)
for mode in ("structured", "structured-base64"):
    case(
        f"issue with a secret in {mode} mode",
        make.issue("bad", {"secret": MARK}, mode=mode).record(),
        "secret",
        redacted=("secret",),
    )
