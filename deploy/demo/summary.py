"""The accountant of the demo: counts on all sides what became of the stream, and checks the sums.

    summary.py wait    --servers HOST:PORT --group GROUP --topics A,B
    summary.py report  --servers ... --topics A,B --audit TOPIC --dlq-suffix .dlq --ledger FILE
                       --database URL --metrics URL...

Counted independently: the command topics, the audit topic as a read_committed consumer sees it, the
dead-letter topics, the tables (through psql), and the replicas' own metrics. Exit 1: they disagree.
"""

import argparse
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import msgpack
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions as GroupOffsets
from confluent_kafka.admin import AdminClient

PREFIX = "dev.catalyst."
TABLES = {
    "auth_users": "users",
    "auth_orgs": "orgs",
    "auth_groups": "groups",
    "auth_memberships": "memberships",
    "auth_entitlements": "entitlements",
    "auth_keys": "keys",
    "auth_audit_events": "audit events",
}


def partitions_of(admin: AdminClient, topic: str) -> list[int]:
    return sorted(admin.list_topics(topic, timeout=20).topics[topic].partitions)


def consumer(servers: str, isolation: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "demo-accountant",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )


def ends(servers: str, topics: list[str]) -> dict[tuple[str, int], int]:
    admin = AdminClient({"bootstrap.servers": servers})
    reader = consumer(servers, "read_uncommitted")
    try:
        return {
            (topic, number): reader.get_watermark_offsets(TopicPartition(topic, number), timeout=20)[1]
            for topic in topics
            for number in partitions_of(admin, topic)
        }
    finally:
        reader.close()


def wait(arguments: argparse.Namespace) -> int:
    """Until the group's committed offsets are at the end of the topics."""
    topics = arguments.topics.split(",")
    wanted = ends(arguments.servers, topics)
    admin = AdminClient({"bootstrap.servers": arguments.servers})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        request = GroupOffsets(arguments.group, [TopicPartition(*at) for at in wanted])
        answer = admin.list_consumer_group_offsets([request])[arguments.group].result(20)
        done = {(each.topic, each.partition): each.offset for each in answer.topic_partitions}
        behind = sum(max(end - max(done[at], 0), 0) for at, end in wanted.items())
        if behind == 0:
            return 0
        time.sleep(0.2)
    print(f"after 120 s {behind} commands still wait; see the replicas' logs", file=sys.stderr)
    return 1


def read_all(servers: str, topic: str) -> list[Message]:
    """Everything on the topic that a read_committed consumer is given."""
    wanted = {number: end for (_, number), end in ends(servers, [topic]).items()}
    reader = consumer(servers, "read_committed")
    reader.assign([TopicPartition(topic, number, 0) for number in wanted])
    reached = dict.fromkeys(wanted, 0)
    messages: list[Message] = []
    deadline = time.monotonic() + 60
    while any(reached[number] < end for number, end in wanted.items()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{topic} could not be read to its end within 60 s: {reached} of {wanted}")
        for message in reader.consume(1000, 0.2):
            error = message.error()
            if error is None:
                messages.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                reached[message.partition() or 0] = message.offset() or 0
            else:
                raise KafkaException(error)
    reader.close()
    return messages


def header(message: Message, name: str) -> str:
    found = dict(message.headers() or []).get(name)
    return found.decode() if isinstance(found, bytes) else "(none)"


def rows(database: str) -> dict[str, int]:
    query = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in TABLES)
    out = subprocess.run(
        ["psql", "-qXAt", "-F", " ", "-v", "ON_ERROR_STOP=1", "-c", query, database],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {line.split()[0]: int(line.split()[1]) for line in out.splitlines()}


def metric(urls: list[str], name: str) -> int:
    total = 0
    for url in urls:
        with urllib.request.urlopen(url, timeout=10) as answer:
            body = answer.read().decode()
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\d+)", body, re.MULTILINE)
        if not found:
            raise SystemExit(f"{url} has no {name}")
        total += sum(map(int, found))
    return total


