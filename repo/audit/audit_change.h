#pragma once

#include "repo/pg/executor.h"

/* Short transactions on the audit log that need locks which lanes hold all the time, and how the
 * statements in them are put together. Private to the audit log's files. */

struct audit_change {
    struct executor *db;
    const char *schema;
    int64_t patience_ms; /* how long to try for the locks */
    bool (*stop)(void);  /* asked between attempts; NULL: never */
};

/* May run several times. */
typedef enum outcome audit_change_work(struct executor *db, void *context, struct arena *arena,
                                       struct err *err);

/* Runs `work` in a transaction of its own that waits for a lock half a second at most, less than
 * deadlock_timeout: while it waits everyone else queues behind it, and when lanes and this wait for
 * each other it gives way, never a lane. What gives way is rolled back and tried again after a
 * pause.
 *
 * RETRY  code AUDIT_IN_USE: not within patience_ms, or stopped; else as the executor
 * others as `work` */
#define AUDIT_IN_USE "55P03"
enum outcome audit_change_run(const struct audit_change *change, audit_change_work *work,
                              void *context, struct arena *arena, struct err *err);

/* Runs SQL without parameters; names in it are ours, or quoted by the server. */
enum outcome audit_sql(struct executor *db, struct arena *arena, struct err *err,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The one text of a query, in `arena`; "" for NULL. */
enum outcome audit_sql_text(struct executor *db, const char *sql, struct arena *arena,
                            const char **ret_text, struct err *err);

/* The columns that an INSERT ... SELECT between partitions names, quoted. */
enum outcome audit_columns(struct executor *db, struct arena *arena, const char **ret_columns,
                           struct err *err);

/* Where DML on a range of ids is put together: uuid literals of the bounds. */
struct audit_range {
    int64_t from_us;
    int64_t until_us;
};
struct audit_range_sql {
    char from[64];
    char until[64];
};
struct audit_range_sql audit_range_sql(const struct audit_range *range);
