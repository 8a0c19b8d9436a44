"""What is no command: a dead letter with the bytes as they came, and neighbours that notice nothing."""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest

from harness import make
from harness.malformed import CASES, MARK, Case
from harness.model import Model
from harness.site import Site
from harness.wire import IDENTITY, KEYS, Command, Record

CONNECT = "__connect.errors."
SPRING = "kafka_dlt-"
OWN = "catalyst-dlq-"


@dataclass
class Seen:
    site: Site
    model: Model
    placed: dict[str, Record]  # by case
    letters: dict[tuple[str, int, int], Record]  # by origin
    letter_count: int


@pytest.fixture(scope="module")
def seen(new_module_site: Callable[..., Site]) -> Iterator[Seen]:
    """All cases sent to one worker, each between two good commands in the same partition."""
    site = new_module_site(partitions=1)
    worker = site.start()
    items: list[Command | Record] = []
    good: list[Command] = []
    for number, case in enumerate(CASES):
        neighbour = make.use if case.record.topic == KEYS else make.user
        good.append(neighbour(f"neighbour-{number}"))
        items += [good[-1], case.record]
    placed = site.process(items)
    letters = site.dead_letters(IDENTITY) + site.dead_letters(KEYS)
    assert worker.alive()
    yield Seen(
        site,
        Model().take_all(good),
        {case.name: record for case, record in zip(CASES, placed[1::2], strict=True)},
        {_origin(letter): letter for letter in letters},
        len(letters),
    )


def _origin(letter: Record) -> tuple[str, int, int]:
    return (
        letter.text(CONNECT + "topic") or "",
        int(letter.text(CONNECT + "partition") or -1),
        int(letter.text(CONNECT + "offset") or -1),
    )


def _as_received(letter: Record) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in letter.headers if not name.startswith((CONNECT, SPRING, OWN))]


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.key
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_a_dead_letter(seen: Seen, case: Case) -> None:
    origin = seen.placed[case.name]
    letter = seen.letters.get(origin.at)

    assert letter is not None, f"no dead letter of {case.name}"
    assert letter.key == origin.key
    assert letter.timestamp_ms == origin.timestamp_ms
    assert _as_received(letter) == origin.headers
    if case.redacted:
        assert letter.header("catalyst-dlq-redacted") is not None
        assert MARK.encode() not in (letter.value or b"")
        _check_redacted(origin, letter, case.redacted)
    else:
        assert letter.value == origin.value
        assert letter.header("catalyst-dlq-redacted") is None
    message = letter.text(CONNECT + "exception.message") or ""
    assert message and case.says in message, f"message: {message}"
    assert MARK not in message
    assert all(
        MARK.encode() not in (v or b"") for n, v in letter.headers if n.startswith((CONNECT, SPRING, OWN))
    )


def _check_redacted(origin: Record, letter: Record, fields: tuple[str, ...]) -> None:
    """Only the offending values are replaced; the rest of the body says what it said."""
    before, after = _data(origin), _data(letter)
    for name in fields:
        assert after[name] == "[redacted]"
    assert {n: v for n, v in after.items() if n not in fields} == {
        n: v for n, v in before.items() if n not in fields
    }


def _data(record: Record) -> dict[str, Any]:
    content = record.text("content-type") or ""
    if "cloudevents" in content:
        event = json.loads(record.value or b"")
        if "data" in event:
            return event["data"]
        return msgpack.unpackb(base64.b64decode(event["data_base64"]))
    return json.loads(record.value or b"") if "json" in content else msgpack.unpackb(record.value)


@pytest.mark.parametrize("case", CASES[:: len(CASES) // 12], ids=lambda case: case.name)
def test_carries_both_header_families(seen: Seen, case: Case) -> None:
    origin = seen.placed[case.name]
    letter = seen.letters[origin.at]
    topic, partition, offset = origin.at

    assert letter.text(CONNECT + "connector.name") == seen.site.group
    assert letter.text(CONNECT + "stage") == "VALUE_CONVERTER"
    assert letter.text(CONNECT + "class.name") in ("envelope", "body", "type", "field", "secret")
    assert letter.text(SPRING + "original-topic") == topic
    assert letter.header(SPRING + "original-partition") == struct.pack(">i", partition)
    assert letter.header(SPRING + "original-offset") == struct.pack(">q", offset)
    assert letter.header(SPRING + "original-timestamp") == struct.pack(">q", origin.timestamp_ms)
    assert letter.text(SPRING + "exception-message") == letter.text(CONNECT + "exception.message")


def test_every_malformed_message_is_one_dead_letter(seen: Seen) -> None:
    assert seen.letter_count == len(CASES) == len(seen.letters)


@pytest.mark.key
def test_neighbours_are_unaffected(seen: Seen) -> None:
    seen.site.check(seen.model)


def test_the_log_names_no_value(seen: Seen) -> None:
    assert MARK not in seen.site.workers[0].log


def test_error_headers_of_an_earlier_failure_are_replaced(site: Site) -> None:
    """A dead letter put back on its topic by another tool fails again: one set of headers."""
    site.start()
    bad = make.user("bad").record()
    old = [
        (CONNECT + "topic", b"elsewhere"),
        (CONNECT + "exception.message", b"old"),
        (SPRING + "original-topic", b"elsewhere"),
        (SPRING + "original-offset", struct.pack(">q", 7)),
        (SPRING + "exception-message", b"old"),
    ]
    extra = [("x-own", b"\x00\xff"), ("x-own", b"twice"), ("x-empty", b""), ("x-null", None)]
    again = Record(IDENTITY, bad.key, b"\xc1", [*old, *bad.headers, *extra], bad.timestamp_ms, 1)

    (placed,) = site.process([again])

    (letter,) = site.dead_letters()
    assert _origin(letter) == placed.at
    assert letter.header(SPRING + "original-topic") == placed.topic.encode()
    assert letter.header(SPRING + "original-offset") == struct.pack(">q", placed.offset)
    assert letter.text(SPRING + "exception-message") != "old"
    assert _as_received(letter) == [*bad.headers, *extra]
    assert letter.value == b"\xc1"


def test_a_record_without_key_and_with_binary_key(site: Site) -> None:
    site.start()
    keys = (None, b"", b"\x00\xff" * 40)

    site.process([Record(IDENTITY, key, b"\xc1", [], partition=0) for key in keys])

    letters = [letter.key for letter in site.dead_letters()]  # of all partitions: in no order
    assert len(letters) == len(keys) and set(letters) == set(keys)


def test_a_dead_letter_that_does_not_fit_is_truncated_and_flagged(narrow: Site) -> None:
    """The value alone fits a message, with the headers of a dead letter it does not."""
    narrow.start()
    value = b"\xc1" * (1_000_000 - 300)
    commands = [make.user("before"), make.user("after")]
    big = Record(IDENTITY, b"big", value, [])

    narrow.process([commands[0], big, commands[1]])

    (letter,) = narrow.dead_letters()
    assert letter.header("catalyst-dlq-truncated") == str(len(value)).encode()
    assert letter.value and value.startswith(letter.value) and len(letter.value) > 900_000
    assert "truncated" in narrow.workers[0].log
    narrow.check(Model().take_all(commands))


@pytest.mark.key
def test_a_topic_of_nothing_but_garbage(narrow: Site) -> None:
    records = [Record(IDENTITY, None, bytes([n % 256]) * (n % 97), []) for n in range(3000)]
    narrow.publish(records)

    narrow.start()
    narrow.wait_done()

    assert [r.value for r in narrow.dead_letters()] == [r.value for r in records]
    assert narrow.audit_records() == []
