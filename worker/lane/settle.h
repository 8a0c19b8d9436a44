#pragma once

#include "worker/lane/batch.h"
#include "worker/lane/lane.h"

/* Settles a range of a batch in one transaction of the store: finds which commands are known,
 * applies the new ones, records their audit events and COMMITs. Afterwards every entry of the range
 * has its state, and those with something to publish have it encoded. batch->overlap runs while the
 * range is recorded, if the range is the whole batch.
 *
 * How a known command is classified (the audit id is a function of source and id):
 *   same content, same coordinates    REDELIVERED, or PUBLISHED when that is known
 *   same content, other coordinates   DUPLICATE
 *   other content                     CONFLICT, once per content; a second one as above
 * A command that appears twice in the range is classified by the same rules.
 *
 * Outcomes as store_ops: nothing was applied then, except that after a failed COMMIT it is unknown.
 */
enum outcome settle_range(struct lane *lane, struct batch *batch, size_t from, size_t to,
                          struct err *err);

/* Records the end of a batch whose last message has no transaction of its own: the store refused
 * its row, or it is a dead letter that needs none. Outcomes as store_ops. */
enum outcome settle_end(struct lane *lane, struct batch *batch, struct err *err);
