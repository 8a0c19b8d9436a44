#pragma once

#include "base/uuid.h"
#include "repo/pg/executor.h"

/* How auth_audit_events is laid out. It is made as one table; catalyst-worker retention partition
 * turns it into this, by ranges of the id:
 *
 *   auth_audit_events                  partitioned
 *     auth_audit_events_rest           DEFAULT: the table that was there; hashes and older ids
 *     auth_audit_events_timed          FROM (first interval) TO (AUDIT_TIMED_END), partitioned
 *       auth_audit_events_t20261201    an interval each, by the day it begins
 *       auth_audit_events_stray        DEFAULT: ids ahead of the last interval, ids of one that is
 *                                      gone, hashes between the intervals
 *
 * Two levels, since PostgreSQL reads a DEFAULT partition whole whenever a partition is added beside
 * it: rest is large, stray is small. There is no id without a partition, and no row is refused. */

/* Bounds are ids of 48 bits of Unix milliseconds, then zeros: see audit_id_of(). */
struct uuid audit_bound_of(int64_t us);
int64_t audit_bound_us(const struct uuid *bound);

/* First byte of the id behind the last one with a time (the year 2109). */
enum { AUDIT_TIMED_END = 0x04 };

/* "auth_audit_events_t20261201" */
enum { AUDIT_NAME_BYTES = 64 };
void audit_interval_name(int64_t from_us, char ret_name[AUDIT_NAME_BYTES]);

/* What pg_get_expr() tells of a range partition's bounds: FOR VALUES FROM ('...') TO ('...').
 * false: of no such partition, or bounds that are more than a time. */
bool audit_bounds_parse(struct text expression, int64_t *ret_from_us, int64_t *ret_until_us);

enum audit_shape {
    AUDIT_PLAIN,       /* one table */
    AUDIT_PARTITIONED, /* as above */
    AUDIT_FOREIGN,     /* partitioned by somebody, in another way */
};

enum audit_partition_kind { AUDIT_INTERVAL, AUDIT_STRAY, AUDIT_REST, AUDIT_WHOLE };

struct audit_partition {
    const char *name;
    enum audit_partition_kind kind;
    int64_t from_us; /* of an interval; otherwise TIMESTAMP_ABSENT */
    int64_t until_us;
    int64_t bytes;          /* with its indexes */
    int64_t estimated_rows; /* by PostgreSQL's statistics; -1: it has none yet */
};

struct audit_layout {
    enum audit_shape shape;
    int64_t now_us;   /* of the server's clock */
    int64_t first_us; /* where the first interval began; TIMESTAMP_ABSENT unless partitioned */
    int64_t last_us;  /* where the last interval that is there ends; TIMESTAMP_ABSENT: none is */
    /* Intervals by time, stray, rest; or the whole table alone. */
    const struct audit_partition *partitions;
    size_t partition_count;
};

/* In `arena`. RETRY connection lost and the like; FATAL no such table, no permission. */
enum outcome audit_layout_read(struct executor *db, struct arena *arena,
                               struct audit_layout *ret_layout, struct err *err);
