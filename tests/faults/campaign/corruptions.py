"""What may go wrong with a worker, done to good evidence: each corruption must be found by check().

A corruption changes the evidence it is given (its own copy) and names the rules of which at least
one must be broken by it. It answers with None when the evidence has nothing that it could be done to.
"""

import random
import struct
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import msgpack

from harness.wire import Record

from .contract import AUDIT_COLUMNS
from .evidence import Evidence
from .letters import CONNECT, REDACTED, SPRING

Rules = set[str]
Change = Callable[[Evidence, random.Random], bool]

MISSING = {"audit event missing"}
DOUBLED = {"audit event doubled"}
UNKNOWN = {"audit event unknown"}
DIFFERS = {"audit event differs"}
ORDER = {"audit events out of order"}
SPLIT = {"audit events of an entity in two partitions"}
LETTER = {"dead letter differs"}
ROW = {"row differs"}
AUDIT_ROW = {"audit row differs"}


@dataclass(frozen=True)
class Corruption:
    name: str
    rules: Rules
    change: Change


CORRUPTIONS: list[Corruption] = []


def corruption(rules: Rules) -> Callable[[Change], Change]:
    def register(change: Change) -> Change:
        CORRUPTIONS.append(Corruption(change.__name__.replace("_", " "), rules, change))
        return change

    return register


def copy_of(evidence: Evidence) -> Evidence:
    """Records and rows are never changed in place, but for the tables' rows."""
    return replace(
        evidence,
        audit={partition: list(records) for partition, records in evidence.audit.items()},
        letters={where: list(records) for where, records in evidence.letters.items()},
        tables={table: [dict(row) for row in rows] for table, rows in evidence.tables.items()},
        audit_rows=list(evidence.audit_rows),
    )


# --- picking -----------------------------------------------------------------------------------

Where = tuple[list[Record], int]


def _pick(
    lists: list[list[Record]], chance: random.Random, wanted: Callable[[Record], bool] | None = None
) -> Where | None:
    places = [
        (records, index)
        for records in lists
        for index, record in enumerate(records)
        if wanted is None or wanted(record)
    ]
    return chance.choice(places) if places else None


def _event(
    evidence: Evidence, chance: random.Random, wanted: Callable[[dict[str, Any]], bool] | None = None
) -> Where | None:
    lists = list(evidence.audit.values())
    if wanted is None:
        return _pick(lists, chance)
    return _pick(lists, chance, lambda record: wanted(_body(record)))


def _letter(
    evidence: Evidence, chance: random.Random, wanted: Callable[[Record], bool] | None = None
) -> Where | None:
    return _pick(list(evidence.letters.values()), chance, wanted)


def _body(record: Record) -> dict[str, Any]:
    return msgpack.unpackb(record.value or b"")


def _with(where: Where | None, **changes: Any) -> bool:
    if where is None:
        return False
    records, index = where
    records[index] = replace(records[index], **changes)
    return True


def _with_header(where: Where | None, name: str, value: bytes | None) -> bool:
    """The header with another value; None: without it."""
    if where is None:
        return False
    records, index = where
    headers = [each for each in records[index].headers if each[0] != name]
    at = next(n for n, each in enumerate(records[index].headers) if each[0] == name)
    if value is not None:
        headers.insert(at, (name, value))
    return _with(where, headers=headers)


def _with_body(where: Where | None, **changes: Any) -> bool:
    if where is None:
        return False
    body = _body(where[0][where[1]])
    return _with(where, value=msgpack.packb(body | changes))


def _insert(records: list[Record], record: Record) -> None:
    """At the end of a partition."""
    last = records[-1]
    assert last.offset is not None
    records.append(replace(record, topic=last.topic, partition=last.partition, offset=last.offset + 1))


def _same_entity(evidence: Evidence, chance: random.Random) -> tuple[list[Record], int, int] | None:
    """Two events of one entity that follow each other, of one partition of commands."""
    found = []
    for records in evidence.audit.values():
        last: dict[bytes | None, int] = {}
        for index, record in enumerate(records):
            if record.key in last:
                found.append((records, last[record.key], index))
            last[record.key] = index
    return chance.choice(found) if found else None


def _applied(body: dict[str, Any]) -> bool:
    return body["outcome"] == "applied"


def _refused(body: dict[str, Any]) -> bool:
    return body["outcome"] == "rejected"


# --- audit events ------------------------------------------------------------------------------


