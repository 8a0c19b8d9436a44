#include "repo/audit/audit_layout.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/timestamp.h"
#include "repo/pg/pg_binary.h"

/* --- bounds ------------------------------------------------------------------------------ */

struct uuid audit_bound_of(int64_t us)
{
    struct uuid bound = {{0}};

    assert(us >= 0);
    uint64_t ms = (uint64_t)us / 1000;
    for (size_t i = 0; i < 6; i++)
        bound.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    return bound;
}

int64_t audit_bound_us(const struct uuid *bound)
{
    int64_t ms = 0;

    for (size_t i = 0; i < 6; i++)
        ms = ms << 8 | bound->bytes[i];
    return ms * 1000;
}

void audit_interval_name(int64_t from_us, char ret_name[AUDIT_NAME_BYTES])
{
    char time[TIMESTAMP_TEXT_LENGTH + 1];

    timestamp_format(from_us, time);
    snprintf(ret_name, AUDIT_NAME_BYTES, "auth_audit_events_t%.4s%.2s%.2s", time, time + 5,
             time + 8);
}

/* Takes `literal`, then a bound in quotes. */
static bool take_bound(struct text *rest, const char *literal, int64_t *ret_us)
{
    size_t length = strlen(literal);
    struct uuid bound;

    if (!text_starts_with(*rest, literal) || rest->length < length + UUID_TEXT_LENGTH ||
        !uuid_parse((struct text){rest->data + length, UUID_TEXT_LENGTH}, &bound))
        return false;
    for (size_t i = 6; i < sizeof(bound.bytes); i++) {
        if (bound.bytes[i] != 0)
            return false;
    }
    *ret_us = audit_bound_us(&bound);
    rest->data += length + UUID_TEXT_LENGTH;
    rest->length -= length + UUID_TEXT_LENGTH;
    return true;
}

bool audit_bounds_parse(struct text expression, int64_t *ret_from_us, int64_t *ret_until_us)
{
    int64_t from_us;
    int64_t until_us;

    if (!take_bound(&expression, "FOR VALUES FROM ('", &from_us) ||
        !take_bound(&expression, "') TO ('", &until_us) || !text_is(expression, "')"))
        return false;
    *ret_from_us = from_us;
    *ret_until_us = until_us;
    return true;
}

/* --- reading ----------------------------------------------------------------------------- */

/* The table and what hangs below it, the table first. */
static const struct statement tree = {
    .sql = "SELECT c.relname::text, c.relkind = 'p',"
           " CASE WHEN c.relnamespace = p.relnamespace THEN p.relname::text"
           " WHEN p.oid IS NOT NULL THEN '' END,"
           " pg_get_expr(c.relpartbound, c.oid),"
           " CASE WHEN c.relkind = 'p' THEN 0 ELSE pg_total_relation_size(c.oid) END::int8,"
           " c.reltuples::int8, now()"
           " FROM pg_partition_tree('{schema_text}.auth_audit_events'::regclass) t"
           " JOIN pg_class c ON c.oid = t.relid LEFT JOIN pg_class p ON p.oid = t.parentrelid"
           " UNION ALL"
           " SELECT relname::text, false, NULL, NULL, pg_total_relation_size(oid)::int8,"
           " reltuples::int8, now() FROM pg_class"
           " WHERE oid = '{schema_text}.auth_audit_events'::regclass AND relkind <> 'p'",
};

struct branch {
    struct audit_partition partition;
    bool has_branches;
    struct text parent;
    struct text bounds;
};

static bool read_branch(struct pg_row *row, struct arena *arena, struct branch *branch,
                        int64_t *ret_now_us)
{
    struct text name = pg_row_text(row);

    branch->partition.name = arena_copy(arena, name.data != NULL ? name.data : "", name.length);
    branch->has_branches = pg_row_bool(row);
    branch->parent = pg_row_text(row);
    branch->bounds = pg_row_text(row);
    branch->partition.bytes = pg_row_int(row);
    branch->partition.estimated_rows = pg_row_int(row);
    branch->partition.from_us = TIMESTAMP_ABSENT;
    branch->partition.until_us = TIMESTAMP_ABSENT;
    *ret_now_us = pg_row_time(row);
    return branch->partition.name != NULL;
}

