#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

/* Work for the time in which an answer is on its way. Whoever takes one runs it at most once, on
 * the caller's thread, and not at all when nothing was asked. */
struct meanwhile {
    void (*run)(struct meanwhile *self);
    int64_t took_us; /* since whoever gave it set it to 0 */
};

/* NULL: there is none. */
static inline void meanwhile_run(struct meanwhile *meanwhile)
{
    if (meanwhile == NULL)
        return;
    int64_t since_us = clock_monotonic_us();
    meanwhile->run(meanwhile);
    meanwhile->took_us += clock_monotonic_us() - since_us;
}
