#pragma once

#include "worker/lane/lane.h"

/* A database that was set back: a backup was restored, or a standby took over that lacked
 * transactions which had been acknowledged. The group's committed offsets then lie behind commands
 * that the database does not hold any more, and nobody would ever deliver those again.
 *
 * The last transaction of every batch records the batch's end in the store, before the group
 * commits it with the worker's mark. So a marked offset above the recorded one shows that the
 * database was set back. The lane then holds all its partitions, whichever of them are behind: a
 * command that is applied before those that the database lost could be answered otherwise. It
 * writes nothing until `catalyst-worker recover` has brought the two together. */

enum standing {
    STANDING_LEVEL,
    STANDING_MOVED,    /* an operator moved the group forward, or an earlier version committed */
    STANDING_SET_BACK, /* the database was set back */
};

enum standing standing_of(const struct position *committed, int64_t recorded);

/* Whether a partition is behind. Reports those that are, in the log and to the health page. */
bool setback_found(struct lane *lane, const struct position *committed,
                   const struct published_offset *stored, size_t count);

/* Stays in the group for some seconds, before the lane looks again. false: the lane stops, or the
 * partitions are gone. */
bool setback_wait(struct lane *lane, uint64_t generation);

/* No partition is behind (any more). */
void setback_over(struct lane *lane);

/* Before a transaction that follows a store_recover(), which may have connected to another server,
 * or to the same one restored: asks what the store has recorded of the lane's partitions.
 *
 * REJECT  less than this lane saw commit: nothing may be written. lane->set_back is set, and every
 *         partition begins again at its committed offset
 * Others as store_ops */
enum outcome setback_check(struct lane *lane, struct err *err);
