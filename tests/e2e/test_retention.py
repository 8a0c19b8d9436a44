"""The audit log in partitions, and what is old removed from it, beside running workers: nothing that can
be delivered again is forgotten."""

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from threading import Event, Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from harness import make, program
from harness.model import Model
from harness.program import BINARY, EXIT_CONFIG, EXIT_OK, EXIT_TRY_AGAIN, EXIT_UNAVAILABLE, EXIT_USAGE, run
from harness.site import Site
from harness.wait import wait_until
from harness.wire import IDENTITY, KEYS, Command


def _month(back: int) -> datetime:
    """The first of the month, so many months ago."""
    now = datetime.now(UTC)
    months = now.year * 12 + now.month - 1 - back
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def _uuid7(at: datetime, number: int) -> str:
    value = int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | number
    return str(UUID(int=value))


def _old_commands(count: int, first: int = 0) -> list[Command]:
    """Of three months ago, with ids that say so."""
    when = _month(3) + timedelta(days=3)
    return [
        make.user(f"old-{n}", id=_uuid7(when + timedelta(seconds=n), n), time=when.isoformat())
        for n in range(first, first + count)
    ]


def _name(back: int) -> str:
    return _month(back).strftime("auth_audit_events_t%Y%m%d")


def _retention(site: Site, *arguments: str, **settings: str) -> Any:
    return program.run_json("retention", *arguments, "--output", "json", env=site.env | settings)


def _forget(site: Site) -> None:
    """What the brokers do in time: no record that is there now can be read any more."""
    ends = site.kafka.end_offsets(site.topics.values())
    wanted = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items() if end]
    for future in site.kafka.admin.delete_records(wanted).values():
        future.result(30)


def _homes(site: Site) -> dict[str, int]:
    rows = site.sql(
        "SELECT tableoid::regclass::text AS home, count(*) AS n FROM auth_audit_events GROUP BY 1"
    )
    return {row["home"].split(".")[-1]: row["n"] for row in rows}


# --- under load --------------------------------------------------------------------------------


def _with_ids(commands: Iterable[Command]) -> Iterator[Command]:
    """Ids of every kind: times of now, hashes, and a few of three months ago that come late. One that
    was sent twice stays one."""
    now, past = datetime.now(UTC), _month(3) + timedelta(days=9)
    ids: dict[str, str] = {}
    for command in commands:
        number = len(ids)
        if command.id not in ids:
            if number % 3 == 0:
                ids[command.id] = command.id
            else:
                ids[command.id] = _uuid7(past if number % 500 == 1 else now, number + 1_000_000)
        yield replace(command, id=ids[command.id])


