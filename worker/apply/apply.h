#pragma once

#include "events/commands.h"
#include "repo/row_triggers.h"

/* What applying keeps between batches, one per connection. */
struct applier {
    struct executor *db;   /* borrowed */
    unsigned copy_holdoff; /* so many groups of key.issue do not try COPY: one was refused lately */
    struct row_triggers triggers; /* as the last large transaction saw them */
};

/* Holds every row of events/commands.def against its record and its functions. FATAL  a row is
 * wrong: err->text names the type */
enum outcome apply_check(struct err *err);

/* Runs the statement of a command's kind for no row. Outcomes as executor_ops.run. */
enum outcome apply_nothing(struct applier *applier, const struct command *command,
                           struct arena *arena, struct err *err);

/* Applies commands set-wise inside the caller's transaction, with the effect of one by one in this
 * order: plans waves (worker/apply/waves.h), turns each wave into one statement per kind of
 * command, and each wave is one round trip, or a few more when keys go by COPY.
 *
 * ret_results  one each, in `arena` or static; set on OK only
 *
 * Outcomes as executor_ops.run. */
enum outcome apply_commands(struct applier *applier, const struct command *const *commands,
                            size_t count, struct arena *arena, struct command_result *ret_results,
                            struct err *err);
