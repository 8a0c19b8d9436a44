"""What the journal must lead to: audit events, audit rows, entity rows and dead letters.

The model of harness.model is fed partition by partition, in the order of the offsets; mix.py sees
to it that nothing depends on more. It can be fed again with a journal that has grown.
"""

import base64
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgpack

from harness.model import Event, Model
from harness.wire import TYPES, Command, digest_of

from .journal import Journal, Place, Sent
from .mix import MALFORMED

KINDS = {name: kind for kind, name in TYPES.items()}
CARRIED = ("traceparent", "tracestate", "ce_correlationid")

# What the checker reads of auth_audit_events, in this order; the topic by its name.
AUDIT_COLUMNS = (
    "id",
    "occurred_at",
    "category",
    "action",
    "outcome",
    "actor",
    "subject",
    "resource",
    "metadata",
    "correlation_id",
    "error",
    "entity",
    "command_source",
    "command_id",
    "command_type",
    "command_digest",
    "topic",
    "partition",
    "offset",
    "traceparent",
    "tracestate",
    "carried_correlation_id",
    "legacy_id",
)


@dataclass(slots=True)
class Expected:
    """One audit event. `value` is its canonical bytes; a refused command's has no more in `error`
    than the code, since message and details are the worker's own words."""

    id: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    code: str | None
    command: tuple[str, str]  # source, id
    kind: str
    digest: str
    number: int  # within the partition of its origin
    origins: list[Place]  # the first of them counts, but for twins, where any may

    @property
    def body(self) -> dict[str, Any]:
        return msgpack.unpackb(self.value)

    def __str__(self) -> str:
        source, command_id = self.command
        places = " or ".join("{}-{}@{}".format(*place) for place in self.origins)
        return f"{self.kind} ({source}, {command_id}) of {places}, event {self.id}"


@dataclass
class Outcome:
    """What a feed added."""

    events: list[Expected] = field(default_factory=list)
    letters: list[Sent] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)


class Contract:
    def __init__(self) -> None:
        self.model = Model(keep_events=False)
        self.commands = 0
        self.letters = 0
        self.outcomes: Counter[str] = Counter()
        self._position = 0
        self._next: dict[tuple[str, int], int] = {}
        # By content and name: where a command of a second partition adds its own place.
        self._origins: dict[bytes, list[Place]] = {}

    @property
    def duplicates(self) -> int:
        return self.model.duplicates

    def feed(self, journal: Journal) -> Outcome:
        """Takes what the journal has now and had not at the last call. To be called when nothing is
        on its way: within a partition, offsets must come in order over the calls."""
        until = len(journal.sent)
        added = sorted(journal.sent[self._position : until], key=lambda sent: sent.at)
        self._position = until
        outcome = Outcome()
        for sent in added:
            self._expect_offset(sent, outcome.gaps)
            if sent.kind.startswith(MALFORMED):
                outcome.letters.append(sent)
            else:
                self._take(sent, outcome.events)
        self.letters += len(outcome.letters)
        return outcome

    @property
    def rows(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By table and id."""
        return self.model.rows

    # --- within --------------------------------------------------------------------------------

    def _expect_offset(self, sent: Sent, gaps: list[str]) -> None:
        """A record that is on the topic but not in the journal would make everything else doubtful."""
        partition = (sent.topic, sent.partition)
        due = self._next.get(partition, 0)
        if sent.offset != due:
            gaps.append(f"{sent.topic}-{sent.partition}: after {due - 1} comes {sent.offset}")
        self._next[partition] = sent.offset + 1

    def _take(self, sent: Sent, events: list[Expected]) -> None:
        command = command_of(sent)
        self.commands += 1
        event = self.model.take(command)
        # Of which content: a duplicate of a conflict repeats that conflict.
        digest = digest_of(command.type, command.value())
        name = digest + command.source.encode() + b"\0" + command.id.encode()
        if event is None:
            self._again(self._origins[name], sent.at)
            return
        self.outcomes[event.outcome] += 1
        self._origins[name] = origins = [sent.at]
        events.append(_expected(event, digest, sent, origins))

    @staticmethod
    def _again(origins: list[Place], at: Place) -> None:
        if origins[0][:2] != at[:2]:
            origins.append(at)


def _expected(event: Event, digest: bytes, sent: Sent, origins: list[Place]) -> Expected:
    return Expected(
        event.id,
        event.key.encode(),
        msgpack.packb(event.body),
        tuple((name, value.encode()) for name, value in event.headers.items()),
        event.error_code,
        (event.command.source, event.command.id),
        event.command.kind,
        digest.hex(),
        sent.offset,
        origins,
    )


def audit_row(expected: Expected, origin: Place) -> tuple[Any, ...]:
    """AUDIT_COLUMNS of the event's row; the error holds no more than its code."""
    body = expected.body
    headers = dict(expected.headers)
    carried = [headers[name].decode() if name in headers else None for name in CARRIED]
    return (
        expected.id,
        _moment(body["occurredAt"]),
        body["category"],
        body["action"],
        body["outcome"],
        body.get("actor"),
        body.get("subject"),
        body.get("resource"),
        body.get("metadata"),
        body.get("correlationId"),
        body.get("error"),
        expected.key.decode(),
        body["command"]["source"],
        body["command"]["id"],
        body["command"]["type"],
        expected.digest,
        *origin,
        *carried,
        None,
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- reading what was sent ---------------------------------------------------------------------


def command_of(sent: Sent) -> Command:
    """The command that a valid record carries."""
    headers = {name: value.decode() for name, value in sent.headers if value is not None}
    assert sent.value is not None
    if headers["content-type"].startswith("application/cloudevents+json"):
        event = json.loads(sent.value)
        data = _structured_data(event)
    else:
        event = {name.removeprefix("ce_"): value for name, value in headers.items()}
        data = _data(headers["content-type"], sent.value)
    carried: dict[str, str] = {
        name: headers[name] for name in ("traceparent", "tracestate") if name in headers
    }
    if "correlationid" in event:
        carried["ce_correlationid"] = event["correlationid"]
    return Command(
        KINDS[event["type"]],
        event["id"],
        data,
        event["source"],
        event.get("time"),
        event.get("subject"),
        event.get("authtype"),
        event.get("authid"),
        carried,
        timestamp_ms=sent.timestamp_ms,
        received=sent.value,
    )


def _structured_data(event: dict[str, Any]) -> dict[str, Any]:
    if "data" in event:
        return event["data"]
    return _data(event["datacontenttype"], base64.b64decode(event["data_base64"]))


def _data(content_type: str, value: bytes) -> dict[str, Any]:
    return json.loads(value) if "json" in content_type else msgpack.unpackb(value)
