#pragma once

#include "base/record.h"
#include "repo/pg/pg_binary.h"
#include "repo/pg/pg_copy.h"

/* The SQL of a record, made from its declaration (base/record.h), so that a field is declared once.
 *
 * A record's columns are its fields in order, FIELD_REF two of them, a column a parameter. Writes
 * take many records: each column is one array parameter and `unnest` makes rows of them. */

/* Pieces to put statements together from; the columns of the parameters are called u.<column>.
 * Example, of {id, scopes}:
 *   columns         id, scopes
 *   unnest          unnest($1::text[], $2::text[]) AS u(id, scopes)
 *   values          u.id, u.scopes::text[]
 *   assignments     scopes = excluded.scopes          (every column but id)
 *   assignments_keep   the same without the columns of ABSENT_KEEP fields
 *   upsert          INSERT INTO t (columns) SELECT values FROM unnest
 *                   ON CONFLICT (id) DO UPDATE SET assignments
 *                   RETURNING id, (xmax = 0) AS inserted
 *   upsert_keep     the same with assignments_keep
 *   insert          INSERT INTO t (columns) SELECT values FROM unnest
 *   copy            COPY t (columns) FROM STDIN (FORMAT binary)
 *   select          SELECT columns FROM t */
struct record_sql {
    size_t param_count;
    const char *columns;
    const char *unnest;
    const char *values;
    const char *assignments;
    const char *assignments_keep;
    const char *upsert;
    const char *upsert_keep;
    const char *insert;
    const char *copy;
    const char *select;
};

/* Made on first use, the same for the life of the process, from any thread. NULL: no memory.
 * `spec` is one of the process' constant declarations. */
const struct record_sql *record_sql_of(const struct record_spec *spec);

/* Appends the array parameters of these records, in the order given; `params` has room for
 * param_count. Absent values are written as their field's `absent` says; times that the record
 * does not hold are NULL: the caller has filled them in from its command before. */
void record_sql_params(const struct record_spec *spec, const void *const *records, size_t count,
                       struct params *params);

/* Appends a row of the same columns, for sql.copy. */
void record_sql_copy(const struct record_spec *spec, const void *record, struct pg_copy *copy);

/* Reads the next columns of the row, in the order of `columns`, into a record. Texts are copied
 * into the reader's arena. NULL reads as the field's `absent` says: {} and empty lists, else
 * absent. Failures show in pg_row_done(). */
void record_sql_read(const struct record_spec *spec, struct pg_row *reader, void *ret_record);

/* Inputs by their id: statements lock rows in the order of the primary key, and answers come back
 * with ids. */
struct id_position {
    struct text id;
    size_t position; /* in the inputs */
};

/* Sorts bytewise, as COLLATE "C" does; equal ids by position. */
void id_positions_sort(struct id_position *positions, size_t count);

/* The first one with that id, NULL: none. */
const struct id_position *id_positions_find(const struct id_position *positions, size_t count,
                                            struct text id);

/* The records sorted by the id that their declaration has first, and where each stood. `count`
 * elements each, in `arena`. false: the arena is full. */
bool records_sorted(const struct record_spec *spec, const void *const *records, size_t count,
                    struct arena *arena, struct id_position **ret_positions,
                    const void *const **ret_sorted);
