#pragma once

#include "worker/lane/batch.h"
#include "worker/lane/lane.h"

/* Publishes a settled batch in one Kafka transaction: audit events, dead letters and the offsets
 * behind them. The two commits overlap. While the store commits, publish_overlapping() produces the
 * batch's records and sends its offsets in the open Kafka transaction. publish_batch() commits that
 * transaction, and is called only after the store has committed. Readers see nothing of it before.
 *
 * Attempts need no memory beyond that of one dead letter, so that a settled batch is always
 * published: a system without memory is waited for like brokers that are away.
 *
 * batch->publication holds how far the transaction is. */

/* The callback of struct overlap; its context is the batch. Makes each call once and waits for
 * nothing. With `runs_again` it only produces. */
void publish_overlapping(struct overlap *overlap);

/* Publishes what publish_overlapping() left. Tries until the transaction is committed, the batch no
 * longer belongs to the lane, or the lane stops while the brokers are away.
 *
 * After an ambiguous commit (the producer broke while it was under way) the group's committed
 * offsets tell whether it happened: at or past the batch's end, it did. Otherwise the same bytes go
 * out again. After any transaction that did not commit, what was published before is confirmed too.
 *
 * OK      committed
 * REJECT  dropped: the partitions were revoked, the lane stops, or an earlier transaction is lost
 *         and the source begins again before it. The store has everything; the next owner of the
 *         partitions publishes from there */
enum outcome publish_batch(struct lane *lane, struct batch *batch, struct err *err);

/* The store did not commit, or nobody knows: aborts the transaction that publish_overlapping() has
 * begun, waiting as long as it takes.
 * OK      the batch may be settled and published again
 * REJECT  as publish_batch() */
enum outcome publish_abort(struct lane *lane, struct batch *batch, struct err *err);
