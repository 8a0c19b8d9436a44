"""The upstream services of the demo: some thousand commands of all types, the same ones every time.

    stream.py --servers HOST:PORT --identity TOPIC --keys TOPIC --ledger FILE

Among them are redelivered duplicates, commands that the state must refuse, an id used for two
different commands, and messages that are no commands at all. What must become of each is written to
the ledger, so that summary.py can hold the worker to it.
"""

import argparse
import json
import random
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgpack
from confluent_kafka import KafkaError, KafkaException, Message, Producer

PREFIX = "dev.catalyst."
BEGIN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
USERS, ORGS, KEYS, USAGES = 400, 40, 500, 3000

chance = random.Random(20260302)


class Stream:
    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.expected: Counter[tuple[str, str]] = Counter()  # (type, outcome)
        self.now = BEGIN

    def id(self) -> str:
        """A UUIDv7 of the moment: such ids keep the audit log's index in order of time."""
        milliseconds = int(self.now.timestamp() * 1000)
        drawn = bytearray(milliseconds.to_bytes(6, "big") + chance.randbytes(10))
        drawn[6] = drawn[6] & 0x0F | 0x70
        drawn[8] = drawn[8] & 0x3F | 0x80
        return str(uuid.UUID(bytes=bytes(drawn)))

    def send(
        self, kind: str, data: dict[str, Any], outcome: str = "applied", **options: str
    ) -> dict[str, Any]:
        """Queues a command. `key` defaults to the entity's id: an entity's commands keep their order."""
        self.now += timedelta(milliseconds=chance.randint(1, 40))
        body = msgpack.packb(data)
        record = {
            "topic": "keys" if kind.startswith("key.") else "identity",
            "key": options.get("key", data.get("id")),
            "value": body,
            "headers": {
                "ce_specversion": "1.0",
                "ce_id": options.get("id") or self.id(),
                "ce_source": options.get("source", "identity-service"),
                "ce_type": f"{PREFIX}{kind}.v1",
                "ce_time": self.now.isoformat(),
                "ce_authtype": "service_account",
                "ce_authid": "provisioner",
                "content-type": "application/vnd.msgpack",
            },
        }
        self.records.append(record)
        self.expected[(record["headers"]["ce_type"], outcome)] += 1
        return record

    def again(self, record: dict[str, Any]) -> None:
        """The producer was not sure and sent it once more."""
        self.records.append(record)
        self.expected[(record["headers"]["ce_type"], "duplicate")] += 1

    def garbage(self, record: dict[str, Any], like: dict[str, Any] | None = None, **changes: Any) -> None:
        merged = (like or record) | changes
        self.records.append(merged)
        kind = (merged["headers"] or {}).get("ce_type", "(none)")
        self.expected[(kind, "dead letter")] += 1


