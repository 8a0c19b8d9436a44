"""What publishers send who know CloudEvents but not this worker: their SDKs' defaults, their tracers'
headers, fields that the contract does not know, and audit entries as data-postgres' services write them."""

import base64
import json
import random
import uuid
from typing import Any

import msgpack
import pytest

from harness.program import run_json
from harness.site import Site
from harness.wait import wait_until
from harness.wire import AUDIT_NAMESPACE, IDENTITY, MSGPACK, TYPES, Headers, Record

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
JSON = "application/json"


def _user(name: str) -> dict[str, Any]:
    return {"id": name, "authentikId": f"a-{name}", "email": f"{name}@x"}


def _command(name: str, value: bytes, headers: Headers, kind: str = "user.upsert") -> Record:
    own: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", name.encode()),
        ("ce_source", b"stock"),
        ("ce_type", TYPES[kind].encode()),
    ]
    return Record(IDENTITY, name.encode(), value, own + headers)


def _typed(content_type: str) -> Headers:
    return [("content-type", content_type.encode())]


def _json(name: str, **more: Any) -> bytes:
    return json.dumps(_user(name) | more).encode()


def _raw(name: str, field: str) -> bytes:
    """JSON with a field whose value is this very text."""
    return _json(name)[:-1] + b',"whatever":' + field.encode() + b"}"


def _structured(name: str, content_type: str | None, **members: Any) -> Record:
    event = {"specversion": "1.0", "id": name, "source": "stock", "type": TYPES["user.upsert"]} | members
    headers = [] if content_type is None else _typed(content_type)
    return Record(IDENTITY, name.encode(), json.dumps(event).encode(), headers)


def _by_id(site: Site) -> dict[str | None, Record]:
    return {record.text("ce_causationid"): record for record in site.audit_records()}


def _reasons(site: Site) -> dict[bytes | None, str | None]:
    return {letter.key: letter.text("kafka_dlt-exception-message") for letter in site.dead_letters()}


def _map16(data: dict[str, Any]) -> bytes:
    body = b"".join(msgpack.packb(each) for pair in data.items() for each in pair)
    return b"\xde" + len(data).to_bytes(2, "big") + body


@pytest.mark.key
def test_content_types_of_stock_publishers_are_taken(site: Site) -> None:
    packed = msgpack.packb(_user("msgpack"))
    structured_type = "application/cloudevents+json"
    encoded = base64.b64encode(_json("structured-base64")).decode()
    accepted = [
        _command("json", _json("json"), []),
        _command("white-space", b" \r\n\t" + _json("white-space"), []),
        _command("msgpack", packed, []),
        _command("map16", _map16(_user("map16")), []),
        _command("without-value", _json("without-value"), [("content-type", None), ("ce_subject", None)]),
        _command("text-json", _json("text-json"), _typed("text/json")),
        _command("vendor-json", _json("vendor-json"), _typed("application/vnd.acme.v2+json; charset=utf-8")),
        _structured("structured", structured_type, data=_user("structured"), data_base64=None),
        _structured("structured-base64", structured_type, data=None, data_base64=encoded),
    ]
    refused = {
        "array": _command("array", b"[1]", []),
        "nil": _command("nil", b"\xc0", []),
        "xml": _command("xml", _json("xml"), _typed("application/xml")),
        "bare": _structured("bare", None, data=_user("bare")),
        "as-json": _structured("as-json", JSON, data=_user("as-json")),
        "nul": _command("nul", _raw("nul", "123\x00"), _typed(JSON)),
    }
    site.publish([*accepted, *refused.values()])
    site.start()
    site.wait_done()

    reasons = _reasons(site)
    assert {key.decode() for key in reasons if key is not None} == set(refused)
    assert set(site.table("auth_users")) == {(record.key or b"").decode() for record in accepted}
    for name in ("array", "nil"):
        assert "content-type: missing" in (reasons[name.encode()] or "")
        assert "datacontenttype" in (reasons[name.encode()] or "")
    for name in ("bare", "as-json"):
        assert "must be application/cloudevents+json" in (reasons[name.encode()] or "")
    assert (reasons[b"nul"] or "").startswith("body")


