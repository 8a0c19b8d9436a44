#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

/* Work for the time in which an answer is on its way. Whoever takes one runs it on the caller's
 * thread, and not at all when nothing was asked. NULL: there is none. */
struct meanwhile {
    void (*run)(struct meanwhile *self);
    int64_t took_us; /* since whoever gave it set it to 0 */
    bool again;      /* set by who runs it: locks are held, and if all goes well it runs once more
                        when they are not. What may take long can wait till then */
};

/* Returns the microseconds that it took. */
static inline int64_t meanwhile_run(struct meanwhile *meanwhile)
{
    if (meanwhile == NULL)
        return 0;
    int64_t since_us = clock_monotonic_us();
    meanwhile->run(meanwhile);
    int64_t took_us = clock_monotonic_us() - since_us;
    meanwhile->took_us += took_us;
    return took_us;
}

static inline void meanwhile_mark(struct meanwhile *meanwhile, bool again)
{
    if (meanwhile != NULL)
        meanwhile->again = again;
}
