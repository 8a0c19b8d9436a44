#pragma once

#include "repo/pg/executor.h"

struct session_settings {
    const char *search_path;      /* as SET takes it */
    const char *session;          /* the value of catalyst.session, see repo/pg/pq_session.h */
    int64_t statement_timeout_ms; /* 0: none */
};

/* The statement that gives a new session what every session of ours has, whatever the server's or
 * the role's defaults.
 *
 * FULL   the arena is full */
enum outcome session_settings_prepare(const struct session_settings *settings, struct arena *arena,
                                      struct statement *ret_statement, struct err *err);
