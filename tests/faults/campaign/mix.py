"""The campaign's stream of records: a seeded random mix of everything that the contract names.

Its outcome must be decidable from the order within each partition alone, since replicas interleave
partitions as they like. So whatever can collide belongs to one family, and what a family has in one
topic goes to one partition: an entity's commands, orgs that want the same slug, keys with the same
hash, entitlements of the same triple, the same (source, id) with another body. No entity is touched
from both topics. The one exception are twins: a command that is sent in two partitions, with the
same bytes and headers, on an entity that nothing else touches. Whichever comes first counts, and
the event and the rows are the same either way; only the audit row's origin may be either.
"""

import random
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from heapq import heappop, heappush
from typing import Any
from uuid import UUID

import msgpack

from harness import make
from harness.malformed import CASES
from harness.wire import CROCKFORD, EPOCH, KEYS, Command, Record

MALFORMED = "malformed: "
FAMILIES = 300
NEAR = 40
FAR = 4000
LARGE = 4096  # bytes; larger ones are rare
CASES_BY_NAME = {case.name: case for case in CASES}
SMALL_CASES = [case for case in CASES if len(case.record.value or b"") <= LARGE]
LARGE_CASES = [case for case in CASES if len(case.record.value or b"") > LARGE]
# As likely as all the fields and types that may be wrong together.
SECRET_CASES = [case for case in CASES if case.redacted]

WORDS = ("alpha", "Ωmega", "δ-δοκιμή", "x" * 60, "snow ☃", "tab\tnl\n", 'quote " \\ /', "", "😀", "a b")
NUMBERS = (0, 1, -1, 127, 128, -33, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63))
FLOATS = (0.5, 1.0, -0.0, 1e-7, 1.5e300, 3.141592653589793, 1e22, -2.5)


@dataclass(frozen=True)
class Item:
    """A record to be sent; its topic is IDENTITY or KEYS, its partition is chosen."""

    record: Record
    kind: str


@dataclass(frozen=True)
class Member:
    """An item that may come again, and what it was made of (None: of nothing that may conflict)."""

    item: Item
    command: Command | None