@pytest.mark.key
def test_fields_that_the_contract_does_not_know_may_hold_anything(site: Site) -> None:
    texts = {
        "u64": "18446744073709551615",
        "below-i64": "-9223372036854775809",
        "forty-digits": "1" * 40,
        "1e400": "1e400",
        "minus-1e400": "-1e400",
        "many-places": "0." + "1" * 400,
        "deep": '{"a":[null,{"b":18446744073709551615}]}',
    }
    values = {
        "u64": 2**64 - 1,
        "nan": float("nan"),
        "binary": b"\xff",
        "ext": msgpack.ExtType(7, b"x"),
        "nil": None,
    }
    records = [_command(f"j-{name}", _raw(f"j-{name}", text), _typed(JSON)) for name, text in texts.items()]
    records += [
        _command(f"m-{name}", msgpack.packb(_user(f"m-{name}") | {"whatever": value}), _typed(MSGPACK))
        for name, value in values.items()
    ]
    # where a field is stored, the same numbers are refused
    stored = [
        _command(
            f"s-{name}", _json(f"s-{name}")[:-1] + f',"metadata":{{"n":{text}}}}}'.encode(), _typed(JSON)
        )
        for name, text in texts.items()
        if name in ("u64", "below-i64", "forty-digits", "1e400")
    ]
    site.publish(records + stored)
    site.start()
    site.wait_done()

    reasons = _reasons(site)
    assert reasons.keys() == {record.key for record in stored}
    assert all((reason or "").startswith("metadata") for reason in reasons.values()), reasons
    assert set(site.table("auth_users")) == {(record.key or b"").decode() for record in records}


