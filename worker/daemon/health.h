#pragma once

#include "base/buffer.h"
#include "worker/lane/metrics.h"

/* What the endpoints say about the process, from what its lanes tell. */
struct health {
    const struct lane_metrics *const *lanes;
    size_t lane_count;
    /* A lane that neither goes round its loop nor waits on purpose for that long is stuck. One slow
     * statement is no reason to kill the process: it would only be run again. */
    int64_t stuck_after_us;
    _Atomic int checked;  /* the checks at start passed: dependencies answer, the schema fits */
    _Atomic int stopping; /* a signal came */
};

/* Each appends {"status": "ok"} or {"status": "unavailable", "reasons": [...]} and tells whether it
 * is fine.
 *
 * started  every lane has polled once
 * live     no lane is stuck; before the lanes run, and while a dependency is away, that holds
 * ready    started, not stopping, no lane is waiting for a dependency (the reason names it and its
 *          SQLSTATE or Kafka error), is joining the consumer group or has ended. A lane without
 *          partitions stands by: that is ready */
bool health_started(const struct health *health, struct buffer *out);
bool health_live(const struct health *health, int64_t now_us, struct buffer *out);
bool health_ready(const struct health *health, struct buffer *out);
