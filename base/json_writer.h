#pragma once

#include "base/json.h"

/* Writes JSON into a buffer, with the commas where they belong. The caller pairs begin and end; an
 * arena that is full shows in buffer->full.
 *
 * name  of the member; NULL for an element of an array and for the outermost value */
struct json_writer {
    struct buffer *out;
    bool follows; /* a value stands before, in the same object or array */
};

static inline struct json_writer json_writer_of(struct buffer *out)
{
    return (struct json_writer){.out = out};
}

/* Comma and name. The caller appends exactly one JSON value to the answer. */
struct buffer *json_value(struct json_writer *writer, const char *name);

/* The same where the name is not a constant of the program. */
struct buffer *json_member(struct json_writer *writer, struct text name);

void json_begin_object(struct json_writer *writer, const char *name);
void json_end_object(struct json_writer *writer);
void json_begin_array(struct json_writer *writer, const char *name);
void json_end_array(struct json_writer *writer);

/* An absent text or time writes nothing. */
void json_text(struct json_writer *writer, const char *name, struct text value);
void json_time(struct json_writer *writer, const char *name, int64_t us);
/* `value` is JSON. */
void json_document(struct json_writer *writer, const char *name, struct text value);

void json_int(struct json_writer *writer, const char *name, int64_t value);
void json_bool(struct json_writer *writer, const char *name, bool value);
