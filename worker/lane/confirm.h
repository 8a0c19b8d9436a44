#pragma once

#include "worker/lane/metrics.h"
#include "worker/lane/progress.h"
#include "worker/lane/source.h"

/* Compares what the lane believes to be published with the group's committed offsets.
 *
 * An acknowledged Kafka transaction is final, and yet brokers have lost some: KAFKA-20734, and
 * whatever truncates a log. The group's offset then lies before what was acknowledged. As long as
 * the lane has the partition nobody else would notice, and the events would be missing; so it asks
 * after every transaction that did not commit, and before the store is told that it is idle. */
struct confirming {
    struct progress *progress;
    struct source *source;
    struct lane_metrics *metrics;
    int lane;
    const struct text *topics; /* the command topics and their numbers in the store */
    const int32_t *topic_ids;
    size_t topic_count;
};

/* OK      nothing is missing; what was acknowledged is confirmed
 * RETRY   the coordinator is away
 * REJECT  a transaction is lost: the source begins again at the committed offsets, from where
 *         everything counts as unpublished
 * FATAL   the arena is full */
enum outcome confirm_published(const struct confirming *confirming, struct arena *arena,
                               struct err *err);
