"""The database goes back: a backup is restored, and lacks commands whose events are published."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

from harness import make
from harness.backup import Backup
from harness.model import Model
from harness.program import Worker
from harness.site import Site
from harness.wait import wait_until
from harness.wire import IDENTITY

HELD = "the database was set back: it lacks commands that the group has committed"
RECORDED = "SELECT * FROM catalyst_consumer_offsets ORDER BY 1, 2"


def _is_held(worker: Worker) -> bool:
    status, body = worker.get("/health/ready")
    return status == 503 and "run catalyst-worker recover" in body


def _held_lines(worker: Worker) -> list[str]:
    return [line for line in worker.log.splitlines() if HELD in line]


def _wait_held(worker: Worker) -> None:
    wait_until(f"{worker.instance} holds its partitions", lambda: _is_held(worker), 60)


def test_a_replica_holds_what_a_restored_backup_lacks(narrow: Site, tmp_path: Path) -> None:
    before, lost, after = ([make.user(f"{name}-{n}") for n in range(40)] for name in ("a", "b", "c"))
    worker = narrow.start()
    narrow.process(before)
    worker.stop()
    backup = Backup(narrow, tmp_path)
    worker = narrow.start()
    narrow.process(lost)
    worker.stop()
    backup.restore()
    offsets = narrow.sql(RECORDED)

    worker = narrow.start(ready=False)
    _wait_held(worker)
    narrow.publish(after)

    topic = narrow.topics[IDENTITY]
    line = _held_lines(worker)[0]
    assert f"topic={topic} partition=0 recorded=40 committed=80" in line
    assert "catalyst-worker recover" in line and "level=error" in line
    assert f"holds {topic}, partition 0" in worker.get("/health/ready")[1]
    assert worker.get("/health/live")[0] == 200
    assert worker.metric("catalyst_lane_held") == 1
    worker.stop()
    assert narrow.sql(RECORDED) == offsets
    assert narrow.recorded() == len(before)
    assert narrow.committed()[topic, 0] == len(before + lost)


def test_running_replicas_hold_what_a_restored_backup_lacks(
    new_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = new_site(partitions=4)
    commands = list(make.stream(3000, seed=12))
    replicas = [site.start(name, CATALYST_BATCH_MAX_MESSAGES="100") for name in ("a", "b")]
    site.process(commands[:1000])

    def publish() -> None:
        rest = iter(commands[1000:])
        while chunk := list(islice(rest, 100)):
            site.publish(chunk)

    publisher = Thread(target=publish)
    publisher.start()
    wait_until("half of it is applied", lambda: site.recorded() > 1500, 60, 0.02)
    backup = Backup(site, tmp_path)
    publisher.join()
    site.wait_done()
    committed = site.committed()
    events = len(site.audit_records())
    backup.restore()
    rows = site.recorded()
    site.publish(more := [make.user(f"more-{n}") for n in range(100)])

    for replica in replicas:
        _wait_held(replica)

    assert site.recorded() == rows
    assert site.committed() == committed
    assert len(site.audit_records()) == events
    assert more and all(_held_lines(replica) for replica in replicas)


def test_an_empty_database_under_an_old_group_is_set_back_to_nothing(narrow: Site) -> None:
    worker = narrow.start()
    narrow.process([make.user(f"u-{n}") for n in range(30)])
    worker.stop()
    narrow.sql(f'DROP SCHEMA "{narrow.schema}" CASCADE')
    narrow.migrate()

    worker = narrow.start(ready=False)
    _wait_held(worker)

    assert "recorded=0 committed=30" in _held_lines(worker)[0]
    assert narrow.sql(RECORDED) == []


def _start_with_own_rows(narrow: Site, count: int) -> list[Any]:
    commands = [make.user(f"u-{n}") for n in range(count)]
    worker = narrow.start()
    narrow.process(commands)
    worker.stop()
    return commands


def test_the_first_start_after_an_upgrade_adopts_what_the_group_committed(narrow: Site) -> None:
    """An earlier version committed without the mark, and recorded nothing."""
    commands = _start_with_own_rows(narrow, 30)
    narrow.sql("UPDATE catalyst_consumer_offsets SET recorded_offset = 0")
    narrow.kafka.reset_group(narrow.group, {(narrow.topics[IDENTITY], 0): 30})

    worker = narrow.start()
    more = [make.user(f"more-{n}") for n in range(10)]
    narrow.process(more)
    worker.stop()

    assert "the group's committed offset is adopted" in worker.log
    assert [row["recorded_offset"] for row in narrow.sql(RECORDED)] == [40]
    narrow.check(Model().take_all(commands + more))


def test_an_operator_who_moves_the_group_forward_is_followed(narrow: Site) -> None:
    commands = _start_with_own_rows(narrow, 30)
    skipped = [make.user(f"skipped-{n}") for n in range(10)]
    narrow.publish(skipped)
    narrow.kafka.reset_group(narrow.group, {(narrow.topics[IDENTITY], 0): 40})

    worker = narrow.start()
    wait_until(
        "the offset is recorded",
        lambda: [row["recorded_offset"] for row in narrow.sql(RECORDED)] == [40],
    )
    worker.stop()

    assert "the group was moved past commands that were not read" in worker.log
    narrow.check(Model().take_all(commands))


def test_dead_letters_alone_are_recorded(narrow: Site) -> None:
    """Their batch commits offsets, and no row."""
    worker = narrow.start()
    bad = [make.user(f"bad-{n}", {"email": 7}) for n in range(20)]
    narrow.process(bad)
    worker.stop()

    worker = narrow.start()

    assert [row["recorded_offset"] for row in narrow.sql(RECORDED)] == [20]
    assert len(narrow.dead_letters()) == 20
    assert not _held_lines(worker)