class Mix:
    """An endless iterator; the same seed, start and partitions give the same items."""

    def __init__(self, seed: int, partitions: dict[str, int], start_ms: int):
        self.chance = random.Random(seed)
        self.seed = seed
        self.partitions = partitions
        self.start_ms = start_ms
        self.number = 0
        self._issued: dict[int, deque[str]] = {}  # by family; the latest ids
        self._revoked: dict[int, str] = {}  # by family; the latest id
        self._near: deque[Member] = deque(maxlen=NEAR)
        self._far: list[Member] = []
        self._later: list[tuple[int, int, Item]] = []  # twins: when, which, what
        self._steps: list[tuple[float, Callable[[], Item]]] = [
            (0.03, lambda: self._again(self._near)),
            (0.02, lambda: self._again(self._far)),
            (0.015, self._conflict),
            (0.01, self._twin),
            (0.03, self._malformed),
            (1.0, self._fresh),
        ]

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        self.number += 1
        if self._later and self._later[0][0] <= self.number:
            return heappop(self._later)[2]
        pick = self.chance.random()
        for share, step in self._steps:
            pick -= share
            if pick < 0:
                return step()
        return self._fresh()

    # --- what comes again ----------------------------------------------------------------------

    def _again(self, members: "deque[Member] | list[Member]") -> Item:
        """A duplicate from upstream: the same value and name. What else may differ, differs."""
        if not members:
            return self._fresh()
        item = self.chance.choice(members).item
        record = replace(item.record, timestamp_ms=self._timestamp())
        if self.chance.random() < 0.5:
            headers = [each for each in record.headers if each[0] != "traceparent"]
            record = replace(record, headers=[*headers, ("traceparent", self._trace().encode())])
        return Item(record, item.kind)

    def _conflict(self) -> Item:
        """The same name with another body, in another form of the body, or of another type."""
        commands = [each for each in (self._near, self._far) if each]
        if not commands:
            return self._fresh()
        first = self.chance.choice(self.chance.choice(commands))
        if first.command is None:
            return self._fresh()
        other = self._changed(first.command)
        return self._remember(other, first.item.record.partition)

    def _changed(self, command: Command) -> Command:
        pick = self.chance.random()
        if pick < 0.4 or command.kind == "audit.append":
            return command.with_data(note=self.number)
        if pick < 0.6:
            data = {name: value for name, value in command.data.items() if not _is_time(value)}
            return command.but(data=data, mode=self.chance.choice(("json", "structured")))
        entity = command.data.get("id", f"nameless-{self.number}")
        if command.topic == KEYS:
            other = make.use(entity) if command.kind != "key.record_usage" else make.revoke(entity)
        else:
            other = make.user(entity) if command.kind != "user.upsert" else make.group_delete(entity)
        return command.but(kind=other.kind, data=other.data)

    def _twin(self) -> Item:
        """Sent twice, far apart, in two partitions of whichever topics."""
        command = self._envelope(self._lonely(), 1.0)
        places = [(topic, p) for topic, count in self.partitions.items() for p in range(count)]
        first, second = self.chance.sample(places, 2)
        record = command.record()
        items = [
            Item(replace(record, topic=topic, partition=partition), command.kind)
            for topic, partition in (first, second)
        ]
        later = self.number + self.chance.randint(1, 600)
        heappush(self._later, (later, self.number, items[1]))
        return items[0]

    def _lonely(self) -> Command:
        name = f"lonely-{self.seed}-{self.number}"
        kinds: list[Callable[[], Command]] = [
            lambda: make.append({"resource": {"type": "note", "id": name}, "metadata": self._map()}),
            lambda: make.issue(name, {"scopes": ["b", "a", "b"]}),
            lambda: make.user(name),
            lambda: make.use(name),
            lambda: make.membership_remove(name),
        ]
        return self.chance.choice(kinds)()

    # --- what is no command --------------------------------------------------------------------

    def _malformed(self) -> Item:
        pick = self.chance.random()
        if pick < 0.01:
            case = self.chance.choice(LARGE_CASES)
        else:
            case = self.chance.choice(SECRET_CASES if pick < 0.2 else SMALL_CASES)
        record = case.record
        # Its own number, so that a letter of one can't pass for the letter of another; where the
        # point is that headers are missing, none is added.
        headers = list(record.headers)
        if headers:
            headers.append(("x-number", str(self.number).encode()))
        key = self.chance.choice((record.key, record.key, None, b"\x00\xff", b""))
        partition = self.chance.randrange(self.partitions[record.topic])
        record = Record(record.topic, key, record.value, headers, self._timestamp(), partition)
        return Item(record, MALFORMED + case.name)

    # --- new commands --------------------------------------------------------------------------

    def _fresh(self) -> Item:
        # Zipf-like: a few families get most of it.
        family = int(FAMILIES * self.chance.random() ** 3)
        command = self._envelope(self._one(family), 0.85)
        partition = zlib.crc32(f"{family}".encode()) % self.partitions[command.topic]
        return self._remember(command, partition)

    def _remember(self, command: Command, partition: int | None) -> Item:
        item = Item(replace(command.record(), partition=partition), command.kind)
        member = Member(item, command)
        self._near.append(member)
        if len(self._far) < FAR:
            self._far.append(member)
        else:
            self._far[self.chance.randrange(FAR)] = member
        return item

    def _envelope(self, command: Command, with_time: float) -> Command:
        chance = self.chance
        mode = "msgpack"
        timed = any(_is_time(value) for value in command.data.values())
        if not timed and chance.random() < 0.25:
            mode = chance.choice(("json", "structured", "structured-base64"))
        actor = chance.random() < 0.2
        carried = {}
        if chance.random() < 0.3:
            carried["traceparent"] = self._trace()
        if chance.random() < 0.1:
            carried["tracestate"] = f"vendor={self.number}"
        if chance.random() < 0.2:
            carried["ce_correlationid"] = f"saga-{self.number // 10}"
        return command.but(
            id=self._id(),
            source=chance.choice(("/billing", "urn:catalyst:portal", "ünïcode")),
            time=self._time() if chance.random() < with_time else None,
            authtype=chance.choice(("user", "service")) if actor else None,
            authid=f"actor-{self.number % 7}" if actor else None,
            subject=command.data.get("id", f"subject-{self.number}") if chance.random() < 0.3 else None,
            carried=carried,
            timestamp_ms=self._timestamp(),
            mode=mode,
        )

    def _one(self, family: int) -> Command:
        """Slots of an entity make commands meet: the more there are, the rarer a meeting."""
        slot = self.chance.randrange(3)
        pick = self.chance.random()
        for share, make_one in _KINDS:
            pick -= share
            if pick < 0:
                return make_one(self, family, slot)
        return _append(self, family, slot)

    # --- small things --------------------------------------------------------------------------

    def _timestamp(self) -> int:
        # Recent, or a broker's retention would take them; a little apart.
        return self.start_ms + self.number // 10

    def _trace(self) -> str:
        return f"00-{self.chance.getrandbits(128):032x}-{self.number:016x}-01"

    def _id(self) -> str:
        chance = self.chance
        pick = chance.random()
        tail = chance.getrandbits(80)
        milliseconds = self._timestamp()
        if pick < 0.5:
            bits = milliseconds << 80 | 7 << 76 | (tail >> 64 & 0xFFF) << 64
            text = str(UUID(int=bits | 2 << 62 | tail & 0x3FFFFFFFFFFFFFFF))
            return text.upper() if pick < 0.05 else text
        if pick < 0.75:
            number = milliseconds << 80 | tail
            text = "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
            return text.lower() if pick < 0.55 else text
        if pick < 0.8:
            return str(UUID(int=chance.getrandbits(128), version=4))
        return f"{chance.choice(('cmd', 'bestellung-№', 'a/b c'))}-{self.seed}-{self.number}"

    def moment(self) -> datetime:
        return EPOCH + timedelta(milliseconds=self.start_ms, seconds=self.number % 100_000)

    def _time(self) -> str:
        """RFC 3339 in its forms: zones, no fraction, more digits than are kept."""
        at = self.moment() + timedelta(microseconds=self.number % 1_000_000)
        form = self.chance.randrange(5)
        if form == 0:
            return at.strftime("%Y-%m-%dT%H:%M:%SZ")
        if form == 1:
            return at.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
        if form == 2:
            return at.strftime("%Y-%m-%dt%H:%M:%S.%f999z")
        if form == 3:
            return at.astimezone(timezone(-timedelta(hours=8))).isoformat(timespec="milliseconds")
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def time_field(self) -> Any:
        """A time in a body: text, or MessagePack's own, finer than what is kept."""
        if self.chance.random() < 0.5:
            return self._time()
        seconds = int((self.moment() - EPOCH).total_seconds())
        return msgpack.Timestamp(seconds, self.chance.choice((0, 1, 999, 123_456_789, 999_999_999)))

    def sometimes(self, share: float, **fields: Callable[[], Any]) -> dict[str, Any]:
        """Each field with that chance; now and then it is there and nil, which means the same as
        absent."""
        given: dict[str, Any] = {}
        for name, value in fields.items():
            pick = self.chance.random()
            if pick < share:
                given[name] = value()
            elif pick < share + 0.03:
                given[name] = None
        if self.chance.random() < 0.05:
            given["addedLater"] = {"unknown": [1]}
        return given

    def text(self) -> str:
        return f"{self.chance.choice(WORDS)}{self.number}"

    def labels(self) -> dict[str, Any]:
        values = (self.text, lambda: self.chance.choice(NUMBERS), lambda: True, lambda: 0.25)
        return {f"l{n}": self.chance.choice(values)() for n in range(self.chance.randrange(4))}

    def _map(self, depth: int = 0) -> dict[str, Any]:
        return {f"k{n} ☃": self._leaf(depth) for n in range(self.chance.randrange(4))}

    def _leaf(self, depth: int) -> Any:
        pick = self.chance.randrange(7 if depth < 3 else 5)
        if pick == 5:
            return [self._leaf(depth + 1) for _ in range(self.chance.randrange(3))]
        if pick == 6:
            return self._map(depth + 1)
        leaves = (self.text(), self.chance.choice(NUMBERS), self.chance.choice(FLOATS), None, False)
        return leaves[pick]

    def map(self) -> dict[str, Any]:
        return self._map()

    def key_of(self, family: int, slot: int) -> str:
        """One that was issued lately, or one that may be there, gone or never have been."""
        issued = self._issued.get(family)
        if issued and self.chance.random() < 0.7:
            return self.chance.choice(issued)
        return f"key-{family}-{slot}"

    def key_to_revoke(self, family: int, slot: int) -> str:
        """Now and then the one that was named the last time."""
        if self.chance.random() < 0.6 or family not in self._revoked:
            self._revoked[family] = self.key_of(family, slot)
        return self._revoked[family]

    def new_key(self, family: int, slot: int) -> str:
        key_id = f"key-{family}-{slot}-{self.number}"
        self._issued.setdefault(family, deque(maxlen=4)).append(key_id)
        return key_id

    def party(self) -> dict[str, Any]:
        kind = self.chance.choice(("user", "org", "service", "system"))
        return {"kind": kind, "id": f"{kind}-{self.chance.randrange(50)}"}


