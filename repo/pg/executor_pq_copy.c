#include "repo/pg/executor_pq_copy.h"

#include <string.h>

#include "base/cleanup.h"
#include "repo/pg/pq_statement.h"
#include "repo/pg/pq_wait.h"

/* What libpq's output buffer grows to: it never shrinks again. */
enum { CHUNK_BYTES = 64 * 1024 };

DEFINE_CLEANUP(PGresult *, PQclear)

static const char LOST[] = "connection lost";

struct copy_call {
    PGconn *connection;
    int64_t until_us;
    struct pq_copied end;
};

/* Until everything written is sent and a result can be taken; false: that will not be. */
static bool wait_for(struct copy_call *call)
{
    enum waited waited = pq_wait_for_result(call->connection, call->until_us);

    call->end.lost = waited == WAITED_READY ? NULL : pq_waited_name(waited);
    return waited == WAITED_READY;
}

/* The next result; NULL: there is none, see `end`. The first error stays in `end`. */
static PGresult *next_result(struct copy_call *call)
{
    if (!wait_for(call))
        return NULL;
    PGresult *result = PQgetResult(call->connection);
    if (result == NULL || PQresultStatus(result) != PGRES_FATAL_ERROR)
        return result;
    if (call->end.refused == NULL)
        call->end.refused = result;
    else
        PQclear(result);
    return next_result(call);
}

/* Up to the COPY. false: the server refuses, or is gone. */
static bool begin(struct copy_call *call, const char *sql)
{
    ExecStatusType status = PGRES_COMMAND_OK;

    if (PQsendQuery(call->connection, sql) != 1) {
        call->end.lost = LOST;
        return false;
    }
    while (status == PGRES_COMMAND_OK) {
        CLEANUP(PQclearp) PGresult *result = next_result(call);
        status = result != NULL ? PQresultStatus(result) : PGRES_FATAL_ERROR;
    }
    return status == PGRES_COPY_IN;
}

/* A server that has refused a row goes on reading, so writing never blocks for good. */
static bool send_rows(struct copy_call *call, struct slice rows)
{
    for (size_t from = 0; from < rows.length; from += CHUNK_BYTES) {
        size_t left = rows.length - from;
        int length = (int)(left < CHUNK_BYTES ? left : (size_t)CHUNK_BYTES);
        if (PQputCopyData(call->connection, (const char *)rows.data + from, length) != 1) {
            call->end.lost = LOST;
            return false;
        }
        if (!wait_for(call))
            return false;
    }
    if (PQputCopyEnd(call->connection, NULL) != 1)
        call->end.lost = LOST;
    return call->end.lost == NULL;
}

/* The server's time is not the caller's. */
static void run_overlap(struct copy_call *call, struct overlap *overlap)
{
    int64_t took_us = overlap_run(overlap);

    if (call->until_us != INT64_MAX)
        call->until_us += took_us;
}

static void take_rest(struct copy_call *call)
{
    bool more = true;

    while (more) {
        CLEANUP(PQclearp) PGresult *result = next_result(call);
        more = result != NULL;
        if (more && strncmp(PQcmdStatus(result), "COPY ", 5) == 0)
            call->end.row_count += pq_statement_affected(result);
    }
}

struct pq_copied pq_copy(PGconn *connection, const struct copy *copy, int64_t until_us)
{
    struct copy_call call = {.connection = connection, .until_us = until_us};

    if (PQexitPipelineMode(connection) != 1) {
        call.end.lost = LOST;
        return call.end;
    }
    if (begin(&call, copy->sql) && send_rows(&call, copy->rows)) {
        run_overlap(&call, copy->overlap);
        take_rest(&call);
    }
    if (call.end.lost == NULL && PQenterPipelineMode(connection) != 1)
        call.end.lost = LOST;
    return call.end;
}
