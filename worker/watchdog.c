#include "worker/watchdog.h"

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
        } else if (++watchdog->unchanged[i] > looks && hanging < 0) {
            hanging = (int)i;
        }
    }
    return hanging;
}
