"""The contract as a sequential program: what rows and audit events a list of commands must give.

Commands are taken one by one in the order of their delivery; a batch, however large, has to give
the same.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgpack

from .wire import (
    MSGPACK,
    Command,
    audit_id_of,
    conflict_id_of,
    digest_of,
    format_time,
    key_id_of,
    parse_time,
    time_of_ms,
)

CREATING = {
    "user.upsert": "user.created",
    "org.upsert": "org.created",
    "group.upsert": "group.created",
    "group.delete": "group.deleted",
    "membership.upsert": "membership.added",
    "membership.remove": "membership.removed",
    "entitlement.upsert": "entitlement.granted",
    "entitlement.remove": "entitlement.revoked",
    "key.issue": "key.issued",
    "key.record_usage": "key.used",
    "key.revoke": "key.revoked",
    "audit.append": "audit.appended",
}
UPDATING = {
    "user.upsert": "user.updated",
    "org.upsert": "org.updated",
    "group.upsert": "group.updated",
    "membership.upsert": "membership.updated",
    "entitlement.upsert": "entitlement.updated",
}
TABLES = (
    "auth_users",
    "auth_orgs",
    "auth_groups",
    "auth_memberships",
    "auth_entitlements",
    "auth_keys",
)


@dataclass
class Event:
    """An audit event that must be published. `error_code` None: applied."""

    id: str
    key: str
    body: dict[str, Any]
    headers: dict[str, str]
    error_code: str | None
    command: Command

    @property
    def outcome(self) -> str:
        return self.error_code or "applied"


class Rejected(Exception):
    def __init__(self, code: str, action: str | None = None, category: str | None = None):
        super().__init__(code)
        self.code = code
        self.action = action
        self.category = category


def present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def optional(metadata: dict[str, Any]) -> dict[str, Any] | None:
    return metadata or None


def _blank(text: str) -> bool:
    return _trim(text) == ""


def _trim(text: str) -> str:
    """As ECMAScript's trim() does it."""
    return text.strip(
        "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
        "\u2028\u2029\u202f\u205f\u3000\ufeff"
    )


RESERVED = {*CREATING.values(), *UPDATING.values(), "command.conflicted"}


@dataclass
class _Told:
    """What a command tells in its event."""

    action: str
    category: str
    subject: dict[str, Any] | None = None
    resource: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    actor: dict[str, Any] | None = None
    correlation_id: str | None = None
    occurred_at: datetime | None = None


