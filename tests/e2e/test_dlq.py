"""`dlq ls | show | redrive` on dead letters that a real worker wrote."""

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness import make, program
from harness.program import (
    EXIT_DATA,
    EXIT_NOT_FOUND,
    EXIT_OK,
    EXIT_TRY_AGAIN,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    run,
)
from harness.site import Site
from harness.stack import Stack
from harness.wire import IDENTITY, KEYS, Command, Record, audit_id_of

BAN = "ALTER TABLE auth_users ADD CONSTRAINT banned CHECK (email NOT LIKE 'banned%')"
UNBAN = "ALTER TABLE auth_users DROP CONSTRAINT banned"
GARBAGE = Record(KEYS, b"k", b"\xc1", [("ce_id", b"x")])


def _letters(site: Site, *arguments: str) -> list[dict[str, Any]]:
    return program.run_json("dlq", "ls", "--output", "json", *arguments, env=site.env)


def _redrive(site: Site, *arguments: str, code: int = EXIT_OK) -> list[dict[str, Any]]:
    done = run("dlq", "redrive", *arguments, env=site.env)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def _start_redrive(site: Site, *arguments: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(program.BINARY), "dlq", "redrive", *arguments],
        env=program.clean_environment(site.env | env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _redriven_events(site: Site) -> list[dict[str, Any]]:
    return site.sql("SELECT * FROM auth_audit_events WHERE action = 'dlq.redriven'")


def _banned(count: int) -> list[Command]:
    return [make.user(f"banned-{n}", {"email": f"banned{n}@x.test"}) for n in range(count)]


def _refused(site: Site, count: int) -> list[Command]:
    """So many commands that are dead letters of a cause that is mended now."""
    site.start()
    site.sql(BAN)
    commands = _banned(count)
    site.process(commands)
    site.sql(UNBAN)
    return commands


def _origin(record: Record) -> str:
    return ":".join(str(part) for part in record.at)


def _sent_back(site: Site, topic: str = IDENTITY) -> list[Record]:
    records = site.kafka.read_committed(site.topics[topic])
    return [record for record in records if record.header("catalyst-redrive-count")]


def _assert_each_once(site: Site, commands: list[Command]) -> None:
    site.wait_done()
    sent = [record.text("ce_id") or "" for record in _sent_back(site)]
    assert sorted(sent) == sorted(command.id for command in commands)
    assert len(_redriven_events(site)) == len(commands) == len(site.table("auth_users"))
    assert all(letter["redriven"] for letter in _letters(site))


@pytest.mark.key
def test_refused_by_postgresql_mended_and_redriven_once(site: Site) -> None:
    site.start()
    site.sql(BAN)
    (command,) = _banned(1)
    placed, broken = site.process([command, GARBAGE])

    listed = {letter["origin"]: letter for letter in _letters(site)}
    assert listed.keys() == {_origin(placed), _origin(broken)}
    letter = listed[_origin(placed)]
    assert (letter["stage"], letter["class"], letter["redriven"]) == ("apply", "sqlstate", False)
    assert listed[_origin(broken)]["stage"] == "decode"
    assert _letters(site, "--stage", "apply") == [letter]
    assert _letters(site, "--topic", site.topics[KEYS]) == [listed[_origin(broken)]]
    assert _letters(site, "--until", "2000-01-01T00:00:00Z") == []
    groups = _letters(site, "--summary", "--since", "2000-01-01T00:00:00Z")
    assert [(group["count"], group["redriven"]) for group in groups] == [(1, 0), (1, 0)]

    shown = program.run_json("dlq", "show", letter["letter"], "--output", "json", env=site.env)
    assert shown["record"]["data"] == command.data
    raw = subprocess.run(
        [str(program.BINARY), "dlq", "show", "--raw", listed[_origin(broken)]["letter"]],
        env=program.clean_environment(site.env),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert raw.stdout == GARBAGE.value

    dead = [topic + site.dlq_suffix for topic in site.topics.values()]
    before = site.kafka.end_offsets([*site.topics.values(), *dead])
    (would,) = _redrive(site, "--stage", "apply", "--dry-run")
    assert would == {"letter": letter["letter"], "outcome": "would be redriven"}
    assert site.kafka.end_offsets([*site.topics.values(), *dead]) == before

    site.sql(UNBAN)
    table = run("dlq", "redrive", letter["letter"], "--output", "table", env=site.env).stdout
    assert [line.split() for line in table.splitlines()] == [
        ["outcome", "letter", "why"],
        ["redriven", letter["letter"]],
    ]
    site.wait_done()
    assert command.data["id"] in site.table("auth_users")
    events = site.audit_by_id()
    assert audit_id_of(command.source, command.id) in events
    (event,) = _redriven_events(site)
    assert event["resource"]["id"] == _origin(placed)
    assert str(event["id"]) in events

    (record,) = _sent_back(site)
    assert (record.key, record.value) == (placed.key, placed.value)
    assert (record.timestamp_ms, record.partition) == (placed.timestamp_ms, placed.partition)
    assert record.headers[:-2] == placed.headers
    assert record.text("catalyst-redrive-count") == "1"

    assert _redrive(site, letter["letter"]) == []
    site.wait_done()
    assert len(_redriven_events(site)) == 1
    assert _letters(site, "--stage", "apply")[0]["redriven"] is True


def test_a_second_failure_raises_the_count_up_to_the_maximum(site: Site) -> None:
    site.start()
    site.sql(BAN)
    placed, broken = site.process([*_banned(1), GARBAGE])
    for _ in range(2):
        _redrive(site, "--all", "--max-redrives", "2")
        site.wait_done()

    letters = [letter for letter in _letters(site) if not letter["redriven"]]
    assert [letter["redriveCount"] for letter in letters] == [2, 2]
    refused = _redrive(site, "--all", "--max-redrives", "2", code=EXIT_DATA)
    assert all("--max-redrives" in line["why"] for line in refused) and len(refused) == 2
    for topic, first in ((IDENTITY, placed), (KEYS, broken)):
        failed = [r for r in site.dead_letters(topic) if r.header("__connect.errors.topic")]
        newest = max(failed, key=lambda record: record.offset or 0)
        assert newest.value == first.value
        assert newest.text("catalyst-redrive-count") == "2"
        assert newest.text("catalyst-redrive-origin") == _origin(first)
        assert newest.text("__connect.errors.topic") == first.topic
        assert newest.text("__connect.errors.offset") != str(first.offset)

    site.sql(UNBAN)
    _redrive(site, "--all")
    site.wait_done()
    assert "banned-0" in site.table("auth_users")
    assert len(_redriven_events(site)) == 6


def test_letters_that_cannot_go_back_are_refused_alone(site: Site) -> None:
    site.start()
    site.sql(BAN)
    secret = make.issue("k", {"secret": "hush"})
    long = Record(KEYS, b"k", b"\xc1" * 1_020_000, [])
    wide = Record(IDENTITY, b"banned-0", b"\xc1" * 20_000, [])
    commands = _banned(3)
    placed = site.process([secret, long, wide, *commands])
    site.sql(UNBAN)
    named = {letter["origin"]: letter for letter in _letters(site)}
    redacted, truncated, large = (named[_origin(record)] for record in placed[:3])
    assert redacted["redacted"] and truncated["truncated"] and not large["truncated"]

    # The limit that the client knows, then the one that only the broker knows.
    small = ("--set", "kafka.message.max.bytes=10000")
    assert "size" in _why(_redrive(site, large["letter"], *small, code=EXIT_DATA), large)
    site.kafka.limit_record_size(site.topics[IDENTITY], 10_000)
    told = _redrive(site, "--all", code=EXIT_DATA)

    assert "redacted" in _why(told, redacted)
    assert "truncated" in _why(told, truncated)
    assert "size" in _why(told, large).lower()
    assert sorted(line["outcome"] for line in told) == ["redriven"] * 3 + ["refused"] * 3
    site.wait_done()
    assert len(_redriven_events(site)) == len(site.table("auth_users")) == len(commands)

    site.kafka.limit_record_size(site.topics[IDENTITY], 1_000_000)
    assert [line["outcome"] for line in _redrive(site, large["letter"])] == ["redriven"]
    topic = site.topics[IDENTITY] + site.dlq_suffix
    _redrive(site, f"{topic}:0:999", code=EXIT_NOT_FOUND)
    _redrive(site, code=EXIT_USAGE)
    assert run("dlq", "show", f"{topic}:0:999", env=site.env).returncode == EXIT_NOT_FOUND


def _why(told: list[dict[str, Any]], letter: dict[str, Any]) -> str:
    (line,) = [line for line in told if line["letter"] == letter["letter"]]
    assert line["outcome"] == "refused"
    return line["why"]


# Where it dies, at the how manyth time, and how many of its ten letters went back all the same.
DEATHS = [
    ("after_begin", 1, 0),
    ("half_produced", 6, 0),
    ("after_kafka_commit", 1, 10),
    ("after_produced", 1, 0),
]


@pytest.mark.key
def test_a_redrive_that_is_killed_is_gone_on_with(site: Site) -> None:
    commands = _refused(site, 60)
    back = 0
    for point, nth, survives in DEATHS:
        before = site.kafka.end_offsets(site.topics.values())
        killed = _start_redrive(site, "--all", "--limit", "10", WORKER_CRASH_POINT=f"{point}:{nth}")
        told, errors = killed.communicate(timeout=60)
        assert killed.returncode == -9 and f"crash point {point}: kill" in errors, errors
        assert told == ""
        back += survives
        if point == "after_produced":
            # The broker has it all, and nothing is decided.
            grown = sum(site.kafka.end_offsets(site.topics.values()).values()) - sum(before.values())
            assert grown == 20
        # What is left open hides no mark: this waits until the broker has ended it.
        assert sum(letter["redriven"] for letter in _letters(site)) == back, point
    killed = _start_redrive(site, "--all", "--limit", "10", WORKER_CRASH_POINT="during_kafka_commit")
    killed.communicate(timeout=60)
    assert killed.returncode in (-9, EXIT_OK)

    _redrive(site, "--all")
    _assert_each_once(site, commands)


def test_limit_and_rate(site: Site) -> None:
    commands = _refused(site, 20)
    assert len(_redrive(site, "--all", "--limit", "7")) == 7

    started = time.monotonic()
    assert len(_redrive(site, "--all", "--rate", "8")) == 13
    assert time.monotonic() - started >= 1.4
    _assert_each_once(site, commands)


def test_a_second_redrive_takes_over_from_the_first(site: Site) -> None:
    commands = _refused(site, 30)
    first = _start_redrive(site, "--all", "--rate", "2")
    assert first.stdout is not None and first.stdout.readline()

    _redrive(site, "--all")
    _, errors = first.communicate(timeout=60)
    assert first.returncode == EXIT_TRY_AGAIN, errors
    assert "another redrive" in errors
    _assert_each_once(site, commands)


@pytest.fixture
def broker_runs_again(stack: Stack) -> Iterator[None]:
    yield
    stack.run("start")


@pytest.mark.usefixtures("broker_runs_again")
def test_the_broker_restarts_during_a_redrive(site: Site, stack: Stack) -> None:
    commands = _refused(site, 60)
    slow = _start_redrive(site, "--all", "--rate", "10")
    assert slow.stdout is not None and slow.stdout.readline()
    stack.run("restart-kafka")
    _, errors = slow.communicate(timeout=120)
    assert slow.returncode in (EXIT_OK, EXIT_UNAVAILABLE, EXIT_TRY_AGAIN), errors

    _redrive(site, "--all")
    _assert_each_once(site, commands)
