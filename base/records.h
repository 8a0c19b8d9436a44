#pragma once

#include "base/record.h"
#include "base/uuid.h"

/* The records of the Catalyst contracts and their declarations.
 *
 * Times are microseconds since 1970 UTC (base/timestamp.h). Texts and documents are borrowed: from
 * the batch arena when decoded, from the caller's arena when read from the database. */

struct user {
    struct text id;
    struct text authentik_id;
    struct text email;
    struct text primary_org_id;
    struct text display_name;
    struct text avatar_url;
    struct document labels;
    struct document metadata;
};

struct org {
    struct text id;
    struct text slug;
    struct text status;
    struct text owner_user_id;
    struct document profile;
    struct document labels;
    struct document settings;
};

struct group {
    struct text id;
    struct text org_id;
    struct text slug;
    struct text name;
    struct text description;
    struct text parent_group_id;
    struct document labels;
};

struct membership {
    struct text id;
    struct text user_id;
    struct text org_id;
    struct text role;
    struct text_list group_ids;
    struct document labels_delta;
    int64_t created_at_us;
    int64_t updated_at_us;
    bool keep_created_at; /* of a write: an existing row keeps its created_at */
};

struct entitlement {
    struct text id;
    struct text subject_kind;
    struct text subject_id;
    struct text entitlement;
    int64_t created_at_us;
    struct document metadata;
    bool keep_created_at; /* of a write: an existing row keeps its created_at */
};

struct key {
    struct text id;
    struct text hash;
    struct ref owner;
    struct text name;
    struct text description;
    struct ref created_by;
    int64_t created_at_us;
    int64_t updated_at_us;
    int64_t expires_at_us;
    int64_t last_used_at_us; /* of a record_usage: its usedAt */
    int64_t usage_count;
    struct text status; /* as stored: active, revoked, expired; see key_status() */
    struct text_list scopes;
    struct document labels;
    struct document metadata;
    int64_t revoked_at_us;
    struct ref revoked_by;
    struct text revocation_reason;
};

/* The data of an audit.append. */
struct audit_entry {
    struct text category;
    struct text action;
    int64_t occurred_at_us;
    struct party actor;
    struct party subject;
    struct party resource;
    struct document metadata;
    struct text correlation_id;
};

/* One audit event: the row of auth_audit_events and the message on the audit topic. */
struct audit_event {
    struct uuid id;
    struct text legacy_id; /* of an adopted row whose id was no UUID */
    int64_t occurred_at_us;
    struct text category;
    struct text action;
    struct text outcome; /* "applied" or "rejected"; absent in rows that others wrote */
    struct document actor;
    struct document subject;
    struct document resource;
    struct document metadata;
    struct text correlation_id;
    struct document error; /* {code, message, details} of a rejection */
    struct text entity;    /* record key of the message */

    /* the command; absent in rows that others wrote */
    struct text command_source;
    struct text command_id;
    struct text command_type;
    struct uuid command_digest; /* of type and value, see digest_of() */

    /* where the command was read; topic_id: see repo/protocol_repo.h; 0: nowhere */
    int32_t topic_id;
    int32_t partition;
    int64_t offset;

    /* headers carried unchanged to the audit message */
    struct text traceparent;
    struct text tracestate;
    struct text carried_correlation_id; /* ce_correlationid as received */
};

/* Positions in field_spec.use. */
enum { COMMAND_UPSERT = 0, COMMAND_REMOVE = 1 };
enum { KEY_ISSUE = 0, KEY_RECORD_USAGE = 1, KEY_REVOKE = 2 };
enum { AUDIT_APPEND = 0 };

extern const struct record_spec user_spec;
extern const struct record_spec org_spec;
extern const struct record_spec group_spec;
extern const struct record_spec membership_spec;
extern const struct record_spec entitlement_spec;
extern const struct record_spec key_spec;
extern const struct record_spec audit_entry_spec; /* commands only; stored as audit events */

/* active, expired or revoked, judged at `now_us`. */
const char *key_status(const struct key *key, int64_t now_us);
