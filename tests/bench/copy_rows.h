#pragma once

#include "base/buffer.h"
#include "base/records.h"

/* Rows in PostgreSQL's binary COPY format, which the ceiling benchmark and only it uses: rows of
 * the very tables that the worker writes. Source: PostgreSQL manual, COPY, "Binary Format". */

#define COPY_KEYS                                                                                  \
    "COPY auth_keys (id, hash, owner_kind, owner_id, name, description, created_by_kind,"          \
    " created_by_id, created_at, updated_at, expires_at, last_used_at, usage_count, status,"       \
    " scopes, labels, metadata, revoked_at, revoked_by_kind, revoked_by_id, revocation_reason)"    \
    " FROM STDIN (FORMAT binary)"

#define COPY_AUDIT                                                                                 \
    "COPY auth_audit_events (id, occurred_at, category, action, outcome, actor, subject,"          \
    " resource, metadata, correlation_id, error, entity, command_source, command_id,"              \
    " command_type, command_digest, topic_id, \"partition\", \"offset\", traceparent,"             \
    " tracestate, carried_correlation_id, legacy_id) FROM STDIN (FORMAT binary)"

/* What precedes and follows the rows. */
void copy_begin(struct buffer *buffer);
void copy_end(struct buffer *buffer);

void copy_key(struct buffer *buffer, const struct key *key);
void copy_audit_event(struct buffer *buffer, const struct audit_event *event);
