#pragma once

#include "repo/executor_pq.h"
#include "worker/cli.h"

/* A connection for a verb that asks once: one attempt.
 *
 * statement_timeout_ms  0: none
 * RETRY away; FATAL it refuses us, or no memory */
enum outcome database_open(const struct config *config, const char *application_name,
                           int64_t statement_timeout_ms, struct executor_pq **ret_db,
                           struct err *err);

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
