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
