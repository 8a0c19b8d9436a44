#pragma once

#include <libpq-fe.h>
#include <stdint.h>

/* Waiting for libpq's socket, up to a point in monotonic time (INT64_MAX: for ever). */
enum waited { WAITED_READY, WAITED_TIMEOUT, WAITED_FAILED };

/* Until one of `events` (poll(2)) is there. */
enum waited pq_wait_for(int socket, short events, int64_t until_us);

/* Until a result can be taken without blocking, and all that was to be written is. */
enum waited pq_wait_for_result(PGconn *connection, int64_t until_us);

/* Why pq_wait_for_result() did not end READY, for people. */
const char *pq_waited_name(enum waited waited);
