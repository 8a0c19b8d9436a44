"""Proves from the journal and the evidence that every command took effect exactly once.

Everything is found, not only the first: a finding names the rule that is broken, the command and
the places, so that an engineer can start from it. It holds no values of commands.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import msgpack

from harness.wire import Record

from .contract import AUDIT_COLUMNS, Contract, Expected, audit_row
from .evidence import Evidence
from .journal import Journal, Place, Sent
from .letters import Letter, differences

# One lost partition is not a million findings.
MOST_OF_A_RULE = 100
ORIGIN = slice(AUDIT_COLUMNS.index("topic"), AUDIT_COLUMNS.index("offset") + 1)


@dataclass(frozen=True)
class Finding:
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


def check(journal: Journal, evidence: Evidence) -> list[Finding]:
    """Empty: proven. To be called when everything sent is behind the consumer group."""
    return Checker(journal).check(evidence)


class Checker:
    """For one long campaign: check() again takes what is new in the journal and in the evidence of
    the same Collector; the six tables of entities are compared whole each time. What is lost after
    it was seen once, only a check from the beginning finds."""

    def __init__(self, journal: Journal):
        self.journal = journal
        self.contract = Contract()
        self._unpublished: dict[str, Expected] = {}
        self._unrecorded: dict[str, Expected] = {}
        self._unburied: dict[Place, Sent] = {}
        self._published: dict[str, Place] = {}
        self._recorded: set[str] = set()
        self._buried: dict[Place, Place] = {}
        # What the worker says of a refusal: where it was read first, the other has to agree.
        self._errors: dict[str, str] = {}
        self._last: dict[tuple[bytes, str, int], tuple[int, str]] = {}
        self._homes: dict[bytes, int] = {}
        # Where an engineer begins who looks for why a row is wrong.
        self._latest: dict[bytes, tuple[str, Place]] = {}
        self._read: Counter[tuple[Any, ...]] = Counter()
        self._group: str | None = None

    def check(self, evidence: Evidence) -> list[Finding]:
        findings = list(self._all(evidence))
        return _at_most(findings, MOST_OF_A_RULE)

    def feed(self) -> list[Finding]:
        """Takes what is new in the journal; check() does it too."""
        added = self.contract.feed(self.journal)
        for expected in added.events:
            self._unpublished[expected.id] = self._unrecorded[expected.id] = expected
            self._latest[expected.key] = (expected.id, expected.origins[0])
        self._unburied |= {sent.at: sent for sent in added.letters}
        return [Finding("journal has gaps", gap) for gap in added.gaps]

    def fork(self) -> "Checker":
        """Another one that knows the same, to check another state of the evidence. Only one of the
        two may be fed again."""
        other = copy(self)
        for name, state in vars(self).items():
            if isinstance(state, dict | set):
                setattr(other, name, state.copy())
        return other

    def _all(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self.feed()
        yield from self._check_events(evidence)
        yield from self._check_letters(evidence)
        yield from self._check_audit_rows(evidence)
        yield from self._check_entities(evidence)

    def _new(self, name: tuple[Any, ...], records: list[Any]) -> list[Any]:
        since = self._read[name]
        self._read[name] = len(records)
        return records[since:]

    # --- audit events --------------------------------------------------------------------------

    def _check_events(self, evidence: Evidence) -> Iterator[Finding]:
        for partition, records in sorted(evidence.audit.items()):
            for record in self._new(("audit", partition), records):
                yield from self._check_event(record)
        for expected in self._unpublished.values():
            yield Finding("audit event missing", str(expected))

    def _check_event(self, record: Record) -> Iterator[Finding]:
        event_id = _text(record, "ce_id")
        expected = self._unpublished.pop(event_id, None)
        if expected is not None:
            self._published[event_id] = record.at
            for what in self._event_differences(record, expected):
                yield Finding("audit event differs", f"{what} of {expected}, at {_place(record)}")
            yield from self._check_order(record, expected)
        elif event_id in self._published:
            first = "{}-{}@{}".format(*self._published[event_id])
            yield Finding("audit event doubled", f"{event_id} at {first} and at {_place(record)}")
        else:
            yield Finding("audit event unknown", f"{event_id} at {_place(record)}")

    def _event_differences(self, record: Record, expected: Expected) -> Iterator[str]:
        if record.key != expected.key:
            yield "key"
        if len(record.headers) != len(expected.headers):
            yield f"number of headers, {len(record.headers)} for {len(expected.headers)},"
        given = dict(record.headers)
        for name, value in expected.headers:
            if given.get(name) != value:
                yield f"header {name}"
        if expected.code is None:
            if record.value != expected.value:
                yield from _value_differences(record.value, expected)
        else:
            yield from self._refusal_differences(record.value or b"", expected)

    def _refusal_differences(self, value: bytes, expected: Expected) -> Iterator[str]:
        """The error's code is expected, its message and details are the worker's own words."""
        body = _unpack(value)
        if not isinstance(body, dict) or not isinstance(body.get("error"), dict):
            yield "value without error"
            return
        error = body["error"]
        if not _is_error(error):
            yield "error's members"
        if self._other_error(expected.id, error):
            yield "error is not that of the table, which is the case"
        told = msgpack.packb(body | {"error": {"code": error.get("code")}})
        if msgpack.packb(body) != value:
            yield "value is not canonical, which is the case"
        elif told != expected.value:
            yield from _value_differences(told, expected)

    def _other_error(self, event_id: str, error: Any) -> bool:
        text = _strict(error)
        return self._errors.setdefault(event_id, text) != text

    def _check_order(self, record: Record, expected: Expected) -> Iterator[Finding]:
        """An entity's events are in one partition, in the order of its commands. What two partitions
        of commands have on one entity is in no order."""
        assert record.partition is not None
        home = self._homes.setdefault(expected.key, record.partition)
        if home != record.partition:
            yield Finding(
                "audit events of an entity in two partitions",
                f"{expected} at {_place(record)}, earlier ones in {home}",
            )
        topic, partition, _ = expected.origins[0]
        number, last = self._last.get((expected.key, topic, partition), (-1, ""))
        if expected.number < number:
            yield Finding("audit events out of order", f"{expected} at {_place(record)} comes after {last}")
        else:
            self._last[(expected.key, topic, partition)] = (expected.number, expected.id)

    # --- dead letters --------------------------------------------------------------------------

    def _check_letters(self, evidence: Evidence) -> Iterator[Finding]:
        for where, records in sorted(evidence.letters.items()):
            for record in self._new(("letters", *where), records):
                yield from self._check_letter(record, evidence)
        for sent in self._unburied.values():
            yield Finding("dead letter missing", f"{sent.kind} of {_of(sent.at)}")

    def _check_letter(self, record: Record, evidence: Evidence) -> Iterator[Finding]:
        letter = Letter(record)
        origin = letter.origin
        sent = self._unburied.pop(origin, None)
        if sent is not None:
            self._buried[origin] = record.at
            self._group = self._group or evidence.group or letter.group
            for what in differences(letter, sent, self._group):
                where = f"{sent.kind} of {_of(origin)}, at {_place(record)}"
                yield Finding("dead letter differs", f"{what} of {where}")
        elif origin in self._buried:
            places = f"{_of(self._buried[origin])} and at {_place(record)}"
            yield Finding("dead letter doubled", f"{_of(origin)} at {places}")
        else:
            yield Finding("dead letter unknown", f"{_of(origin)} at {_place(record)}")

    # --- tables --------------------------------------------------------------------------------

    def _check_audit_rows(self, evidence: Evidence) -> Iterator[Finding]:
        for row in self._new(("rows",), evidence.audit_rows):
            expected = self._unrecorded.pop(row[0], None)
            if expected is not None:
                self._recorded.add(row[0])
                for what in self._row_differences(row, expected):
                    yield Finding("audit row differs", f"{what} of {expected}")
            elif row[0] in self._recorded:
                yield Finding("audit row doubled", row[0])
            else:
                yield Finding("audit row unknown", f"{row[0]} of {_of(row[ORIGIN])}")
        for expected in self._unrecorded.values():
            yield Finding("audit row missing", str(expected))
        if evidence.audit_row_count != len(evidence.audit_rows):
            counts = f"{evidence.audit_row_count} rows now, {len(evidence.audit_rows)} were seen"
            yield Finding("audit rows vanished or changed", counts)

    def _row_differences(self, row: tuple[Any, ...], expected: Expected) -> Iterator[str]:
        origin = row[ORIGIN]
        right = audit_row(expected, origin if origin in expected.origins else expected.origins[0])
        for name, found, wanted in zip(AUDIT_COLUMNS, row, right, strict=True):
            if name == "error" and expected.code is not None:
                if not _is_error(found) or found["code"] != expected.code:
                    yield "error"
                elif self._other_error(expected.id, found):
                    yield "error, which is not that of the event,"
            elif found != wanted or (found and name in _JSON and _strict(found) != _strict(wanted)):
                yield name

    def _check_entities(self, evidence: Evidence) -> Iterator[Finding]:
        for table, wanted in self.contract.rows.items():
            found = {row["id"]: row for row in evidence.tables[table]}
            if len(found) != len(evidence.tables[table]):
                yield Finding("row doubled", table)
            for row_id in wanted.keys() - found.keys():
                yield Finding("row missing", f"{table} {row_id}{self._after(row_id)}")
            for row_id in found.keys() - wanted.keys():
                yield Finding("row unknown", f"{table} {row_id}{self._after(row_id)}")
            for row_id in wanted.keys() & found.keys():
                for column in _column_differences(found[row_id], wanted[row_id]):
                    what = f"{column} of {table} {row_id}{self._after(row_id)}"
                    yield Finding("row differs", what)

    def _after(self, entity: str) -> str:
        event_id, place = self._latest.get(entity.encode(), ("", ("", -1, -1)))
        return f", last event {event_id} of {_of(place)}" if event_id else ""


_encode = json.JSONEncoder(default=repr).encode
_JSON = {"actor", "subject", "resource", "metadata", "error"}


def _column_differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    differing = []
    for name, value in wanted.items():
        other = found.get(name, ...)
        if other != value or (isinstance(value, dict) and _strict(other) != _strict(value)):
            differing.append(name)
    return differing


def _is_error(error: Any) -> bool:
    return (
        isinstance(error, dict)
        and list(error)[:2] == ["code", "message"]
        and set(error) <= {"code", "message", "details"}
        and isinstance(error["message"], str)
        and error["message"] != ""
        and isinstance(error.get("details", {}), dict)
    )


def _value_differences(value: bytes | None, expected: Expected) -> Iterator[str]:
    body = _unpack(value or b"")
    wanted = expected.body
    if not isinstance(body, dict):
        yield "value is no map, which is the case"
        return
    differing = [
        name
        for name in [*wanted, *(name for name in body if name not in wanted)]
        if _strict(body.get(name)) != _strict(wanted.get(name))
    ]
    yield "value's " + (", ".join(map(str, differing)) or "bytes, but not its members,")


def _unpack(value: bytes) -> Any:
    try:
        return msgpack.unpackb(value)
    except (ValueError, msgpack.UnpackException):
        return None


def _strict(value: Any) -> str:
    """Tells 1, 1.0 and true apart, and one order of members from another."""
    return _encode(value)


def _text(record: Record, name: str) -> str:
    values = [value for header, value in record.headers if header == name and value is not None]
    return values[0].decode(errors="replace") if values else ""


def _place(record: Record) -> str:
    return _of(record.at)


def _of(place: Iterable[Any]) -> str:
    return "{}-{}@{}".format(*place)


def _at_most(findings: list[Finding], most: int) -> list[Finding]:
    kept: list[Finding] = []
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.rule] += 1
        if counts[finding.rule] <= most:
            kept.append(finding)
    more = [Finding(rule, f"and {n - most} more") for rule, n in counts.items() if n > most]
    return kept + more