def identity(stream: Stream) -> None:
    for n in range(ORGS):
        stream.send(
            "identity.org.upsert",
            {
                "id": f"org_{n}",
                "slug": f"company-{n}",
                "status": "active" if n % 10 else "invited",
                "ownerUserId": f"user_{n}",
                "profile": {"name": f"Company {n}", "websiteUrl": f"https://company-{n}.example"},
                "labels": {"plan": ("free", "team", "enterprise")[n % 3]},
            },
        )
    for n in range(USERS):
        stream.send(
            "identity.user.upsert",
            {
                "id": f"user_{n}",
                "authentikId": f"ak_{n}",
                "email": f"user{n}@company-{n % ORGS}.example",
                "primaryOrgId": f"org_{n % ORGS}",
                "displayName": f"User {n}",
                "labels": {"beta": n % 7 == 0},
            },
        )
    for n in range(ORGS * 3):
        org = n % ORGS
        stream.send(
            "identity.group.upsert",
            {"id": f"group_{n}", "orgId": f"org_{org}", "slug": f"team-{n}", "name": f"Team {n}"},
        )
    for n in range(USERS):
        stream.send(
            "identity.membership.upsert",
            {
                "id": f"member_{n}",
                "userId": f"user_{n}",
                "orgId": f"org_{n % ORGS}",
                "role": "owner" if n < ORGS else "member",
                "groupIds": [f"group_{n % (ORGS * 3)}"],
            },
        )
    for n in range(ORGS * 4):
        stream.send(
            "identity.entitlement.upsert",
            {
                "id": f"grant_{n}",
                "subjectKind": "org",
                "subjectId": f"org_{n % ORGS}",
                "entitlement": ("sso", "audit-export", "priority-support", "api")[n // ORGS],
            },
        )
    for n in range(0, USERS, 5):  # people change their names
        stream.send(
            "identity.user.upsert",
            {
                "id": f"user_{n}",
                "authentikId": f"ak_{n}",
                "email": f"user{n}@company-{n % ORGS}.example",
                "displayName": f"User {n}, renamed",
            },
        )
    for n in range(0, ORGS * 3, 12):
        stream.send("identity.group.delete", {"id": f"group_{n}"})
    for n in range(0, USERS, 20):
        stream.send("identity.membership.remove", {"id": f"member_{n}"})
    for n in range(0, ORGS * 4, 16):
        stream.send("identity.entitlement.remove", {"id": f"grant_{n}"})
    for n in range(200):
        stream.send(
            "audit.append",
            {
                "category": "security",
                "action": "login.succeeded" if n % 9 else "login.failed",
                "subject": {"type": "user", "id": f"user_{n}"},
                "metadata": {"attempt": 1 + n % 3, "mfa": n % 2 == 0},
            },
            key=f"user_{n}",
        )


def keys(stream: Stream) -> None:
    for n in range(KEYS):
        stream.send(
            "key.issue",
            {
                "id": f"key_{n}",
                "hash": f"{n:064x}",
                "owner": {"kind": "user", "id": f"user_{n % USERS}"},
                "name": f"Key {n}",
                "scopes": ["orders:read", "orders:write"][: 1 + n % 2],
            },
        )
    for n in range(USAGES):
        # Ten keys get half of the traffic.
        key = chance.randrange(10) if n % 2 else chance.randrange(KEYS)
        stream.send("key.record_usage", {"id": f"key_{key}"}, source="gateway")
    for n in range(100, KEYS, 25):
        stream.send("key.revoke", {"id": f"key_{n}", "reason": "rotation"})


def refused(stream: Stream) -> None:
    """Valid commands that the state refuses. Where two entities want the same value, their commands
    share a record key here, so that who comes first is settled."""
    for n in range(100, KEYS, 25):
        stream.send("key.record_usage", {"id": f"key_{n}"}, "key.postgres.revoked", source="gateway")
    for n in range(100, KEYS, 100):
        stream.send("key.revoke", {"id": f"key_{n}"}, "key.postgres.already_revoked")
    for n in range(8):
        stream.send("key.record_usage", {"id": f"stolen_{n}"}, "key.postgres.not_found", source="gateway")
        base = {"owner": {"kind": "user", "id": f"user_{n}"}, "scopes": []}
        stream.send("key.issue", base | {"id": f"key_{n}", "hash": f"new{n}"}, "key.postgres.duplicate_id")
        stream.send(
            "key.issue",
            base | {"id": f"copy_{n}", "hash": f"{n:064x}"},
            "key.postgres.duplicate_hash",
            key=f"key_{n}",
        )
    for n in range(5):
        short = f"short_{n}"
        stream.send(
            "key.issue",
            {
                "id": short,
                "hash": f"short{n}",
                "owner": {"kind": "service", "id": "ci"},
                "scopes": [],
                "expiresAt": (stream.now + timedelta(minutes=1)).isoformat(),
            },
        )
        stream.send("key.record_usage", {"id": short}, source="gateway")
        used_at = (stream.now + timedelta(hours=1)).isoformat()
        stream.send(
            "key.record_usage", {"id": short, "usedAt": used_at}, "key.postgres.expired", source="gateway"
        )
    stream.send(
        "identity.org.upsert",
        {
            "id": "org_imitator",
            "slug": "company-1",
            "status": "active",
            "ownerUserId": "user_1",
            "profile": {"name": "Company One"},
        },
        "org.postgres.duplicate_slug",
        key="org_1",
    )
    stream.send(
        "identity.entitlement.upsert",
        {"id": "grant_twice", "subjectKind": "org", "subjectId": "org_1", "entitlement": "sso"},
        "entitlement.postgres.duplicate",
        key="grant_1",
    )
    stream.send("identity.group.delete", {"id": "group_0"}, "group.postgres.not_found")
    stream.send("identity.membership.remove", {"id": "member_0"}, "membership.postgres.not_found")
    stream.send("identity.entitlement.remove", {"id": "grant_0"}, "entitlement.postgres.not_found")
    nobody = {"key": "user_0"}
    stream.send("audit.append", {"category": " ", "action": "x"}, "audit.postgres.invalid_category", **nobody)
    stream.send("audit.append", {"category": "x", "action": ""}, "audit.postgres.invalid_action", **nobody)


def repeated(stream: Stream) -> None:
    for record in chance.sample(stream.records, 150):
        stream.again(record)
    first = stream.send("key.record_usage", {"id": "key_1"}, source="gateway")
    stream.send(
        "key.record_usage",
        {"id": "key_1", "usedAt": BEGIN.isoformat()},
        "command.id_conflict",
        source="gateway",
        id=first["headers"]["ce_id"],
    )


def malformed(stream: Stream) -> None:
    user = {
        "topic": "identity",
        "key": "user_1",
        "value": msgpack.packb({"id": "user_1", "authentikId": "ak_1", "email": "user1@company-1.example"}),
        "headers": {
            "ce_specversion": "1.0",
            "ce_source": "legacy-import",
            "ce_type": f"{PREFIX}identity.user.upsert.v1",
            "content-type": "application/vnd.msgpack",
        },
    }

    def headers(**changes: str | None) -> dict[str, Any]:
        merged = user["headers"] | {"ce_id": stream.id()} | changes
        return {name: value for name, value in merged.items() if value is not None}

    issue = {"ce_type": f"{PREFIX}key.issue.v1"}
    stream.garbage(user)  # no ce_id
    stream.garbage(user, headers=None)
    stream.garbage(user, headers=headers(ce_type=f"{PREFIX}identity.user.upsert.v9"))
    stream.garbage(user, headers=headers(**{"content-type": "text/plain"}))
    stream.garbage(user, headers=headers(), value=None)
    stream.garbage(user, headers=headers(), value=b"not MessagePack")
    stream.garbage(user, headers=headers(), value=user["value"][:-3])
    stream.garbage(user, headers=headers(), value=b"\xdf\xff\xff\xff\xff")
    stream.garbage(user, headers=headers(), value=msgpack.packb({"id": "user_1"}))
    stream.garbage(user, headers=headers(), value=msgpack.packb({"id": 1, "authentikId": "a", "email": "e"}))
    stream.garbage(user, headers=headers(ce_time="yesterday"))
    secret = {
        "id": "key_leak",
        "hash": "x",
        "owner": {"kind": "user", "id": "user_1"},
        "scopes": [],
        "secret": "sk_live_oops",
    }
    stream.garbage(user, topic="keys", key="key_leak", headers=headers(**issue), value=msgpack.packb(secret))


def publish(stream: Stream, servers: str, topics: dict[str, str]) -> None:
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 20})

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            raise KafkaException(error)

    for record in stream.records:
        producer.produce(
            topics[record["topic"]],
            key=record["key"],
            value=record["value"],
            headers=record["headers"],
            on_delivery=delivered,
        )
        producer.poll(0)
    if producer.flush(60) > 0:
        raise SystemExit("the broker did not take all commands within 60 s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for flag in ("--servers", "--identity", "--keys", "--ledger"):
        parser.add_argument(flag, required=True)
    arguments = parser.parse_args()
    stream = Stream()
    for part in (identity, keys, refused, repeated, malformed):
        part(stream)
    publish(stream, arguments.servers, {"identity": arguments.identity, "keys": arguments.keys})
    ledger = [[kind, outcome, count] for (kind, outcome), count in sorted(stream.expected.items())]
    with Path(arguments.ledger).open("w", encoding="utf-8") as file:
        json.dump({"published": len(stream.records), "expected": ledger}, file, indent=1)
    print(f"published {len(stream.records)} messages")


if __name__ == "__main__":
    main()
