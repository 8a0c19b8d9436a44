#pragma once

#include "repo/audit/audit_change.h"
#include "repo/audit/audit_layout.h"

/* Removing what the audit log need not remember any longer, without removing what makes a command
 * take effect once: as long as a command can be read from its topic, its row is there. */

/* The first offset of a partition that can still be read; INT64_MAX: there is no such partition. */
struct audit_floor {
    int32_t topic_id; /* of catalyst_topics */
    int32_t partition;
    int64_t offset;
};

/* Which rows stay: those of events at or after keep_from_us, and those whose command can be
 * delivered again: at or behind the floor of its partition, or of a partition and a topic of which
 * nothing is said here (such as one that came to be since this was put together). */
struct audit_guard {
    int64_t keep_from_us;
    const struct audit_floor *floors; /* one a partition */
    size_t floor_count;
    const int32_t *gone_topics; /* that are no more */
    size_t gone_topic_count;
};

/* Holds off other runs until the connection ends. ret_locked false: another one holds it. */
enum outcome audit_retention_lock(struct executor *db, const char *schema, struct arena *arena,
                                  bool *ret_locked, struct err *err);

/* --- whole intervals ----------------------------------------------------------------------- */

enum audit_verdict {
    AUDIT_MAY_GO,
    AUDIT_TOO_NEW,     /* it ends after keep_from_us */
    AUDIT_DELIVERABLE, /* rows in it can be delivered again */
    AUDIT_YOUNG_ROWS,  /* rows in it are of events after keep_from_us: commands with old ids */
};

struct audit_judgement {
    enum audit_verdict verdict;
    int64_t staying; /* rows that must stay; counted up to a bound. They need not keep an interval
                        that may go: see audit_drop() */
};

/* Reads the interval where nothing else tells; changes nothing. */
enum outcome audit_judge(struct executor *db, const struct audit_partition *interval,
                         const struct audit_guard *guard, struct arena *arena,
                         struct audit_judgement *ret_judgement, struct err *err);

/* Judges under the locks and takes the interval away, in one transaction: nobody can add a row in
 * between. Rows that must stay, when they are less than one in a hundred and than AUDIT_STAYING_MAX
 * (hashed ids that lie in the interval, old ids that came late), move to stray.
 *
 * An interval of more than scan_max_bytes gets an index on its coordinates first, while everyone
 * goes on, so that the judgement under the locks takes milliseconds; the index goes with it.
 *
 * ret_judgement  verdict AUDIT_MAY_GO: it is gone, and `staying` rows moved */
enum { AUDIT_STAYING_MAX = 10000, AUDIT_SCAN_MAX_BYTES = 32 * 1024 * 1024 };
enum outcome audit_drop(const struct audit_change *change, const struct audit_partition *interval,
                        const struct audit_guard *guard, int64_t scan_max_bytes,
                        struct arena *arena, struct audit_judgement *ret_judgement,
                        struct err *err);

/* --- rows ---------------------------------------------------------------------------------- */

/* Deletes what need not stay from a table that holds rows of all ages, some thousand a transaction;
 * the workers wait for none of them.
 *
 * only_count   count, delete nothing
 * ret_deleted  also on failure, and when `stop` made it end early */
enum outcome audit_delete_old(const struct audit_change *change, const char *table,
                              const struct audit_guard *guard, bool only_count,
                              int64_t *ret_deleted, struct err *err);
