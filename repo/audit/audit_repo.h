#pragma once

#include "base/records.h"
#include "repo/pg/write.h"

/* auth_audit_events: the audit log, which is also the inbox: its primary key makes a command take
 * effect once. */

/* The columns of auth_audit_events that are written: "id, occurred_at, ...". */
extern const char audit_written_columns[];

/* The events with these ids, for the caller's own round trip: up to so many statements, none when
 * there are no ids. Each asks for ids that lie close together, so that on a partitioned table
 * (repo/audit/audit_layout.h) it scans only the partitions that may hold them. */
enum { AUDIT_FIND_STATEMENTS = 3 };
enum outcome audit_find_prepare(const struct uuid *ids, size_t count, struct arena *arena,
                                struct statement ret_statements[AUDIT_FIND_STATEMENTS],
                                size_t *ret_count, struct err *err);
/* rows        what those statements answered, statement_count of them
 * ret_events  one per id in that order, in `arena`; NULL: not there. Documents as JSON only. */
enum outcome audit_find_read(const struct rows *rows, size_t statement_count,
                             const struct uuid *ids, size_t count, struct arena *arena,
                             const struct audit_event **ret_events, struct err *err);

/* Inserts events as they are. An id that is already there fails the statement with REJECT 23505:
 * somebody else recorded that command. So does a row that a trigger skipped or gave another id. */
enum outcome audit_record_prepare(const struct audit_event *const *events, size_t count,
                                  struct arena *arena, struct statement *ret_statement,
                                  struct err *err);
/* Says what a failure of that statement means: the code and text of repo/pg/refused_row.h where
 * rows were skipped; others stay as they are. */
void audit_record_explain(struct err *err);
/* The same at once, by COPY, inside BEGIN ... COMMIT: less of the server's time, two round trips.
 * overlap  runs once all of the rows are sent.
 * FATAL also when the table takes no COPY (row level security). */
enum outcome audit_record_copy(struct executor *db, const struct audit_event *const *events,
                               size_t count, struct overlap *overlap, struct arena *arena,
                               struct err *err);

/* Appends an event of a program's own, once: a second one with the same id changes nothing.
 * ret_appended  false: it was there
 * REJECT  category or action is blank: code audit.postgres.invalid_category or .invalid_action; or
 *         a trigger skipped the row or changed its id (repo/pg/refused_row.h) */
enum outcome audit_append(struct executor *db, const struct audit_event *event, struct arena *arena,
                          bool *ret_appended, struct err *err);

/* Absent texts and TIMESTAMP_ABSENT do not filter. */
struct audit_filter {
    struct text entity;
    struct text actor_id; /* id of the actor */
    struct text category;
    struct text action;
    struct text command_id;
    int64_t since_us; /* inclusive */
    int64_t until_us; /* exclusive */
    /* keyset: only events behind this one */
    int64_t after_occurred_at_us;
    struct uuid after_id;
    size_t limit; /* at least 1 */
};

/* By occurred_at, then id. Fewer than `limit` events: there are no more. */
enum outcome audit_list(struct executor *db, const struct audit_filter *filter, struct arena *arena,
                        const struct audit_event **ret_events, size_t *ret_count, struct err *err);
