"""A dead letter that the brokers refuse for good is changed until they take it, flagged, and put back as it was."""

import json
import time
from typing import Any

import pytest

from harness import make
from harness.model import Model
from harness.program import EXIT_CONFIG, EXIT_DATA, run, run_json
from harness.site import Site
from harness.wire import IDENTITY, Headers, Record

DAY_MS = 24 * 3600 * 1000
HEADERS_MAX = 100_000  # what librdkafka gives out of one record
CHANGED = "catalyst-dlq-changed"


def _dead_letter_topic(site: Site) -> str:
    return site.topics[IDENTITY] + site.dlq_suffix


def _broken(key: bytes | None, timestamp_ms: int, headers: Headers | None = None) -> Record:
    return Record(IDENTITY, key, b"\xc1", headers or [("x", b"1")], timestamp_ms)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _redrive(site: Site) -> list[dict[str, Any]]:
    done = run("dlq", "redrive", "--all", env=site.env)
    assert done.returncode in (0, EXIT_DATA), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _sent_back(site: Site) -> list[Record]:
    records = site.kafka.read_committed(site.topics[IDENTITY])
    return [record for record in records if record.header("catalyst-redrive-count")]


@pytest.mark.key
def test_a_timestamp_that_the_topic_does_not_take(narrow: Site) -> None:
    narrow.kafka.configure(_dead_letter_topic(narrow), {"message.timestamp.before.max.ms": "60000"})
    now = _now_ms()
    old, new = _broken(b"old", now - DAY_MS), _broken(b"new", now)
    after = make.user("after")
    placed = narrow.publish([old, new, after])
    worker = narrow.start()
    narrow.wait_done()

    letters = {letter.key: letter for letter in narrow.dead_letters()}
    assert letters.keys() == {b"old", b"new"}
    assert letters[b"old"].text(CHANGED) == "timestamp"
    assert letters[b"old"].timestamp_ms >= now
    assert letters[b"old"].header("kafka_dlt-original-timestamp") == (now - DAY_MS).to_bytes(8, "big")
    assert letters[b"new"].header(CHANGED) is None
    assert letters[b"new"].timestamp_ms == now
    narrow.check(Model().take_all([after]))
    assert "INVALID_TIMESTAMP" in worker.log and "dead letters are changed" in worker.log
    listed = run_json("dlq", "ls", "--output", "json", env=narrow.env)
    assert sorted(letter.get("changed", "") for letter in listed) == ["", "timestamp"]

    narrow.kafka.configure(_dead_letter_topic(narrow), {"message.timestamp.before.max.ms": str(2**62)})
    assert [line["outcome"] for line in _redrive(narrow)] == ["redriven"] * 2
    back = {record.key: record for record in _sent_back(narrow)}
    assert back[b"old"].timestamp_ms == placed[0].timestamp_ms
    assert back[b"old"].value == placed[0].value


@pytest.mark.key
def test_a_compacted_topic_takes_no_letter_without_a_key(narrow: Site) -> None:
    narrow.kafka.configure(_dead_letter_topic(narrow), {"cleanup.policy": "compact"})
    after = make.user("after")
    placed = narrow.publish([_broken(None, _now_ms()), _broken(b"keyed", _now_ms()), after])
    narrow.start()
    narrow.wait_done()

    made, kept = narrow.dead_letters()
    origin = ":".join(str(part) for part in placed[0].at)
    assert (made.key, made.text(CHANGED)) == (origin.encode(), "key")
    assert made.timestamp_ms == placed[0].timestamp_ms and made.value == placed[0].value
    assert (kept.key, kept.header(CHANGED)) == (b"keyed", None)
    narrow.check(Model().take_all([after]))

    assert [line["outcome"] for line in _redrive(narrow)] == ["redriven"] * 2
    assert {record.key for record in _sent_back(narrow)} == {None, b"keyed"}


def test_check_finds_a_compacted_dead_letter_topic(narrow: Site) -> None:
    topic = _dead_letter_topic(narrow)
    narrow.kafka.configure(topic, {"cleanup.policy": "compact"})

    done = run("check", "--online", "--output", "json", env=narrow.env)

    assert done.returncode == EXIT_CONFIG
    found = [each for each in json.loads(done.stdout) if topic in json.dumps(each)]
    assert any(each["level"] == "error" and "compacted" in each["what"] for each in found), found


@pytest.mark.key
def test_more_headers_than_can_be_read(narrow: Site) -> None:
    command = make.user("many").record()
    padding: Headers = [("h", b"")] * (HEADERS_MAX - len(command.headers))
    most = Record(IDENTITY, command.key, command.value, [*command.headers, *padding])
    more = Record(IDENTITY, b"more", command.value, [*command.headers, *padding, ("h", b"")])
    after = make.user("after")
    narrow.start()

    placed = narrow.process([more, most, after])

    (letter,) = narrow.dead_letters()
    assert letter.text("__connect.errors.offset") == str(placed[0].offset)
    assert letter.text("__connect.errors.class.name") == "envelope"
    reason = letter.text("__connect.errors.exception.message")
    assert reason == "headers: must be at most 100000, and well formed"
    assert (letter.key, letter.value) == (b"more", command.value)
    assert letter.text(CHANGED) == "headers"
    assert narrow.table("auth_users").keys() == {"many", "after"}
    (line,) = _redrive(narrow)
    assert line["outcome"] == "refused" and "headers" in line["why"]


def test_a_letter_whose_own_headers_would_be_too_many(narrow: Site) -> None:
    """The error headers come on top of those received: the letter must be readable too."""
    headers: Headers = [("h", b"")] * (HEADERS_MAX - 5)
    narrow.start()

    narrow.process([_broken(b"k", _now_ms(), headers)])

    (letter,) = narrow.dead_letters()
    assert letter.text(CHANGED) == "headers"
    assert letter.text("__connect.errors.topic") == narrow.topics[IDENTITY]