def _is_time(value: Any) -> bool:
    return isinstance(value, msgpack.Timestamp)


# --- one of each kind --------------------------------------------------------------------------


def _use(mix: Mix, family: int, slot: int) -> Command:
    return make.use(mix.key_of(family, slot), mix.sometimes(0.4, usedAt=mix.time_field))


def _issue(mix: Mix, family: int, slot: int) -> Command:
    """The id of one slot with the hash of another: each may be taken, or both, or none."""
    chance = mix.chance
    key_id: str | None = f"key-{family}-{slot}"
    hashed = f"hash-{family}-{slot}"
    pick = chance.random()
    if pick < 0.1:
        hashed = f"hash-{family}-{chance.randrange(3)}"
    elif pick < 0.2:
        key_id = f"key-{family}-{slot}-late-{mix.number}"
    elif pick < 0.5:
        # New ones, or there would be nothing but refusals after a while.
        key_id, hashed = mix.new_key(family, slot), f"hash-once-{mix.number}"
    elif pick < 0.6:
        key_id, hashed = None, f"hash-once-{mix.number}"
    soon = mix.moment() + timedelta(seconds=chance.choice((-5, 30, 40_000)))
    data = mix.sometimes(
        0.3,
        name=mix.text,
        description=mix.text,
        createdBy=mix.party,
        labels=mix.labels,
        createdAt=mix.time_field,
        metadata=mix.map,
        expiresAt=soon.isoformat,
    )
    scopes = [chance.choice(("read", "write", "admin:*")) for _ in range(chance.randrange(5))]
    data |= {"hash": hashed, "owner": mix.party(), "scopes": scopes}
    # Without an id nothing names the family: the record's key has to.
    return make.issue(key_id, data, key=None if key_id else f"key-{family}")


