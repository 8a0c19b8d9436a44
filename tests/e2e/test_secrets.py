"""Secrets of keys that were sent by mistake: no dead letter, and no log, repeats them."""

from collections.abc import Callable, Iterator

import pytest

from harness import make
from harness.site import Site
from harness.wire import KEYS, TYPES, Record

SECRET = b"s3cr3t"
FLAG = "catalyst-dlq-redacted"
START = b'{"id":"k","hash":"h","owner":{"kind":"user","id":"u"},"scopes":[],'
PACKED = bytes.fromhex(
    "85a26964a16ba468617368a168a56f776e657282a46b696e64a475736572a26964a175a673636f70657390"
)
JSON = "application/json"
PACK = "application/vnd.msgpack"
STRUCTURED = "application/cloudevents+json"
ISSUE = TYPES["key.issue"]

# name: (type, content type, value, what the letter holds; None: any value without the secret)
DAMAGED: dict[str, tuple[str | None, str | None, bytes, bytes | None]] = {
    "a float past the range": (ISSUE, JSON, START + b'"secret":"s3cr3t","x":1e400}', START + b'"[redacted]'),
    "half a surrogate": (ISSUE, JSON, START + b'"secret":"s3cr3t","x":"\\ud800"}', START + b'"[redacted]'),
    "NaN": (ISSUE, JSON, START + b'"secret":"s3cr3t","x":NaN}', START + b'"[redacted]'),
    "a cut end": (ISSUE, JSON, START + b'"ToKeN":"s3cr3t"', START + b'"[redacted]'),
    "escaped": (ISSUE, JSON, START + b'"\\u0070lain\\u0054ext":"s3cr3t" ', START + b'"[redacted]'),
    "a byte behind the end": (
        ISSUE,
        PACK,
        PACKED + b"\xa6secret\xa6s3cr3t\xc0",
        PACKED + b"\xa6[redacted]",
    ),
    "a binary name": (ISSUE, PACK, PACKED + b"\xc4\x06secret\xa6s3cr3t", PACKED + b"\xc4\x06[redacted]"),
    "another version": (
        "dev.catalyst.key.issue.v2",
        JSON,
        START + b'"a":[{"secret":"s3cr3t"}]}',
        START + b'"a":[{"secret":"[redacted]"}]}',
    ),
    "capitals": (
        ISSUE.upper(),
        PACK,
        PACKED + b"\xa6secret\xa6s3cr3t",
        PACKED + b"\xa6secret\xaa[redacted]",
    ),
    "no type": (None, JSON, START + b'"secret":"s3cr3t"}', START + b'"secret":"[redacted]"}'),
    "no content type": (ISSUE, "x/y", START + b'"secret":"s3cr3t"}', START + b'"secret":"[redacted]"}'),
    "structured": (
        None,
        STRUCTURED,
        b'{"type":"%s","data":{"secret":"s3cr3t"}' % ISSUE.encode(),
        b'{"type":"%s","data":{"[redacted]' % ISSUE.encode(),
    ),
    "structured, base 64": (
        None,
        STRUCTURED,
        b'{"type":"%s","data_base64":"gaZzZWNyZXSmczNjcjN0"' % ISSUE.encode(),
        b'{"type":"%s","[redacted]' % ISSUE.encode(),
    ),
}
# What holds no key's secret goes out byte for byte.
KEPT = {
    "another type": (TYPES["key.revoke"], JSON, b'{"secret":"kept","hash":7}'),
    "no name": (ISSUE, JSON, START + b'"x":NaN}'),
}


@pytest.fixture(scope="module")
def letters(new_module_site: Callable[..., Site]) -> Iterator[tuple[Site, dict[str, Record]]]:
    site = new_module_site(partitions=1)
    site.start()
    named = {name: _record(*case[:3]) for name, case in DAMAGED.items()}
    named |= {name: _record(*case) for name, case in KEPT.items()}
    named["in headers"] = Record(
        KEYS,
        b'{"secret":"s3cr3t"}',
        b"{}",
        [("ce_type", ISSUE.encode()), ("ce_secret", SECRET), ("ce_data", b'{"token":"s3cr3t"}')],
    )
    placed = site.process([*named.values(), make.use("neighbour")])
    found = {letter.text("__connect.errors.offset"): letter for letter in site.dead_letters(KEYS)}
    yield site, {name: found[str(record.offset)] for name, record in zip(named, placed[:-1], strict=True)}


def _record(type_: str | None, content_type: str | None, value: bytes) -> Record:
    headers: list[tuple[str, bytes | None]] = [
        ("ce_id", b"1"),
        ("ce_source", b"/t"),
        ("ce_specversion", b"1.0"),
    ]
    headers += [("ce_type", type_.encode())] if type_ else []
    headers += [("content-type", content_type.encode())] if content_type else []
    return Record(KEYS, b"k", value, headers)


@pytest.mark.key
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_body_is_redacted(letters: tuple[Site, dict[str, Record]], name: str) -> None:
    letter = letters[1][name]

    assert letter.text(FLAG) == "true"
    assert letter.value == DAMAGED[name][3]


@pytest.mark.parametrize("name", KEPT)
def test_all_else_goes_out_byte_for_byte(letters: tuple[Site, dict[str, Record]], name: str) -> None:
    letter = letters[1][name]

    assert letter.header(FLAG) is None
    assert letter.value == KEPT[name][2]


def test_headers_and_key_are_redacted(letters: tuple[Site, dict[str, Record]]) -> None:
    letter = letters[1]["in headers"]

    assert letter.text(FLAG) == "true"
    assert letter.key == letter.header("ce_secret") == letter.header("ce_data") == b"[redacted]"


def test_the_log_says_nothing(letters: tuple[Site, dict[str, Record]]) -> None:
    site, _ = letters
    for worker in site.workers:
        assert SECRET not in worker.log_path.read_bytes()
