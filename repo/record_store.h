#pragma once

#include "repo/pg/write.h"
#include "repo/record_sql.h"

/* What the repositories of whole records have in common: the writes, reads and lists of any record
 * declared in base/records.h, whose first field is its id. The repositories add the types, the
 * statements' names and what is particular to their table.
 *
 * `records` are pointers to the record's struct. Everything allocated lies in `arena`. */

/* How a table answers an upsert. */
struct store_upsert {
    const struct record_spec *spec;
    const char *name;       /* of the statement */
    const char *sql;        /* takes the parameters of record_sql_params(), returns id, inserted */
    const char *taken;      /* a condition on u.<column>: the row's unique value belongs to another
                               row, so that it is not written: WRITE_DUPLICATE. NULL: none */
    const char *taken_name; /* of the statement that asks for it again */
};

/* Inputs have distinct ids; they go sorted by id. `sql` or `records` NULL: no memory.
 *
 * A row that is not written although no unique value is taken, or is written under another id, is
 * refused: REJECT of repo/pg/refused_row.h. */
enum outcome store_upsert_prepare(const struct store_upsert *upsert, const void *const *records,
                                  size_t count, struct arena *arena, enum write_result *ret_results,
                                  struct write *ret_write, struct err *err);

/* An upsert of records with an ABSENT_KEEP field, in the two forms that this takes. */
struct store_keeping_upsert {
    struct store_upsert replace; /* created_at as given */
    struct store_upsert keep;    /* an existing row keeps its created_at */
    size_t keep_offset;          /* of the bool in the record that chooses */
    const char *lock_name;       /* of the statement that locks existing rows */
};

/* Runs it at once, in one round trip. Where inputs of both kinds come together, the rows that exist
 * are locked first, all in order of id: two statements alone would lock in an order of their own.
 */
enum outcome store_keeping_upsert(struct executor *db, const struct store_keeping_upsert *upsert,
                                  const void *const *records, size_t count, struct arena *arena,
                                  enum write_result *ret_results, struct err *err);

/* An upsert that skips rows for which `taken`, a condition on u.<column>, holds.
 *
 * Sorted by id once more, because the planner may join in another order than that of the inputs.
 * NULL: the arena is full. */
const char *store_guarded_upsert_sql(const struct record_spec *spec, const char *taken, bool keep,
                                     struct arena *arena);

/* A row that is still there afterwards is refused: REJECT of repo/pg/refused_row.h.
 * ret_removed  `count` structs of the record, set where WRITE_REMOVED */
enum outcome store_remove_prepare(const struct record_spec *spec, const char *name,
                                  const struct text *ids, size_t count, struct arena *arena,
                                  enum write_result *ret_results, void *ret_removed,
                                  struct write *ret_write, struct err *err);

/* ret_records  one per id, in that order (the same id may come twice); NULL: no such row */
enum outcome store_get(struct executor *db, const struct record_spec *spec, const char *name,
                       const struct text *ids, size_t count, struct arena *arena,
                       const void **ret_records, struct err *err);

/* SELECT columns FROM table, then `tail`. The caller appends the parameters. */
enum { STORE_PARAMS_MAX = 6 };
struct store_query {
    const struct record_spec *spec;
    const char *name;
    const char *tail; /* "WHERE slug = $1" */
    struct params params;
};
void store_query_init(struct store_query *query, const struct record_spec *spec, const char *name,
                      const char *tail, struct arena *arena);

/* ret_records  an array of the record's struct, in the statement's order */
enum outcome store_list(struct executor *db, struct store_query *query, struct arena *arena,
                        const void **ret_records, size_t *ret_count, struct err *err);

/* The only row, or NULL. */
enum outcome store_find(struct executor *db, struct store_query *query, struct arena *arena,
                        const void **ret_record, struct err *err);

/* Positions of the ids, sorted; NULL: the arena is full. Writes want them distinct. */
struct id_position *store_positions(const struct text *ids, size_t count, struct arena *arena);
bool store_distinct(const struct id_position *positions, size_t count);

/* The ids in the order of their positions, as the next parameter. */
void store_ids_param(struct params *params, const struct id_position *positions, size_t count);

/* The (first) input that a returned row belongs to. REJECT (repo/pg/refused_row.h): none; a trigger
 * changed the id of the row. */
enum outcome store_position(const struct id_position *positions, size_t count, struct text id,
                            size_t *ret_position, struct err *err);

/* The same for `struct type`. Pointers to it as pointers to any record: a copy, since an array of
 * one pointer type must not be read as an array of another. */
#define DEFINE_STORE_POINTERS(type)                                                                \
    static inline const void *const *type##_pointers(const struct type *const *records,            \
                                                     size_t count, struct arena *arena)            \
    {                                                                                              \
        const void **pointers = ARENA_ARRAY(arena, const void *, count);                           \
        for (size_t i = 0; pointers != NULL && i < count; i++)                                     \
            pointers[i] = records[i];                                                              \
        return (const void *const *)pointers;                                                      \
    }

/* store_get() */
#define DEFINE_STORE_GET(type)                                                                     \
    static inline enum outcome type##_get(                                                         \
        struct executor *db, const char *name, const struct text *ids, size_t count,               \
        struct arena *arena, const struct type **ret_records, struct err *err)                     \
    {                                                                                              \
        const void **found = ARENA_ARRAY(arena, const void *, count);                              \
        if (found == NULL)                                                                         \
            return err_no_memory(err, name);                                                       \
        enum outcome outcome = store_get(db, &type##_spec, name, ids, count, arena, found, err);   \
        for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++)                                \
            ret_records[i] = found[i];                                                             \
        return outcome;                                                                            \
    }
