#pragma once

#include "repo/pg/executor_pq.h"
#include "worker/cli/cli.h"

/* What a verb that works on the database needs: configuration, connection, memory. */
struct session {
    struct config config;
    struct executor_pq *db;
    struct arena *arena;
};

/* Reads the configuration and connects; prints what fails. Otherwise EXIT_DONE. session_close() in
 * either case. */
enum exit_code session_open(const struct arguments *arguments, int64_t statement_timeout_ms,
                            struct session *ret_session);
void session_close(struct session *session);

static inline struct executor *session_db(const struct session *session)
{
    return executor_pq_port(session->db);
}
