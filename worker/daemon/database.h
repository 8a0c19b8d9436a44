#pragma once

#include "config/config.h"
#include "repo/pg/executor_pq.h"

/* A connection for a verb that asks once: one attempt.
 *
 * statement_timeout_ms  0: none
 * RETRY away; FATAL it refuses us, or no memory */
enum outcome database_open(const struct config *config, const char *application_name,
                           int64_t statement_timeout_ms, struct executor_pq **ret_db,
                           struct err *err);

/* Finds a connection pooler in transaction mode before any work is done: such a pooler gives `db`
 * and a second connection the same session of the server. Where no second connection can be had
 * nothing is said: each transaction looks again by itself (repo/pg/pq_session.h).
 *
 * FATAL  code EXECUTOR_PQ_POOLED; others as executor_ops.run */
enum outcome database_check_session(const struct config *config, struct executor *db,
                                    struct arena *arena, struct err *err);
