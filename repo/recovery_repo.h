#pragma once

#include "repo/pg/executor.h"

/* catalyst_recoveries: the commands that a database which was set back still lacks. */

/* Of a partition: from `from` on, below `to`. */
struct recovery_range {
    int32_t topic_id;
    int32_t partition;
    int64_t from;
    int64_t to;
};

/* The stored ranges, in `arena`. */
enum outcome recoveries_list(struct executor *db, struct arena *arena,
                             const struct recovery_range **ret_ranges, size_t *ret_count,
                             struct err *err);

/* Stores ranges. One that is stored for a partition already stays as it is. */
enum outcome recoveries_store(struct executor *db, const struct recovery_range *ranges,
                              size_t count, struct arena *arena, struct err *err);

/* The database is level: records the end of each range as recorded and as published, and removes
 * the ranges; in one transaction. */
enum outcome recoveries_finish(struct executor *db, const struct recovery_range *ranges,
                               size_t count, struct arena *arena, struct err *err);
