#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

/* A callback that a store or an executor runs on the caller's thread between sending a request and
 * waiting for its answer. It must not call that store or executor, and must not keep memory of its
 * arena. It is not run when nothing was sent. A NULL overlap: there is no callback. */
struct overlap {
    void (*run)(struct overlap *self);
    void *context;
    int64_t took_us; /* sum of the runs since the caller set it to 0 */
    bool
        runs_again; /* set by the store: this run is under row locks, and a second one follows after
                       the store has sent COMMIT. Calls that may block for long belong there */
};

/* Returns the microseconds that it took. */
static inline int64_t overlap_run(struct overlap *overlap)
{
    if (overlap == NULL)
        return 0;
    int64_t since_us = clock_monotonic_us();
    overlap->run(overlap);
    int64_t took_us = clock_monotonic_us() - since_us;
    overlap->took_us += took_us;
    return took_us;
}

static inline void overlap_set_runs_again(struct overlap *overlap, bool runs_again)
{
    if (overlap != NULL)
        overlap->runs_again = runs_again;
}
