"""The database goes back: a backup is restored, and lacks commands whose events are published."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from subprocess import DEVNULL, Popen
from threading import Thread
from typing import Any

import psycopg
import pytest
from confluent_kafka import TopicPartition
from psycopg import sql

from harness import make, program
from harness.backup import Backup
from harness.model import Model
from harness.program import Worker
from harness.site import Site
from harness.wait import wait_until
from harness.wire import IDENTITY, Record

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
    commands = list(make.stream(5000, seed=12))
    replicas = [site.start(name, CATALYST_BATCH_MAX_MESSAGES="100") for name in ("a", "b")]
    site.process(commands[:1000])

    def publish() -> None:
        rest = iter(commands[1000:4000])
        while chunk := list(islice(rest, 100)):
            site.publish(chunk)

    publisher = Thread(target=publish)
    publisher.start()
    wait_until("half of it is applied", lambda: site.recorded() > 1500, 60, 0.02)
    backup = Backup(site, tmp_path)
    publisher.join()
    site.process(commands[4000:])  # that these are lost does not hang on the time that a dump takes
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
    assert all(_held_lines(replica) for replica in replicas)
    report = program.run_json("recover", env=site.env)
    for replica in replicas:
        replica.wait_ready()
    site.wait_done()
    assert report["differing"] == report["unanswered"] == report["lost"] == []
    assert report["applied"] + report["rejected"] == events - rows
    site.check(Model().take_all(commands + more))
    assert program.run_json("recover", env=site.env)["commands"] == 0


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

    assert "the group was moved past what is recorded, by hand or by an older version" in worker.log
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


# --- recover ------------------------------------------------------------------------------------


def _lose(site: Site, tmp_path: Path, before: list[Any], lost: list[Any]) -> None:
    """Two lists of commands are applied and published; the database then lacks the second."""
    worker = site.start()
    site.process(before)
    worker.stop()
    backup = Backup(site, tmp_path)
    worker = site.start()
    site.process(lost)
    worker.stop()
    backup.restore()


def _go_on(site: Site, commands: list[Any]) -> None:
    """Nothing is held any more, and nothing lost or doubled."""
    more = [make.user(f"more-{n}") for n in range(10)]
    worker = site.start()
    site.process(more)
    worker.stop()
    assert not _held_lines(worker)[1:]
    site.check(Model().take_all(commands + more))


def test_recover_applies_what_the_events_say(site: Site, tmp_path: Path) -> None:
    """Rejected commands, id conflicts, duplicates and dead letters among them."""
    commands = list(make.stream(2400, seed=31))
    garbage = [make.user(f"bad-{n}", {"email": 7}) for n in range(15)]
    worker = site.start()
    site.process(commands[:800])
    worker.stop()
    backup = Backup(site, tmp_path)
    worker = site.start()
    site.process([*commands[800:], *garbage])
    worker.stop()
    backup.restore()
    before, events = site.recorded(), len(site.audit_records())

    report = program.run_json("recover", env=site.env)

    assert len(site.audit_records()) == events
    assert report["deadLetters"] == len(garbage)
    assert report["applied"] + report["rejected"] == events - before
    assert report["differing"] == report["unanswered"] == report["lost"] == []
    _go_on(site, commands)


def test_recover_dry_run_changes_nothing(narrow: Site, tmp_path: Path) -> None:
    before, lost = ([make.user(f"{name}-{n}") for n in range(40)] for name in ("a", "b"))
    _lose(narrow, tmp_path, before, lost)
    offsets = narrow.sql(RECORDED)

    report = program.run_json("recover", "--dry-run", env=narrow.env)
    check = program.run("check", "--online", env=narrow.env)

    topic = narrow.topics[IDENTITY]
    assert report["ranges"] == [{"topic": topic, "partition": 0, "from": 40, "to": 80}]
    assert report["toRecover"] == 40 and report["dryRun"]
    assert check.returncode == program.EXIT_CONFIG
    told = [finding["what"] for finding in json.loads(check.stdout) if finding["level"] == "error"]
    assert len(told) == 1 and "it has recorded 40, the group has committed 80" in told[0]
    assert narrow.sql(RECORDED) == offsets and narrow.recorded() == 40
    assert narrow.sql("SELECT * FROM catalyst_recoveries") == []
    program.run_ok("recover", env=narrow.env)
    program.run_ok("check", "--online", env=narrow.env)
    _go_on(narrow, before + lost)


def test_recover_that_is_killed_in_its_middle_goes_on(site: Site, tmp_path: Path) -> None:
    before = [make.user(f"u-{n}") for n in range(50)]
    lost = [*make.stream(3000, seed=33), make.user("u-0", {"displayName": "last"})]
    _lose(site, tmp_path, before, lost)
    events = len(site.audit_records())
    with psycopg.connect(site.stack.database_url) as blocker:
        table = sql.Identifier(site.schema, "auth_users")
        blocker.execute(sql.SQL("SELECT * FROM {} WHERE id = 'u-0' FOR UPDATE").format(table))
        killed = Popen(
            [str(program.BINARY), "recover"],
            env=program.clean_environment(site.env),
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        wait_until("half of it is recovered", lambda: site.recorded() > 1500, 60, 0.05)
        assert killed.poll() is None
        killed.kill()
        killed.wait(10)
        blocker.rollback()
    done = site.recorded()
    assert done < events and site.sql("SELECT * FROM catalyst_recoveries") != []

    report = program.run_json("recover", env=site.env)

    assert report["known"] >= done - len(before)
    assert site.sql("SELECT * FROM catalyst_recoveries") == []
    assert len(site.audit_records()) == events
    _go_on(site, before + lost)


def test_recover_tells_what_it_can_not_bring_level(narrow: Site, tmp_path: Path) -> None:
    """A row of another program is in the way, and retention has removed the first commands."""
    before = [make.user(f"u-{n}") for n in range(10)]
    lost = [make.user(f"lost-{n}") for n in range(10)] + [make.org("org", {"slug": "taken"})]
    _lose(narrow, tmp_path, before, lost)
    narrow.sql(
        "INSERT INTO auth_orgs (id, slug, status, owner_user_id, profile)"
        " VALUES ('other', 'taken', 'active', 'u', '{}')"
    )
    topic = narrow.topics[IDENTITY]
    for future in narrow.kafka.admin.delete_records([TopicPartition(topic, 0, 14)]).values():
        future.result(30)

    done = program.run("recover", env=narrow.env)

    assert done.returncode == program.EXIT_DATA
    report = json.loads(done.stdout)
    assert report["lost"] == [{"topic": topic, "partition": 0, "from": 10, "to": 14}]
    assert [
        (each["offset"], each["event"]["outcome"], each["database"]["outcome"])
        for each in report["differing"]
    ] == [(20, "applied", "rejected")]
    assert narrow.recorded() == 10 + 6 + 1
    worker = narrow.start()
    narrow.process([make.user("after")])
    assert not _held_lines(worker)


@pytest.mark.parametrize("dry_run", [False, True])
def test_recover_audit_topic_publishes_what_it_lacks(narrow: Site, dry_run: bool) -> None:
    """The brokers were set back: events are gone, and the group's offsets with them."""
    kept, lost = ([make.user(f"{name}-{n}") for n in range(30)] for name in ("a", "b"))
    worker = narrow.start()
    narrow.process(kept + lost)
    worker.stop()
    events = narrow.audit_records()
    for future in narrow.kafka.admin.delete_topics([narrow.audit]).values():
        future.result(30)
    wait_until("the topic is gone", lambda: narrow.audit not in narrow.kafka.topic_names())
    narrow.kafka.create_topics({narrow.audit: 1})
    narrow.kafka.produce([record_again(event, narrow.audit) for event in events[:30]])

    options = ["--dry-run"] if dry_run else []
    report = program.run_json(
        "recover", "--audit-topic", "--since", "2020-01-01T00:00:00Z", *options, env=narrow.env
    )

    assert report["events"] == 60
    assert report["missing" if dry_run else "published"] == 30
    assert len(narrow.audit_records()) == (30 if dry_run else 60)
    if not dry_run:
        again = program.run_json(
            "recover", "--audit-topic", "--since", "2020-01-01T00:00:00Z", env=narrow.env
        )
        assert again["published"] == 0
        narrow.check(Model().take_all(kept + lost))


def record_again(record: Record, topic: str) -> Record:
    return Record(topic, record.key, record.value, record.headers, record.timestamp_ms)
