"""Redelivery, duplicates and replicas: what happens when commands or members come and go."""

from collections.abc import Callable
from typing import Any

import pytest

from harness import make
from harness.model import Model
from harness.site import Site
from harness.wait import wait_until
from harness.wire import Command


def _spread(commands: list[Command], partitions: int) -> list[Command]:
    return [c.but(partition=n % partitions) for n, c in enumerate(commands)]


@pytest.mark.key
def test_duplicates_across_batches_partitions_and_a_restart(site: Site) -> None:
    first = [make.use(f"k-{n}", key=f"k-{n}") for n in range(50)]
    issues = [make.issue(f"k-{n}") for n in range(50)]
    worker = site.start()
    site.process(_spread(issues, 3))
    site.process(_spread(first, 3))
    worker_duplicates = worker.metric("catalyst_duplicates_total")
    assert worker_duplicates == 0

    site.process(_spread(first, 3))  # a later batch
    site.process(_spread(first[1:] + first[:1], 3))  # other partitions
    assert worker.metric("catalyst_duplicates_total") == 100
    worker.stop()
    restarted = site.start()
    site.process(_spread(first, 3))

    assert restarted.metric("catalyst_duplicates_total") == 50
    site.check(Model().take_all(issues + first))
    assert all(row["usage_count"] == 1 for row in site.table("auth_keys").values())


@pytest.mark.key
def test_the_same_command_in_many_partitions_at_once_takes_effect_once(
    new_site: Callable[..., Site],
) -> None:
    """Lanes race for the same ids: one wins, the others find a duplicate."""
    site = new_site(partitions=4)
    commands = [make.issue(f"race-{n}") for n in range(400)]
    site.publish([c.but(partition=p) for c in commands for p in range(4)])

    replicas = [site.start(name, ready=False, CATALYST_LANES="2") for name in ("a", "b")]
    for replica in replicas:
        replica.wait_ready()
    site.wait_done()

    site.check(Model().take_all(commands))
    assert sum(r.metric("catalyst_duplicates_total") for r in replicas) == 3 * len(commands)


def test_an_id_conflict_is_found_across_batches_and_a_restart(narrow: Site) -> None:
    original = make.user("u")
    changed = original.with_data(displayName="changed")
    model = Model()
    for number, command in enumerate([original, changed, changed, original, changed]):
        worker = narrow.start(f"r{number}")
        narrow.process([command])
        model.take(command)
        worker.stop()

    narrow.check(model)
    assert [event.outcome for event in model.events] == ["applied", "command.id_conflict"]


@pytest.mark.key
def test_a_reset_of_the_groups_offsets_publishes_nothing_twice(site: Site) -> None:
    commands = list(make.stream(2000, seed=5))
    model = Model().take_all(commands)
    worker = site.start(CATALYST_LANES="2")
    site.process(commands)
    worker.stop()
    before = site.audit_records()

    site.kafka.reset_group(site.group, dict.fromkeys(site.committed(), 0))
    assert site.backlog() == len(commands)
    site.start("again", CATALYST_LANES="2")
    site.wait_done()

    assert site.audit_records() == before
    site.check(model)


def test_a_graceful_stop_leaves_offsets_at_the_end_and_the_group_empty(site: Site) -> None:
    worker = site.start(CATALYST_LANES="2")
    site.process(list(make.stream(500, seed=3)))

    worker.stop()

    assert site.backlog() == 0
    assert site.kafka.group_members(site.group) == 0


def test_a_stop_under_load_finishes_the_batch_in_hand(site: Site) -> None:
    commands = list(make.stream(8000, seed=4))
    site.publish(commands)
    worker = site.start(CATALYST_BATCH_MAX_MESSAGES="100")
    wait_until("some are done", lambda: site.recorded() > 0, 30, 0.01)

    worker.stop()

    assert 0 < site.backlog() < len(commands), "stopped too late to test anything"
    done = sum(site.committed().values())
    recorded = site.recorded()
    assert len(site.audit_records()) == recorded <= done  # the difference is duplicates
    site.start("rest", CATALYST_LANES="2")
    site.wait_done()
    site.check(Model().take_all(commands))


def test_a_stop_before_there_was_anything_to_do(site: Site) -> None:
    site.start().stop()


def test_a_stop_right_after_the_start(site: Site) -> None:
    worker = site.start(ready=False)
    wait_until("it has said something", lambda: worker.log or not worker.alive(), 30, 0.01)
    worker.terminate()
    assert worker.wait() == 0


@pytest.mark.key
def test_two_replicas_share_the_work(new_site: Callable[..., Site]) -> None:
    site = new_site(partitions=4)
    commands = list(make.stream(6000, seed=8))
    replicas = [site.start(name, CATALYST_LANES="2") for name in ("a", "b")]
    wait_until("all lanes hold partitions", lambda: site.kafka.group_owners(site.group) == 4)

    site.process(commands)

    shares = [r.metric("catalyst_commands_total") for r in replicas]
    assert min(shares) > 0, f"one did everything: {shares}"
    site.check(Model().take_all(commands))


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_a_replica_that_leaves_under_load(new_site: Callable[..., Site], ending: str) -> None:
    """Nothing is lost and nothing is doubled when one of two goes away in the middle."""
    site = new_site(partitions=4)
    commands = list(make.stream(8000, seed=9))
    small: dict[str, Any] = {"CATALYST_BATCH_MAX_MESSAGES": "10"}
    leaving = site.start("leaving", **small)
    site.start("staying", **small)
    wait_until("both are members", lambda: site.kafka.group_members(site.group) == 2)
    site.publish_held(commands)
    wait_until(
        "the leaving one is at work", lambda: leaving.metric("catalyst_commands_total") > 300, 30, 0.01
    )

    if ending == "stopped":
        leaving.stop()
    else:
        leaving.kill()
    assert site.backlog() > 0, "gone too late to test anything"
    site.wait_done()

    site.check(Model().take_all(commands))


def test_partitions_that_are_added_are_read(new_site: Callable[..., Site]) -> None:
    """An operator gives the command topics more partitions while a replica works."""
    site = new_site(partitions=1)
    site.start()
    before = [make.user(f"u-{n}") for n in range(200)]
    site.process(before)

    site.kafka.add_partitions(site.topics.values(), 4)
    after = _spread([make.user(f"v-{n}") for n in range(400)], 4)
    site.process(after, 120)

    site.check(Model().take_all([*before, *after]))
