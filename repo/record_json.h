#pragma once

#include "base/buffer.h"
#include "base/records.h"

/* Records as JSON objects with the contract's camelCase names, fields in the order of their
 * declaration, absent ones left out. Times are RFC 3339 texts.
 *
 * `status` is the key's as key_status() judges it; NULL: as stored. */
void record_json_append(struct buffer *buffer, const struct record_spec *spec, const void *record,
                        const char *status);

/* An audit event, with what the worker added: the fields of the audit message, then legacyId. */
void audit_event_json_append(struct buffer *buffer, const struct audit_event *event);