@dataclass
class Model:
    rows: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {table: {} for table in TABLES}
    )
    events: list[Event] = field(default_factory=list)
    duplicates: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (kind, "applied" or code)
    keep_events: bool = True  # False: take() answers with them, `events` stays empty
    _known: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _conflicts: set[tuple[str, str, bytes]] = field(default_factory=set)
    # Whose each unique value is, as the unique indexes have it.
    _slugs: dict[str, str] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)
    _triples: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def take_all(self, commands: list[Command]) -> "Model":
        for command in commands:
            self.take(command)
        return self

    def take(self, command: Command) -> Event | None:
        """The event of this delivery; None: a duplicate."""
        name = (command.source, command.id)
        digest = digest_of(command.type, command.value())
        if name in self._known:
            if self._known[name] == digest or (*name, digest) in self._conflicts:
                self.duplicates += 1
                self.counts[(command.kind, "duplicate")] += 1
                return None
            self._conflicts.add((*name, digest))
            event = self._conflict(command, digest)
        else:
            self._known[name] = digest
            event = self._settle(command)
        if self.keep_events:
            self.events.append(event)
        self.counts[(command.kind, event.outcome)] += 1
        return event

    # --- events --------------------------------------------------------------------------------

    def _settle(self, command: Command) -> Event:
        at = self._time(command)
        data = {name: value for name, value in command.data.items() if value is not None}
        code = None
        try:
            told = getattr(self, "_" + command.kind.replace(".", "_"))(command, data, at)
        except Rejected as rejected:
            code = rejected.code
            told = self._refused(command, data)
        return self._event(command, audit_id_of(command.source, command.id), told, at, code)

    def _refused(self, command: Command, data: dict[str, Any]) -> _Told:
        """Subject and resource as far as the command itself names them; nothing changed, so there is
        no metadata."""
        entity, _, verb = command.kind.partition(".")
        if command.kind == "audit.append":
            told = self._appended(data, self._time(command))
            told.category, told.action, told.metadata = "audit", "audit.appended", None
            return told
        entity_id = data.get("id", key_id_of(command.source, command.id))
        resource = {"type": entity, "id": entity_id}
        subject = None
        if (verb == "upsert" and entity == "org") or entity == "user":
            subject = resource
        elif entity == "group" and "orgId" in data:
            subject = {"type": "org", "id": data["orgId"]}
        elif entity == "membership" and "userId" in data:
            subject = {"type": "user", "id": data["userId"]}
        elif entity == "entitlement" and "subjectId" in data:
            subject = {"type": data["subjectKind"], "id": data["subjectId"]}
        elif command.kind == "key.issue":
            subject = {"type": data["owner"]["kind"], "id": data["owner"]["id"]}
        category = "key" if entity == "key" else "identity"
        return _Told(CREATING[command.kind], category, subject, resource)

    def _conflict(self, command: Command, digest: bytes) -> Event:
        entity = command.kind.partition(".")[0]
        told = _Told("command.conflicted", "command")
        if entity == "audit":
            told.resource = command.data.get("resource")
        else:
            entity_id = command.data.get("id", key_id_of(command.source, command.id))
            told.resource = {"type": entity, "id": entity_id}
        event_id = conflict_id_of(command.source, command.id, digest)
        return self._event(command, event_id, told, self._time(command), "command.id_conflict")

    def _event(self, command: Command, event_id: str, told: _Told, at: datetime, code: str | None) -> Event:
        occurred_at = format_time(told.occurred_at or at)
        actor = told.actor
        if actor is None and command.authtype is not None and command.authid is not None:
            actor = {"type": command.authtype, "id": command.authid}
        body = present(
            id=event_id,
            occurredAt=occurred_at,
            category=told.category,
            action=told.action,
            outcome="rejected" if code else "applied",
            actor=actor,
            subject=told.subject,
            resource=told.resource,
            metadata=told.metadata,
            correlationId=told.correlation_id or command.carried.get("ce_correlationid"),
        )
        body["command"] = {"source": command.source, "id": command.id, "type": command.type}
        if code:
            body["error"] = {"code": code}
        entity = (
            (told.resource or {}).get("id") or (told.subject or {}).get("id") or command.subject or event_id
        )
        headers = {
            "ce_specversion": "1.0",
            "ce_id": event_id,
            "ce_source": "catalyst-worker",
            "ce_type": f"dev.catalyst.audit.{told.action}.v1",
            "ce_subject": entity,
            "ce_time": occurred_at,
            "ce_causationid": command.id,
            "content-type": MSGPACK,
        } | command.carried
        return Event(event_id, entity, body, headers, code, command)

    @staticmethod
    def _time(command: Command) -> datetime:
        if command.time is not None:
            return parse_time(command.time)
        return time_of_ms(command.timestamp_ms)

    # --- commands ------------------------------------------------------------------------------

    def _user_upsert(self, _: Command, data: dict[str, Any], __: datetime) -> _Told:
        users = self.rows["auth_users"]
        created = data["id"] not in users
        users[data["id"]] = {
            "id": data["id"],
            "authentik_id": data["authentikId"],
            "email": data["email"],
            "primary_org_id": data.get("primaryOrgId"),
            "display_name": data.get("displayName"),
            "avatar_url": data.get("avatarUrl"),
            "labels": data.get("labels", {}),
            "metadata": data.get("metadata"),
        }
        who = {"type": "user", "id": data["id"]}
        metadata = optional(present(primaryOrgId=data.get("primaryOrgId")))
        return _Told(self._upserted("user.upsert", created), "identity", who, who, metadata)

    def _org_upsert(self, _: Command, data: dict[str, Any], __: datetime) -> _Told:
        orgs = self.rows["auth_orgs"]
        if self._slugs.get(data["slug"], data["id"]) != data["id"]:
            raise Rejected("org.postgres.duplicate_slug")
        created = data["id"] not in orgs
        if not created:
            del self._slugs[orgs[data["id"]]["slug"]]
        self._slugs[data["slug"]] = data["id"]
        orgs[data["id"]] = {
            "id": data["id"],
            "slug": data["slug"],
            "status": data["status"],
            "owner_user_id": data["ownerUserId"],
            "profile": data["profile"],
            "labels": data.get("labels", {}),
            "settings": data.get("settings", {}),
        }
        who = {"type": "org", "id": data["id"]}
        metadata = {name: data[name] for name in ("slug", "status", "ownerUserId")}
        return _Told(self._upserted("org.upsert", created), "identity", who, who, metadata)

    @staticmethod
    def _group_told(action: str, row: dict[str, Any]) -> _Told:
        return _Told(
            action,
            "identity",
            {"type": "org", "id": row["org_id"]},
            {"type": "group", "id": row["id"]},
            present(slug=row["slug"], name=row["name"], parentGroupId=row["parent_group_id"]),
        )

    def _group_upsert(self, _: Command, data: dict[str, Any], __: datetime) -> _Told:
        groups = self.rows["auth_groups"]
        created = data["id"] not in groups
        row = groups[data["id"]] = {
            "id": data["id"],
            "org_id": data["orgId"],
            "slug": data["slug"],
            "name": data["name"],
            "description": data.get("description"),
            "parent_group_id": data.get("parentGroupId"),
            "labels": data.get("labels", {}),
        }
        return self._group_told(self._upserted("group.upsert", created), row)

    def _group_delete(self, _: Command, data: dict[str, Any], __: datetime) -> _Told:
        row = self.rows["auth_groups"].pop(data["id"], None)
        if row is None:
            raise Rejected("group.postgres.not_found")
        return self._group_told("group.deleted", row)

    @staticmethod
    def _membership_told(action: str, row: dict[str, Any]) -> _Told:
        return _Told(
            action,
            "identity",
            {"type": "user", "id": row["user_id"]},
            {"type": "membership", "id": row["id"]},
            {
                "userId": row["user_id"],
                "orgId": row["org_id"],
                "role": row["role"],
                "groupIds": row["group_ids"],
            },
        )

    def _membership_upsert(self, _: Command, data: dict[str, Any], at: datetime) -> _Told:
        memberships = self.rows["auth_memberships"]
        before = memberships.get(data["id"])
        row = memberships[data["id"]] = {
            "id": data["id"],
            "user_id": data["userId"],
            "org_id": data["orgId"],
            "role": data["role"],
            "group_ids": data.get("groupIds", []),
            "labels_delta": data.get("labelsDelta", {}),
            "created_at": self._created_at(data, before, at),
            "updated_at": parse_time(data["updatedAt"]) if "updatedAt" in data else at,
        }
        return self._membership_told(self._upserted("membership.upsert", before is None), row)

    def _membership_remove(self, _: Command, data: dict[str, Any], __: datetime) -> _Told:
        row = self.rows["auth_memberships"].pop(data["id"], None)
        if row is None:
            raise Rejected("membership.postgres.not_found")
        return self._membership_told("membership.removed", row)

    @staticmethod
    def _triple(row: dict[str, Any]) -> tuple[str, str, str]:
        return (row["subject_kind"], row["subject_id"], row["entitlement"])

    @staticmethod
    def _entitlement_told(action: str, row: dict[str, Any]) -> _Told:
        return _Told(
            action,
            "identity",
            {"type": row["subject_kind"], "id": row["subject_id"]},
            {"type": "entitlement", "id": row["id"]},
            {"entitlement": row["entitlement"]},
        )

    def _entitlement_upsert(self, _: Command, data: dict[str, Any], at: datetime) -> _Told:
        entitlements = self.rows["auth_entitlements"]
        before = entitlements.get(data["id"])
        row = {
            "id": data["id"],
            "subject_kind": data["subjectKind"],
            "subject_id": data["subjectId"],
            "entitlement": data["entitlement"],
            "created_at": self._created_at(data, before, at),
            "metadata": data.get("metadata", {}),
        }
        if self._triples.get(self._triple(row), data["id"]) != data["id"]:
            raise Rejected("entitlement.postgres.duplicate")
        if before is not None:
            del self._triples[self._triple(before)]
        self._triples[self._triple(row)] = data["id"]
        entitlements[data["id"]] = row
        return self._entitlement_told(self._upserted("entitlement.upsert", before is None), row)

    def _entitlement_remove(self, _: Command, data: dict[str, Any], __: datetime) -> _Told:
        row = self.rows["auth_entitlements"].pop(data["id"], None)
        if row is None:
            raise Rejected("entitlement.postgres.not_found")
        del self._triples[self._triple(row)]
        return self._entitlement_told("entitlement.revoked", row)

    @staticmethod
    def _key_told(action: str, row: dict[str, Any], metadata: dict[str, Any] | None) -> _Told:
        return _Told(
            action,
            "key",
            {"type": row["owner_kind"], "id": row["owner_id"]},
            {"type": "key", "id": row["id"]},
            metadata,
        )

    def _key_issue(self, command: Command, data: dict[str, Any], at: datetime) -> _Told:
        keys = self.rows["auth_keys"]
        key_id = data.get("id", key_id_of(command.source, command.id))
        if key_id in keys:
            raise Rejected("key.postgres.duplicate_id")
        if data["hash"] in self._hashes:
            raise Rejected("key.postgres.duplicate_hash")
        self._hashes[data["hash"]] = key_id
        created_by = data.get("createdBy") or {}
        expires_at = parse_time(data["expiresAt"]) if "expiresAt" in data else None
        row = keys[key_id] = {
            "id": key_id,
            "hash": data["hash"],
            "owner_kind": data["owner"]["kind"],
            "owner_id": data["owner"]["id"],
            "name": data.get("name"),
            "description": data.get("description"),
            "created_by_kind": created_by.get("kind"),
            "created_by_id": created_by.get("id"),
            "created_at": parse_time(data["createdAt"]) if "createdAt" in data else at,
            "updated_at": at,
            "expires_at": expires_at,
            "last_used_at": None,
            "usage_count": 0,
            "status": "active",
            "scopes": list(dict.fromkeys(data["scopes"])),
            "labels": data.get("labels", {}),
            "metadata": data.get("metadata"),
            "revoked_at": None,
            "revoked_by_kind": None,
            "revoked_by_id": None,
            "revocation_reason": None,
        }
        metadata = present(
            name=row["name"],
            scopes=row["scopes"],
            expiresAt=None if expires_at is None else format_time(expires_at),
        )
        return self._key_told("key.issued", row, metadata)

    def _key_record_usage(self, _: Command, data: dict[str, Any], at: datetime) -> _Told:
        row = self.rows["auth_keys"].get(data["id"])
        if row is None:
            raise Rejected("key.postgres.not_found")
        used_at = parse_time(data["usedAt"]) if "usedAt" in data else at
        if row["status"] == "revoked":
            raise Rejected("key.postgres.revoked")
        if row["expires_at"] is not None and row["expires_at"] <= used_at:
            raise Rejected("key.postgres.expired")
        row["usage_count"] += 1
        row["last_used_at"] = row["updated_at"] = used_at
        metadata = {"usageCount": row["usage_count"], "usedAt": format_time(used_at)}
        return self._key_told("key.used", row, metadata)

    def _key_revoke(self, _: Command, data: dict[str, Any], at: datetime) -> _Told:
        row = self.rows["auth_keys"].get(data["id"])
        if row is None:
            raise Rejected("key.postgres.not_found")
        if row["status"] == "revoked":
            raise Rejected("key.postgres.already_revoked")
        revoked_by = data.get("revokedBy")
        row["status"] = "revoked"
        row["revoked_at"] = row["updated_at"] = parse_time(data["revokedAt"]) if "revokedAt" in data else at
        row["revoked_by_kind"] = revoked_by["kind"] if revoked_by else None
        row["revoked_by_id"] = revoked_by["id"] if revoked_by else None
        row["revocation_reason"] = data.get("reason")
        metadata = optional(present(reason=data.get("reason"), revokedBy=revoked_by))
        return self._key_told("key.revoked", row, metadata)

    @staticmethod
    def _appended(data: dict[str, Any], _: datetime) -> _Told:
        return _Told(
            data["action"],
            data["category"],
            data.get("subject"),
            data.get("resource"),
            data.get("metadata"),
            data.get("actor"),
            data.get("correlationId"),
            parse_time(data["occurredAt"]) if "occurredAt" in data else None,
        )

    def _audit_append(self, _: Command, data: dict[str, Any], at: datetime) -> _Told:
        if _blank(data["category"]):
            raise Rejected("audit.postgres.invalid_category")
        if _blank(data["action"]) or _trim(data["action"]).lower() in RESERVED:
            raise Rejected("audit.postgres.invalid_action")
        return self._appended(data, at)

    @staticmethod
    def _upserted(kind: str, created: bool) -> str:
        return CREATING[kind] if created else UPDATING[kind]

    @staticmethod
    def _created_at(data: dict[str, Any], before: dict[str, Any] | None, at: datetime) -> datetime:
        if "createdAt" in data:
            return parse_time(data["createdAt"])
        return before["created_at"] if before else at


def check_event(record: Any, expected: Event) -> None:
    """The published record is that event: key, headers, and the canonical bytes of the value."""
    raw = msgpack.unpackb(record.value)
    assert record.key == expected.key.encode(), f"{expected.command}: key {record.key!r}"
    headers = [name for name, _ in record.headers]
    assert len(set(headers)) == len(headers), f"a header twice: {headers}"
    assert {name: value.decode() for name, value in record.headers} == expected.headers
    body = dict(expected.body)
    if expected.error_code is not None:
        error = raw.get("error")
        assert error and list(error)[:2] == ["code", "message"], f"error: {error}"
        assert set(error) <= {"code", "message", "details"}
        assert error["code"] == expected.error_code
        assert error["message"] and isinstance(error["message"], str)
        assert isinstance(error.get("details", {}), dict)
        body["error"] = error
    assert json_like(raw) == json_like(body), f"{expected.command}"
    assert record.value == msgpack.packb(body), f"not canonical: {raw}"


def json_like(value: Any) -> str:
    """Makes pytest show a readable difference, with 1, 1.0 and true told apart."""
    return json.dumps(value, indent=1, ensure_ascii=False)
