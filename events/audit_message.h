#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/records.h"
#include "events/message.h"

/* The audit event as a Kafka record: CloudEvents binary mode, key = the entity, value = one
 * canonical MessagePack map {id, occurredAt, category, action, outcome, actor?, subject?,
 * resource?, metadata?, correlationId?, command{source, id, type}, error?} in that order, absent
 * fields left out, shortest forms, floats as float64. The same event is always the same bytes,
 * whether its documents are given packed (just made) or as JSON text only (read back from the
 * database).
 *
 * Headers: ce_specversion, ce_id, ce_source "catalyst-worker", ce_type
 * dev.catalyst.audit.<action>.v1, ce_subject, ce_time, ce_causationid, content-type, and the
 * carried ones that are present.
 *
 * ret_record  key, value and headers in the arena; topic is the caller's; timestamp_ms -1
 *
 * REJECT  a stored document is not the JSON that this program writes
 * FULL    the arena is full */
enum outcome audit_message_encode(const struct audit_event *event, struct text topic,
                                  struct arena *arena, struct outgoing_record *ret_record,
                                  struct err *err);

/* The event that a record of the audit topic holds, with its documents in both forms. What only the
 * row has is not set: digest and coordinates of the command. Encoded again it is the same value.
 *
 * ret_event  borrowed from the message, or in the arena
 * REJECT     the value is none that audit_message_encode() writes
 * FULL       the arena is full */
enum outcome audit_message_decode(const struct message *message, struct arena *arena,
                                  struct audit_event *ret_event, struct err *err);
