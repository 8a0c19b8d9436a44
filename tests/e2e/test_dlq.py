"""`dlq ls | show | redrive` on dead letters that a real worker wrote."""

import json
import subprocess
import time
from typing import Any

from harness import make, program
from harness.program import EXIT_DATA, EXIT_NOT_FOUND, EXIT_USAGE, run
from harness.site import Site
from harness.wait import wait_until
from harness.wire import IDENTITY, KEYS, Record, audit_id_of

BAN = "ALTER TABLE auth_users ADD CONSTRAINT banned CHECK (email NOT LIKE 'banned%')"
UNBAN = "ALTER TABLE auth_users DROP CONSTRAINT banned"


def _letters(site: Site, *arguments: str) -> list[dict[str, Any]]:
    return program.run_json("dlq", "ls", "--output", "json", *arguments, env=site.env)


def _redrive(site: Site, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    done = run("dlq", "redrive", *arguments, env=site.env)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def _redriven_events(site: Site) -> list[dict[str, Any]]:
    return site.sql("SELECT * FROM auth_audit_events WHERE action = 'dlq.redriven'")


def _settle(site: Site) -> None:
    """Until the group is behind every record. wait_done() would wait for the marker of the redrive's
    transaction too, which no group ever commits past before another record follows."""
    ends: dict[tuple[str, int], int] = {}
    for topic in site.topics.values():
        for record in site.kafka.read_committed(topic):
            _, partition, offset = record.at
            ends[topic, partition] = max(ends.get((topic, partition), 0), offset + 1)

    def settled() -> bool:
        committed = site.committed()
        return all(committed[partition] >= end for partition, end in ends.items())

    wait_until("the group is behind every record", settled, 60)


def _banned(count: int) -> list[Any]:
    return [make.user(f"banned-{n}", {"email": f"banned{n}@x.test"}) for n in range(count)]


def _origin(record: Record) -> str:
    return ":".join(str(part) for part in record.at)


def test_refused_by_postgresql_mended_and_redriven_once(site: Site) -> None:
    site.start()
    site.sql(BAN)
    (command,) = _banned(1)
    garbage = Record(KEYS, b"k", b"\xc1", [("ce_id", b"x")])
    placed, broken = site.process([command, garbage])

    listed = {letter["origin"]: letter for letter in _letters(site)}
    assert listed.keys() == {_origin(placed), _origin(broken)}
    letter = listed[_origin(placed)]
    assert (letter["stage"], letter["class"], letter["redriven"]) == ("apply", "sqlstate", False)
    assert listed[_origin(broken)]["stage"] == "decode"
    assert _letters(site, "--stage", "apply") == [letter]
    assert _letters(site, "--topic", site.topics[KEYS]) == [listed[_origin(broken)]]
    assert _letters(site, "--message", "no such words") == []
    assert _letters(site, "--until", "2000-01-01T00:00:00Z") == []
    assert len(_letters(site, "--since", "2000-01-01T00:00:00Z")) == 2
    groups = _letters(site, "--summary")
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
    assert raw.stdout == garbage.value

    before = site.kafka.end_offsets(site.kafka.topic_names() & {*site.topics.values()})
    assert [line["outcome"] for line in _redrive(site, "--stage", "apply", "--dry-run")] == [
        "would be redriven"
    ]
    assert site.kafka.end_offsets(site.topics.values()) == before

    site.sql(UNBAN)
    assert [line["outcome"] for line in _redrive(site, letter["letter"])] == ["redriven"]
    _settle(site)
    assert command.data["id"] in site.table("auth_users")
    events = site.audit_by_id()
    assert audit_id_of(command.source, command.id) in events
    (event,) = _redriven_events(site)
    assert event["resource"]["id"] == _origin(placed)
    assert str(event["id"]) in events

    again = [
        record
        for record in site.kafka.read_committed(site.topics[IDENTITY])
        if record.header("catalyst-redrive-count")
    ]
    (record,) = again
    assert (record.key, record.value) == (placed.key, placed.value)
    assert (record.timestamp_ms, record.partition) == (placed.timestamp_ms, placed.partition)
    assert record.headers[:-2] == placed.headers
    assert record.text("catalyst-redrive-count") == "1"

    assert _redrive(site, letter["letter"]) == []
    _settle(site)
    assert len(_redriven_events(site)) == 1
    assert _letters(site, "--stage", "apply")[0]["redriven"] is True


def test_a_second_failure_raises_the_count_up_to_the_maximum(site: Site) -> None:
    site.start()
    site.sql(BAN)
    (placed,) = site.process(_banned(1))
    for _ in range(2):
        _redrive(site, "--all", "--max-redrives", "2")
        _settle(site)

    letters = [letter for letter in _letters(site) if not letter["redriven"]]
    assert [letter["redriveCount"] for letter in letters] == [2]
    assert letters[0]["origin"] != _origin(placed)
    (refused,) = _redrive(site, "--all", "--max-redrives", "2", code=EXIT_DATA)
    assert "--max-redrives" in refused["why"]
    newest = max(
        (r for r in site.dead_letters() if r.header("__connect.errors.topic")),
        key=lambda r: r.offset or 0,
    )
    assert newest.text("catalyst-redrive-count") == "2"
    assert newest.text("catalyst-redrive-origin") == _origin(placed)
    assert f"{newest.text('__connect.errors.topic')}" == placed.topic

    site.sql(UNBAN)
    _redrive(site, "--all")
    _settle(site)
    assert "banned-0" in site.table("auth_users")
    assert len(_redriven_events(site)) == 3


def test_redacted_and_missing_letters_are_refused(site: Site) -> None:
    site.start()
    site.process([make.issue("k", {"secret": "hush"})])
    (letter,) = _letters(site)
    assert letter["redacted"] is True

    (refused,) = _redrive(site, "--all", code=EXIT_DATA)
    assert "redacted" in refused["why"]
    topic = site.topics[IDENTITY] + site.dlq_suffix
    _redrive(site, f"{topic}:0:999", code=EXIT_NOT_FOUND)
    _redrive(site, code=EXIT_USAGE)
    _redrive(site, "nonsense", code=EXIT_USAGE)
    assert run("dlq", "show", f"{topic}:0:999", env=site.env).returncode == EXIT_NOT_FOUND


def test_limit_rate_and_a_redrive_that_is_killed(site: Site) -> None:
    site.start()
    site.sql(BAN)
    commands = _banned(60)
    site.process(commands)
    site.sql(UNBAN)
    assert len(_redrive(site, "--all", "--limit", "7")) == 7

    started = time.monotonic()
    assert len(_redrive(site, "--all", "--limit", "10", "--rate", "5")) == 10
    assert time.monotonic() - started >= 1.8

    slow = subprocess.Popen(
        [str(program.BINARY), "dlq", "redrive", "--all", "--rate", "5"],
        env=program.clean_environment(site.env),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert slow.stdout is not None
    told = [slow.stdout.readline() for _ in range(3)]
    slow.kill()
    slow.communicate()
    assert all(json.loads(line)["outcome"] == "redriven" for line in told)

    _redrive(site, "--all")
    _settle(site)
    sent = [
        record
        for record in site.kafka.read_committed(site.topics[IDENTITY])
        if record.header("catalyst-redrive-count")
    ]
    assert sorted(record.text("ce_id") or "" for record in sent) == sorted(c.id for c in commands)
    assert len(_redriven_events(site)) == len(commands) == len(site.table("auth_users"))


def test_a_second_redrive_takes_over_from_the_first(site: Site) -> None:
    site.start()
    site.sql(BAN)
    commands = _banned(30)
    site.process(commands)
    site.sql(UNBAN)
    first = subprocess.Popen(
        [str(program.BINARY), "dlq", "redrive", "--all", "--rate", "2"],
        env=program.clean_environment(site.env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None and first.stdout.readline()

    _redrive(site, "--all")
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 75, errors
    assert "another redrive" in errors
    _settle(site)
    assert len(_redriven_events(site)) == len(commands)
    sent = [
        record
        for record in site.kafka.read_committed(site.topics[IDENTITY])
        if record.header("catalyst-redrive-count")
    ]
    assert len(sent) == len(commands)
