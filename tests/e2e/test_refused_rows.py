"""Rows that PostgreSQL's triggers skipped or gave another primary key: each ends for its own command
alone, as a dead letter that says why, and never as applied, rejected or published."""

from collections.abc import Callable

import pytest

from harness import make, program
from harness.model import Model
from harness.site import Site
from harness.wire import IDENTITY, KEYS, Command

SKIPPED = "no row was written: a trigger, rule or policy of the table skipped it"
RENAMED = "a trigger of the table changed the primary key of the row"

# Command ids of this file carry no time: their audit rows lie in the DEFAULT partition.
REST_PARTITION = (
    "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
    " WHERE inhparent = 'auth_audit_events'::regclass AND inhrelid::regclass::text LIKE '%rest'"
)

MAKERS: dict[str, Callable[[str], Command]] = {
    "auth_users": make.user,
    "auth_orgs": make.org,
    "auth_groups": make.group,
    "auth_memberships": make.membership,
    "auth_entitlements": make.entitlement,
    "auth_keys": make.issue,
}


def _topic(table: str) -> str:
    return KEYS if table == "auth_keys" else IDENTITY


def _trigger(site: Site, table: str, event: str, body: str, when: str) -> None:
    site.sql(f"CREATE OR REPLACE FUNCTION house() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
    site.sql(
        f"CREATE TRIGGER house BEFORE {event} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION house()"
    )


def _skip(site: Site, table: str, event: str = "INSERT", when: str = "NEW.id LIKE 'bad%'") -> None:
    _trigger(site, table, event, "RETURN NULL;", when)


def _rename(
    site: Site, table: str, value: str = "NEW.id || '-changed'", when: str = "NEW.id LIKE 'bad%'"
) -> None:
    _trigger(site, table, "INSERT", f"NEW.id := {value}; RETURN NEW;", when)


def _mixed(count: int, good: Callable[[int], Command], bad: Callable[[int], Command]) -> list[Command]:
    """`count` good ones and as many bad ones, in turn; of one there is only the bad one."""
    if count == 1:
        return [bad(0)]
    return [command for n in range(count) for command in (good(n), bad(n))]


def _is_bad(command: Command) -> bool:
    return command.id.startswith("bad") or str(command.data.get("id", "")).startswith("bad")


def _judged(site: Site, commands: list[Command], topic: str, reason: str, model: Model | None = None) -> None:
    """The bad ones are dead letters with that reason, the others are applied, once each."""
    model = model or Model()
    placed = site.publish(commands)
    if not site.workers:
        site.start()
    site.wait_done(120)

    letters = site.dead_letters(topic)
    assert [letter.value for letter in letters] == [
        record.value for command, record in zip(commands, placed, strict=True) if _is_bad(command)
    ]
    for letter in letters:
        assert letter.text("__connect.errors.stage") == "TASK_PUT"
        assert reason in (letter.text("__connect.errors.exception.message") or "")
    site.check(model.take_all([command for command in commands if not _is_bad(command)]))


@pytest.mark.parametrize("count", [64, 1])
@pytest.mark.parametrize("table", MAKERS)
def test_a_skipped_row_is_refused(narrow: Site, table: str, count: int) -> None:
    maker = MAKERS[table]
    _skip(narrow, table)

    commands = _mixed(count, lambda n: maker(f"good-{n}"), lambda n: maker(f"bad-{n}"))

    _judged(narrow, commands, _topic(table), SKIPPED)


@pytest.mark.parametrize("count", [64, 1])
@pytest.mark.parametrize("table", MAKERS)
def test_a_row_with_another_key_is_refused(narrow: Site, table: str, count: int) -> None:
    maker = MAKERS[table]
    _rename(narrow, table)

    commands = _mixed(count, lambda n: maker(f"good-{n}"), lambda n: maker(f"bad-{n}"))

    _judged(narrow, commands, _topic(table), RENAMED)


@pytest.mark.parametrize("table", ["auth_keys", "auth_users"])
def test_a_row_that_takes_the_key_of_another_command_is_refused(narrow: Site, table: str) -> None:
    """A trigger that makes ids lower-case, where both spellings come in one batch."""
    maker = MAKERS[table]
    _rename(narrow, table, "'good-' || substr(NEW.id, 5)")

    commands = _mixed(40, lambda n: maker(f"good-{n}"), lambda n: maker(f"bad-{n}"))
    commands.reverse()

    _judged(narrow, commands, _topic(table), RENAMED)


@pytest.mark.parametrize("count", [64, 1])
@pytest.mark.parametrize("table", MAKERS)
def test_a_skipped_update_is_refused(narrow: Site, table: str, count: int) -> None:
    maker = MAKERS[table] if table != "auth_keys" else make.use
    commands = _mixed(count, lambda n: maker(f"good-{n}"), lambda n: maker(f"bad-{n}"))
    before = [MAKERS[table](str(command.data["id"])) for command in commands]
    narrow.start()
    narrow.process(before)
    _skip(narrow, table, "UPDATE", "OLD.id LIKE 'bad%'")

    _judged(narrow, commands, _topic(table), SKIPPED, Model().take_all(before))


REMOVALS: dict[str, tuple[str, Callable[..., Command], Callable[..., Command]]] = {
    "delete": ("auth_groups", make.group, make.group_delete),
    "membership": ("auth_memberships", make.membership, make.membership_remove),
    "entitlement": ("auth_entitlements", make.entitlement, make.entitlement_remove),
    "revoke": ("auth_keys", make.issue, make.revoke),
    # Some usages of the key are good and others late: PostgreSQL judges them one by one.
    "late use": (
        "auth_keys",
        lambda key_id: make.issue(key_id, {"expiresAt": "2026-02-01T00:00:00Z"}),
        make.use,
    ),
}


@pytest.mark.parametrize("count", [64, 1])
@pytest.mark.parametrize("verb", REMOVALS)
def test_a_skipped_removal_is_refused(narrow: Site, verb: str, count: int) -> None:
    table, maker, remove = REMOVALS[verb]
    changes = "DELETE" if table != "auth_keys" else "UPDATE"
    time = {"time": "2026-01-01T00:00:00Z"} if verb == "late use" else {}
    commands = _mixed(count, lambda n: remove(f"good-{n}", **time), lambda n: remove(f"bad-{n}", **time))
    before = [maker(str(command.data["id"])) for command in commands]
    narrow.start()
    narrow.process(before)
    _skip(narrow, table, changes, "OLD.id LIKE 'bad%'")

    _judged(narrow, commands, _topic(table), SKIPPED, Model().take_all(before))


@pytest.mark.key
@pytest.mark.parametrize("count", [64, 1])
@pytest.mark.parametrize("how", ["skipped", "renamed", "in a partition"])
def test_a_command_whose_audit_row_is_not_written_is_refused(narrow: Site, how: str, count: int) -> None:
    """It is neither applied nor published, however often it is offered."""
    when = "NEW.command_id LIKE 'bad%'"
    if how == "renamed":
        _rename(narrow, "auth_audit_events", "gen_random_uuid()", when)
    else:
        table = "auth_audit_events"
        if how == "in a partition":
            program.run_ok("retention", "partition", "--from", "2026-01-01T00:00:00Z", env=narrow.env)
            (table,) = {row["name"] for row in narrow.sql(REST_PARTITION)}
        _skip(narrow, table, when=when)
    commands = _mixed(
        count, lambda n: make.user(f"u-{n}", id=f"good-{n}"), lambda n: make.user(f"v-{n}", id=f"bad-{n}")
    )

    # The server compares the ids as a whole: it does not tell which of the two it was.
    _judged(narrow, commands, IDENTITY, SKIPPED)

    again = narrow.publish([command for command in commands if _is_bad(command)])
    narrow.wait_done()
    assert len(narrow.dead_letters()) == 2 * len(again)
    assert not [r for r in narrow.audit_records() if (r.text("ce_causationid") or "").startswith("bad")]


def test_a_trigger_that_lets_rows_pass_costs_no_command(narrow: Site) -> None:
    _trigger(narrow, "auth_keys", "INSERT", "NEW.description := NEW.description; RETURN NEW;", "true")
    commands = [make.issue(f"good-{n}") for n in range(100)]

    _judged(narrow, [*commands, make.issue("good-7", {"hash": "other"})], KEYS, "")


def test_an_index_of_the_installation_is_still_a_duplicate(narrow: Site) -> None:
    """A unique index that the worker does not know: key.postgres.duplicate, as before."""
    narrow.sql("CREATE UNIQUE INDEX house ON auth_keys (name)")
    narrow.start()
    narrow.process([make.issue("k-1", {"name": "one"}), make.issue("k-2", {"name": "one"})])

    codes = [
        record.value
        for record in narrow.audit_records()
        if b"key.postgres.duplicate" in (record.value or b"")
    ]
    assert len(codes) == 1
    assert narrow.dead_letters(KEYS) == []
