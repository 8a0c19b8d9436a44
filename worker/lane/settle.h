#pragma once

#include "worker/lane/batch.h"
#include "worker/lane/metrics.h"
#include "worker/lane/progress.h"
#include "worker/lane/store.h"

/* Settles a range of a batch in one transaction of the store: finds which commands are known,
 * applies the new ones, records their audit events and COMMITs. Afterwards every entry of the range
 * has its state, and those with something to publish have it encoded.
 *
 * Telling known commands apart (the audit id is a function of source and id):
 *   same content, same coordinates    REDELIVERED, or PUBLISHED when that is known
 *   same content, other coordinates   DUPLICATE
 *   other content                     CONFLICT, once per content; a second one as above
 * A command that appears twice in the range is told apart by the same rules.
 *
 * Outcomes as store_ops: nothing was applied then, except that after a failed COMMIT it is unknown.
 */
struct settling {
    struct batch *batch;
    struct store *store;
    struct progress *progress;
    struct lane_metrics *metrics;
    struct text audit_topic;
    size_t record_bytes_max; /* a command whose event would be larger becomes a dead letter */
    /* Runs while the whole batch, settled in every entry, is recorded; what it did is to be taken
     * back when settling fails. NULL: nothing. */
    struct meanwhile *meanwhile;
};

enum outcome settle_range(const struct settling *settling, size_t from, size_t to, struct err *err);
