"""Commands for tests: the shortest valid ones, the fullest ones, and long streams of them."""

import random
from collections.abc import Iterator
from itertools import count
from typing import Any

from .wire import Command

_numbers = count(1)


def new_id(prefix: str = "cmd") -> str:
    return f"{prefix}-{next(_numbers)}"


def command(kind: str, data: dict[str, Any], **envelope: Any) -> Command:
    envelope.setdefault("id", new_id(kind))
    return Command(kind, data=data, **envelope)


def user(user_id: str, data: dict[str, Any] | None = None, **envelope: Any) -> Command:
    base = {"id": user_id, "authentikId": f"ak-{user_id}", "email": f"{user_id}@example.com"}
    return command("user.upsert", base | (data or {}), **envelope)


def org(org_id: str, data: dict[str, Any] | None = None, **envelope: Any) -> Command:
    base = {
        "id": org_id,
        "slug": f"slug-{org_id}",
        "status": "active",
        "ownerUserId": "user-1",
        "profile": {"name": f"Org {org_id}"},
    }
    return command("org.upsert", base | (data or {}), **envelope)


def group(group_id: str, data: dict[str, Any] | None = None, **envelope: Any) -> Command:
    base = {"id": group_id, "orgId": "org-1", "slug": f"slug-{group_id}", "name": f"Group {group_id}"}
    return command("group.upsert", base | (data or {}), **envelope)


def group_delete(group_id: str, **envelope: Any) -> Command:
    return command("group.delete", {"id": group_id}, **envelope)


def membership(membership_id: str, data: dict[str, Any] | None = None, **envelope: Any) -> Command:
    base = {"id": membership_id, "userId": "user-1", "orgId": "org-1", "role": "member"}
    return command("membership.upsert", base | (data or {}), **envelope)


def membership_remove(membership_id: str, **envelope: Any) -> Command:
    return command("membership.remove", {"id": membership_id}, **envelope)


def entitlement(entitlement_id: str, data: dict[str, Any] | None = None, **envelope: Any) -> Command:
    base = {
        "id": entitlement_id,
        "subjectKind": "user",
        "subjectId": "user-1",
        "entitlement": f"feature:{entitlement_id}",
    }
    return command("entitlement.upsert", base | (data or {}), **envelope)


def entitlement_remove(entitlement_id: str, **envelope: Any) -> Command:
    return command("entitlement.remove", {"id": entitlement_id}, **envelope)


def issue(key_id: str | None, data: dict[str, Any] | None = None, **envelope: Any) -> Command:
    base: dict[str, Any] = {
        "hash": f"hash-{key_id}",
        "owner": {"kind": "user", "id": "user-1"},
        "scopes": ["read"],
    }
    if key_id is not None:
        base["id"] = key_id
    return command("key.issue", base | (data or {}), **envelope)


def use(key_id: str, data: dict[str, Any] | None = None, **envelope: Any) -> Command:
    return command("key.record_usage", {"id": key_id} | (data or {}), **envelope)


def revoke(key_id: str, data: dict[str, Any] | None = None, **envelope: Any) -> Command:
    return command("key.revoke", {"id": key_id} | (data or {}), **envelope)


def append(data: dict[str, Any] | None = None, **envelope: Any) -> Command:
    base = {"category": "security", "action": "login.succeeded"}
    return command("audit.append", base | (data or {}), **envelope)


def at(second: int) -> str:
    """A time of the envelope; later for a larger number."""
    minutes, seconds = divmod(second, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"2026-02-{1 + days % 28:02d}T{hours:02d}:{minutes:02d}:{seconds:02d}.000001Z"


def stream(size: int, seed: int, entities: int = 400) -> Iterator[Command]:
    """A deterministic stream of all twelve types whose outcome does not depend on how partitions
    are interleaved: unique values (slugs, hashes, triples) belong to one entity each, and an
    entity's commands share a partition. One in twenty is sent twice, some come again with another
    body, and many are refused (usage before issue or after revocation, removal of what is not
    there)."""
    chance = random.Random(seed)
    sent: list[Command] = []
    for number in range(size):
        if sent and chance.random() < 0.05:
            again = chance.choice(sent[-2000:])
            if chance.random() < 0.1 and not again.kind.startswith("audit"):
                again = again.with_data(note=f"changed {number}")
            yield again
            continue
        sent.append(_one(chance, f"s{seed}-{number}", at(number), entities))
        yield sent[-1]


def _one(chance: random.Random, command_id: str, when: str, entities: int) -> Command:
    entity = chance.randrange(entities)
    envelope: dict[str, Any] = {"id": command_id, "source": f"stream-{entity % 3}", "time": when}
    pick = chance.random()
    if pick < 0.35:
        return use(f"key-{entity}", **envelope)
    if pick < 0.45:
        return issue(
            f"key-{entity}",
            {"scopes": ["read", "write", "read"], "owner": {"kind": "org", "id": f"org-{entity}"}},
            **envelope,
        )
    if pick < 0.47:
        return revoke(f"key-{entity}", {"reason": "rotation"}, **envelope)
    if pick < 0.57:
        return user(f"user-{entity}", {"displayName": f"User {command_id}"}, **envelope)
    if pick < 0.63:
        return org(f"org-{entity}", {"settings": {"revision": command_id, "ratio": 0.5}}, **envelope)
    if pick < 0.69:
        return group(f"group-{entity}", {"orgId": f"org-{entity}"}, **envelope)
    if pick < 0.73:
        return group_delete(f"group-{entity}", **envelope)
    if pick < 0.79:
        return membership(f"member-{entity}", {"groupIds": [f"group-{entity}"]}, **envelope)
    if pick < 0.83:
        return membership_remove(f"member-{entity}", **envelope)
    if pick < 0.89:
        return entitlement(f"grant-{entity}", **envelope)
    if pick < 0.92:
        return entitlement_remove(f"grant-{entity}", **envelope)
    return append(
        {
            "subject": {"type": "user", "id": f"user-{entity}"},
            "metadata": {"number": entity, "share": entity / 7, "ok": True},
        },
        key=f"user-{entity}",
        **envelope,
    )
