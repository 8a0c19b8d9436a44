"""Rows as other programs may have stored them: commands about them are answered, and `show` prints them."""

from typing import Any

import pytest

from harness import make
from harness.program import run_json
from harness.site import Site
from harness.wire import Command

MEMBERSHIP = (
    "INSERT INTO auth_memberships (id, user_id, org_id, role, group_ids, created_at, updated_at)"
    " VALUES (%s, 'u', 'o', 'r', %s::text[], %s::timestamptz, now())"
)
# id, group_ids, created_at; what `show` and the event say of them
MEMBERSHIPS: list[tuple[str, str, str, list[str], str | None]] = [
    ("m-null", "{NULL,g,NULL}", "2026-01-01T00:00:00Z", ["g"], "2026-01-01T00:00:00.000000Z"),
    ("m-two", "{{a,b},{c,d}}", "2026-01-02T00:00:00Z", ["a", "b", "c", "d"], "2026-01-02T00:00:00.000000Z"),
    (
        "m-three",
        "[2:3][0:0][5:5]={{{a}},{{b}}}",
        "2026-01-03T00:00:00Z",
        ["a", "b"],
        "2026-01-03T00:00:00.000000Z",
    ),
    ("m-never", "{}", "-infinity", [], "-infinity"),
    ("m-for-ever", "{}", "infinity", [], "infinity"),
    ("m-caesar", "{}", "0044-03-15 00:00:00+00 BC", [], "0044-03-15 00:00:00+00 BC"),
    ("m-far", "{}", "12345-06-07 08:09:10.5+00", [], "12345-06-07 08:09:10.5+00"),
]


@pytest.fixture
def peopled(narrow: Site) -> Site:
    for member_id, groups, created_at, _, _ in MEMBERSHIPS:
        narrow.sql(MEMBERSHIP, member_id, groups, created_at)
    narrow.sql(
        "INSERT INTO auth_entitlements (id, subject_kind, subject_id, entitlement, created_at) VALUES"
        " ('e-1', 'user', 'u', 'x', 'infinity'), ('e-2', 'user', 'u', 'y', '12345-01-01')"
    )
    return narrow


def _key(site: Site, key_id: str, change: str) -> None:
    site.process([make.issue(key_id, {"expiresAt": "2027-01-01T00:00:00Z"})])
    site.sql(f"UPDATE auth_keys SET {change} WHERE id = %s", key_id)


def _answers(site: Site, commands: list[Command]) -> list[dict[str, Any]]:
    """The audit event of each command."""
    events = {event["command"]["id"]: event for event in run_json("show", "audit", env=site.env)}
    return [events[command.id] for command in commands]


@pytest.mark.key
def test_removals_of_foreign_rows_are_answered(peopled: Site) -> None:
    commands = [make.membership_remove(each[0]) for each in MEMBERSHIPS]
    commands += [make.entitlement_remove("e-1"), make.entitlement_remove("e-2")]
    last = make.user("u-last")

    peopled.start()
    peopled.process([*commands, last])

    answers = _answers(peopled, [*commands, last])
    assert [answer["outcome"] for answer in answers] == ["applied"] * len(answers)
    for answer, (_, _, _, groups, _) in zip(answers, MEMBERSHIPS, strict=False):
        assert answer["metadata"]["groupIds"] == groups
    assert peopled.table("auth_memberships") == peopled.table("auth_entitlements") == {}
    assert peopled.dead_letters() == []


def test_foreign_rows_are_shown(peopled: Site) -> None:
    shown = {row["id"]: row for row in run_json("show", "memberships", "--user", "u", env=peopled.env)}

    assert shown.keys() == {each[0] for each in MEMBERSHIPS}
    for member_id, _, _, groups, created_at in MEMBERSHIPS:
        assert shown[member_id]["groupIds"] == groups and shown[member_id]["createdAt"] == created_at
    assert run_json("show", "membership", "m-never", env=peopled.env)["createdAt"] == "-infinity"
    entitlements = run_json("show", "entitlements", "--subject", "user:u", env=peopled.env)
    assert [each["createdAt"] for each in entitlements] == ["12345-01-01 00:00:00+00", "infinity"]


def test_a_key_that_never_expires_is_used(narrow: Site) -> None:
    narrow.start()
    _key(narrow, "k-ever", "expires_at = 'infinity', scopes = '{{a,NULL},{b,c}}'")
    _key(narrow, "k-past", "expires_at = '-infinity'")
    commands = [make.use("k-ever"), make.use("k-past"), make.revoke("k-ever")]

    before = run_json("show", "key", "k-ever", env=narrow.env)
    narrow.process(commands)

    assert "expiresAt" not in before and before["status"] == "active" and before["scopes"] == ["a", "b", "c"]
    used, late, revoked = _answers(narrow, commands)
    assert used["outcome"] == revoked["outcome"] == "applied"
    assert late["error"]["code"] == "key.postgres.expired"
    keys = run_json(
        "show", "keys", "--owner", "user:user-1", "--include-revoked", "--include-expired", env=narrow.env
    )
    assert {key["id"]: key.get("expiresAt") for key in keys} == {"k-ever": None, "k-past": "-infinity"}


def test_audit_events_of_other_programs_are_shown(narrow: Site) -> None:
    for number, occurred_at in enumerate(("-infinity", "2026-01-01", "infinity", "infinity", "20000-01-01")):
        narrow.sql(
            "INSERT INTO auth_audit_events (id, occurred_at, category, action) VALUES (%s, %s, 'c', 'a')",
            f"00000000-0000-4000-8000-00000000000{number}",
            occurred_at,
        )

    shown = run_json("show", "audit", env=narrow.env)

    assert [event["occurredAt"] for event in shown] == [
        "-infinity",
        "2026-01-01T00:00:00.000000Z",
        "20000-01-01 00:00:00+00",
        "infinity",
        "infinity",
    ]


def test_a_row_that_can_not_be_read_concerns_its_own_command(narrow: Site) -> None:
    """The last years that PostgreSQL knows are none of the worker's."""
    narrow.sql(MEMBERSHIP, "m-last", "{}", "294270-01-01")
    narrow.sql(MEMBERSHIP, "m-good", "{}", "2026-01-01")
    narrow.start()
    narrow.process([make.membership_remove("m-last"), make.membership_remove("m-good"), make.user("u-1")])

    (letter,) = narrow.dead_letters()
    assert "a column of the stored row can not be read" in (
        letter.text("__connect.errors.exception.message") or ""
    )
    assert [row["id"] for row in narrow.sql("SELECT id FROM auth_memberships")] == ["m-last"]
    assert "u-1" in narrow.table("auth_users")
