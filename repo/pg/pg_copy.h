#pragma once

#include "base/buffer.h"
#include "base/timestamp.h"
#include "base/uuid.h"
#include "repo/pg/pg_binary.h"

/* Rows in the binary format of PostgreSQL's COPY: per row the number of fields (int16), per field
 * its length (int32, -1: NULL) and its bytes as the type's send function writes them. A field must
 * have exactly the type of its column: nothing is cast.
 * Source: PostgreSQL manual, COPY, "Binary Format". */
struct pg_copy {
    struct buffer bytes;
};

/* expected_bytes  room to begin with; more is taken as needed */
void pg_copy_init(struct pg_copy *copy, struct arena *arena, size_t expected_bytes);

/* Begins a row of `fields` fields; as many calls of the functions below follow. */
void pg_copy_row(struct pg_copy *copy, uint16_t fields);

void pg_copy_null(struct pg_copy *copy);
void pg_copy_text(struct pg_copy *copy, struct text value);     /* also json; absent: NULL */
void pg_copy_list(struct pg_copy *copy, struct text_list list); /* text[]; absent: NULL */
void pg_copy_time(struct pg_copy *copy, int64_t us);            /* TIMESTAMP_ABSENT: NULL */
void pg_copy_uuid(struct pg_copy *copy, const struct uuid *value);
void pg_copy_int8(struct pg_copy *copy, int64_t value);
void pg_copy_int4(struct pg_copy *copy, int32_t value);
void pg_copy_int2(struct pg_copy *copy, int16_t value);

/* Inline: it stands in the innermost loop of a batch. */
static inline void pg_copy_value(struct pg_copy *copy, const struct pg_value *value)
{
    switch (value->kind) {
    case PG_VALUE_NULL:
        pg_copy_null(copy);
        break;
    case PG_VALUE_TEXT:
        pg_copy_text(copy, value->text);
        break;
    case PG_VALUE_LIST:
        pg_copy_list(copy, value->list);
        break;
    case PG_VALUE_TIME:
        pg_copy_time(copy, value->number);
        break;
    case PG_VALUE_UUID:
        pg_copy_uuid(copy, value->uuid);
        break;
    case PG_VALUE_INT8:
        pg_copy_int8(copy, value->number);
        break;
    case PG_VALUE_INT4:
        pg_copy_int4(copy, (int32_t)value->number);
        break;
    case PG_VALUE_INT2:
        pg_copy_int2(copy, (int16_t)value->number);
        break;
    }
}

/* The whole, in the arena. false: the arena is full. */
bool pg_copy_done(struct pg_copy *copy, struct slice *ret_rows);
