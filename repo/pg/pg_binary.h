#pragma once

#include "base/buffer.h"
#include "base/timestamp.h"
#include "base/uuid.h"
#include "repo/pg/executor.h"

/* PostgreSQL's binary formats, written and read. Integers are big-endian; a timestamptz is
 * microseconds since 2000-01-01 UTC; an array is its number of dimensions, whether it holds NULLs,
 * the element's type, then per dimension length and lower bound, then per element length (-1:
 * NULL) and bytes.
 * Source: the send and receive functions of PostgreSQL 15 (int8send, timestamptz_recv, array_send
 * ...). */

/* The parameters of one statement, in order. Append freely and ask params_done() once. */
struct params {
    struct arena *arena;
    struct param *items;
    size_t count;
    size_t capacity;
    bool full;
};

void params_init(struct params *params, struct arena *arena, size_t capacity);

/* Texts and JSON are borrowed, not copied; everything else lies in the arena. */
void params_text(struct params *params, struct text value);        /* absent: NULL */
void params_json(struct params *params, struct text value);        /* absent: NULL */
void params_time(struct params *params, int64_t us);               /* TIMESTAMP_ABSENT: NULL */
void params_uuid(struct params *params, const struct uuid *value); /* NULL: NULL */
void params_int8(struct params *params, int64_t value);
void params_int4(struct params *params, int32_t value);
void params_bool(struct params *params, bool value);
void params_text_array(struct params *params, const struct text *items, size_t count);
void params_uuid_array(struct params *params, const struct uuid *items, size_t count);

/* Sets the parameters of the statement. false: the arena is full. */
bool params_done(const struct params *params, struct statement *statement);

/* One array parameter, an element at a time; then params_array(). */
struct pg_array {
    enum pg_type type; /* PG_TEXT_ARRAY ... */
    struct buffer bytes;
    uint32_t count;
    bool has_null;
};

void pg_array_init(struct pg_array *array, enum pg_type type, struct arena *arena);

/* The element's kind must be that of the array. */
void pg_array_null(struct pg_array *array);
void pg_array_text(struct pg_array *array, struct text value);        /* also json; absent: NULL */
void pg_array_time(struct pg_array *array, int64_t us);               /* TIMESTAMP_ABSENT: NULL */
void pg_array_uuid(struct pg_array *array, const struct uuid *value); /* NULL: NULL */
void pg_array_int8(struct pg_array *array, int64_t value);
void pg_array_int4(struct pg_array *array, int32_t value);
void pg_array_bool(struct pg_array *array, bool value);

/* One value of a row, on its way into an array parameter or into a row of COPY (repo/pg/pg_copy.h).
 * Borrows; absent in its own way, or PG_VALUE_NULL, is NULL. */
struct pg_value {
    enum {
        PG_VALUE_NULL,
        PG_VALUE_TEXT, /* also json */
        PG_VALUE_LIST, /* text[]; in an array parameter as a literal */
        PG_VALUE_TIME,
        PG_VALUE_UUID,
        PG_VALUE_INT8,
        PG_VALUE_INT4,
        PG_VALUE_INT2, /* in an array parameter int4 */
    } kind;
    union {
        struct text text;
        struct text_list list;
        int64_t number; /* also microseconds */
        const struct uuid *uuid;
    };
};

void pg_array_value(struct pg_array *array, const struct pg_value *value);

void params_array(struct params *params, struct pg_array *array);

/* A text[] as the text of an array literal, {"a","b"}: how a list per row travels in a text[]
 * parameter, since unnest() would flatten an array of arrays. Cast it with ::text[]. */
void pg_list_literal(struct buffer *buffer, struct text_list list);

/* A row of a result, read column by column from the left.
 *
 * A cell that is not what is asked for makes the reader fail; from then on it answers with absent
 * values. Ask pg_row_done() at the end of the row. */
struct pg_row {
    const struct rows *rows;
    size_t row;
    size_t column; /* the next one */
    struct arena *arena;
    const char *problem; /* NULL: none */
    size_t problem_column;
};

/* arena  for lists; may be NULL when none is read */
void pg_row_init(struct pg_row *reader, const struct rows *rows, size_t row, struct arena *arena);

/* Texts and JSON are borrowed from the cells. NULL reads as absent, 0 or false. */
struct text pg_row_text(struct pg_row *reader);
struct text pg_row_json(struct pg_row *reader); /* json and jsonb */
int64_t pg_row_int(struct pg_row *reader);      /* int2, int4, int8 */
bool pg_row_bool(struct pg_row *reader);
int64_t pg_row_time(struct pg_row *reader); /* also infinity; years past 294246 fail */
bool pg_row_uuid(struct pg_row *reader, struct uuid *ret_uuid); /* false: NULL */
struct text_list pg_row_list(struct pg_row *reader); /* text[]; NULL elements are left out, more
                                                        dimensions are one, in storage order */
void pg_row_skip(struct pg_row *reader);

/* For readers on top of this one: the column read last is not acceptable. The first one counts. */
void pg_row_fail(struct pg_row *reader, const char *problem);

/* OK, or FATAL "<what>: column <number>: <problem>". */
enum outcome pg_row_done(const struct pg_row *reader, const char *what, struct err *err);

/* An array cell or parameter, element by element. */
struct pg_elements {
    enum pg_type type; /* of the elements */
    size_t count;
    const char *at;
    const char *end;
};

/* All dimensions as one, in storage order. false: not an array. */
bool pg_elements_init(struct pg_elements *elements, struct cell cell);
/* false: no more elements, or the bytes are cut short. */
bool pg_elements_next(struct pg_elements *elements, struct cell *ret_element);

/* Single values. false: the cell has not that form. */
bool pg_cell_int(struct cell cell, int64_t *ret_value);
bool pg_cell_time(struct cell cell, int64_t *ret_us);
