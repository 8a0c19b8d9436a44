"""What the limits of a batch allow decides how much is taken at once, never whether a command is taken."""

from typing import Any

import pytest

from harness import make
from harness.model import Model
from harness.site import Site
from harness.wire import IDENTITY, Command, Headers, Record

SMALLEST = {"CATALYST_BATCH_MAX_MESSAGES": "1", "CATALYST_BATCH_MAX_BYTES": "65536"}
BYTES = 300_000

# What takes most memory for its bytes: text that JSON escapes, arrays of short texts, maps of small values.
LARGE: dict[str, dict[str, Any]] = {
    "one text": {"labels": {"note": "x" * BYTES}},
    "escaped text": {"labels": {"note": '"\\\x01' * (BYTES // 3)}},
    "many labels": {"labels": {f"{n:x}": True for n in range(BYTES // 6)}},
    "nested metadata": {"metadata": {"list": [None, [], {}, 0, ""] * (BYTES // 5)}},
}


@pytest.mark.key
def test_commands_larger_than_a_batch_may_be_are_applied(narrow: Site) -> None:
    narrow.extra = SMALLEST
    commands: list[Command] = [make.user(f"u-{n}", data) for n, data in enumerate(LARGE.values())]
    commands.append(make.issue("k", {"scopes": [f"{n:x}" for n in range(BYTES // 6)]}))
    commands.append(make.membership("m", {"groupIds": [f"{n:x}" for n in range(BYTES // 6)]}))
    narrow.start()

    narrow.process(commands)

    assert narrow.dead_letters() == []
    narrow.check(Model().take_all(commands))


def test_a_letter_that_needs_more_memory_than_a_batch_goes_out(narrow: Site) -> None:
    """The dead letter of a record with as many headers as can be read; limits of a batch as small as can be."""
    narrow.extra = SMALLEST
    headers: Headers = [("h", b"")] * 90_000
    narrow.start()

    (placed, _) = narrow.process([Record(IDENTITY, b"k", b"\xc1", headers), make.user("u-after")])

    (letter,) = narrow.dead_letters()
    assert letter.value == placed.value and letter.key == b"k"
    assert sum(name == "h" for name, _ in letter.headers) == len(headers)
