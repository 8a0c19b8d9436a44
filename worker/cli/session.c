#include "worker/cli/session.h"

#include "worker/daemon/database.h"

/* What one verb may hold in memory: a page of the audit log, the keys of one owner. */
enum { SESSION_ARENA_BYTES = 512 * 1024 * 1024 };

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
