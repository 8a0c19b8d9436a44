#pragma once

#include "repo/pg/executor.h"

/* The statement that gives a new session what every session of ours has, whatever the server's or
 * the role's defaults.
 *
 * statement_timeout_ms  0: none
 *
 * FULL   the arena is full */
enum outcome session_settings_prepare(const char *schema, int64_t statement_timeout_ms,
                                      struct arena *arena, struct statement *ret_statement,
                                      struct err *err);
