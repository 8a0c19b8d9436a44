#pragma once

#include "base/meanwhile.h"
#include "worker/lane/batch.h"
#include "worker/lane/confirm.h"
#include "worker/lane/metrics.h"
#include "worker/lane/sink.h"
#include "worker/lane/source.h"
#include "worker/lane/wait.h"

/* Publishes a settled batch in one Kafka transaction: audit events, dead letters and the offsets
 * behind them. All but the commit may go ahead while the store's own commit is under way: readers
 * see none of it before the Kafka transaction commits, which is asked for when the store has said
 * that it did. */
struct publishing {
    struct batch *batch;
    struct source *source;
    struct sink *sink;
    struct lane_metrics *metrics;
    struct wait *wait;
    struct dead_letter_limits *limits; /* max_record_bytes shrinks when the broker refuses a size */
    const struct confirming *confirming;
    struct meanwhile ahead; /* {publish_ahead} */

    /* How far it is. Zero at first. */
    bool is_ahead; /* the store is committing: nothing is waited for */
    bool begun;
    size_t produced; /* entries */
    bool offsets_sent;
    enum outcome failed; /* ahead, and why: it is dealt with once the store has committed */
    struct err why;
};

/* One attempt of all but the commit, for the time in which the store records and commits. */
void publish_ahead(struct meanwhile *ahead);

/* Publishes, or what is left of it. Tries until it is committed, the batch no longer belongs to the
 * lane, or the lane stops while the brokers are away.
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
enum outcome publish_batch(struct publishing *publishing, struct err *err);

/* The store has not committed, or nobody knows: ends what went ahead, waiting as long as it takes.
 * OK      the batch may be settled and published again
 * REJECT  as publish_batch()
 * FATAL   the arena is full */
enum outcome publish_take_back(struct publishing *publishing, struct err *err);
