#include "worker/database.h"

enum { CONNECT_TIMEOUT_S = 5 };

/* What one verb may hold in memory: a page of the audit log, the keys of one owner. */
enum { SESSION_ARENA_BYTES = 512 * 1024 * 1024 };

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

enum exit_code session_open(const struct arguments *arguments, int64_t statement_timeout_ms,
                            struct session *ret_session)
{
    char name[64];
    struct err err;

    *ret_session = (struct session){0};
    enum exit_code code = cli_config(arguments, &ret_session->config);
    if (code != EXIT_DONE)
        return code;
    ret_session->arena = arena_new(SESSION_ARENA_BYTES);
    if (ret_session->arena == NULL)
        return cli_fail(arguments, EXIT_BUG, "no memory");
    snprintf(name, sizeof(name), "catalyst-worker %s", arguments->verb->name);
    if (database_open(&ret_session->config, name, statement_timeout_ms, &ret_session->db, &err) !=
        OUTCOME_OK)
        return cli_fail_err(arguments, &err);
    return EXIT_DONE;
}

void session_close(struct session *session)
{
    executor_pq_free(session->db);
    arena_free(session->arena);
    config_release(&session->config);
}