@corruption(MISSING)
def event_dropped(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _event(evidence, chance) or ([], 0)
    return bool(records) and records.pop(index) is not None


@corruption(MISSING)
def event_of_a_refusal_dropped(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _event(evidence, chance, _refused) or ([], 0)
    return bool(records) and records.pop(index) is not None


@corruption(MISSING)
def event_of_a_conflict_dropped(evidence: Evidence, chance: random.Random) -> bool:
    found = _event(evidence, chance, lambda body: body["action"] == "command.conflicted")
    records, index = found or ([], 0)
    return bool(records) and records.pop(index) is not None


@corruption(MISSING)
def end_of_a_partition_lost(evidence: Evidence, chance: random.Random) -> bool:
    records = chance.choice(list(evidence.audit.values()))
    del records[-max(1, len(records) // 10) :]
    return True


@corruption(DOUBLED)
def event_doubled_at_once(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _event(evidence, chance) or ([], 0)
    if not records:
        return False
    offset = records[index].offset
    assert offset is not None
    records.insert(index + 1, replace(records[index], offset=offset + 1))
    return True


@corruption(DOUBLED)
def event_doubled_much_later(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _event(evidence, chance) or ([], 0)
    if records:
        _insert(records, records[index])
    return bool(records)


@corruption(DOUBLED)
def event_doubled_in_another_partition(evidence: Evidence, chance: random.Random) -> bool:
    here, there = chance.sample(sorted(evidence.audit), 2)
    _insert(evidence.audit[there], chance.choice(evidence.audit[here]))
    return True


@corruption(ORDER)
def events_of_an_entity_swapped(evidence: Evidence, chance: random.Random) -> bool:
    found = _same_entity(evidence, chance)
    if found is None:
        return False
    records, first, second = found
    one, other = records[first], records[second]
    records[first] = replace(other, offset=one.offset)
    records[second] = replace(one, offset=other.offset)
    return True


@corruption(ORDER)
def event_delayed_to_the_end(evidence: Evidence, chance: random.Random) -> bool:
    found = _same_entity(evidence, chance)
    if found is None:
        return False
    records, first, _ = found
    _insert(records, records.pop(first))
    return True


@corruption(SPLIT)
def event_in_another_partition(evidence: Evidence, chance: random.Random) -> bool:
    found = _same_entity(evidence, chance)
    if found is None:
        return False
    records, _, second = found
    record = records.pop(second)
    others = [each for each in evidence.audit.values() if each is not records]
    _insert(chance.choice(others), record)
    return True


@corruption(DIFFERS)
def event_under_another_key(evidence: Evidence, chance: random.Random) -> bool:
    return _with(_event(evidence, chance), key=b"somebody-else")


@corruption(DIFFERS)
def event_without_key(evidence: Evidence, chance: random.Random) -> bool:
    return _with(_event(evidence, chance), key=None)


@corruption(DIFFERS)
def two_events_with_their_values_exchanged(evidence: Evidence, chance: random.Random) -> bool:
    one, other = _event(evidence, chance), _event(evidence, chance)
    if one is None or other is None or one == other:
        return False
    values = [records[index].value for records, index in (one, other)]
    return _with(one, value=values[1]) and _with(other, value=values[0])


@corruption(UNKNOWN)
def event_under_another_id(evidence: Evidence, chance: random.Random) -> bool:
    return _with_header(_event(evidence, chance), "ce_id", b"1c95e07f-0a66-5b3c-8e21-d548b9047a62")


@corruption(UNKNOWN)
def event_without_id(evidence: Evidence, chance: random.Random) -> bool:
    return _with_header(_event(evidence, chance), "ce_id", None)


@corruption(UNKNOWN)
def event_of_nothing(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _event(evidence, chance) or ([], 0)
    if not records:
        return False
    headers = [
        (n, b"%032x" % chance.getrandbits(128) if n == "ce_id" else v) for n, v in records[index].headers
    ]
    _insert(records, replace(records[index], headers=headers))
    return True


@corruption(DIFFERS)
def event_of_another_command(evidence: Evidence, chance: random.Random) -> bool:
    return _with_header(_event(evidence, chance), "ce_causationid", b"another")


@corruption(DIFFERS)
def event_of_another_time(evidence: Evidence, chance: random.Random) -> bool:
    return _with_body(_event(evidence, chance), occurredAt="2026-01-01T00:00:00.000000Z")


@corruption(DIFFERS)
def header_lost(evidence: Evidence, chance: random.Random) -> bool:
    found = _pick(
        list(evidence.audit.values()),
        chance,
        lambda record: any(name == "traceparent" for name, _ in record.headers),
    )
    return _with_header(found, "traceparent", None)


@corruption(DIFFERS)
def header_too_many(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _event(evidence, chance) or ([], 0)
    return bool(records) and _with((records, index), headers=[*records[index].headers, ("x", b"y")])


@corruption(DIFFERS)
def header_twice(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _event(evidence, chance) or ([], 0)
    headers = records[index].headers if records else []
    return bool(records) and _with((records, index), headers=[*headers, headers[-1]])


@corruption(DIFFERS)
def refused_told_as_applied(evidence: Evidence, chance: random.Random) -> bool:
    return _with_body(_event(evidence, chance, _refused), outcome="applied")


@corruption(DIFFERS)
def applied_told_as_refused(evidence: Evidence, chance: random.Random) -> bool:
    error = {"code": "key.postgres.not_found", "message": "no", "details": {}}
    return _with_body(_event(evidence, chance, _applied), outcome="rejected", error=error)


@corruption(DIFFERS)
def refused_for_another_reason(evidence: Evidence, chance: random.Random) -> bool:
    error = {"code": "key.postgres.duplicate", "message": "no", "details": {}}
    return _with_body(_event(evidence, chance, _refused), error=error)


@corruption(DIFFERS | AUDIT_ROW)
def refused_in_other_words_than_in_the_table(evidence: Evidence, chance: random.Random) -> bool:
    found = _event(evidence, chance, _refused)
    if found is None:
        return False
    error = _body(found[0][found[1]])["error"] | {"message": "other words"}
    return _with_body(found, error=error)


@corruption(DIFFERS)
def usage_counted_twice_in_an_event(evidence: Evidence, chance: random.Random) -> bool:
    found = _event(evidence, chance, lambda body: body["action"] == "key.used" and _applied(body))
    if found is None:
        return False
    metadata = _body(found[0][found[1]])["metadata"]
    return _with_body(found, metadata=metadata | {"usageCount": metadata["usageCount"] + 1})


@corruption(DIFFERS)
def created_told_as_updated(evidence: Evidence, chance: random.Random) -> bool:
    found = _event(evidence, chance, lambda body: body["action"] == "user.created" and _applied(body))
    return _with_body(found, action="user.updated")


@corruption(DIFFERS)
def value_not_in_shortest_form(evidence: Evidence, chance: random.Random) -> bool:
    """The same map with its size in two bytes more."""
    records, index = _event(evidence, chance) or ([], 0)
    value = records[index].value if records else None
    if not value or value[0] & 0xF0 != 0x80:
        return False
    return _with((records, index), value=b"\xde" + struct.pack(">H", value[0] & 0x0F) + value[1:])


@corruption(DIFFERS)
def members_in_another_order(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _event(evidence, chance) or ([], 0)
    if not records:
        return False
    members = list(_body(records[index]).items())
    return _with((records, index), value=msgpack.packb(dict([members[1], members[0], *members[2:]])))


@corruption(DIFFERS)
def value_cut_short(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _event(evidence, chance) or ([], 0)
    return bool(records) and _with((records, index), value=(records[index].value or b"")[:-1])


@corruption(DIFFERS)
def tombstone_for_an_event(evidence: Evidence, chance: random.Random) -> bool:
    return _with(_event(evidence, chance), value=None)


# --- dead letters ------------------------------------------------------------------------------


@corruption({"dead letter missing"})
def letter_dropped(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _letter(evidence, chance) or ([], 0)
    return bool(records) and records.pop(index) is not None


@corruption({"dead letter doubled"})
def letter_doubled(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _letter(evidence, chance) or ([], 0)
    if records:
        _insert(records, records[index])
    return bool(records)


@corruption({"dead letter unknown"})
def good_command_buried(evidence: Evidence, chance: random.Random) -> bool:
    """Beside its event: a letter that says it comes from where no malformed record is."""
    records, index = _letter(evidence, chance) or ([], 0)
    if records:
        _insert(records, records[index])
        return _with_header((records, len(records) - 1), CONNECT + "offset", b"999999999")
    return False


@corruption(LETTER)
def letter_in_the_topic_of_another(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _letter(evidence, chance) or ([], 0)
    others = [
        each
        for (topic, _), each in evidence.letters.items()
        if records and each and topic != records[index].topic
    ]
    if others:
        _insert(chance.choice(others), records.pop(index))
    return bool(others)


@corruption(LETTER)
def letter_with_a_bit_turned(evidence: Evidence, chance: random.Random) -> bool:
    found = _letter(evidence, chance, lambda record: bool(record.value) and not record.header(REDACTED))
    if found is None:
        return False
    value = bytearray(found[0][found[1]].value or b"")
    value[chance.randrange(len(value))] ^= 1
    return _with(found, value=bytes(value))


@corruption(LETTER)
def letter_under_another_key(evidence: Evidence, chance: random.Random) -> bool:
    return _with(_letter(evidence, chance), key=b"another")


@corruption(LETTER)
def letter_of_another_time(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _letter(evidence, chance) or ([], 0)
    return bool(records) and _with((records, index), timestamp_ms=records[index].timestamp_ms + 1)


@corruption(LETTER)
def letter_without_a_header_it_came_with(evidence: Evidence, chance: random.Random) -> bool:
    found = _letter(evidence, chance, lambda record: record.header("x-number") is not None)
    return _with_header(found, "x-number", None)


@corruption({"dead letter doubled", "dead letter missing"})
def letter_that_names_the_origin_of_another(evidence: Evidence, chance: random.Random) -> bool:
    one, other = _letter(evidence, chance), _letter(evidence, chance)
    if one is None or other is None or one == other:
        return False
    changed = False
    for name in ("topic", "partition", "offset"):
        value = other[0][other[1]].header(CONNECT + name)
        changed = _with_header(one, CONNECT + name, value) or changed
    return changed


@corruption(LETTER)
def letter_with_another_offset_for_spring(evidence: Evidence, chance: random.Random) -> bool:
    found = _letter(evidence, chance)
    return _with_header(found, SPRING + "original-offset", struct.pack(">q", 1 << 40))


@corruption(LETTER)
def letter_without_a_reason(evidence: Evidence, chance: random.Random) -> bool:
    return _with_header(_letter(evidence, chance), CONNECT + "exception.message", None)


@corruption(LETTER)
def letter_of_another_class(evidence: Evidence, chance: random.Random) -> bool:
    return _with_header(_letter(evidence, chance), CONNECT + "class.name", b"sqlstate")


@corruption(LETTER)
def letter_of_another_group(evidence: Evidence, chance: random.Random) -> bool:
    return _with_header(_letter(evidence, chance), CONNECT + "connector.name", b"another")


@corruption(LETTER)
def letter_with_its_error_headers_twice(evidence: Evidence, chance: random.Random) -> bool:
    records, index = _letter(evidence, chance) or ([], 0)
    if not records:
        return False
    headers = records[index].headers
    errors = [each for each in headers if each[0].startswith((CONNECT, SPRING))]
    return _with((records, index), headers=[*headers, *errors])


@corruption(LETTER)
def secret_kept_in_a_letter(evidence: Evidence, chance: random.Random) -> bool:
    found = _letter(
        evidence,
        chance,
        lambda record: record.header(REDACTED) is not None and b"[redacted]" in (record.value or b""),
    )
    if found is None:
        return False
    value = found[0][found[1]].value or b""
    return _with(found, value=value.replace(b"[redacted]", b"s3cr3t-val"))


@corruption(LETTER)
def redaction_not_flagged(evidence: Evidence, chance: random.Random) -> bool:
    found = _letter(evidence, chance, lambda record: record.header(REDACTED) is not None)
    return _with_header(found, REDACTED, None)


# --- rows of entities --------------------------------------------------------------------------


def _row(
    evidence: Evidence,
    chance: random.Random,
    table: str,
    wanted: Callable[[dict[str, Any]], bool] = lambda _row: True,
) -> dict[str, Any] | None:
    rows = [row for row in evidence.tables[table] if wanted(row)]
    return chance.choice(rows) if rows else None


def _set(row: dict[str, Any] | None, **columns: Any) -> bool:
    if row is not None:
        row.update(columns)
    return row is not None


@corruption(ROW)
def usage_lost(evidence: Evidence, chance: random.Random) -> bool:
    row = _row(evidence, chance, "auth_keys", lambda row: row["usage_count"] > 0)
    return _set(row, usage_count=(row or {}).get("usage_count", 0) - 1)


@corruption(ROW)
def usage_counted_twice(evidence: Evidence, chance: random.Random) -> bool:
    row = _row(evidence, chance, "auth_keys", lambda row: row["usage_count"] > 0)
    return _set(row, usage_count=(row or {}).get("usage_count", 0) + 1)


@corruption(ROW)
def revocation_lost(evidence: Evidence, chance: random.Random) -> bool:
    row = _row(evidence, chance, "auth_keys", lambda row: row["status"] == "revoked")
    return _set(row, status="active", revoked_at=None)


@corruption(ROW)
def time_of_last_use_off_by_a_microsecond(evidence: Evidence, chance: random.Random) -> bool:
    row = _row(evidence, chance, "auth_keys", lambda row: row["last_used_at"] is not None)
    if row is None:
        return False
    return _set(row, last_used_at=row["last_used_at"] + timedelta(microseconds=1))


@corruption(ROW)
def scopes_in_another_order(evidence: Evidence, chance: random.Random) -> bool:
    row = _row(evidence, chance, "auth_keys", lambda row: len(row["scopes"]) > 1)
    return row is not None and _set(row, scopes=row["scopes"][::-1])


@corruption(ROW)
def older_upsert_stands(evidence: Evidence, chance: random.Random) -> bool:
    row = _row(evidence, chance, "auth_users")
    return _set(row, display_name="an earlier name")


@corruption(ROW)
def whole_number_became_a_float(evidence: Evidence, chance: random.Random) -> bool:
    def whole(row: dict[str, Any]) -> bool:
        return any(type(value) is int and abs(value) < 2**53 for value in row["labels"].values())

    row = _row(evidence, chance, "auth_users", whole)
    if row is None:
        return False
    labels = {n: float(v) if type(v) is int else v for n, v in row["labels"].items()}
    return _set(row, labels=labels)


@corruption({"row missing"})
def row_lost(evidence: Evidence, chance: random.Random) -> bool:
    rows = chance.choice([rows for rows in evidence.tables.values() if rows])
    rows.pop(chance.randrange(len(rows)))
    return True


@corruption({"row unknown"})
def removal_undone(evidence: Evidence, chance: random.Random) -> bool:
    row = _row(evidence, chance, "auth_groups")
    if row is None:
        return False
    evidence.tables["auth_groups"].append(deepcopy(row) | {"id": "group-that-was-deleted"})
    return True


@corruption({"row missing", "row unknown"})
def row_under_another_id(evidence: Evidence, chance: random.Random) -> bool:
    return _set(_row(evidence, chance, "auth_memberships"), id="somebody-else")


@corruption({"row doubled"})
def row_doubled(evidence: Evidence, chance: random.Random) -> bool:
    row = _row(evidence, chance, "auth_entitlements")
    if row is not None:
        evidence.tables["auth_entitlements"].append(dict(row))
    return row is not None


# --- rows of the audit log ---------------------------------------------------------------------


def _alter_audit_row(evidence: Evidence, chance: random.Random, column: str, value: Any) -> bool:
    index = chance.randrange(len(evidence.audit_rows))
    row = list(evidence.audit_rows[index])
    row[AUDIT_COLUMNS.index(column)] = value
    evidence.audit_rows[index] = tuple(row)
    return True


@corruption({"audit row missing"})
def audit_row_lost(evidence: Evidence, chance: random.Random) -> bool:
    evidence.audit_rows.pop(chance.randrange(len(evidence.audit_rows)))
    evidence.audit_row_count -= 1
    return True


@corruption({"audit rows vanished or changed"})
def audit_row_lost_after_it_was_seen(evidence: Evidence, _: random.Random) -> bool:
    evidence.audit_row_count -= 1
    return True


@corruption({"audit row unknown"})
def audit_row_of_nothing(evidence: Evidence, chance: random.Random) -> bool:
    row = chance.choice(evidence.audit_rows)
    evidence.audit_rows.append(("8d2f6c1a-417b-5e0d-9b53-6ea217c930f4", *row[1:]))
    evidence.audit_row_count += 1
    return True


@corruption({"audit row doubled"})
def audit_row_doubled(evidence: Evidence, chance: random.Random) -> bool:
    evidence.audit_rows.append(chance.choice(evidence.audit_rows))
    evidence.audit_row_count += 1
    return True


@corruption(AUDIT_ROW)
def audit_row_of_another_origin(evidence: Evidence, chance: random.Random) -> bool:
    return _alter_audit_row(evidence, chance, "offset", 1 << 40)


@corruption(AUDIT_ROW)
def audit_row_with_another_digest(evidence: Evidence, chance: random.Random) -> bool:
    return _alter_audit_row(evidence, chance, "command_digest", "0" * 32)


@corruption(AUDIT_ROW)
def audit_row_with_another_outcome(evidence: Evidence, chance: random.Random) -> bool:
    return _alter_audit_row(evidence, chance, "outcome", "unknown")


@corruption(AUDIT_ROW)
def audit_row_of_another_entity(evidence: Evidence, chance: random.Random) -> bool:
    return _alter_audit_row(evidence, chance, "entity", "somebody-else")


@corruption(AUDIT_ROW)
def audit_row_with_other_metadata(evidence: Evidence, chance: random.Random) -> bool:
    return _alter_audit_row(evidence, chance, "metadata", {"added": 1})
