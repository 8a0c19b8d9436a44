#include "repo/pg/executor_pq_copy.h"

#include <string.h>

#include "base/cleanup.h"
#include "repo/pg/pq_statement.h"
#include "repo/pg/pq_wait.h"

/* What libpq's output buffer grows to: it never shrinks again. */
enum { CHUNK_BYTES = 64 * 1024 };

DEFINE_CLEANUP(PGresult *, PQclear)

static const char LOST[] = "connection lost";

struct copying {
    PGconn *connection;
    int64_t until_us;
    struct pq_copied end;
};

/* Until everything written is sent and a result can be taken; false: that will not be. */
static bool wait_for(struct copying *copying)
{
    enum waited waited = pq_wait_for_result(copying->connection, copying->until_us);

    copying->end.lost = waited == WAITED_READY ? NULL : pq_waited_name(waited);
    return waited == WAITED_READY;
}

/* The next result; NULL: there is none, see `end`. The first error stays in `end`. */
static PGresult *next_result(struct copying *copying)
{
    if (!wait_for(copying))
        return NULL;
    PGresult *result = PQgetResult(copying->connection);
    if (result == NULL || PQresultStatus(result) != PGRES_FATAL_ERROR)
        return result;
    if (copying->end.refused == NULL)
        copying->end.refused = result;
    else
        PQclear(result);
    return next_result(copying);
}

/* Up to the COPY. false: the server refuses, or is gone. */
static bool begin(struct copying *copying, const char *sql)
{
    ExecStatusType status = PGRES_COMMAND_OK;

    if (PQsendQuery(copying->connection, sql) != 1) {
        copying->end.lost = LOST;
        return false;
    }
    while (status == PGRES_COMMAND_OK) {
        CLEANUP(PQclearp) PGresult *result = next_result(copying);
        status = result != NULL ? PQresultStatus(result) : PGRES_FATAL_ERROR;
    }
    return status == PGRES_COPY_IN;
}

/* A server that has refused a row goes on reading, so writing never blocks for good. */
static bool send_rows(struct copying *copying, struct slice rows)
{
    for (size_t from = 0; from < rows.length; from += CHUNK_BYTES) {
        size_t left = rows.length - from;
        int length = (int)(left < CHUNK_BYTES ? left : (size_t)CHUNK_BYTES);
        if (PQputCopyData(copying->connection, (const char *)rows.data + from, length) != 1) {
            copying->end.lost = LOST;
            return false;
        }
        if (!wait_for(copying))
            return false;
    }
    if (PQputCopyEnd(copying->connection, NULL) != 1)
        copying->end.lost = LOST;
    return copying->end.lost == NULL;
}

/* The server's time is not the caller's. */
static void run_overlap(struct copying *copying, struct overlap *overlap)
{
    int64_t took_us = overlap_run(overlap);

    if (copying->until_us != INT64_MAX)
        copying->until_us += took_us;
}

static void take_rest(struct copying *copying)
{
    bool more = true;

    while (more) {
        CLEANUP(PQclearp) PGresult *result = next_result(copying);
        more = result != NULL;
        if (more && strncmp(PQcmdStatus(result), "COPY ", 5) == 0)
            copying->end.row_count += pq_statement_affected(result);
    }
}

struct pq_copied pq_copy(PGconn *connection, const struct copy *copy, int64_t until_us)
{
    struct copying copying = {.connection = connection, .until_us = until_us};

    if (PQexitPipelineMode(connection) != 1) {
        copying.end.lost = LOST;
        return copying.end;
    }
    if (begin(&copying, copy->sql) && send_rows(&copying, copy->rows)) {
        run_overlap(&copying, copy->overlap);
        take_rest(&copying);
    }
    if (copying.end.lost == NULL && PQenterPipelineMode(connection) != 1)
        copying.end.lost = LOST;
    return copying.end;
}
