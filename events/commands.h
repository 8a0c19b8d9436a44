#pragma once

#include "base/records.h"
#include "events/envelope.h"

/* The commands of the contract, one row each in commands.c.
 *
 * To add one: declare its record's fields (base/records.c), add its row here, write its SQL
 * (repo/<entity>_repo.c) and bind the two (worker/apply/apply.c). */

enum command_kind {
    USER_UPSERT,
    ORG_UPSERT,
    GROUP_UPSERT,
    GROUP_DELETE,
    MEMBERSHIP_UPSERT,
    MEMBERSHIP_REMOVE,
    ENTITLEMENT_UPSERT,
    ENTITLEMENT_REMOVE,
    KEY_ISSUE_COMMAND,
    KEY_RECORD_USAGE_COMMAND,
    KEY_REVOKE_COMMAND,
    AUDIT_APPEND_COMMAND,
    COMMAND_KIND_COUNT,
};

enum { COMMAND_METADATA_MAX = 6 };

struct command;
struct command_result;

struct command_type {
    enum command_kind kind;
    const char *name;                 /* ce_type */
    const struct record_spec *record; /* what the data decodes into */
    size_t use;                       /* position in field_spec.use */
    const char *category;             /* of its audit event */
    const char *applied_action;       /* "user.updated"; of audit.append: NULL, as given */
    const char *created_action;       /* upserts: "user.created"; also of a rejected one */

    /* What its audit event says, in field names of the record's commands. Personal data and key
     * hashes stay in the tables. */
    const char *subject_type;       /* the same for all; NULL: see subject_type_field */
    const char *subject_type_field; /* NULL, and no subject_type: subject_field is a {kind, id} */
    const char *subject_field;      /* NULL: no subject */
    const char *metadata[COMMAND_METADATA_MAX]; /* ends at NULL */
};

extern const struct command_type command_types[COMMAND_KIND_COUNT]; /* indexed by kind */

/* NULL: the contract has no such type. */
const struct command_type *command_type_find(struct text name);

/* The name of the field that the key of a command's data names; NULL: the command has no such
 * field. For messages: a key that is not declared is the sender's text. */
const char *command_field_name(const struct command_type *type, struct text key);

/* `secret`, `token` or `plaintext`: what a key.issue must not carry; NULL: another key. */
const char *command_secret_name(struct text key);

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

/* Whether the audit log takes the entry: NULL, or REJECTION_AUDIT_INVALID_CATEGORY, or
 * REJECTION_AUDIT_INVALID_ACTION (a blank one; category first). */
const char *audit_entry_rejection(const struct audit_entry *entry);

/* How the state answered. */
struct command_result {
    const char *rejection; /* code of DESIGN "rejections"; NULL: applied */
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
