#include "repo/executor_pq_copy.h"

#include "base/cleanup.h"

/* What libpq's output buffer grows to: it never shrinks again. */
enum { CHUNK_BYTES = 64 * 1024 };

DEFINE_CLEANUP(PGresult *, PQclear)

static const char LOST[] = "connection lost";

struct copying {
    PGconn *connection;
    pq_wait_function *wait;
    int64_t until_us;
    struct pq_copied end;
};

/* The next result; NULL: there is none, see `end`. The first error stays in `end`. */
static PGresult *next_result(struct copying *copying)
{
    copying->end.lost = copying->wait(copying->connection, copying->until_us);
    if (copying->end.lost != NULL)
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
        copying->end.lost = copying->wait(copying->connection, copying->until_us);
        if (copying->end.lost != NULL)
            return false;
    }
    if (PQputCopyEnd(copying->connection, NULL) != 1)
        copying->end.lost = LOST;
    return copying->end.lost == NULL;
}

static void take_rest(struct copying *copying)
{
    bool more = true;

    while (more) {
        CLEANUP(PQclearp) PGresult *result = next_result(copying);
        more = result != NULL;
    }
}

struct pq_copied pq_copy(PGconn *connection, const struct copy *copy, pq_wait_function *wait,
                         int64_t until_us)
{
    struct copying copying = {.connection = connection, .wait = wait, .until_us = until_us};

    if (PQexitPipelineMode(connection) != 1) {
        copying.end.lost = LOST;
        return copying.end;
    }
    if (begin(&copying, copy->sql) && send_rows(&copying, copy->rows))
        take_rest(&copying);
    if (copying.end.lost == NULL && PQenterPipelineMode(connection) != 1)
        copying.end.lost = LOST;
    return copying.end;
}
