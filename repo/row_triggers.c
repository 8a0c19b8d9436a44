#include "repo/row_triggers.h"

#include "repo/pg/pg_binary.h"

/* The partitions by pg_inherits rather than pg_partition_tree(), which would lock them. */
const struct statement row_triggers_look = {
    .name = "row_triggers.look",
    .own = true,
    .sql = "WITH RECURSIVE tree AS (SELECT to_regclass('{schema_text}.auth_audit_events')::oid AS "
           "relid"
           " UNION ALL SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = relid)"
           " SELECT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = "
           "to_regclass('{schema_text}.auth_keys')"
           " AND " ROW_TRIGGER_BEFORE_INSERT "),"
           " EXISTS (SELECT FROM tree JOIN pg_trigger AS t ON t.tgrelid = tree.relid"
           " AND " ROW_TRIGGER_BEFORE_INSERT ")",
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
