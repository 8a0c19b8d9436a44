#pragma once

#include "repo/pg/executor.h"

/* Whether triggers come before inserts, row by row. COPY tells how many rows it wrote, but not
 * whether a trigger gave one another primary key: into a table with such triggers rows go by INSERT
 * ... RETURNING. Triggers come and go while a connection lasts, so the tables are looked at in each
 * transaction that has enough rows for a COPY. */

/* A condition on pg_trigger AS t: BEFORE or INSTEAD OF, for each row, of INSERT, not disabled.
 * Source: PostgreSQL 15, catalog/pg_trigger.h, TRIGGER_TYPE_ROW 1, BEFORE 2, INSERT 4, INSTEAD 64.
 */
#define ROW_TRIGGER_BEFORE_INSERT                                                                  \
    "(t.tgtype & 5) = 5 AND (t.tgtype & 66) <> 0 AND t.tgenabled <> 'D'"

struct row_triggers {
    bool keys;
    bool audit; /* of the audit log or any of its partitions */
};

extern const struct statement row_triggers_look;

enum outcome row_triggers_read(const struct rows *rows, struct row_triggers *ret_triggers,
                               struct err *err);
