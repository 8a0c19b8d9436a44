#pragma once

#include "events/command_types.h"
#include "events/envelope.h"

/* One decoded command. */
struct command {
    const struct command_type *type;
    struct envelope envelope;
    struct uuid audit_id; /* see audit_id_of() */
    struct uuid digest;   /* of ce_type and the bytes of the value */
    void *record;         /* type->record's struct, complete: defaults and derived ids are in */
};

/* Decodes and validates a received record.
 *
 * Everything lives in `arena` or is borrowed from the message.
 *
 * REJECT  not a valid command: err->text names field and rule, never the value; err->code is the
 *         class: "envelope", "body", "type" (unknown ce_type), "field", "secret" (a key.issue that
 *         carries secret, token or plaintext)
 * FULL    the arena is full */
enum outcome command_decode(const struct message *message, struct arena *arena,
                            struct command *ret_command, struct err *err);

/* Decodes the data of one command of a known type: what command_decode() does behind the envelope.
 */
enum outcome command_decode_data(const struct command_type *type, const struct envelope *envelope,
                                 struct slice data, struct arena *arena, void **ret_record,
                                 struct err *err);

/* The action of an id conflict. */
#define ACTION_CONFLICTED "command.conflicted"

/* Whether the audit log takes the entry: NULL, or REJECTION_AUDIT_INVALID_CATEGORY (blank), or
 * REJECTION_AUDIT_INVALID_ACTION (blank, or one that the worker itself gives; category first). */
const char *audit_entry_rejection(const struct audit_entry *entry);

/* An entity id that is longer is replaced, as record key, ce_subject and column, by
 * entity_id_of(). */
enum { COMMAND_ENTITY_MAX_BYTES = 256 };

/* How the state answered. */
struct command_result {
    const char *rejection; /* of the type's rejections; NULL: applied */
    bool created;          /* upserts: the row is new */
    const void *row; /* applied removals: the removed record; applied key usage and revocation:
                        a struct key with owner and usage_count as they are after it; else NULL */
};

/* The audit event that answers the command. Everything but topic_id, partition and offset is set;
 * documents in both forms.
 *
 * FULL   the arena is full */
enum outcome command_event(const struct command *command, const struct command_result *result,
                           struct arena *arena, struct audit_event *ret_event, struct err *err);

/* The audit event of the same (source, id) coming again with another type or body: category
 * command, action command.conflicted, outcome rejected, error command.id_conflict; its id is
 * conflict_id_of(). */
enum outcome command_conflict_event(const struct command *command, struct arena *arena,
                                    struct audit_event *ret_event, struct err *err);
