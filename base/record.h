#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* How a record is declared: each field once, with its name on the wire, its column, its rule, and
 * where it lies in the C struct. Decoding and its messages (events/), SQL (repo/), JSON output and
 * the documentation are made from these tables. The tables themselves: base/records.h. */

/* A free-form value (labels, metadata, profile ...), in one or both of its forms.
 * packed: the MessagePack bytes as received. json: the JSON text that a json column takes.
 * Both absent: no value. Read from the database: json only. */
struct document {
    struct text json;
    struct slice packed;
};

/* Who or what, as {kind, id}. Two columns: <column>_kind, <column>_id. kind absent: no value. */
struct ref {
    struct text kind;
    struct text id;
};

/* Who or what, as {type, id?, labels?}: the parties of an audit event. */
struct party {
    struct text type;
    struct text id;
    struct document whole; /* the map as given, with all its fields */
};

enum field_kind {
    FIELD_ID,      /* struct text: 1..256 bytes, no control characters */
    FIELD_LONG_ID, /* struct text: 1..4096 bytes, no control characters */
    FIELD_EMAIL,   /* struct text: 1..320 bytes */
    FIELD_NAME,    /* struct text: 1..1024 bytes */
    FIELD_TEXT,    /* struct text: 0..4096 bytes; also URLs */
    FIELD_CHOICE,  /* struct text: one of `choices` */
    FIELD_TIME,    /* int64_t: see base/timestamp.h; TIMESTAMP_ABSENT when not given */
    FIELD_COUNT,   /* int64_t >= 0: kept by the worker, never given by a command */
    FIELD_ID_LIST, /* struct text_list of FIELD_ID */
    FIELD_LABELS,  /* struct document: map of text to text, number or boolean */
    FIELD_MAP,     /* struct document: any map that JSON can hold */
    FIELD_OBJECT,  /* struct document: a map with declared `parts`, others kept as they come */
    FIELD_REF,     /* struct ref: kind one of `choices` */
    FIELD_PARTY,   /* struct party; parts: type FIELD_ID, id FIELD_LONG_ID, labels FIELD_MAP;
                      `party_id_required` tells whether id must be there */
};

/* Texts hold valid UTF-8 without U+0000, whatever the kind. */

/* Whether a command gives the field. At most three commands act on one kind of record. */
enum field_use { FIELD_NOT_GIVEN, FIELD_OPTIONAL, FIELD_REQUIRED };
enum { RECORD_COMMANDS_MAX = 3 };

/* What an absent value is stored as. */
enum field_absent {
    ABSENT_NULL,         /* SQL NULL; left out of JSON */
    ABSENT_EMPTY,        /* {} or an empty list */
    ABSENT_COMMAND_TIME, /* the envelope's time; see field_takes_command_time() */
    ABSENT_KEEP, /* the envelope's time, and the bool at `keep_offset` is set: an update then
                    keeps the row's value */
};

#define FIELD_NO_OFFSET SIZE_MAX

struct field_spec {
    const char *name;   /* in records as JSON, camelCase */
    const char *column; /* FIELD_REF: the prefix of its two columns */
    enum field_kind kind;
    size_t offset; /* in the record's struct; FIELD_NO_OFFSET: only checked (a part) */
    enum field_use use[RECORD_COMMANDS_MAX];
    const char *wire_name; /* name in the command's data where it is another one, else NULL */
    enum field_absent absent;
    size_t keep_offset; /* ABSENT_KEEP */
    bool party_id_required;
    const char *const *choices; /* NULL-terminated */
    const struct field_spec *parts;
    size_t part_count;
    bool infinity_is_absent; /* FIELD_TIME: other programs store infinity for "never" */
};

struct record_spec {
    const char *name;  /* "user" */
    const char *table; /* "auth_users" */
    const struct field_spec *fields;
    size_t field_count;
    size_t size; /* of the struct */
};

/* Name of the field in the data of a command. */
static inline const char *field_wire_name(const struct field_spec *field)
{
    return field->wire_name != NULL ? field->wire_name : field->name;
}

static inline void *field_of(const struct field_spec *field, void *record)
{
    return (char *)record + field->offset;
}

static inline const void *field_of_const(const struct field_spec *field, const void *record)
{
    return (const char *)record + field->offset;
}

/* Whether a write by the command at `use` stores the envelope's time where the field is absent: the
 * command can give the field, or no command can. */
bool field_takes_command_time(const struct field_spec *field, size_t use);

/* Least and most bytes of a text kind (FIELD_ID, EMAIL, NAME, TEXT). */
struct field_bounds {
    size_t min_bytes;
    size_t max_bytes;
};
struct field_bounds field_bounds(enum field_kind kind);

/* Sets every field to absent. */
void record_clear(const struct record_spec *spec, void *record);

/* NULL when the record has no such field. */
const struct field_spec *record_field(const struct record_spec *spec, const char *name);