def table(head: list[str], lines: list[list[Any]]) -> None:
    cells = [[str(cell) for cell in line] for line in [head, *lines]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    for number, line in enumerate(cells):
        print(
            "  "
            + "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
        )
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
    print()


def count_all(arguments: argparse.Namespace) -> dict[str, Any]:
    topics = arguments.topics.split(",")
    published = Counter(
        header(message, "ce_type") for topic in topics for message in read_all(arguments.servers, topic)
    )
    events = [msgpack.unpackb(message.value()) for message in read_all(arguments.servers, arguments.audit)]
    letters = [
        message for topic in topics for message in read_all(arguments.servers, topic + arguments.dlq_suffix)
    ]
    outcomes: Counter[tuple[str, str]] = Counter()
    for event in events:
        code = event["error"]["code"] if event["outcome"] == "rejected" else "applied"
        outcomes[(event["command"]["type"], code)] += 1
    for letter in letters:
        outcomes[(header(letter, "ce_type"), "dead letter")] += 1
    for kind, count in published.items():
        answered = sum(n for (of, _), n in outcomes.items() if of == kind)
        if count > answered:
            outcomes[(kind, "duplicate")] = count - answered
    return {"published": published, "events": events, "letters": letters, "outcomes": outcomes}


def print_counts(counted: dict[str, Any], in_tables: dict[str, int]) -> None:
    outcomes, published = counted["outcomes"], counted["published"]

    def of(kind: str, *names: str) -> int:
        return sum(n for (k, name), n in outcomes.items() if k == kind and name in names)

    codes = sorted({name for _, name in outcomes} - {"applied", "duplicate", "dead letter"})
    lines: list[list[Any]] = [
        [
            kind.removeprefix(PREFIX),
            published[kind],
            of(kind, "applied"),
            of(kind, *codes),
            of(kind, "duplicate"),
            of(kind, "dead letter"),
        ]
        for kind in sorted(published)
    ]
    lines.append(["all", *(sum(line[i] for line in lines) for i in range(1, 6))])
    print("Commands by type and outcome")
    table(["type", "published", "applied", "rejected", "duplicate", "dead letter"], lines)
    print("Rejections by code")
    table(
        ["code", "commands"], [[c, sum(n for (_, name), n in outcomes.items() if name == c)] for c in codes]
    )
    print("Dead letters by reason")
    reasons = Counter(header(letter, "__connect.errors.exception.message") for letter in counted["letters"])
    table(["reason", "messages"], [[reason, n] for reason, n in sorted(reasons.items())])
    print("Rows")
    table(["table", "rows"], [[name, in_tables[name]] for name in TABLES])


def report(arguments: argparse.Namespace) -> int:
    counted = count_all(arguments)
    in_tables = rows(arguments.database)
    print_counts(counted, in_tables)

    with Path(arguments.ledger).open(encoding="utf-8") as file:
        ledger = json.load(file)
    expected = Counter({(kind, outcome): n for kind, outcome, n in ledger["expected"]})
    outcomes, events, letters = counted["outcomes"], counted["events"], counted["letters"]
    duplicates = sum(n for (_, name), n in outcomes.items() if name == "duplicate")
    total = sum(counted["published"].values())
    differing = {
        key: (expected[key], outcomes[key]) for key in expected | outcomes if expected[key] != outcomes[key]
    }
    checks = [
        ("every message that was sent is on the command topics", total, ledger["published"]),
        (
            "published = audit events + duplicates + dead letters",
            total,
            len(events) + duplicates + len(letters),
        ),
        (
            "audit events on the topic = rows of auth_audit_events",
            len(events),
            in_tables["auth_audit_events"],
        ),
        ("no audit event twice", len({event["id"] for event in events}), len(events)),
        (
            "duplicates as the replicas count them",
            metric(arguments.metrics, "catalyst_duplicates_total"),
            duplicates,
        ),
        (
            "dead letters as the replicas count them",
            metric(arguments.metrics, "catalyst_dead_letters_total"),
            len(letters),
        ),
        ("types and outcomes that differ from what the stream expects", len(differing), 0),
    ]
    print("Do the sums agree?")
    for what, left, right in checks:
        print(
            f"  {'ok  ' if left == right else 'FAIL'}  {what}: {left}"
            + ("" if left == right else f", not {right}")
        )
    for (kind, outcome), (wanted, seen) in sorted(differing.items()):
        print(f"        {kind} {outcome}: expected {wanted}, seen {seen}")
    return 0 if all(left == right for _, left, right in checks) else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["wait", "report"])
    for flag in ("--servers", "--topics", "--group", "--audit", "--dlq-suffix", "--ledger", "--database"):
        parser.add_argument(flag)
    parser.add_argument("--metrics", nargs="*")
    arguments = parser.parse_args()
    return wait(arguments) if arguments.what == "wait" else report(arguments)


if __name__ == "__main__":
    sys.exit(main())
