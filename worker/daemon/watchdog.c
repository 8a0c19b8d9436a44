#include "worker/daemon/watchdog.h"

/* A producer's call takes ten seconds at most, says its time-out; and between two attempts the lane
 * makes progress. */
enum { PUBLISHING_LOOKS = 60 };

static unsigned looks_for(const struct lane_metrics *lane, unsigned looks)
{
    return atomic_load(&lane->publishing) && looks > PUBLISHING_LOOKS ? PUBLISHING_LOOKS : looks;
}

int watchdog_look(struct watchdog *watchdog, const struct lane_metrics *const *lanes, size_t count,
                  unsigned looks, bool stopping)
{
    int hanging = -1;

    for (size_t i = 0; i < count && i < WATCHDOG_LANES_MAX; i++) {
        int64_t progress_us = atomic_load(&lanes[i]->progress_us);
        bool done = stopping && atomic_load(&lanes[i]->stopped);
        if (done || progress_us != watchdog->progress_us[i]) {
            watchdog->progress_us[i] = progress_us;
            watchdog->unchanged[i] = 0;
        } else if (++watchdog->unchanged[i] > looks_for(lanes[i], looks) && hanging < 0) {
            hanging = (int)i;
        }
    }
    return hanging;
}
