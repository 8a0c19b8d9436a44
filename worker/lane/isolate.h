#pragma once

#include <stdbool.h>

#include "worker/lane/batch.h"

/* A message that fails by itself: not refused, but with the same error again and again, as of a
 * trigger of the installation that raises one of its own. It would hold its lane up for ever.
 *
 * After a minute the lane runs the rest of the batch without that message or, when there is none,
 * the same statements without rows. If that commits, the failure is the message's. */
struct suspicion {
    char code[sizeof(((struct err *)NULL)->code)]; /* of the failure; "": there was none yet */
    int64_t since_us;                              /* monotonic */
};

/* One message stands alone and the store failed. true: the same failure has lasted long enough to
 * look for its cause. Never for a failure that others cause: connection, resources, operators,
 * the system (SQLSTATE classes 08, 53, 57, 58), other transactions (40, 55). */
bool isolate_suspects(const struct lane *lane, struct suspicion *suspicion, const struct err *err);

/* Whether the failure of the batch's entry `at` is its own. Entries behind it may be settled after
 * that. The store may have to be recovered when the answer is false. */
bool isolate_proves(struct lane *lane, struct batch *batch, size_t at);
