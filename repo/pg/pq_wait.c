#include "repo/pg/pq_wait.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

#include "base/clock.h"

enum waited pq_wait_for(int socket, short events, int64_t until_us)
{
    struct pollfd watched = {.fd = socket, .events = events};

    for (;;) {
        int timeout_ms = -1;
        if (until_us != INT64_MAX) {
            int64_t left_us = until_us - clock_monotonic_us();
            if (left_us <= 0)
                return WAITED_TIMEOUT;
            timeout_ms =
                left_us > (int64_t)INT32_MAX * 1000 ? INT32_MAX : (int)((left_us + 999) / 1000);
        }
        int ready = poll(&watched, 1, timeout_ms);
        if (ready > 0)
            return WAITED_READY;
        if (ready < 0 && errno != EINTR)
            return WAITED_FAILED;
    }
}

/* Reads while it writes: with both buffers full the server would wait for us as we for it. */
enum waited pq_wait_for_result(PGconn *connection, int64_t until_us)
{
    bool flushed = false;

    while (!flushed || PQisBusy(connection)) {
        int unsent = flushed ? 0 : PQflush(connection);
        if (unsent < 0)
            return WAITED_FAILED;
        flushed = unsent == 0;
        if (flushed && !PQisBusy(connection))
            break;
        short events = (short)(flushed ? POLLIN : POLLIN | POLLOUT);
        enum waited waited = pq_wait_for(PQsocket(connection), events, until_us);
        if (waited != WAITED_READY)
            return waited;
        if (PQconsumeInput(connection) == 0)
            return WAITED_FAILED;
    }
    return WAITED_READY;
}

const char *pq_waited_name(enum waited waited)
{
    switch (waited) {
    case WAITED_READY:
        return "ready";
    case WAITED_TIMEOUT:
        return "no answer within the statement timeout";
    case WAITED_FAILED:
        break;
    }
    return "connection lost";
}
