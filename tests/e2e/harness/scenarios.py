"""Short stories of commands, one behaviour each. Names of entities are a story's own, so that all of
them can be told to one worker at once, in one partition or spread."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack

from . import make
from .wire import Command

ACTIONS: dict[str, list[Command]] = {}
REJECTIONS: dict[str, list[Command]] = {}
ENVELOPES: dict[str, list[Command]] = {}
DEPENDENCIES: dict[str, list[Command]] = {}

UUID7 = "01890a5d-ac96-774b-bcce-b302099a8057"
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
LABELS = {"tier": "gold", "seats": 12, "ratio": 0.25, "beta": True, "ümlaut": "snö ✓"}
FREE = {
    "nested": {"list": [1, -1, 2.0, None, True, "x"], "big": 2**63 - 1, "deep": {"a": {"b": {}}}},
    "empty": {},
    "text": 'quotes " \\ / \u2028 😀',
}


# --- every action ------------------------------------------------------------------------------

ACTIONS["user: created with the least"] = [make.user("u-least")]
ACTIONS["user: created with everything"] = [
    make.user(
        "u-all",
        {
            "primaryOrgId": "org-9",
            "displayName": "Zoë Ångström",
            "avatarUrl": "https://example.com/a.png",
            "labels": LABELS,
            "metadata": FREE,
        },
    )
]
ACTIONS["user: an update replaces the whole record"] = [
    make.user("u-replaced", {"displayName": "Before", "labels": LABELS, "metadata": FREE}),
    make.user("u-replaced", {"primaryOrgId": "org-2", "email": "after@example.com"}),
]
ACTIONS["user: nil is absent"] = [
    make.user("u-nil", {"displayName": None, "labels": None, "metadata": None, "primaryOrgId": None})
]
ACTIONS["user: unknown fields are ignored"] = [
    make.user("u-more", {"favouriteColour": "green", "secret": "not of a key"})
]
ACTIONS["org: created with the least, updated with everything"] = [
    make.org("o-1"),
    make.org(
        "o-1",
        {
            "slug": "o-1-renamed",
            "status": "suspended",
            "profile": {
                "name": "Näme",
                "logoUrl": "https://example.com/l",
                "description": "d" * 4096,
                "websiteUrl": "",
                "brandColors": {"primary": "#fff"},
                "address": {"city": "Oslo", "lines": ["a", "b"]},
                "links": {"docs": "https://example.com"},
                "founded": 1999,
            },
            "labels": LABELS,
            "settings": FREE,
        },
    ),
]
for status in ("active", "suspended", "invited", "archived"):
    ACTIONS[f"org: status {status}"] = [make.org(f"o-{status}", {"status": status})]
ACTIONS["org: the same slug again is no conflict with itself"] = [make.org("o-2"), make.org("o-2")]
ACTIONS["group: created, updated, deleted"] = [
    make.group("g-1"),
    make.group("g-1", {"description": "", "parentGroupId": "g-0", "labels": LABELS, "name": "New"}),
    make.group_delete("g-1"),
]
ACTIONS["group: kept"] = [make.group("g-2", {"orgId": "org-7", "parentGroupId": "g-0"})]
ACTIONS["membership: added, updated, removed"] = [
    make.membership("m-1", {"groupIds": ["g-1", "g-2"]}),
    make.membership("m-1", {"role": "admin", "labelsDelta": LABELS}),
    make.membership_remove("m-1"),
]
ACTIONS["membership: createdAt is kept when absent, updatedAt is the envelope's time"] = [
    make.membership("m-2", time=make.at(1)),
    make.membership("m-2", {"role": "owner"}, time=make.at(2)),
]
ACTIONS["membership: times given"] = [
    make.membership(
        "m-3",
        {"createdAt": "2020-02-29T22:29:59+01:30", "updatedAt": "2021-01-01t00:00:00.1234567z"},
    ),
    make.membership("m-3", {"createdAt": "2019-01-01T00:00:00Z"}),
]
ACTIONS["entitlement: granted, updated, revoked"] = [
    make.entitlement("e-1", {"metadata": FREE}, time=make.at(1)),
    make.entitlement("e-1", time=make.at(2)),
    make.entitlement_remove("e-1"),
]
for kind in ("user", "org", "membership"):
    ACTIONS[f"entitlement: of a {kind}"] = [
        make.entitlement(f"e-{kind}", {"subjectKind": kind, "subjectId": f"{kind}-77"})
    ]
ACTIONS["entitlement: createdAt given on an update"] = [
    make.entitlement("e-2", time=make.at(1)),
    make.entitlement("e-2", {"createdAt": "2001-01-01T00:00:00Z"}, time=make.at(2)),
]
ACTIONS["key: issued with the least"] = [make.issue("k-least", {"scopes": []})]
ACTIONS["key: issued with everything"] = [
    make.issue(
        "k-all",
        {
            "owner": {"kind": "service", "id": "svc-1"},
            "name": "CI",
            "description": "for builds",
            "createdBy": {"kind": "user", "id": "user-3"},
            "scopes": ["b", "a", "b", "c", "a"],
            "labels": LABELS,
            "expiresAt": "2030-01-01T00:00:00.5+02:00",
            "createdAt": "2024-12-31T23:59:59.999999999Z",
            "metadata": FREE,
        },
    )
]
ACTIONS["key: issued without an id"] = [make.issue(None, {"hash": "h-without-id"})]
for kind in ("user", "org", "service", "system"):
    ACTIONS[f"key: owned by a {kind}"] = [make.issue(f"k-{kind}", {"owner": {"kind": kind, "id": "x"}})]
ACTIONS["key: used, at the envelope's time and at its own"] = [
    make.issue("k-used"),
    make.use("k-used", time=make.at(5)),
    make.use("k-used", {"usedAt": "2026-05-05T05:05:05Z"}),
    make.use("k-used", {"usedAt": "2026-01-01T00:00:00Z"}),
]
ACTIONS["key: revoked with and without a reason"] = [
    make.issue("k-revoked-1"),
    make.issue("k-revoked-2"),
    make.revoke("k-revoked-1", time=make.at(9)),
    make.revoke(
        "k-revoked-2",
        {
            "revokedAt": "2026-06-01T12:00:00Z",
            "revokedBy": {"kind": "system", "id": "rotation"},
            "reason": "leaked",
        },
    ),
]
ACTIONS["key: an expired one can be revoked"] = [
    make.issue("k-expired-revoked", {"expiresAt": "2020-01-01T00:00:00Z"}),
    make.revoke("k-expired-revoked"),
]
ACTIONS["audit: appended with the least"] = [make.append(key="x")]
ACTIONS["audit: appended with everything"] = [
    make.append(
        {
            "category": "billing",
            "action": "invoice.paid",
            "occurredAt": "2025-05-05T05:05:05.050505Z",
            "actor": {"type": "user", "id": "user-1", "labels": LABELS},
            "subject": {"type": "org", "id": "org-1", "labels": {"a": 1}},
            "resource": {"type": "invoice", "id": "inv-1", "labels": {"paid": True}},
            "metadata": FREE,
            "correlationId": "corr-1",
        }
    )
]
ACTIONS["audit: the subject is the entity when the resource has no id"] = [
    make.append({"subject": {"type": "user", "id": "user-5"}, "resource": {"type": "session"}})
]
ACTIONS["audit: ce_subject is the entity when neither is there"] = [make.append(subject="thing-9")]

# --- every rejection ---------------------------------------------------------------------------

REJECTIONS["key.postgres.duplicate_id"] = [
    make.issue("r-1"),
    make.issue("r-1", {"hash": "r-1-other", "owner": {"kind": "org", "id": "org-5"}}),
]
REJECTIONS["key.postgres.duplicate_hash"] = [
    make.issue("r-2"),
    make.issue("r-2-other", {"hash": "hash-r-2"}, key="r-2"),
]
REJECTIONS["key.postgres.duplicate_id: both collide"] = [
    make.issue("r-3"),
    make.issue("r-3", {"name": "again"}),
]
REJECTIONS["key.postgres.duplicate_id: with two different keys"] = [
    make.issue("r-4a"),
    make.issue("r-4b", key="r-4a"),
    make.issue("r-4a", {"hash": "hash-r-4b"}),
]
REJECTIONS["key.postgres.not_found: usage"] = [make.use("r-nobody")]
REJECTIONS["key.postgres.not_found: revocation"] = [make.revoke("r-nobody-else", {"reason": "x"})]
REJECTIONS["key.postgres.revoked"] = [make.issue("r-5"), make.revoke("r-5"), make.use("r-5")]
REJECTIONS["key.postgres.expired"] = [
    make.issue("r-6", {"expiresAt": "2026-02-01T00:00:00Z"}),
    make.use("r-6", {"usedAt": "2026-01-31T23:59:59.999999Z"}),
    make.use("r-6", {"usedAt": "2026-02-01T00:00:00Z"}),
    make.use("r-6", time="2026-03-01T00:00:00Z"),
    make.use("r-6", {"usedAt": "2026-01-15T00:00:00Z"}, time="2026-03-01T00:00:00Z"),
]
REJECTIONS["key.postgres.revoked: also when it is expired as well"] = [
    make.issue("r-7", {"expiresAt": "2020-01-01T00:00:00Z"}),
    make.revoke("r-7"),
    make.use("r-7"),
]
REJECTIONS["key.postgres.already_revoked"] = [
    make.issue("r-8"),
    make.revoke("r-8"),
    make.revoke("r-8", {"reason": "again", "revokedBy": {"kind": "user", "id": "u"}}),
]
REJECTIONS["org.postgres.duplicate_slug: a new org"] = [
    make.org("r-9", {"slug": "taken"}),
    make.org("r-9-other", {"slug": "taken"}, key="r-9"),
]
REJECTIONS["org.postgres.duplicate_slug: an update"] = [
    make.org("r-10", {"slug": "taken-2"}),
    make.org("r-10-other", key="r-10"),
    make.org("r-10-other", {"slug": "taken-2", "status": "archived"}, key="r-10"),
]
REJECTIONS["audit.postgres.invalid_category"] = [
    make.append({"category": " \u2003\ufeff"}, subject="s-1"),
    make.append({"category": ""}, subject="s-1"),
]
REJECTIONS["audit.postgres.invalid_action"] = [
    make.append({"action": "  "}, subject="s-2"),
    make.append({"category": "key", "action": "key.issued", "resource": {"type": "key", "id": "key_1"}}),
    make.append({"action": "\u00a0Command.CONFLICTED"}, subject="s-2"),
]
REJECTIONS["group.postgres.not_found"] = [make.group_delete("r-11")]
REJECTIONS["membership.postgres.not_found"] = [make.membership_remove("r-12")]
REJECTIONS["entitlement.postgres.not_found"] = [make.entitlement_remove("r-13")]
REJECTIONS["entitlement.postgres.duplicate"] = [
    make.entitlement("r-14", {"entitlement": "same"}),
    make.entitlement("r-14-other", {"entitlement": "same"}, key="r-14"),
]
REJECTIONS["entitlement.postgres.duplicate: an update"] = [
    make.entitlement("r-15", {"entitlement": "same-2"}),
    make.entitlement("r-15-other", key="r-15"),
    make.entitlement("r-15-other", {"entitlement": "same-2"}, key="r-15"),
]
_conflicting = make.user("r-16", id="conflict-1")
REJECTIONS["command.id_conflict: another body"] = [
    _conflicting,
    _conflicting.with_data(displayName="changed"),
    _conflicting.with_data(displayName="changed"),
    _conflicting,
    _conflicting.with_data(displayName="changed again"),
]
REJECTIONS["command.id_conflict: another type"] = [
    make.group("r-17", id="conflict-2"),
    make.group_delete("r-17", id="conflict-2"),
]
REJECTIONS["command.id_conflict: of a time-ordered id"] = [
    make.issue("r-18", id=UUID7, source="uuid7-conflict"),
    make.issue("r-18", {"name": "x"}, id=UUID7, source="uuid7-conflict"),
]
REJECTIONS["command.id_conflict: a key without an id"] = [
    make.issue(None, {"hash": "h-c1"}, id="conflict-3", key="c3"),
    make.issue(None, {"hash": "h-c2"}, id="conflict-3", key="c3"),
]
REJECTIONS["command.id_conflict: of a rejected command"] = [
    make.use("r-19", id="conflict-4"),
    make.use("r-19", {"usedAt": make.at(1)}, id="conflict-4"),
]

# --- envelopes ---------------------------------------------------------------------------------

for mode in ("json", "structured", "structured-base64"):
    ENVELOPES[f"{mode} body"] = [
        make.user(f"env-{mode}", {"metadata": FREE, "labels": LABELS}, mode=mode),
        make.issue(f"env-{mode}", {"expiresAt": "2031-01-01T00:00:00Z"}, mode=mode),
        make.append({"metadata": {"f": 1.0, "i": 1, "e": 1e300}}, mode=mode, subject="s"),
    ]
ENVELOPES["no ce_time: the record's timestamp"] = [
    make.user("env-time", time=None, timestamp_ms=1_765_432_109_876),
    make.membership("env-time", time=None, timestamp_ms=1_765_432_109_876),
]
ENVELOPES["ce_time with an offset and nanoseconds"] = [
    make.user("env-offset", time="2026-01-01T00:30:00.123456789+05:45")
]
ENVELOPES["times as MessagePack timestamps"] = [
    make.issue(
        "env-ext",
        {
            "createdAt": msgpack.Timestamp(1_700_000_000, 0),
            "expiresAt": msgpack.Timestamp(4_000_000_000, 123_456_789),
        },
    ),
    make.use("env-ext", {"usedAt": msgpack.Timestamp(-62_135_596_800, 1000)}),
    make.use("env-ext", {"usedAt": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}),
]
ENVELOPES["an actor"] = [
    make.user("env-actor", authtype="service_account", authid="sync@idp"),
    make.use("env-actor-rejected", authtype="user", authid="user-1"),
]
ENVELOPES["half an actor is none"] = [
    make.user("env-half", authtype="user"),
    make.user("env-half", authid="user-1"),
]
ENVELOPES["carried headers"] = [
    make.user(
        "env-carried",
        carried={
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "tracestate": "vendor=value,other=1",
            "ce_correlationid": "order-77",
        },
    ),
    make.use("env-carried-rejected", carried={"tracestate": "vendor=value"}),
]
ENVELOPES["time-ordered ids"] = [
    make.user("env-uuid7", id=UUID7),
    make.user("env-ulid", id=ULID),
    make.user("env-ulid", id=ULID.lower()),
    make.user("env-uuid7", id=UUID7, source="another source"),
    make.user("env-uuid4", id="936da01f-9abd-4d9d-80c7-02af85c822a8"),
    make.user("env-not-ulid", id="8" + ULID[1:]),
]
ENVELOPES["the longest of everything"] = [
    make.user(
        "ü" * 128,
        {
            "authentikId": "a" * 256,
            "email": "e" * 320,
            "displayName": "n" * 1024,
            "avatarUrl": "u" * 4096,
            "primaryOrgId": "p" * 256,
        },
        id="i" * 256,
        source="s" * 256,
    ),
    make.issue("k" * 256, {"hash": "h" * 256, "scopes": ["s" * 256], "description": "d" * 4096}),
]


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"d": value}
    return value


# The body is level 1, metadata level 2.
ENVELOPES["the deepest body"] = [make.user("env-deep", {"metadata": _nested(63)})]

# --- commands of one batch that depend on each other -------------------------------------------

DEPENDENCIES["a key's whole life"] = [
    make.issue("d-1"),
    make.use("d-1"),
    make.use("d-1"),
    make.revoke("d-1"),
    make.use("d-1"),
    make.revoke("d-1"),
    make.issue("d-1", {"hash": "d-1-again"}),
]
DEPENDENCIES["usage before the issue"] = [make.use("d-2"), make.issue("d-2"), make.use("d-2")]
DEPENDENCIES["two orgs swap their slugs by way of a third"] = [
    make.org("d-3a", {"slug": "red"}, key="d-3"),
    make.org("d-3b", {"slug": "blue"}, key="d-3"),
    make.org("d-3a", {"slug": "blue"}, key="d-3"),
    make.org("d-3a", {"slug": "aside"}, key="d-3"),
    make.org("d-3b", {"slug": "red"}, key="d-3"),
    make.org("d-3a", {"slug": "blue"}, key="d-3"),
    make.org("d-3c", {"slug": "aside"}, key="d-3"),
    make.org("d-3d", {"slug": "red"}, key="d-3"),
]
DEPENDENCIES["an entitlement given up is granted again under another id"] = [
    make.entitlement("d-4a", {"entitlement": "seat"}, key="d-4"),
    make.entitlement("d-4b", {"entitlement": "seat"}, key="d-4"),
    make.entitlement_remove("d-4a", key="d-4"),
    make.entitlement("d-4b", {"entitlement": "seat"}, key="d-4"),
    make.entitlement("d-4a", {"entitlement": "seat"}, key="d-4"),
    make.entitlement("d-4b", {"entitlement": "other seat"}, key="d-4"),
    make.entitlement("d-4a", {"entitlement": "seat"}, key="d-4"),
]
DEPENDENCIES["a hash is free for one key only"] = [
    make.issue("d-5a", {"hash": "hash-d-5"}, key="d-5"),
    make.issue("d-5b", {"hash": "hash-d-5"}, key="d-5"),
    make.issue("d-5b", {"hash": "hash-d-5b"}, key="d-5"),
]
DEPENDENCIES["a hot key: each usage has its own count"] = [
    make.issue("d-6"),
    *(make.use("d-6", time=make.at(n)) for n in range(200)),
]
_start = datetime(2026, 1, 1, tzinfo=UTC)
DEPENDENCIES["usages before and after the expiry, mixed"] = [
    make.issue("d-7", {"expiresAt": "2026-01-01T00:00:10Z"}),
    *(make.use("d-7", {"usedAt": (_start + timedelta(seconds=(7 * n) % 20)).isoformat()}) for n in range(20)),
]
DEPENDENCIES["one user written many times: the last one stands"] = [
    make.user("d-8", {"displayName": f"Name {n}"}, time=make.at(n)) for n in range(50)
]
DEPENDENCIES["membership: kept and given creation times in turn"] = [
    make.membership("d-9", time=make.at(1)),
    make.membership("d-9", {"createdAt": "2011-11-11T11:11:11Z"}, time=make.at(2)),
    make.membership("d-9", {"role": "admin"}, time=make.at(3)),
    make.membership_remove("d-9", time=make.at(4)),
    make.membership("d-9", time=make.at(5)),
]
DEPENDENCIES["group: created, deleted, created"] = [
    make.group("d-10"),
    make.group_delete("d-10"),
    make.group_delete("d-10"),
    make.group("d-10", {"name": "Second life"}),
]
_twice = make.use("d-11")
DEPENDENCIES["a duplicate within the batch"] = [make.issue("d-11"), _twice, _twice, make.use("d-11"), _twice]
_changed = make.issue("d-12")
DEPENDENCIES["an id conflict within the batch"] = [
    _changed,
    _changed.with_data(scopes=["more"]),
    _changed,
    make.use("d-12"),
]

ALL = ACTIONS | REJECTIONS | ENVELOPES | DEPENDENCIES
assert len(ALL) == sum(map(len, (ACTIONS, REJECTIONS, ENVELOPES, DEPENDENCIES)))


def told(stories: dict[str, list[Command]]) -> list[Command]:
    return [command for story in stories.values() for command in story]
