#pragma once

#include "events/commands.h"
#include "repo/pg/executor.h"
#include "worker/apply/waves.h"

/* Which rows a command touches, for the planning of waves.
 *
 * Most follow from the command alone. An org's upsert also gives up the slug that the org holds,
 * and an entitlement's upsert or removal the triple that the row holds: a later command of the
 * batch may take them. Those are asked for once (one round trip, only when the batch holds two
 * commands that could meet so), and grow with what the batch itself may put there. */
struct touched {
    struct arena *arena;
    struct map held; /* id of an org or entitlement -> index + 1 into `lists` */
    struct held *lists;
    size_t list_count;
    struct resource *scratch;
    size_t scratch_capacity;
    bool tracks; /* false: no two commands can meet by what they give up */
};

/* Which rows one command touches, in touched->scratch. false: the arena is full. */
typedef bool touch_function(struct touched *touched, const struct command *command,
                            size_t *ret_count);

/* Outcomes as executor_ops.run. */
enum outcome touched_open(struct touched *touched, struct executor *db,
                          const struct command *const *commands, size_t count, struct arena *arena,
                          struct err *err);

/* ret_resources  valid until the next call. false: the arena is full. */
bool touched_by(struct touched *touched, const struct command *command,
                const struct resource **ret_resources, size_t *ret_count);
