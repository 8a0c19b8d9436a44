#pragma once

#include "repo/pg/executor.h"

/* Set-wise writes: many inputs in one statement, one result each.
 *
 * A write is prepared by a repository function (`users_upsert_prepare` ...), run with others in one
 * round trip by write_run(), and has then filled the caller's results. Inputs of one write must
 * name distinct rows; the statement takes their locks in order of primary key, whatever order they
 * come in. Inputs and results must outlive the run. */

enum write_result {
    WRITE_OPEN = 0, /* not answered yet */
    WRITE_CREATED,
    WRITE_UPDATED,
    WRITE_REMOVED,
    WRITE_NOT_FOUND,
    WRITE_DUPLICATE_ID,
    WRITE_DUPLICATE_HASH,
    WRITE_DUPLICATE, /* a unique value, belonging to another row: slug, entitlement, or (key) id or
                        hash that was gone again when asked for */
    WRITE_REVOKED,
    WRITE_EXPIRED,
    WRITE_ALREADY_REVOKED,
};

struct write {
    struct statement statement;

    /* Fills the results that `rows` answers; ret_open counts those still WRITE_OPEN. */
    enum outcome (*read)(struct write *write, const struct rows *rows, size_t *ret_open,
                         struct err *err);

    /* Asks for the open ones, in round trips of its own, and leaves none. NULL: read leaves none.
     */
    enum outcome (*settle)(struct write *write, struct executor *db, struct arena *arena,
                           struct err *err);

    void *state; /* the repository's, in the arena given to prepare */
};

/* Runs the writes in order in one round trip, then settles what is open. Outcomes as
 * executor_ops.run. */
enum outcome write_run(struct executor *db, struct write *writes, size_t count, struct arena *arena,
                       struct err *err);
