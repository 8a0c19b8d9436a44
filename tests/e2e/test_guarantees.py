"""The five guarantees, one test each, on one campaign: two replicas under load while replicas, the
database and the broker are killed under them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from threading import Thread
from typing import Any

import pytest

from harness import make
from harness.model import TABLES, Model, check_event
from harness.program import HANG_S
from harness.site import Site, expected_order, order_by_entity
from harness.stack import Stack
from harness.wait import wait_until
from harness.wire import IDENTITY, KEYS, Command, Record

SIZE = 16_000
GARBAGE_EVERY = 100


@dataclass
class Campaign:
    site: Site
    model: Model
    audit: list[Record]
    garbage: list[Record]
    letters: list[Record]
    killed: int


def _garbage(number: int) -> Record:
    topic = KEYS if number % 2 else IDENTITY
    return Record(
        topic, f"g-{number}".encode(), b"\xc1" + str(number).encode(), [("n", str(number).encode())]
    )


@pytest.fixture(scope="module")
def campaign(new_module_site: Callable[..., Site], stack: Stack) -> Iterator[Campaign]:
    site = new_module_site(partitions=4)
    commands = list(make.stream(SIZE, seed=2026))
    items: list[Command | Record] = []
    for number, command in enumerate(commands):
        items.append(command)
        if number % GARBAGE_EVERY == 0:
            items.append(_garbage(number))
    placed: list[Record] = []

    def publish() -> None:
        rest = iter(items)
        while chunk := list(islice(rest, 400)):
            placed.extend(site.publish(chunk))

    def wait_for_progress(share: float) -> None:
        def reached() -> bool:
            site.revive()
            return site.recorded() >= share * len(model.events)

        wait_until(f"{share:.0%} processed", reached, 120 + HANG_S, 0.02)

    model = Model().take_all(commands)
    killed = 0
    # Small batches: more transactions to be interrupted.
    small: dict[str, Any] = {"CATALYST_BATCH_MAX_MESSAGES": "50", "CATALYST_LANES": "2"}
    replicas = {name: site.start(name, **small) for name in ("a", "b")}
    publisher = Thread(target=publish)
    publisher.start()
    for share in (0.05, 0.15, 0.25):
        wait_for_progress(share)
        victim = "ab"[killed % 2]
        replicas[victim].kill()
        killed += 1
        replicas[victim] = site.start(victim, **small)
    wait_for_progress(0.4)
    stack.run("kill-postgres")
    stack.run("start-postgres")
    wait_for_progress(0.6)
    stack.run("restart-kafka")
    wait_for_progress(0.8)
    replicas["a"].stop()
    replicas["b"].kill()
    killed += 1
    replicas["b"] = site.start("b", **small)
    publisher.join(180)
    assert not publisher.is_alive() and len(placed) == len(items)
    site.wait_done(180)
    garbage = [record for record in placed if record.value and record.value.startswith(b"\xc1")]
    yield Campaign(
        site,
        model,
        site.audit_records(),
        garbage,
        site.dead_letters(IDENTITY) + site.dead_letters(KEYS),
        killed,
    )


@pytest.mark.key
def test_guarantee_1_effectively_once_in_the_database(campaign: Campaign) -> None:
    """Each distinct (source, id) changed the tables once: every row, every usage count, every audit
    row is what one delivery of each command in order gives."""
    assert campaign.killed == 4 and campaign.model.duplicates > 0
    campaign.site.check_rows(campaign.model)


@pytest.mark.key
def test_guarantee_2_exactly_once_on_the_audit_topic(campaign: Campaign) -> None:
    ids = [record.text("ce_id") for record in campaign.audit]
    expected = {event.id: event for event in campaign.model.events}

    assert len(ids) == len(set(ids)), f"{len(ids) - len(set(ids))} audit events twice"
    assert set(ids) == expected.keys()
    for record in campaign.audit:
        check_event(record, expected[record.text("ce_id") or ""])


@pytest.mark.key
def test_guarantee_3_in_order(campaign: Campaign) -> None:
    """The events of one entity are in one partition, in the order of its commands; a key's usage
    counts go up by one."""
    assert order_by_entity(campaign.audit) == expected_order(campaign.model.events)
    for event in campaign.model.events:
        if event.body["action"] == "key.used" and not event.error_code:
            assert event.body["metadata"]["usageCount"] > 0


@pytest.mark.key
def test_guarantee_4_nothing_is_lost(campaign: Campaign) -> None:
    """Everything published is an audit event, a duplicate, or a dead letter; each once."""

    def content(records: list[Record]) -> list[tuple[bytes | None, bytes | None, bytes | None]]:
        return sorted((r.key, r.value, r.header("n")) for r in records)

    def origin(letter: Record) -> tuple[str, int, int]:
        prefix = "__connect.errors."
        where = (letter.text(prefix + "partition"), letter.text(prefix + "offset"))
        return (letter.text(prefix + "topic") or "", int(where[0] or -1), int(where[1] or -1))

    assert content(campaign.letters) == content(campaign.garbage)
    assert sorted(map(origin, campaign.letters)) == sorted(r.at for r in campaign.garbage)
    total = len(campaign.audit) + campaign.model.duplicates + len(campaign.letters)
    assert total == SIZE + len(campaign.garbage)


@pytest.mark.key
def test_guarantee_5_deterministic(campaign: Campaign) -> None:
    """A worker that meets the same topics with an empty database, in another group, on another day,
    in other batches, publishes the same bytes and makes the same rows."""

    def content(records: list[Record]) -> list[tuple[object, ...]]:
        return sorted((r.key, r.value, tuple(r.headers)) for r in records)

    replay = campaign.site.sibling("replay")
    try:
        replay.start(CATALYST_LANES="2")
        replay.wait_done(120)

        assert content(replay.audit_records()) == content(campaign.audit)
        replay.check_rows(campaign.model)
        for table in TABLES:
            assert replay.table(table) == campaign.site.table(table)
        replay.close()
    finally:
        replay.abandon()
