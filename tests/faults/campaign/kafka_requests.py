"""Requests of Kafka's protocol that librdkafka's admin client cannot send, or not to a broker of
our choice: it asks whichever broker it likes, and one that hangs does not answer.

Layouts: the message definitions of Apache Kafka 4.x in the versions below, all in the flexible
encoding: lengths as unsigned varints, one more than the count.
"""

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

METADATA = (3, 12)
FIND_COORDINATOR = (10, 4)
ELECT_LEADERS = (43, 2)
ALTER_PARTITION_REASSIGNMENTS = (45, 0)
DESCRIBE_QUORUM = (55, 0)

GROUP = 0
TRANSACTION = 1

PREFERRED = 0

NO_ERROR = 0
ELECTION_NOT_NEEDED = 84
NO_TAGS = b"\0"
ANSWER_MS = 30_000
# Beyond ANSWER_MS. A broker that hangs is not asked: the caller knows which do.
TIMEOUT_S = 40


class RequestError(Exception):
    """An error code of Kafka's, or no answer at all (code None)."""

    def __init__(self, request: str, code: int | None, why: str = ""):
        super().__init__(f"{request}: error code {code} {why}".rstrip())
        self.code = code


@dataclass(frozen=True)
class Partition:
    topic: str
    number: int
    leader: int  # -1: none
    replicas: list[int]
    isr: list[int]


@dataclass(frozen=True)
class Metadata:
    brokers: set[int]
    partitions: list[Partition]


class _Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) != count:
            raise RequestError("response", None, "ends early")
        self.at += count
        return taken

    def int16(self) -> int:
        return int(struct.unpack(">h", self.take(2))[0])

    def int32(self) -> int:
        return int(struct.unpack(">i", self.take(4))[0])

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def string(self) -> str | None:
        length = self.varint()
        return None if length == 0 else self.take(length - 1).decode()

    def array(self, item: Callable[[], T]) -> list[T]:
        return [item() for _ in range(self.varint() - 1)]

    def tags(self) -> None:
        for _ in range(self.varint()):
            self.varint()
            self.take(self.varint())


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _string(text: str) -> bytes:
    data = text.encode()
    return _varint(len(data) + 1) + data


def _array(items: Sequence[bytes]) -> bytes:
    return _varint(len(items) + 1) + b"".join(items)


def _int32(value: int) -> bytes:
    return struct.pack(">i", value)


def metadata(ports: Sequence[int]) -> Metadata:
    """Of all topics, internal ones too, as the first broker that answers knows them."""
    all_topics, no_creation, no_operations = b"\0", b"\0", b"\0"
    reader = _ask(ports, METADATA, all_topics + no_creation + no_operations + NO_TAGS)

    def broker() -> int:
        node = reader.int32()
        reader.string()
        reader.int32()  # port
        reader.string()
        reader.tags()
        return node

    def partition(topic: str) -> Partition:
        reader.int16()  # error
        number, leader = reader.int32(), reader.int32()
        reader.int32()  # leader epoch
        replicas, isr, _ = (reader.array(reader.int32) for _ in range(3))
        reader.tags()
        return Partition(topic, number, leader, replicas, isr)

    def topic() -> list[Partition]:
        reader.int16()  # error
        name = reader.string() or ""
        reader.take(16 + 1)  # topic id, whether internal
        partitions = reader.array(lambda: partition(name))
        reader.int32()  # authorized operations
        reader.tags()
        return partitions

    reader.int32()  # throttle time
    brokers = set(reader.array(broker))
    reader.string()
    reader.int32()  # controller
    return Metadata(brokers, [each for found in reader.array(topic) for each in found])


def find_coordinator(ports: Sequence[int], key: str, key_type: int) -> int:
    """The broker that coordinates the group or the transactional id now."""
    reader = _ask(ports, FIND_COORDINATOR, bytes([key_type]) + _array([_string(key)]) + NO_TAGS)

    def coordinator() -> int:
        reader.string()
        node = reader.int32()
        reader.string()
        reader.int32()  # port
        _check("FindCoordinator", reader.int16())
        return node

    reader.int32()  # throttle time
    return reader.array(coordinator)[0]


def quorum_leader(ports: Sequence[int]) -> int:
    """The controller that is active now."""
    partition = _int32(0) + NO_TAGS
    topic = _string("__cluster_metadata") + _array([partition]) + NO_TAGS
    reader = _ask(ports, DESCRIBE_QUORUM, _array([topic]) + NO_TAGS)
    _check("DescribeQuorum", reader.int16())
    reader.varint()  # one topic
    reader.string()
    reader.varint()  # one partition
    reader.int32()
    _check("DescribeQuorum", reader.int16())
    return reader.int32()


def set_replicas(ports: Sequence[int], topic: str, partition: int, replicas: Sequence[int]) -> None:
    """Orders the replicas of a partition; the first is the preferred leader. The same replicas in
    another order take effect at once: there is nothing to copy."""
    wanted = _int32(partition) + _array([_int32(replica) for replica in replicas]) + NO_TAGS
    body = _array([_string(topic) + _array([wanted]) + NO_TAGS])
    reader = _ask(ports, ALTER_PARTITION_REASSIGNMENTS, _int32(ANSWER_MS) + body + NO_TAGS)
    reader.int32()  # throttle time
    _check("AlterPartitionReassignments", reader.int16(), reader.string())
    _check_partitions("AlterPartitionReassignments", reader, {NO_ERROR})


def elect_preferred(ports: Sequence[int], partitions: Sequence[tuple[str, int]]) -> None:
    """Makes the first replica of each the leader, if it is in sync."""
    topics = [_string(topic) + _array([_int32(partition)]) + NO_TAGS for topic, partition in partitions]
    body = bytes([PREFERRED]) + _array(topics) + _int32(ANSWER_MS)
    reader = _ask(ports, ELECT_LEADERS, body + NO_TAGS)
    reader.int32()  # throttle time
    _check("ElectLeaders", reader.int16())
    _check_partitions("ElectLeaders", reader, {NO_ERROR, ELECTION_NOT_NEEDED})


def _check_partitions(request: str, reader: _Reader, good: set[int]) -> None:
    def partition() -> None:
        reader.int32()  # its number
        code, why = reader.int16(), reader.string()
        if code not in good:
            raise RequestError(request, code, why or "")
        reader.tags()

    def topic() -> None:
        reader.string()
        reader.array(partition)
        reader.tags()

    reader.array(topic)


def _check(request: str, code: int, why: str | None = None) -> None:
    if code != NO_ERROR:
        raise RequestError(request, code, why or "")


def _ask(ports: Sequence[int], api: tuple[int, int], body: bytes) -> _Reader:
    """Of the first broker that answers: each knows, or asks the one that does."""
    why = "no broker"
    for port in ports:
        try:
            return _ask_one(port, api, body)
        except OSError as error:
            why = str(error)
    raise RequestError(f"request {api[0]}", None, why)


def _ask_one(port: int, api: tuple[int, int], body: bytes) -> _Reader:
    client_id = b"campaign"
    header = struct.pack(">hhih", *api, 1, len(client_id)) + client_id + NO_TAGS
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as broker:
        broker.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        length = struct.unpack(">i", _receive(broker, 4))[0]
        reader = _Reader(_receive(broker, length))
    reader.int32()  # correlation id
    reader.tags()
    return reader


def _receive(broker: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = broker.recv(count - len(data))
        if not part:
            raise ConnectionError("the broker closed the connection")
        data += part
    return data