def _revoke(mix: Mix, family: int, slot: int) -> Command:
    return make.revoke(
        mix.key_to_revoke(family, slot),
        mix.sometimes(0.5, revokedAt=mix.time_field, revokedBy=mix.party, reason=mix.text),
    )


def _user(mix: Mix, family: int, slot: int) -> Command:
    return make.user(
        f"user-{family}-{slot}",
        mix.sometimes(
            0.4,
            primaryOrgId=lambda: f"org-{family}-{slot}",
            displayName=mix.text,
            avatarUrl=mix.text,
            labels=mix.labels,
            metadata=mix.map,
        ),
    )


def _org(mix: Mix, family: int, slot: int) -> Command:
    chance = mix.chance
    profile = {"name": mix.text(), "links": {"home": mix.text()}} | mix.sometimes(
        0.3, websiteUrl=mix.text, brandColors=mix.map
    )
    # Slugs of the family: taken, given up and taken by another.
    data = {
        "slug": f"slug-{family}-{chance.choice((slot, slot, slot, chance.randrange(5)))}",
        "status": chance.choice(("active", "suspended", "invited", "archived")),
        "ownerUserId": f"user-{family}-0",
        "profile": profile,
    }
    return make.org(f"org-{family}-{slot}", data | mix.sometimes(0.4, labels=mix.labels, settings=mix.map))