def _killed(site: Site, after_s: float) -> None:
    """A run that ends in the middle, wherever that is."""
    process = subprocess.Popen(
        [str(BINARY), "retention", "run", "--keep", "30d", "--ahead", "3"],
        env=program.clean_environment(site.env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@pytest.mark.key
def test_partitions_come_and_go_under_load(new_site: Callable[..., Site]) -> None:
    """Two replicas at work while the log is partitioned, extended, dropped from and deleted from, also
    by runs that are killed: every command is published once, and nothing but the old ones, which no
    topic holds any more, is forgotten."""
    site = new_site(partitions=2)
    old = _old_commands(2000)
    endless = _with_ids(make.stream(200_000, seed=7))
    commands: list[Command] = []
    forgotten = {event.id for event in Model().take_all(old).events}
    small: dict[str, Any] = {"CATALYST_BATCH_MAX_MESSAGES": "40", "CATALYST_LANES": "2"}
    for name in ("a", "b"):
        site.start(name, **small)
    site.process(old)
    enough = Event()
    failure: list[BaseException] = []

    def publish() -> None:
        try:
            while not enough.wait(0.05):
                chunk = list(islice(endless, 100))
                commands.extend(chunk)
                site.publish(chunk)
        except BaseException as error:
            failure.append(error)
            raise

    _forget(site)
    load = Thread(target=publish)
    load.start()
    try:
        wait_until("the load has begun", lambda: site.recorded() > len(old) + 200, 60, 0.02)
        converted = _retention(site, "partition", "--from", _month(3).isoformat(), "--ahead", "1")
        site.sql(f"ANALYZE {_name(3)}")
        for after_s in (0.02, 0.05, 0.1, 0.2):
            _killed(site, after_s)
        done = [_retention(site, "run", "--keep", "30d", "--ahead", str(n)) for n in range(4, 10)]
        before = site.recorded()
        wait_until("the load goes on behind it", lambda: site.recorded() > before + 200, 60, 0.02)
    finally:
        enough.set()
        load.join(120)
    assert not failure and not load.is_alive()
    site.wait_done(120)

    assert converted["converted"]
    assert _retention(site, "partition") == {"converted": False}
    assert sum(len(each["added"]) for each in done) > 0
    status = _retention(site, "status", "--keep", "30d")
    names = {partition["name"] for partition in status["partitions"]}
    assert status["partitioned"] and _name(3) not in names and _name(0) in names
    # The late ones of that month stayed, and so did everything else that can be read.
    assert site.table("auth_users").keys() >= {f"old-{n}" for n in range(len(old))}
    model = Model().take_all(old + commands)
    site.check_events(model)
    site.check_audit_rows([event for event in model.events if event.id not in forgotten])
    assert not site.dead_letters(IDENTITY) and not site.dead_letters(KEYS)
    assert _homes(site).get("auth_audit_events_stray", 0) > 0


# --- the window --------------------------------------------------------------------------------


@pytest.mark.key
def test_what_can_be_delivered_again_is_not_forgotten(narrow: Site) -> None:
    """The month is past what is kept, and yet it stays, and so does every row: the topic still holds the
    commands. Delivered again, they change nothing and are not published again."""
    # Ids of which none makes a hash that looks like a time: one in a hundred does.
    hashed = [make.user(f"hash-{n}", id=f"text-{n}", time="2020-01-01T00:00:00Z") for n in range(30)]
    commands = [*_old_commands(30), *hashed]
    narrow.start()
    narrow.process(commands)
    _retention(narrow, "partition", "--from", _month(3).isoformat())

    told = _retention(narrow, "run", "--keep", "1d")
    status = _retention(narrow, "--keep", "1d")

    (interval,) = [each for each in told["intervals"] if each["name"] == _name(3)]
    assert not interval["dropped"] and "still be read" in interval["because"]
    assert [each["rows"] for each in told["deleted"]] == [0, 0]
    (month,) = [each for each in status["partitions"] if each["name"] == _name(3)]
    assert not month["mayGo"] and month["because"] == interval["because"]
    assert _homes(narrow) == {_name(3): 30, "auth_audit_events_rest": 30}
    narrow.close()
    narrow.kafka.reset_group(narrow.group, dict.fromkeys(narrow.committed(), 0))
    narrow.start("again")
    narrow.wait_done()
    narrow.check(Model().take_all(commands))

    _forget(narrow)
    told = _retention(narrow, "run", "--keep", "1d")
    assert {"name": _name(3), "dropped": True, "rowsMoved": 0} in told["intervals"]
    assert {"from": "auth_audit_events_rest", "rows": 30} in told["deleted"]
    assert narrow.recorded() == 0


def test_behind_the_window_a_command_is_new_again(narrow: Site) -> None:
    """What docs/operations.md says of it: a second audit event with the same id."""
    (command,) = _old_commands(1)
    narrow.start()
    narrow.process([command])
    _forget(narrow)
    _retention(narrow, "run", "--keep", "1d")

    narrow.process([command])

    ids = [record.text("ce_id") for record in narrow.audit_records()]
    assert len(ids) == 2 and len(set(ids)) == 1
    assert narrow.recorded() == 1


def test_without_partitions_old_rows_are_deleted(narrow: Site) -> None:
    narrow.start()
    narrow.process([make.user(f"u-{n}", time="2020-01-01T00:00:00Z") for n in range(5)])
    _forget(narrow)
    narrow.process([make.user("kept", time=datetime.now(UTC).isoformat())])
    settings = {"CATALYST_AUDIT_RETENTION": "36h"}

    planned = _retention(narrow, "run", "--dry-run", **settings)
    assert planned["dryRun"] and planned["deleted"] == [{"from": "auth_audit_events", "rows": 5}]
    assert narrow.recorded() == 6
    assert _retention(narrow, "run", **settings) == planned | {"dryRun": False}

    assert narrow.recorded() == 1
    status = _retention(narrow, **settings)
    assert not status["partitioned"] and [p["kind"] for p in status["partitions"]] == ["whole"]


# --- when it may not ---------------------------------------------------------------------------


@pytest.fixture
def partitioned(new_site: Callable[..., Site]) -> Site:
    site = new_site(partitions=1)
    site.start()
    site.process(_old_commands(3))
    _retention(site, "partition", "--from", _month(3).isoformat(), "--ahead", "0")
    return site


def test_brokers_that_are_away_let_nothing_go(partitioned: Site) -> None:
    """... while intervals are added all the same."""
    env = partitioned.env | {
        "CATALYST_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{program.free_port()}",
        "CATALYST_STARTUP_DEADLINE": "2s",
    }

    done = run("retention", "run", "--keep", "1d", "--ahead", "2", "--output", "json", env=env)

    assert done.returncode == EXIT_UNAVAILABLE, done.stderr
    report = json.loads(done.stdout)
    assert [each["name"] for each in report["added"]] == [_name(-1), _name(-2)]
    assert "nothing is removed" in done.stderr and "intervals" not in report
    assert partitioned.recorded() == 3
    status = json.loads(run("retention", "--keep", "1d", "--output", "json", env=env).stdout)
    (month,) = [each for each in status["partitions"] if each["name"] == _name(3)]
    assert not month["mayGo"] and "Kafka" in month["because"]


def test_a_configured_topic_that_is_missing_lets_nothing_go(partitioned: Site) -> None:
    env = partitioned.env
    partitioned.close()
    for future in partitioned.kafka.admin.delete_topics([partitioned.topics[IDENTITY]]).values():
        future.result(30)
    wait_until(
        "the topic is gone", lambda: partitioned.topics[IDENTITY] not in partitioned.kafka.topic_names()
    )

    done = run("retention", "run", "--keep", "1d", env=env)
    assert done.returncode == EXIT_CONFIG and partitioned.topics[IDENTITY] in done.stderr, done.stderr
    assert partitioned.recorded() == 3

    # One that nobody reads from any more holds nothing back.
    other = env | {"CATALYST_COMMAND_TOPICS": partitioned.topics[KEYS]}
    program.run_ok("retention", "run", "--keep", "1d", env=other)
    assert partitioned.recorded() == 0


def test_one_run_at_a_time(partitioned: Site) -> None:
    with psycopg.connect(partitioned.stack.database_url, autocommit=True) as db:
        db.execute("SELECT pg_advisory_lock(1130455911, hashtext(%s))", (partitioned.schema,))

        for action in (["run"], ["partition"]):
            done = run("retention", *action, env=partitioned.env)
            assert done.returncode == EXIT_TRY_AGAIN and "another one" in done.stderr, done.stderr
        program.run_ok("retention", "status", env=partitioned.env)


def test_a_table_in_use_is_left_alone(partitioned: Site) -> None:
    """A dump holds the month: the run gives up, says so, and nobody waited for it."""
    _forget(partitioned)
    with psycopg.connect(partitioned.stack.database_url) as db:
        db.execute(f"LOCK TABLE {partitioned.schema}.{_name(3)} IN ACCESS SHARE MODE")

        done = run("retention", "run", "--keep", "1d", env=partitioned.env, timeout_s=150)

        assert done.returncode == EXIT_TRY_AGAIN, done.stderr
        assert "in use" in done.stderr
        partitioned.process([make.user("meanwhile")])
    assert partitioned.recorded() == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run", "status"],
        ["run", "--keep", "90"],
        ["run", "--keep", "0d"],
        ["run", "--from", "2026-01-01T00:00:00Z"],
        ["partition", "--keep", "1d"],
        ["partition", "--dry-run"],
        ["status", "--ahead", "2"],
        ["run", "--ahead", "-1"],
    ],
)
def test_wrong_usage_is_64(arguments: list[str]) -> None:
    done = run("retention", *arguments, env={})
    assert done.returncode == EXIT_USAGE, done.stderr


