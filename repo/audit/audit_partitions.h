#pragma once

#include "base/interval.h"
#include "repo/audit/audit_change.h"
#include "repo/audit/audit_layout.h"

/* Turning the audit log into the layout of repo/audit/audit_layout.h, and adding intervals ahead.
 * The role must own the table and may create in the schema. */

/* --- what is wanted ------------------------------------------------------------------------ */

/* The most intervals that are made at once. */
enum { AUDIT_INTERVALS_MAX = 1200 };

/* The intervals from `start_us` on, until `ahead` whole ones lie behind the one that holds now_us.
 * A start that is no boundary has a shorter first one.
 *
 * ret_ranges  in `arena`; none when they are there
 * REJECT  more than AUDIT_INTERVALS_MAX, or behind the last id with a time */
enum outcome audit_intervals_plan(int64_t start_us, int64_t now_us, enum interval interval,
                                  int64_t ahead, struct arena *arena,
                                  const struct audit_range **ret_ranges, size_t *ret_count,
                                  struct err *err);

/* Where intervals that a partitioned log lacks begin: behind its last one. */
int64_t audit_intervals_start_us(const struct audit_layout *layout, enum interval interval);

/* --- converting ---------------------------------------------------------------------------- */

struct audit_conversion {
    enum interval interval;
    int64_t first_us; /* the interval that holds it is the first; TIMESTAMP_ABSENT: the next one */
    int64_t ahead;
};

struct audit_converted {
    bool converted; /* false: it was partitioned */
    int64_t first_us;
    size_t intervals;
    int64_t rows_moved; /* out of the table that was there */
};

/* In one transaction, with everyone else waiting: the table that is there becomes a partition as it
 * is, but is read once, since PostgreSQL must know that it holds no row of another partition; those
 * are moved, about one hashed id in a hundred and what is ahead of its time. Indexes, owner and
 * privileges are those of the table.
 *
 * RETRY   as audit_change_run()
 * REJECT  as audit_intervals_plan(); more than AUDIT_MOVED_MAX rows since a first_us in the past
 * FATAL   the table has what a partitioned one could not take over as it is (views, triggers,
 *         policies, foreign keys, publications, other unique indexes), or is partitioned in another
 *         way: code AUDIT_UNFIT; the text names it */
enum { AUDIT_MOVED_MAX = 1000000 };
#define AUDIT_UNFIT "SCHEMA"
enum outcome audit_convert(const struct audit_change *change,
                           const struct audit_conversion *conversion, struct arena *arena,
                           struct audit_converted *ret_converted, struct err *err);

/* --- intervals ahead ----------------------------------------------------------------------- */

struct audit_extended {
    bool added; /* false: more than AUDIT_STRAYS_MAX of its rows are in stray, and stay there */
    int64_t rows_moved;
};

/* Makes one interval of a partitioned log, moving its rows out of stray, which is read once while
 * everyone waits. */
enum { AUDIT_STRAYS_MAX = 20000 };
enum outcome audit_extend(const struct audit_change *change, const struct audit_range *range,
                          struct arena *arena, struct audit_extended *ret_extended,
                          struct err *err);
