#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/overlap.h"

/* Port: how repositories reach the database. Statements go in groups, one round trip a group;
 * transactions are statements too, so that a test sees the full order.
 * Real: repo/pg/executor_pq.h. Test: repo/testing/recording_executor.h. */

/* Type OIDs of PostgreSQL's own types (catalog pg_type), as parameters are declared. */
enum pg_type {
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_INT8 = 20,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_JSON = 114,
    PG_JSON_ARRAY = 199,
    PG_BOOL_ARRAY = 1000,
    PG_BYTEA_ARRAY = 1001,
    PG_INT4_ARRAY = 1007,
    PG_TEXT_ARRAY = 1009,
    PG_INT8_ARRAY = 1016,
    PG_TIMESTAMPTZ = 1184,
    PG_TIMESTAMPTZ_ARRAY = 1185,
    PG_UUID = 2950,
    PG_UUID_ARRAY = 2951,
};

/* One parameter in PostgreSQL's binary format (repo/pg/pg_binary.h builds them). data NULL: SQL
 * NULL.
 */
struct param {
    enum pg_type type;
    const void *data;
    size_t length;
};

struct statement {
    const char *name; /* "keys.issue": prepared under this name; for logs, metrics and tests. The
                         same name always has the same sql. NULL: run once, not prepared */
    const char *sql;  /* $1..$n placeholders; one statement */
    const struct param *params;
    size_t param_count;
    bool own; /* its parameters hold nothing of a message: what is refused is FATAL, not REJECT */
};

/* Many new rows for one table. */
struct copy {
    const char *name;  /* for logs, metrics and tests */
    const char *sql;   /* statements without parameters, separated by ';', one of them COPY ... FROM
                          STDIN (FORMAT binary) */
    struct slice rows; /* repo/pg/pg_copy.h makes them */
    size_t row_count;
    struct overlap *overlap; /* runs once all rows are on their way */
};

/* One value of a result, in binary format. data NULL: SQL NULL. */
struct cell {
    const char *data;
    size_t length;
};

struct rows {
    size_t affected; /* rows inserted, updated, deleted or selected */
    size_t row_count;
    size_t column_count;
    const struct cell *cells; /* row-major */
};

static inline struct cell rows_cell(const struct rows *rows, size_t row, size_t column)
{
    return rows->cells[row * rows->column_count + column];
}

struct executor {
    const struct executor_ops *ops;
};

struct executor_ops {
    /* Runs `count` statements in order in one round trip and waits for them. Outside BEGIN ...
     * COMMIT they are one implicit transaction.
     *
     * overlap   runs once everything is sent, before the answers are taken
     * ret_rows   `count` results in `arena`; set on OK only
     *
     * On failure the statements behind the failed one did not run, err->code holds the SQLSTATE
     * (08006 when the connection was lost) and err->text begins with the name of the failed
     * statement; call executor_recover() before anything else, or, where the outcome is not RETRY
     * and a savepoint was set, roll back to that.
     * RETRY   connection lost, deadlock, serialization failure, server shutting down or out of
     *         resources, cancelled; after a lost COMMIT answer it is unknown whether it committed
     * REJECT  the database refuses a row
     * FATAL   everything else: wrong schema, no permission
     * FULL    the arena is full
     * Which SQLSTATE is which: repo/pg/sqlstate.c. */
    enum outcome (*run)(struct executor *self, const struct statement *statements, size_t count,
                        struct overlap *overlap, struct arena *arena, struct rows *ret_rows,
                        struct err *err);

    /* Runs the statements of a copy inside BEGIN ... COMMIT and hands it its rows: two round trips.
     * Fails as run() does; one refused row fails all of them. REJECT also, with the code of
     * repo/pg/refused_row.h, when the server says that it wrote fewer rows. */
    enum outcome (*copy)(struct executor *self, const struct copy *copy, struct err *err);

    /* Makes the connection fit for a new transaction: rolls back what is open, connects again where
     * it is broken. One attempt; the caller waits between attempts.
     * RETRY the server cannot be reached; FATAL it refuses us (password, database, schema); never
     * REJECT */
    enum outcome (*recover)(struct executor *self, struct err *err);
};

static inline enum outcome executor_run_overlapped(struct executor *db,
                                                   const struct statement *statements, size_t count,
                                                   struct overlap *overlap, struct arena *arena,
                                                   struct rows *ret_rows, struct err *err)
{
    return db->ops->run(db, statements, count, overlap, arena, ret_rows, err);
}

static inline enum outcome executor_run_all(struct executor *db, const struct statement *statements,
                                            size_t count, struct arena *arena,
                                            struct rows *ret_rows, struct err *err)
{
    return executor_run_overlapped(db, statements, count, NULL, arena, ret_rows, err);
}

static inline enum outcome executor_run(struct executor *db, const struct statement *statement,
                                        struct arena *arena, struct rows *ret_rows, struct err *err)
{
    return executor_run_all(db, statement, 1, arena, ret_rows, err);
}

static inline enum outcome executor_copy(struct executor *db, const struct copy *copy,
                                         struct err *err)
{
    return db->ops->copy(db, copy, err);
}

static inline enum outcome executor_recover(struct executor *db, struct err *err)
{
    return db->ops->recover(db, err);
}

/* Transactions: READ COMMITTED. A COMMIT that the server turned into a ROLLBACK fails with RETRY.
 */
extern const struct statement executor_begin;
extern const struct statement executor_commit;
extern const struct statement executor_rollback;
