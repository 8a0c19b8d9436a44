#include "repo/row_triggers.h"

#include "repo/pg/pg_binary.h"

#define KEYS "to_regclass('{schema_text}.auth_keys')"
#define AUDIT "to_regclass('{schema_text}.auth_audit_events')"
#define TIMED "to_regclass('{schema_text}.auth_audit_events_timed')"

/* The partitions, on the two levels of repo/audit/audit_layout.h, by pg_inherits: a recursive query
 * takes three times as long (0.1 ms), and pg_partition_tree() would lock them. */
const struct statement row_triggers_look = {
    .name = "row_triggers.look",
    .own = true,
    .sql = "SELECT count(*) FILTER (WHERE t.tgrelid = " KEYS ") > 0,"
           " count(*) FILTER (WHERE t.tgrelid <> " KEYS ") > 0"
           " FROM pg_trigger AS t WHERE t.tgrelid = ANY (ARRAY[" KEYS ", " AUDIT "]::oid[]"
           " || ARRAY(SELECT i.inhrelid FROM pg_inherits AS i"
           " WHERE i.inhparent = ANY (ARRAY[" AUDIT ", " TIMED "]::oid[])))"
           " AND " ROW_TRIGGER_BEFORE_INSERT,
};

enum outcome row_triggers_read(const struct rows *rows, struct row_triggers *ret_triggers,
                               struct err *err)
{
    struct row_triggers triggers;
    struct pg_row row;

    if (rows->row_count != 1)
        return err_set(err, OUTCOME_FATAL, "", "row_triggers.look: not one row");
    pg_row_init(&row, rows, 0, NULL);
    triggers.keys = pg_row_bool(&row);
    triggers.audit = pg_row_bool(&row);
    enum outcome outcome = pg_row_done(&row, "row_triggers.look", err);
    if (outcome == OUTCOME_OK)
        *ret_triggers = triggers;
    return outcome;
}
