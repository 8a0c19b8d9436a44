#pragma once

#include <stdatomic.h>

#include "worker/lane/metrics.h"
#include "worker/lane/sink.h"
#include "worker/lane/source.h"

/* Waiting for a dependency without losing the group membership: what a lane does between two
 * attempts. */
struct wait {
    struct source *source;
    struct sink *sink;
    struct lane_metrics *metrics;
    const atomic_int *stopping;
    int lane; /* for logs */
    uint64_t random;

    /* the current wait */
    enum dependency dependency;
    int attempts;
    int64_t since_us;
};

/* After a failed attempt: logs it (the first, then ever more rarely), sleeps for a time that
 * doubles from 10 ms to 5 s with jitter, and keeps the membership alive meanwhile. false: give up,
 * the lane stops or `generation` is over. */
bool wait_again(struct wait *wait, enum dependency dependency, uint64_t generation,
                const struct err *err);

/* The attempt succeeded. */
void wait_done(struct wait *wait);
