"""What the campaign has sent, as the brokers acknowledged it: the only input of the checker's model."""

import gzip
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

Place = tuple[str, int, int]  # topic, partition, offset


@dataclass(frozen=True, slots=True)
class Sent:
    """One record. `kind`: a key of harness.wire.TYPES, or "malformed: …" for what is no command."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp_ms: int
    kind: str

    @property
    def at(self) -> Place:
        return (self.topic, self.partition, self.offset)


@dataclass
class Journal:
    """In the order of the acknowledgements, which is the order of the offsets within a partition.
    Only ever appended to, so that a reader may go on from where it was."""

    sent: list[Sent] = field(default_factory=list)

    def save(self, path: Path) -> None:
        with gzip.open(path, "wb", compresslevel=3) as file:
            for each in self.sent:
                file.write(
                    msgpack.packb(
                        (
                            each.topic,
                            each.partition,
                            each.offset,
                            each.key,
                            each.value,
                            each.headers,
                            each.timestamp_ms,
                            each.kind,
                        )
                    )
                )

    @classmethod
    def load(cls, path: Path) -> "Journal":
        with gzip.open(path, "rb") as file:
            # A record's own limits are Kafka's; the unpacker's are lower.
            return cls([_sent(*fields) for fields in msgpack.Unpacker(file, max_buffer_size=0)])


def _sent(
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[Any],
    timestamp_ms: int,
    kind: str,
) -> Sent:
    # A million records share a few dozen names.
    named = [(sys.intern(name), content) for name, content in headers]
    return Sent(sys.intern(topic), partition, offset, key, value, named, timestamp_ms, sys.intern(kind))
