#pragma once

#include "worker/batch.h"
#include "worker/confirm.h"
#include "worker/metrics.h"
#include "worker/sink.h"
#include "worker/source.h"
#include "worker/wait.h"

/* Publishes a settled batch in one Kafka transaction: audit events, dead letters and the offsets
 * behind them. Tries until it is committed, the batch no longer belongs to the lane, or the lane
 * stops while the brokers are away.
 *
 * After an ambiguous commit (the producer broke while it was under way) the group's committed
 * offsets tell whether it happened: at or past the batch's end, it did. Otherwise the same bytes go
 * out again. After any transaction that did not commit, what was published before is confirmed too.
 *
 * OK      committed
 * REJECT  dropped: the partitions were revoked, the lane stops, or an earlier transaction is lost
 *         and the source begins again before it. The store has everything; whoever gets the
 *         partitions publishes from there
 * FATAL   the arena is full */
struct publishing {
    struct batch *batch;
    struct source *source;
    struct sink *sink;
    struct lane_metrics *metrics;
    struct wait *wait;
    struct dead_letter_limits *limits; /* max_record_bytes shrinks when the broker refuses a size */
    const struct confirming *confirming;
};

enum outcome publish_batch(const struct publishing *publishing, struct err *err);
