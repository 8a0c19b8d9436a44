#pragma once

#include <stdbool.h>

#include "worker/lane/batch.h"
#include "worker/lane/lane.h"

/* Settling a batch however long it takes: waiting, recovering, splitting.
 *
 * A range of the batch is split in two when the store refuses a row of it, and when it has failed
 * some times in a row for any other reason. So one bad row of n costs about 2 log2(n) transactions
 * and stands alone in the end: it becomes a dead letter. A batch that is too large for a time-out
 * or for the server's memory becomes smaller, and a server that is sick is probed by ever smaller
 * transactions, down to one message; a single message whose failure is not its own waits (see
 * isolate.h).
 *
 * REJECT  dropped: the lane stops, or the batch's partitions were revoked
 * FULL    the batch needs more memory than its arena has */
enum outcome bisect_settle(struct lane *lane, struct batch *batch, struct err *err);

/* Sees to it that the store has recorded the batch's end, before the group commits it.
 * REJECT  as above */
enum outcome bisect_end(struct lane *lane, struct batch *batch, struct err *err);

/* Rolls back what is open and connects again, waiting as long as it takes. false: the lane stops,
 * or `generation` is over. */
bool store_recover_until_done(struct lane *lane, uint64_t generation);

/* After a failed attempt in the store: counts it, waits, then store_recover_until_done(). */
bool store_again(struct lane *lane, uint64_t generation, const struct err *err);
