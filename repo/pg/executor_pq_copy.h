#pragma once

#include <libpq-fe.h>

#include "repo/pg/executor.h"

/* The COPY of the libpq executor (repo/pg/executor_pq.c), which alone includes this. */

/* How a copy ended: with neither of the first two, well. */
struct pq_copied {
    PGresult *refused; /* the server's error; the caller clears it */
    const char *lost;  /* why the connection is of no use any more */
    size_t row_count;  /* that the server wrote */
};

/* `connection` is at rest in pipeline mode and is so again afterwards, unless it is lost: pipelines
 * cannot carry COPY. */
struct pq_copied pq_copy(PGconn *connection, const struct copy *copy, int64_t until_us);
