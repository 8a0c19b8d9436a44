#pragma once

#include <stdbool.h>

#include "repo/pg/pg_binary.h"

/* Whether the connection still speaks to the server session that its settings were made in. A
 * connection pooler in transaction mode gives every transaction another one, whose settings
 * somebody else made. So each new connection sets `catalyst.session` to a random value, and the
 * first round trip of each transaction compares it.
 *
 * The comparison fails on the server, so that nothing behind it in the same round trip is executed:
 * a COMMIT may be. */
enum { PQ_SESSION_VALUE_LENGTH = 32 };

/* false: the system has no random bytes. */
bool pq_session_new(char ret_value[PQ_SESSION_VALUE_LENGTH + 1]);

/* `value` is borrowed. FULL: the arena is full. */
enum outcome pq_session_check_prepare(const char *value, struct arena *arena,
                                      struct statement *ret_statement, struct err *err);
bool pq_session_is_check(const struct statement *statement);
/* FATAL, code EXECUTOR_PQ_POOLED. */
enum outcome pq_session_fail(struct err *err);
