#pragma once

#include "worker/lane/metrics.h"

enum { WATCHDOG_LANES_MAX = 64, WATCHDOG_LOOK_MS = 1000 };

/* Whether a lane hangs: it has not gone round its loop, nor tried again for a dependency, for so
 * many looks in a row. librdkafka has calls that outlast the time they were given. Looks are
 * counted, not time: a process that was frozen does not find all its lanes hanging when it thaws.
 */
struct watchdog {
    int64_t progress_us[WATCHDOG_LANES_MAX]; /* as of the last look */
    unsigned unchanged[WATCHDOG_LANES_MAX];  /* looks since */
};

/* To be called every WATCHDOG_LOOK_MS. The first lane that was seen without progress more than
 * `looks` times in a row, a minute at most while it publishes, or -1. While the process stops,
 * lanes that have left their loop do not count. */
int watchdog_look(struct watchdog *watchdog, const struct lane_metrics *const *lanes, size_t count,
                  unsigned looks, bool stopping);
