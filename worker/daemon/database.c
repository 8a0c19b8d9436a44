#include "worker/daemon/database.h"

#include <stdio.h>

/* A pooler whose connections are all taken lets the second one wait. */
enum { CONNECT_TIMEOUT_S = 5, SECOND_TIMEOUT_MS = 3000 };

enum outcome database_open(const struct config *config, const char *application_name,
                           int64_t statement_timeout_ms, struct executor_pq **ret_db,
                           struct err *err)
{
    const struct executor_pq_options options = {
        .conninfo = config->database_url,
        .schema = config->database_schema,
        .application_name = application_name,
        .connect_timeout_s = CONNECT_TIMEOUT_S,
        .statement_timeout_ms = statement_timeout_ms,
    };
    CLEANUP(executor_pq_freep) struct executor_pq *db = NULL;

    enum outcome outcome = executor_pq_new(&options, &db, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_recover(executor_pq_port(db), err);
    if (outcome == OUTCOME_OK)
        *ret_db = TAKE(db);
    else if (outcome == OUTCOME_FATAL && err->code[0] == '\0')
        snprintf(err->code, sizeof(err->code), "%s", ERR_CONFIG);
    return outcome;
}

enum outcome database_check_session(const struct config *config, struct executor *db,
                                    struct arena *arena, struct err *err)
{
    const struct statement nothing[] = {executor_begin, executor_commit};
    CLEANUP(executor_pq_freep) struct executor_pq *second = NULL;
    struct rows rows[2];

    if (database_open(config, "catalyst-worker second session", SECOND_TIMEOUT_MS, &second, err) !=
        OUTCOME_OK)
        return OUTCOME_OK;
    return executor_run_all(db, nothing, 2, arena, rows, err);
}