@pytest.mark.key
def test_headers_of_a_trace_never_cost_the_command(site: Site) -> None:
    state = "vendor=1,other@x=2"
    cases: dict[str, tuple[Headers, tuple[str | None, str | None]]] = {
        "plain": ([("traceparent", TRACE.encode()), ("tracestate", state.encode())], (TRACE, state)),
        "event": ([("ce_traceparent", TRACE.encode()), ("ce_tracestate", state.encode())], (TRACE, state)),
        "both": ([("traceparent", TRACE.encode()), ("ce_traceparent", OTHER_TRACE.encode())], (TRACE, None)),
        "empty": ([("traceparent", b""), ("tracestate", b"")], (None, None)),
        "no-value": ([("traceparent", None), ("ce_traceparent", TRACE.encode())], (TRACE, None)),
        "not-utf-8": ([("traceparent", b"\xff\xfe"), ("tracestate", b"\xff=1")], (None, None)),
        "upper-case": ([("traceparent", TRACE.upper().encode())], (None, None)),
        "zeros": ([("traceparent", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01")], (None, None)),
        "too-long": ([("traceparent", b"01" + TRACE[2:].encode() + b"-" + b"x" * 256)], (None, None)),
        "twice": ([("traceparent", TRACE.encode())] * 2, (None, None)),
        "event-twice": ([("ce_traceparent", TRACE.encode())] * 2, (None, None)),
        "long-state": ([("traceparent", TRACE.encode()), ("tracestate", b"a=" + b"b" * 4095)], (TRACE, None)),
        "control": ([("traceparent", TRACE.encode()), ("tracestate", b"a=b\nc")], (TRACE, None)),
    }
    site.publish([_command(name, _json(name), headers) for name, (headers, _) in cases.items()])
    site.start()
    site.wait_done()

    assert _reasons(site) == {}
    events = _by_id(site)
    seen = {name: (events[name].text("traceparent"), events[name].text("tracestate")) for name in cases}
    assert seen == {name: carried for name, (_, carried) in cases.items()}


@pytest.mark.key
def test_times_that_there_cannot_be_say_so(site: Site) -> None:
    accepted = {
        "leap": "2016-12-31T23:59:60Z",
        "leap-east": "2017-01-01T05:29:60+05:30",
        "first": "0001-01-01T00:00:00Z",
        "last": "9999-12-31T23:59:59.999999Z",
    }
    refused = {
        "minute-58": ("1998-12-31T23:58:60Z", "must be an RFC 3339 time"),
        "noon": ("2016-06-15T12:00:60Z", "must be an RFC 3339 time"),
        "leap-elsewhere": ("2016-12-31T23:59:60+05:30", "must be an RFC 3339 time"),
        "before-year-1": ("0001-01-01T00:00:00+01:00", "must be in the years 1 to 9999"),
        "after-year-9999": ("9999-12-31T23:59:59-01:00", "must be in the years 1 to 9999"),
        "year-0": ("0000-06-01T00:00:00Z", "must be in the years 1 to 9999"),
    }

    def records(name: str, time: str) -> list[Record]:
        """As the time of the event, and as a field."""
        data = {"category": "c", "action": "a", "occurredAt": time, "resource": {"type": "t", "id": name}}
        return [
            _command(f"event-{name}", _json(f"event-{name}"), [("ce_time", time.encode())]),
            _command(f"field-{name}", json.dumps(data).encode(), [], "audit.append"),
        ]

    times = accepted | {name: time for name, (time, _) in refused.items()}
    site.publish([record for name, time in times.items() for record in records(name, time)])
    site.start()
    site.wait_done()

    reasons = _reasons(site)
    wanted = {
        f"{how}-{name}".encode(): rule for name, (_, rule) in refused.items() for how in ("event", "field")
    }
    assert reasons.keys() == wanted.keys()
    for key, rule in wanted.items():
        field = "ce_time" if key.startswith(b"event") else "occurredAt"
        assert (reasons[key] or "").startswith(f"{field}: {rule}"), (key, reasons[key])
    assert set(_by_id(site)) == {f"{how}-{name}" for name in accepted for how in ("event", "field")}


@pytest.mark.key
def test_audit_entries_as_services_on_data_postgres_write_them(site: Site) -> None:
    chance = random.Random(1)
    # not to be compressed: an index would hold a long text that can
    longest = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=4096))
    token = longest[:408]
    labels = {"a": {"b": [1, None, True]}, "n": 1.5, "empty": {}}

    def append(name: str, **data: Any) -> Record:
        return _command(
            name, json.dumps({"category": "c", "action": "x"} | data).encode(), _typed(JSON), "audit.append"
        )

    def party(identity: str) -> dict[str, Any]:
        return {"type": "t", "id": identity, "labels": labels}

    site.publish(
        [
            append("token", resource=party(token)),
            append("longest", actor=party(longest), subject=party(longest), resource=party(longest)),
            append("at-most", subject=party("s" * 256)),
            append("too-long", resource=party(longest + "x")),
            append("control", actor=party("a\nb")),
        ]
    )
    site.start()
    site.wait_done()

    assert _reasons(site) == {
        b"too-long": "resource.id: must be 1 to 4096 bytes",
        b"control": "actor.id: must not contain control characters",
    }
    events = _by_id(site)
    assert set(events) == {"token", "longest", "at-most"}
    for name, entity in (("token", token), ("longest", longest), ("at-most", "s" * 256)):
        short = entity if len(entity) <= 256 else str(uuid.uuid5(AUDIT_NAMESPACE, entity))
        assert (events[name].key, events[name].text("ce_subject")) == (short.encode(), short)
        (shown,) = run_json("show", "audit", "--entity", entity, env=site.env)
        assert shown["id"] == events[name].text("ce_id")
    value = msgpack.unpackb(events["longest"].value or b"")
    assert [value[each] for each in ("actor", "subject", "resource")] == [party(longest)] * 3


def test_dead_letters_say_what_readers_of_spring_and_connect_ask_for(site: Site) -> None:
    topic = site.topics[IDENTITY]
    given_ms = 1_700_000_000_000

    def append() -> bool:
        """The broker takes a topic's new setting in a moment: until it has, the given time is kept."""
        site.publish([Record(IDENTITY, b"k", b"\xc1", [], given_ms)])
        return any(record.timestamp_ms != given_ms for record in site.kafka.read_committed(topic))

    assert not append()
    site.kafka.configure(topic, {"message.timestamp.type": "LogAppendTime"})
    wait_until("the broker stamps records", append, 30)
    site.start()
    site.wait_done()

    letters = site.dead_letters()
    types = set()
    for letter in letters:
        by_broker = letter.header("kafka_dlt-original-timestamp") != given_ms.to_bytes(8, "big")
        types.add(letter.text("kafka_dlt-original-timestamp-type"))
        assert letter.text("kafka_dlt-original-timestamp-type") == (
            "LogAppendTime" if by_broker else "CreateTime"
        )
        assert letter.text("kafka_dlt-original-consumer-group") == site.group
        assert letter.text("kafka_dlt-exception-fqcn") == "dev.catalyst.worker.envelope"
        assert letter.text("__connect.errors.exception.class.name") == "dev.catalyst.worker.envelope"
        assert letter.text("__connect.errors.task.id") == "0"
    assert types == {"CreateTime", "LogAppendTime"}
