"""The verbs as an operator uses them: publish, tail, show, seed, migrate, version, help."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import msgpack
import pytest

from harness import make, program
from harness.model import Model
from harness.program import (
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_NOT_FOUND,
    EXIT_OK,
    EXIT_TRY_AGAIN,
    EXIT_UNAVAILABLE,
    run,
)
from harness.site import Site
from harness.wait import wait_until
from harness.wire import IDENTITY, KEYS, TYPES, Command, Record, format_time


def _line(command: Command) -> dict[str, Any]:
    given = {
        "type": command.type,
        "id": command.id,
        "source": command.source,
        "subject": command.subject,
        "time": command.time,
        "data": command.data,
    }
    return {name: value for name, value in given.items() if value is not None}


def _lines(commands: list[Command]) -> str:
    return "".join(json.dumps(_line(c), ensure_ascii=False) + "\n" for c in commands)


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


ONE_OF_EACH = [
    make.user("v-user", {"displayName": "Vera", "labels": {"tier": "gold", "n": 1.0}}),
    make.org("v-org", {"settings": {"beta": True}}),
    make.group("v-group", {"orgId": "v-org"}),
    make.group("v-group-2", {"orgId": "v-org"}),
    make.group_delete("v-group-2"),
    make.membership("v-member", {"userId": "v-user", "orgId": "v-org", "groupIds": ["v-group"]}),
    make.membership("v-member-2"),
    make.membership_remove("v-member-2"),
    make.entitlement("v-grant", {"subjectId": "v-user"}),
    make.entitlement("v-grant-2"),
    make.entitlement_remove("v-grant-2"),
    make.issue("v-key", {"owner": {"kind": "user", "id": "v-user"}}),
    make.use("v-key"),
    make.issue("v-key-2", {"owner": {"kind": "user", "id": "v-user"}}, time=make.at(900)),
    make.revoke("v-key-2", {"reason": "rotation"}),
    make.issue(
        "v-key-3",
        {"owner": {"kind": "user", "id": "v-user"}, "expiresAt": "2020-01-01T00:00:00Z"},
        time=make.at(901),
    ),
    make.append({"subject": {"type": "user", "id": "v-user"}, "actor": {"type": "user", "id": "boss"}}),
]


@pytest.fixture(scope="module")
def site(new_module_site: Callable[..., Site]) -> Iterator[Site]:
    """A site with one of everything, published by the program itself."""
    made = new_module_site(partitions=1)
    made.start()
    program.run_ok("publish", env=made.env, stdin=_lines(ONE_OF_EACH))
    made.wait_done()
    yield made


# --- publish -----------------------------------------------------------------------------------


def test_published_commands_of_every_type_are_applied(site: Site) -> None:
    assert {command.kind for command in ONE_OF_EACH} == TYPES.keys()

    site.check(Model().take_all(ONE_OF_EACH))


def test_publish_sends_what_the_contract_says(new_site: Callable[..., Site]) -> None:
    site = new_site(partitions=1)
    commands = [ONE_OF_EACH[0], make.issue("k"), make.append(subject="thing")]

    program.run_ok("publish", env=site.env, stdin=_lines(commands))

    identity = site.kafka.read_committed(site.topics[IDENTITY])
    (key,) = site.kafka.read_committed(site.topics[KEYS])
    for record, command in zip([identity[0], key, identity[1]], commands, strict=True):
        wanted = command.record()
        assert record.key == wanted.key
        assert msgpack.unpackb(record.value) == command.data
        assert dict(record.headers) == dict(wanted.headers)


def test_publish_reads_a_file_and_takes_the_time_when_none_is_given(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "commands.jsonl"
    file.write_text(_lines([make.user("from-file", time=None)]))

    program.run_ok("publish", "--file", str(file), env=site.env)
    site.wait_done()

    assert "from-file" in site.table("auth_users")


@pytest.mark.parametrize(
    ("name", "line", "word"),
    [
        ("not JSON", "{", "line 2"),
        ("a list", "[]", "line 2"),
        ("no type", '{"id": "x", "source": "s", "data": {}}', "type"),
        ("unknown type", '{"type": "nope", "id": "x", "source": "s", "data": {}}', "type"),
        ("no data", json.dumps({"type": TYPES["user.upsert"], "id": "x", "source": "s"}), "data"),
        (
            "a field missing",
            json.dumps({"type": TYPES["key.revoke"], "id": "x", "source": "s", "data": {"reason": "r"}}),
            "id",
        ),
    ],
)
def test_publish_refuses_bad_lines_with_their_number(
    new_site: Callable[..., Site], name: str, line: str, word: str
) -> None:
    site = new_site(partitions=1)

    done = run("publish", env=site.env, stdin=_lines([make.user("u")]) + line + "\n")

    assert done.returncode == EXIT_DATA, f"{name}: {done.stderr}"
    assert "2" in done.stderr and word in done.stderr


def test_publish_without_a_broker(site: Site) -> None:
    nowhere = f"127.0.0.1:{program.free_port()}"
    env = site.env | {
        "CATALYST_KAFKA_BOOTSTRAP_SERVERS": nowhere,
        "CATALYST_STARTUP_DEADLINE": "2",
    }
    done = run("publish", env=env, stdin=_lines([make.user("u")]), timeout_s=30)
    assert done.returncode == EXIT_UNAVAILABLE, done.stderr


# --- tail --------------------------------------------------------------------------------------


def test_tail_of_the_audit_topic(site: Site) -> None:
    records = site.audit_records()

    lines = _json_lines(
        program.run_ok("tail", "--from", "beginning", "--count", str(len(records)), env=site.env)
    )

    assert len(lines) == len(records)
    for line, record in zip(sorted(lines, key=lambda x: x["offset"]), records, strict=True):
        assert (line["topic"], line["partition"], line["offset"]) == record.at
        assert line["key"] == (record.key or b"").decode()
        assert line["headers"] == {name: (value or b"").decode() for name, value in record.headers}
        assert line["data"] == msgpack.unpackb(record.value)
        assert set(line) == {"topic", "partition", "offset", "timestamp", "key", "headers", "data"}


def test_tail_of_the_commands_and_of_a_topic_by_name(site: Site) -> None:
    both = program.run_ok("tail", "--topic", "commands", "--from", "beginning", "--count", "3", env=site.env)
    assert {line["topic"] for line in _json_lines(both)} <= set(site.topics.values())

    named = program.run_ok(
        "tail", "--topic", site.topics[KEYS], "--from", "beginning", "--count", "1", env=site.env
    )
    (line,) = _json_lines(named)
    assert line["headers"]["ce_type"] == TYPES["key.issue"] and line["data"]["id"] == "v-key"


def test_tail_of_the_dead_letters_shows_what_cannot_be_decoded(new_site: Callable[..., Site]) -> None:
    site = new_site(partitions=1)
    site.start()
    site.process([Record(IDENTITY, b"k", b"\xc1\x00", [("x", b"\xff")])])

    out = program.run_ok("tail", "--topic", "dlq", "--from", "beginning", "--count", "1", env=site.env)

    (line,) = _json_lines(out)
    assert line["topic"] == site.topics[IDENTITY] + ".dlq"
    assert "ce_id" in line["headers"]["__connect.errors.exception.message"]


@pytest.mark.parametrize(
    "verb",
    [
        ("tail", "--from", "beginning", "--count", "1"),
        ("show", "--help"),
        ("help",),
        ("version",),
        ("check",),
        ("migrate", "status"),
    ],
    ids=" ".join,
)
def test_a_full_disk_is_no_success(site: Site, verb: tuple[str, ...]) -> None:
    """The same call can succeed once there is room: exit code 75, and what went wrong."""
    code, said = program.run_into("/dev/full", *verb, env=site.env)

    assert code == EXIT_TRY_AGAIN, said
    assert "standard output: No space left on device" in said or "could not be written" in said


def test_tail_from_a_time(site: Site) -> None:
    records = site.audit_records()
    newest = max(record.timestamp_ms for record in records)
    from datetime import datetime

    when = datetime.fromtimestamp(newest / 1000, UTC)
    expected = [record for record in records if record.timestamp_ms >= newest]
    out = program.run_ok("tail", "--from", format_time(when), "--count", str(len(expected)), env=site.env)
    assert [line["offset"] for line in _json_lines(out)] == [record.offset for record in expected]


def test_tail_of_a_topic_that_is_not_there(site: Site) -> None:
    done = run("tail", "--topic", "no-such-topic", "--count", "1", env=site.env, timeout_s=60)
    assert done.returncode in (EXIT_CONFIG, EXIT_NOT_FOUND), done.stderr
    assert "no-such-topic" in done.stderr


# --- show --------------------------------------------------------------------------------------


def test_show_user(site: Site) -> None:
    assert program.run_json("show", "user", "v-user", env=site.env) == {
        "id": "v-user",
        "authentikId": "ak-v-user",
        "email": "v-user@example.com",
        "displayName": "Vera",
        "labels": {"tier": "gold", "n": 1.0},
    }


def test_show_org_by_id_and_slug(site: Site) -> None:
    by_id = program.run_json("show", "org", "v-org", env=site.env)

    assert by_id == {
        "id": "v-org",
        "slug": "slug-v-org",
        "status": "active",
        "ownerUserId": "user-1",
        "profile": {"name": "Org v-org"},
        "labels": {},
        "settings": {"beta": True},
    }
    assert program.run_json("show", "org", "--slug", "slug-v-org", env=site.env) == by_id


def test_show_group_and_groups(site: Site) -> None:
    group = program.run_json("show", "group", "v-group", env=site.env)

    assert group == {
        "id": "v-group",
        "orgId": "v-org",
        "slug": "slug-v-group",
        "name": "Group v-group",
        "labels": {},
    }
    assert program.run_json("show", "groups", "--org", "v-org", env=site.env) == [group]


def test_show_membership_and_memberships(site: Site) -> None:
    membership = program.run_json("show", "membership", "v-member", env=site.env)

    assert membership == {
        "id": "v-member",
        "userId": "v-user",
        "orgId": "v-org",
        "role": "member",
        "groupIds": ["v-group"],
        "labelsDelta": {},
        "createdAt": "2026-03-04T05:06:07.123456Z",
        "updatedAt": "2026-03-04T05:06:07.123456Z",
    }
    assert program.run_json("show", "memberships", "--user", "v-user", env=site.env) == [membership]
    assert program.run_json("show", "memberships", "--org", "v-org", env=site.env) == [membership]


def test_show_entitlement_and_entitlements(site: Site) -> None:
    grant = program.run_json("show", "entitlement", "v-grant", env=site.env)

    assert grant == {
        "id": "v-grant",
        "subjectKind": "user",
        "subjectId": "v-user",
        "entitlement": "feature:v-grant",
        "createdAt": "2026-03-04T05:06:07.123456Z",
        "metadata": {},
    }
    listed = program.run_json("show", "entitlements", "--subject", "user:v-user", env=site.env)
    assert listed == [grant]


def test_show_key_by_id_and_hash(site: Site) -> None:
    by_id = program.run_json("show", "key", "v-key", env=site.env)

    assert by_id == {
        "id": "v-key",
        "hash": "hash-v-key",
        "owner": {"kind": "user", "id": "v-user"},
        "createdAt": "2026-03-04T05:06:07.123456Z",
        "updatedAt": "2026-03-04T05:06:07.123456Z",
        "lastUsedAt": "2026-03-04T05:06:07.123456Z",
        "usageCount": 1,
        "status": "active",
        "scopes": ["read"],
        "labels": {},
    }
    assert program.run_json("show", "key", "--hash", "hash-v-key", env=site.env) == by_id


def test_show_keys_by_owner(site: Site) -> None:
    def ids(*flags: str) -> list[str]:
        shown = program.run_json("show", "keys", "--owner", "user:v-user", *flags, env=site.env)
        return [key["id"] for key in shown]

    assert ids() == ["v-key"]
    assert ids("--include-revoked") == ["v-key", "v-key-2"]
    assert ids("--include-expired") == ["v-key", "v-key-3"]
    assert ids("--include-expired", "--include-revoked") == ["v-key", "v-key-3", "v-key-2"]
    statuses = program.run_json(
        "show", "keys", "--owner", "user:v-user", "--include-expired", "--include-revoked", env=site.env
    )
    assert [key["status"] for key in statuses] == ["active", "expired", "revoked"]


def test_show_identity(site: Site) -> None:
    everything = {
        "userId": "v-user",
        "orgId": "v-org",
        "groups": ["v-group"],
        "labels": {"tier": "gold", "n": 1.0},
        "roles": ["member"],
        "entitlements": ["feature:v-grant"],
        "scopes": [],
    }

    assert program.run_json("show", "identity", "--user", "v-user", env=site.env) == everything
    named = ("--user", "v-user", "--org", "v-org", "--membership", "v-member")
    assert program.run_json("show", "identity", *named, env=site.env) == everything
    without = program.run_json("show", "identity", *named, "--no-groups", env=site.env)
    assert without == everything | {"groups": []}


def test_show_audit_with_filters_and_cursor(site: Site) -> None:
    def ids(*flags: str) -> list[str]:
        return [event["id"] for event in program.run_json("show", "audit", *flags, env=site.env)]

    model = Model().take_all(ONE_OF_EACH)
    everything = ids("--limit", "1000")
    assert {event.id for event in model.events} <= set(everything)
    keys = ids("--entity", "v-key")
    assert keys == [e.id for e in model.events if e.key == "v-key"] or set(keys) == {
        e.id for e in model.events if e.key == "v-key"
    }
    assert set(ids("--actor", "boss")) == {e.id for e in model.events if e.body.get("actor")}
    assert set(ids("--action", "key.revoked")) == {
        e.id for e in model.events if e.body["action"] == "key.revoked"
    }
    assert set(ids("--category", "security")) == {
        e.id for e in model.events if e.body["category"] == "security"
    }
    one = ONE_OF_EACH[3]
    assert ids("--command-id", one.id) == [e.id for e in model.events if e.command is one]
    early = ids("--until", "2026-03-01T00:00:00Z", "--limit", "1000")
    late = ids("--since", "2026-03-01T00:00:00Z", "--limit", "1000")
    assert early and late and early + late == everything


def test_show_audit_pages_with_a_cursor(site: Site) -> None:
    everything = program.run_json("show", "audit", "--limit", "1000", env=site.env)
    done = run("show", "audit", "--limit", "4", env=site.env)
    paged = json.loads(done.stdout)
    pages = 1
    while len(paged) < len(everything):
        (cursor,) = re.findall(r"next: --after (\S+)", done.stderr)
        done = run("show", "audit", "--limit", "4", "--after", cursor, env=site.env)
        page = json.loads(done.stdout)
        assert page, "a page before the end is empty"
        paged += page
        pages += 1

    assert paged == everything and pages > 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["user", "nobody"],
        ["org", "nobody"],
        ["org", "--slug", "nobody"],
        ["group", "nobody"],
        ["membership", "nobody"],
        ["entitlement", "nobody"],
        ["key", "nobody"],
        ["key", "--hash", "nobody"],
        ["identity", "--user", "nobody"],
        ["identity", "--user", "v-user", "--org", "nobody"],
        ["identity", "--user", "v-user", "--membership", "nobody"],
    ],
    ids=" ".join,
)
def test_show_of_what_is_not_there_is_exit_66(site: Site, arguments: list[str]) -> None:
    done = run("show", *arguments, env=site.env)
    assert done.returncode == EXIT_NOT_FOUND, done.stderr
    assert done.stderr.strip() and not done.stdout.strip()


def test_show_identity_of_a_membership_of_another_is_exit_65(site: Site) -> None:
    other = [make.user("v-other"), make.org("v-org-2")]
    site.process(other)

    wrong_user = run("show", "identity", "--user", "v-other", "--membership", "v-member", env=site.env)
    wrong_org = run(
        "show", "identity", "--user", "v-user", "--org", "v-org-2", "--membership", "v-member", env=site.env
    )

    assert wrong_user.returncode == EXIT_DATA, wrong_user.stderr
    assert wrong_org.returncode == EXIT_DATA, wrong_org.stderr


def test_show_lists_of_nothing_are_empty(site: Site) -> None:
    for arguments in (
        ["keys", "--owner", "org:nobody"],
        ["groups", "--org", "nobody"],
        ["memberships", "--user", "nobody"],
        ["entitlements", "--subject", "org:nobody"],
        ["audit", "--entity", "nobody"],
    ):
        assert program.run_json("show", *arguments, env=site.env) == []


def test_show_as_a_table(site: Site) -> None:
    out = program.run_ok("show", "user", "v-user", "--output", "table", env=site.env)
    assert "v-user@example.com" in out
    with pytest.raises(json.JSONDecodeError):
        json.loads(out)


# --- seed --------------------------------------------------------------------------------------


def test_seed_twice_gives_the_same_rows(new_site: Callable[..., Site]) -> None:
    site = new_site(partitions=1)
    arguments = ["seed", "--users", "20", "--orgs", "3", "--keys", "15", "--seed", "7"]
    program.run_ok(*arguments, env=site.env)
    tables = ("auth_users", "auth_orgs", "auth_groups", "auth_memberships", "auth_entitlements", "auth_keys")
    first = {table: site.table(table) for table in tables}
    audit = site.sql("SELECT count(*) AS n FROM auth_audit_events")[0]["n"]

    program.run_ok(*arguments, env=site.env)

    assert {table: site.table(table) for table in tables} == first
    assert site.sql("SELECT count(*) AS n FROM auth_audit_events")[0]["n"] == audit > 0
    assert len(first["auth_users"]) == 20
    assert len(first["auth_orgs"]) == 3
    assert len(first["auth_keys"]) == 15
    assert all(first.values())

    other = new_site(partitions=1)
    program.run_ok(*arguments, env=other.env)
    assert {table: other.table(table) for table in tables} == first
    program.run_ok("seed", "--users", "20", "--seed", "8", env=other.env)
    assert other.table("auth_users").keys() > first["auth_users"].keys()


# --- migrate -----------------------------------------------------------------------------------


def test_migrate_up_twice_and_status(new_site: Callable[..., Site]) -> None:
    site = new_site(partitions=1)

    program.run_ok("migrate", "up", env=site.env)
    status = program.run_json("migrate", "status", "--output", "json", env=site.env)

    assert status
    assert site.sql("SELECT count(*) AS n FROM auth_users")[0]["n"] == 0


def test_migrate_status_before_and_after(site: Site) -> None:
    env = site.env | {"CATALYST_DATABASE_SCHEMA": site.schema + "_fresh"}

    before = program.run_json("migrate", "status", "--output", "json", env=env)
    program.run_ok("migrate", "up", env=env)
    after = program.run_json("migrate", "status", "--output", "json", env=env)

    assert before != after


def test_migrate_up_with_topics(site: Site) -> None:
    """Makes command, audit and dead-letter topics; a second time it finds them."""
    name = site.name + "-made"
    env = site.env | {
        "CATALYST_COMMAND_TOPICS": f"{name}.one,{name}.two",
        "CATALYST_AUDIT_TOPIC": f"{name}.audit",
    }

    program.run_ok("migrate", "up", "--topics", env=env)
    program.run_ok("migrate", "up", "--topics", env=env)

    wanted = {f"{name}.{topic}" for topic in ("one", "two", "one.dlq", "two.dlq", "audit")}
    wait_until("the broker tells of them", lambda: wanted <= site.kafka.topic_names(), 30)
    done = run("check", "--online", env=env)
    assert done.returncode == EXIT_OK, done.stdout + done.stderr


def test_migrations_run_at_once_do_not_disturb_each_other(site: Site) -> None:
    from concurrent.futures import ThreadPoolExecutor

    env = site.env | {"CATALYST_DATABASE_SCHEMA": site.schema + "_race"}
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda _: run("migrate", "up", env=env).returncode, range(4)))
    assert codes == [EXIT_OK] * 4


def test_a_changed_migration_is_refused(new_site: Callable[..., Site]) -> None:
    site = new_site(partitions=1)
    tables = site.sql(
        "SELECT table_name AS name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND column_name = 'checksum'"
    )
    assert len(tables) == 1, tables
    site.sql(f"UPDATE {tables[0]['name']} SET checksum = 'x'")

    for verb in (["migrate", "up"], ["run"]):
        done = run(*verb, env=site.env, timeout_s=30)
        assert done.returncode == EXIT_CONFIG, f"{verb}: {done.stderr}"
        assert "another text" in done.stderr


# --- version and help --------------------------------------------------------------------------

VERBS = (
    "run",
    "check",
    "migrate",
    "publish",
    "tail",
    "show",
    "dlq",
    "recover",
    "retention",
    "seed",
    "version",
    "help",
)


def test_version() -> None:
    told = program.run_json("version", env={})
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["version"]) and told["librdkafka"]
    # Else the suite on another librdkafka would prove nothing about it.
    linked = json.loads(subprocess.check_output([program.BINARY, "version"], env={}))
    assert (told["librdkafka"] != linked["librdkafka"]) == bool(program.LIBRDKAFKA)
    assert told["version"] in program.run_ok("--version", env={})


def test_help_names_every_verb() -> None:
    out = program.run_ok("help", env={})
    for verb in VERBS:
        assert verb in out
    assert program.run_ok("--help", env={}) == out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    out = program.run_ok(verb, "--help", env={})
    assert f"catalyst-worker {verb}" in out