def _group(mix: Mix, family: int, slot: int) -> Command:
    return make.group(
        f"group-{family}-{slot}",
        {"orgId": f"org-{family}-{slot}", "slug": f"g-{mix.number % 9}"}
        | mix.sometimes(
            0.4, description=mix.text, parentGroupId=lambda: f"group-{family}-0", labels=mix.labels
        ),
    )


def _group_delete(_: Mix, family: int, slot: int) -> Command:
    return make.group_delete(f"group-{family}-{slot}")


def _membership(mix: Mix, family: int, slot: int) -> Command:
    return make.membership(
        f"membership-{family}-{slot}",
        {"role": mix.chance.choice(("owner", "admin", "member"))}
        | mix.sometimes(
            0.4,
            groupIds=lambda: [f"group-{family}-{n}" for n in range(mix.chance.randrange(4))],
            labelsDelta=mix.labels,
            createdAt=mix.time_field,
            updatedAt=mix.time_field,
        ),
    )


def _membership_remove(_: Mix, family: int, slot: int) -> Command:
    return make.membership_remove(f"membership-{family}-{slot}")


def _entitlement(mix: Mix, family: int, slot: int) -> Command:
    chance = mix.chance
    triple = {
        "subjectKind": chance.choice(("user", "org", "membership")),
        "subjectId": f"user-{family}-0",
        "entitlement": f"feature:{chance.randrange(3)}",
    }
    more = mix.sometimes(0.4, createdAt=mix.time_field, metadata=mix.map)
    return make.entitlement(f"entitlement-{family}-{slot}", triple | more)


def _entitlement_remove(_: Mix, family: int, slot: int) -> Command:
    return make.entitlement_remove(f"entitlement-{family}-{slot}")


def _append(mix: Mix, family: int, slot: int) -> Command:
    """On an entity of its own family, or on none: then the envelope's subject is the entity, or
    the audit id."""
    chance = mix.chance
    data = {"category": "security", "action": chance.choice(("login.succeeded", "login.failed"))}
    blank = chance.random()
    if blank < 0.1:
        data[chance.choice(("category", "action"))] = chance.choice((" ", "", "\u00a0\u2003"))
    note = {"type": "note", "id": f"note-{family}-{slot}"}
    return make.append(
        data
        | mix.sometimes(
            0.5,
            resource=lambda: note | ({"labels": mix.labels()} if chance.random() < 0.3 else {}),
            subject=lambda: {"type": "user", "id": f"noted-{family}-{slot}", "labels": mix.labels()},
            actor=lambda: {"type": "user", "id": f"actor-{family}"},
            occurredAt=mix.time_field,
            metadata=mix.map,
            correlationId=lambda: f"own-{mix.number}",
        ),
        key=f"note-{family}-{slot}",
    )


_KINDS: list[tuple[float, Callable[[Mix, int, int], Command]]] = [
    (0.33, _use),
    (0.12, _issue),
    (0.03, _revoke),
    (0.08, _user),
    (0.08, _org),
    (0.06, _group),
    (0.04, _group_delete),
    (0.06, _membership),
    (0.03, _membership_remove),
    (0.06, _entitlement),
    (0.03, _entitlement_remove),
    (0.08, _append),
]