# --- check -------------------------------------------------------------------------------------


def _keep_commands(site: Site, topic: str, milliseconds: int) -> None:
    entry = ConfigEntry("retention.ms", str(milliseconds), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in site.kafka.admin.incremental_alter_configs([resource]).values():
        future.result(30)


def test_check_compares_the_window_with_the_topics(narrow: Site) -> None:
    def errors(keep: str) -> list[str]:
        env = narrow.env | {"CATALYST_AUDIT_RETENTION": keep}
        done = run("check", "--online", "--output", "json", env=env)
        found = [each["what"] for each in json.loads(done.stdout) if each["level"] == "error"]
        assert done.returncode == (EXIT_CONFIG if found else EXIT_OK), done.stderr
        return found

    for topic in narrow.topics.values():
        _keep_commands(narrow, topic, 7 * 24 * 3600 * 1000)
    wait_until("the brokers tell the new settings", lambda: errors("7d") == [])
    assert errors("forever") == []
    short = errors("167h")
    assert len(short) == 2 and all("7.0 days" in what and "audit_retention" in what for what in short)

    _keep_commands(narrow, narrow.topics[KEYS], -1)
    (endless,) = wait_until("the brokers tell the new setting", lambda: errors("30d"))
    assert "for ever" in endless


def test_check_warns_before_the_partitions_end(narrow: Site) -> None:
    def warnings() -> list[str]:
        found = program.run_json("check", "--online", "--output", "json", env=narrow.env)
        return [each["what"] for each in found if each["level"] == "warning" and "partition" in each["what"]]

    assert warnings() == []
    _retention(narrow, "partition", "--from", _month(0).isoformat(), "--ahead", "0")
    assert len(warnings()) == 1 and "retention run" in warnings()[0]
    _retention(narrow, "run", "--ahead", "1")
    assert warnings() == []


def test_the_log_is_read_as_before(partitioned: Site) -> None:
    events = program.run_json("show", "audit", "--limit", "10", "--output", "json", env=partitioned.env)
    assert len(events) == 3
