#pragma once

#include <libpq-fe.h>

#include "repo/executor.h"

/* The COPY of the libpq executor (repo/executor_pq.c), which alone includes this. */

/* Waits until everything written is sent and a result can be taken without blocking. NULL, or why
 * that will not be. */
typedef const char *pq_wait_function(PGconn *connection, int64_t until_us);

/* How a copy ended: with neither of these, well. */
struct pq_copied {
    PGresult *refused; /* the server's error; the caller clears it */
    const char *lost;  /* why the connection is of no use any more */
};

/* `connection` is at rest in pipeline mode and is so again afterwards, unless it is lost: pipelines
 * cannot carry COPY. */
struct pq_copied pq_copy(PGconn *connection, const struct copy *copy, pq_wait_function *wait,
                         int64_t until_us);
