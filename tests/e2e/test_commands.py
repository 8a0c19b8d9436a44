"""Every command type and every rejection: the row, and the audit event to the byte."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from harness import scenarios
from harness.model import CREATING, UPDATING, Model, check_event
from harness.site import Site
from harness.wire import TYPES, Record

CODES = {
    "key.postgres.duplicate_id",
    "key.postgres.duplicate_hash",
    "key.postgres.not_found",
    "key.postgres.revoked",
    "key.postgres.expired",
    "key.postgres.already_revoked",
    "org.postgres.duplicate_slug",
    "audit.postgres.invalid_category",
    "audit.postgres.invalid_action",
    "group.postgres.not_found",
    "membership.postgres.not_found",
    "entitlement.postgres.not_found",
    "entitlement.postgres.duplicate",
    "command.id_conflict",
}


@dataclass
class Told:
    site: Site
    model: Model
    audit: dict[str, Record]
    dead: list[Record]


@pytest.fixture(scope="module")
def told(new_module_site: Callable[..., Site]) -> Iterator[Told]:
    """All stories told to one worker, in one partition of each topic."""
    site = new_module_site(partitions=1)
    site.start()
    commands = scenarios.told(scenarios.ALL)
    site.process(commands)
    # Commands of a story share a topic unless they touch different tables, so the order of the
    # stories is the order of delivery as far as it matters.
    model = Model().take_all(commands)
    dead = site.dead_letters("identity") + site.dead_letters("keys")
    yield Told(site, model, site.audit_by_id(), dead)


@pytest.mark.key
@pytest.mark.parametrize("story", scenarios.ALL)
def test_story(told: Told, story: str) -> None:
    events = [event for event in told.model.events if event.command in scenarios.ALL[story]]

    assert events
    for event in events:
        assert event.id in told.audit, f"{event.outcome} of {event.command}"
        check_event(told.audit[event.id], event)


@pytest.mark.key
def test_rows_are_those_of_the_model(told: Told) -> None:
    told.site.check_rows(told.model)


def test_nothing_else_is_published(told: Told) -> None:
    assert told.audit.keys() == {event.id for event in told.model.events}
    assert [letter.text("__connect.errors.exception.message") for letter in told.dead] == []


def test_audit_rows_know_outcome_and_command(told: Told) -> None:
    rows = {str(row["id"]): row for row in told.site.sql("SELECT * FROM auth_audit_events")}

    for event in told.model.events:
        row = rows[event.id]
        assert row["outcome"] == event.body["outcome"]
        assert (row["error"] or {}).get("code") == event.error_code
        assert row["entity"] == event.key


@pytest.mark.parametrize("code", sorted(CODES))
def test_rejection_code_is_reached(told: Told, code: str) -> None:
    assert any(told.model.counts[(kind, code)] for kind in TYPES)


def test_every_type_is_applied_and_every_action_is_seen(told: Told) -> None:
    assert all(told.model.counts[(kind, "applied")] for kind in TYPES)
    actions = {event.body["action"] for event in told.model.events if not event.error_code}
    assert set(CREATING.values()) - {"audit.appended"} | set(UPDATING.values()) <= actions


def test_personal_data_and_hashes_stay_in_the_tables(told: Told) -> None:
    for event in told.model.events:
        if event.command.kind == "audit.append":
            continue
        value = told.audit[event.id].value or b""
        for name in ("email", "authentikId", "displayName", "hash"):
            secret = event.command.data.get(name)
            if secret and len(secret) < 256:
                assert secret.encode() not in value.replace(event.key.encode(), b"")


def test_the_log_holds_no_payload(told: Told) -> None:
    log = told.site.workers[0].log
    for word in ("@example.com", "hash-", "Ångström", "postgresql://"):
        assert word not in log