/* Ours need no quotes in SQL. */
static bool is_plain_name(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static bool is_named(const struct branch *branch, const char *name, const char *parent)
{
    return strcmp(branch->partition.name, name) == 0 && text_is(branch->parent, parent);
}

/* Adds what is a leaf of ours. false: it is none of ours. */
static bool place(struct branch *branch, struct audit_layout *layout,
                  struct audit_partition *partitions)
{
    bool is_default = text_is(branch->bounds, "DEFAULT");
    int64_t until_us;

    if (is_named(branch, "auth_audit_events_timed", "auth_audit_events"))
        return branch->has_branches &&
               audit_bounds_parse(branch->bounds, &layout->first_us, &until_us);
    if (branch->has_branches)
        return !text_present(branch->parent);
    if (is_named(branch, "auth_audit_events_rest", "auth_audit_events") && is_default)
        branch->partition.kind = AUDIT_REST;
    else if (is_named(branch, "auth_audit_events_stray", "auth_audit_events_timed") && is_default)
        branch->partition.kind = AUDIT_STRAY;
    else if (text_is(branch->parent, "auth_audit_events_timed") &&
             is_plain_name(branch->partition.name) &&
             audit_bounds_parse(branch->bounds, &branch->partition.from_us,
                                &branch->partition.until_us))
        branch->partition.kind = AUDIT_INTERVAL;
    else
        return false;
    partitions[layout->partition_count++] = branch->partition;
    return true;
}

static int compare_partitions(const void *left, const void *right)
{
    const struct audit_partition *a = left;
    const struct audit_partition *b = right;

    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return (a->from_us > b->from_us) - (a->from_us < b->from_us);
}

static bool is_complete(const struct audit_layout *layout)
{
    size_t count = layout->partition_count;
    return layout->first_us != TIMESTAMP_ABSENT && count >= 2 &&
           layout->partitions[count - 2].kind == AUDIT_STRAY &&
           layout->partitions[count - 1].kind == AUDIT_REST;
}

static enum outcome arrange(const struct rows *rows, struct arena *arena,
                            struct audit_layout *layout, struct err *err)
{
    struct audit_partition *partitions =
        ARENA_ARRAY(arena, struct audit_partition, rows->row_count);
    bool ours = true;

    if (partitions == NULL)
        return err_no_memory(err, "partitions");
    layout->partitions = partitions;
    for (size_t i = 0; i < rows->row_count; i++) {
        struct branch branch = {.partition.kind = AUDIT_WHOLE};
        struct pg_row row;
        pg_row_init(&row, rows, i, arena);
        if (!read_branch(&row, arena, &branch, &layout->now_us))
            return err_no_memory(err, "partitions");
        enum outcome outcome = pg_row_done(&row, "partitions", err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (rows->row_count == 1 && !branch.has_branches) {
            layout->shape = AUDIT_PLAIN;
            partitions[layout->partition_count++] = branch.partition;
            return OUTCOME_OK;
        }
        ours = place(&branch, layout, partitions) && ours;
    }
    if (layout->partition_count > 1)
        qsort(partitions, layout->partition_count, sizeof(partitions[0]), compare_partitions);
    layout->shape = ours && is_complete(layout) ? AUDIT_PARTITIONED : AUDIT_FOREIGN;
    return OUTCOME_OK;
}

enum outcome audit_layout_read(struct executor *db, struct arena *arena,
                               struct audit_layout *ret_layout, struct err *err)
{
    struct audit_layout layout = {.first_us = TIMESTAMP_ABSENT, .last_us = TIMESTAMP_ABSENT};
    struct rows rows;

    enum outcome outcome = executor_run(db, &tree, arena, &rows, err);
    if (outcome == OUTCOME_OK)
        outcome = arrange(&rows, arena, &layout, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "layout of the audit log");
    for (size_t i = 0; i < layout.partition_count; i++) {
        if (layout.partitions[i].kind == AUDIT_INTERVAL)
            layout.last_us = layout.partitions[i].until_us;
    }
    *ret_layout = layout;
    return OUTCOME_OK;
}
