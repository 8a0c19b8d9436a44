#pragma once

#include "base/err.h"
#include "base/records.h"
#include "events/rejections.h"

/* The types of commands: one row each in events/commands.def, which says how to add one. */

enum command_kind {
#define COMMAND(kind, ...) kind,
#include "events/commands.def"
#undef COMMAND
    COMMAND_KIND_COUNT,
};

enum { COMMAND_METADATA_MAX = 6, COMMAND_REJECTIONS_MAX = 4 };

struct command_type {
    enum command_kind kind;
    const char *name;                 /* ce_type */
    const struct record_spec *record; /* what the data decodes into */
    size_t use;                       /* position in field_spec.use */
    const char *category;             /* of its audit event */
    const char *applied_action;       /* "user.updated"; of audit.append: NULL, as given */
    const char *created_action;       /* upserts: "user.created"; also of a rejected one */

    /* What its audit event says, in field names of the record's commands. */
    const char *subject_type;       /* the same for all; NULL: see subject_type_field */
    const char *subject_type_field; /* NULL, and no subject_type: subject_field is a {kind, id} */
    const char *subject_field;      /* NULL: no subject */
    const char *metadata[COMMAND_METADATA_MAX]; /* ends at NULL */

    bool as_given;        /* the data is a struct audit_entry, which says all of the event itself */
    bool refuses_secrets; /* see command_secret_name() */
    bool makes_id;        /* an absent id is derived from (source, id) */

    struct rejection rejections[COMMAND_REJECTIONS_MAX]; /* ends at a NULL code */
};

extern const struct command_type command_types[COMMAND_KIND_COUNT]; /* indexed by kind */

/* NULL: the contract has no such type. */
const struct command_type *command_type_find(struct text name);

/* The name of the field that the key of a command's data names; NULL: the command has no such
 * field. For messages: a key that is not declared is the sender's text. */
const char *command_field_name(const struct command_type *type, struct text key);

/* `secret`, `token` or `plaintext`: what a key.issue must not carry; NULL: another key. */
const char *command_secret_name(struct text key);

/* Checks a row of events/commands.def against the declaration of its record: the row has its names,
 * its event names declared fields only, and an upsert or a removal has its actions.
 *
 * FATAL  err->text names the type and what is wrong with it */
enum outcome command_type_check(const struct command_type *type, struct err *err);

/* Every row of events/commands.def. */
enum outcome commands_check(struct err *err);
