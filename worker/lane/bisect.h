#pragma once

#include "worker/lane/publish.h"
#include "worker/lane/settle.h"
#include "worker/lane/wait.h"

/* Settling a batch however long it takes: waiting, recovering, splitting.
 *
 * A range of the batch is split in two when the store refuses a row of it, and when it has failed
 * some times in a row for any other reason. So one bad row of n costs about 2 log2(n) transactions
 * and stands alone in the end: it becomes a dead letter. A batch that is too large for a time-out
 * or for the server's memory becomes smaller, and a server that is sick is probed by ever smaller
 * transactions, down to one message; a single message whose failure is not its own waits. */
struct bisecting {
    const struct settling *settling;
    struct wait *wait;
    struct publishing *publishing; /* what settling->meanwhile takes ahead. NULL: nothing */
    int races;                     /* lost so far by ranges of more than one message */
};

/* REJECT  dropped: the lane stops, or the batch is no longer its own
 * FATAL   the batch needs more memory than there is (ERR_NO_MEMORY) */
enum outcome bisect_settle(struct bisecting *bisecting, struct err *err);

/* Rolls back what is open and connects again, waiting as long as it takes. false: the lane stops,
 * or `generation` is over. */
bool store_recover(struct store *store, struct wait *wait, uint64_t generation);

/* After a failed attempt in the store: counts it, waits, then store_recover(). */
bool store_again(struct store *store, struct wait *wait, uint64_t generation,
                 const struct err *err);

/* Whether the arena of the batch is full. */
bool is_no_memory(const struct err *err);
