#include "repo/audit/audit_partitions.h"

#include <assert.h>
#include <stdio.h>

#include "base/timestamp.h"
#include "repo/pg/pg_binary.h"

/* --- what is wanted ---------------------------------------------------------------------- */

static int64_t timed_end_us(void)
{
    const struct uuid end = {{AUDIT_TIMED_END}};
    return audit_bound_us(&end);
}

static int64_t horizon_us(int64_t now_us, enum interval interval, int64_t ahead)
{
    int64_t end_us = interval_end_us(interval, now_us);
    for (int64_t i = 0; i < ahead && end_us < timed_end_us(); i++)
        end_us = interval_end_us(interval, end_us);
    return end_us;
}

enum outcome audit_intervals_plan(int64_t start_us, int64_t now_us, enum interval interval,
                                  int64_t ahead, struct arena *arena,
                                  const struct audit_range **ret_ranges, size_t *ret_count,
                                  struct err *err)
{
    struct audit_range *ranges = ARENA_ARRAY(arena, struct audit_range, AUDIT_INTERVALS_MAX);
    int64_t end_us = horizon_us(now_us, interval, ahead);
    size_t count = 0;

    if (ranges == NULL)
        return err_no_memory(err, "intervals");
    if (start_us < 0 || start_us >= timed_end_us() || end_us > timed_end_us())
        return err_set(err, OUTCOME_REJECT, "", "intervals lie between 1970 and 2109");
    while (start_us < end_us) {
        if (count == AUDIT_INTERVALS_MAX)
            return err_set(err, OUTCOME_REJECT, "", "more than %d intervals; take longer ones",
                           AUDIT_INTERVALS_MAX);
        int64_t until_us = interval_end_us(interval, start_us);
        ranges[count++] = (struct audit_range){start_us, until_us};
        start_us = until_us;
    }
    *ret_ranges = ranges;
    *ret_count = count;
    return OUTCOME_OK;
}

int64_t audit_intervals_start_us(const struct audit_layout *layout, enum interval interval)
{
    if (layout->last_us != TIMESTAMP_ABSENT)
        return layout->last_us;
    /* All are gone, or none was made: not those again that may have been. */
    int64_t begin_us = interval_begin_us(interval, layout->now_us);
    return begin_us > layout->first_us ? begin_us : layout->first_us;
}

/* --- what stands in the way -------------------------------------------------------------- */

/* What hangs on the table itself and would hang on a part of it afterwards. */
static const char obstacles_sql[] =
    "WITH audit AS (SELECT c.* FROM pg_class c WHERE c.oid = 'auth_audit_events'::regclass)"
    " SELECT string_agg(DISTINCT what, ', ') FROM ("
    "SELECT 'it is no table' AS what FROM audit WHERE relkind <> 'r'"
    " UNION ALL SELECT 'row level security' FROM audit WHERE relrowsecurity OR relforcerowsecurity"
    " UNION ALL SELECT 'view ' || r.ev_class::regclass FROM audit"
    " JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = audit.oid"
    " AND d.classid = 'pg_rewrite'::regclass JOIN pg_rewrite r ON r.oid = d.objid"
    " WHERE r.ev_class <> audit.oid"
    " UNION ALL SELECT 'rule ' || quote_ident(rulename) FROM audit"
    " JOIN pg_rewrite ON ev_class = audit.oid"
    " UNION ALL SELECT 'function ' || d.objid::regprocedure FROM audit"
    " JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = audit.oid"
    " AND d.classid = 'pg_proc'::regclass"
    " UNION ALL SELECT 'trigger ' || quote_ident(tgname) FROM audit"
    " JOIN pg_trigger ON tgrelid = audit.oid AND NOT tgisinternal"
    " UNION ALL SELECT 'policy ' || quote_ident(polname) FROM audit"
    " JOIN pg_policy ON polrelid = audit.oid"
    " UNION ALL SELECT 'foreign key ' || quote_ident(conname) FROM audit"
    " JOIN pg_constraint ON contype = 'f' AND audit.oid IN (conrelid, confrelid)"
    " UNION ALL SELECT 'publication ' || quote_ident(pubname) FROM audit"
    " JOIN pg_publication_rel ON prrelid = audit.oid"
    " JOIN pg_publication p ON p.oid = prpubid"
    " UNION ALL SELECT 'inheritance' FROM audit"
    " JOIN pg_inherits ON audit.oid IN (inhrelid, inhparent)"
    " UNION ALL SELECT 'unique index ' || indexrelid::regclass FROM audit"
    " JOIN pg_index ON indrelid = audit.oid AND (indisunique OR indisexclusion)"
    " WHERE NOT indisprimary"
    ") AS obstacles";

static enum outcome refuse_obstacles(struct executor *db, struct arena *arena, struct err *err)
{
    const char *obstacles;

    enum outcome outcome = audit_sql_text(db, obstacles_sql, arena, &obstacles, err);
    if (outcome != OUTCOME_OK || obstacles[0] == '\0')
        return outcome;
    return err_set(err, OUTCOME_FATAL, AUDIT_UNFIT,
                   "auth_audit_events cannot be partitioned as it is: %s; take that away, "
                   "partition, and put it on the partitioned table",
                   obstacles);
}

/* --- parts of the transactions ----------------------------------------------------------- */

/* New tables are the current role's; this one is to belong to whom `like` belongs to. */
static enum outcome give_to_owner_of(struct executor *db, const char *like, const char *table,
                                     struct arena *arena, struct err *err)
{
    return audit_sql(db, arena, err,
                     "DO $$ DECLARE wanted text := (SELECT pg_get_userbyid(relowner)"
                     " FROM pg_class WHERE oid = '%s'::regclass); BEGIN"
                     " IF wanted <> current_user THEN"
                     " EXECUTE format('ALTER TABLE %s OWNER TO %%I', wanted); END IF; END $$",
                     like, table);
}

/* Everyone asks the partitioned table, so its privileges are what counts. */
static const char copy_privileges[] =
    "DO $$ DECLARE each record; BEGIN"
    " FOR each IN SELECT a.privilege_type, a.grantee, a.is_grantable, NULL AS attname"
    "  FROM pg_class c, aclexplode(c.relacl) a"
    "  WHERE c.oid = 'auth_audit_events_rest'::regclass AND a.grantee <> c.relowner"
    "  UNION ALL SELECT a.privilege_type, a.grantee, a.is_grantable, t.attname"
    "  FROM pg_attribute t, aclexplode(t.attacl) a"
    "  WHERE t.attrelid = 'auth_audit_events_rest'::regclass"
    " LOOP EXECUTE format('GRANT %s %s ON auth_audit_events TO %s %s', each.privilege_type,"
    "  CASE WHEN each.attname IS NOT NULL THEN format('(%I)', each.attname) ELSE '' END,"
    "  CASE WHEN each.grantee = 0 THEN 'PUBLIC'"
    "   ELSE quote_ident(pg_get_userbyid(each.grantee)) END,"
    "  CASE WHEN each.is_grantable THEN 'WITH GRANT OPTION' ELSE '' END);"
    " END LOOP; END $$";

/* An index that hangs below one of the partitioned table gives it its name, which migrations know,
 * and takes one of its own. */
static const char hand_over_names[] =
    "DO $$ DECLARE each record; BEGIN"
    " FOR each IN SELECT c.relname AS name, p.relname AS made FROM pg_index x"
    "  JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_inherits i ON i.inhrelid = c.oid"
    "  JOIN pg_class p ON p.oid = i.inhparent"
    "  WHERE x.indrelid = 'auth_audit_events_rest'::regclass"
    " LOOP"
    "  EXECUTE format('ALTER INDEX %I RENAME TO %I', each.name,"
    "   CASE WHEN starts_with(each.name, 'auth_audit_events_')"
    "   THEN 'auth_audit_events_rest_' || substr(each.name, 19) ELSE each.name || '_rest' END);"
    "  EXECUTE format('ALTER INDEX %I RENAME TO %I', each.made, each.name);"
    " END LOOP; END $$";

/* Whether more than `limit` rows of the table lie in the range. */
static enum outcome has_more(struct executor *db, const char *table,
                             const struct audit_range *range, size_t limit, struct arena *arena,
                             bool *ret_more, struct err *err)
{
    struct audit_range_sql bounds = audit_range_sql(range);
    const char *answer;

    const char *sql = arena_printf(arena,
                                   "SELECT ((SELECT count(*) FROM (SELECT FROM %s"
                                   " WHERE id >= %s AND id < %s LIMIT %zu) AS s) > %zu)::text",
                                   table, bounds.from, bounds.until, limit + 1, limit);
    if (sql == NULL)
        return err_no_memory(err, "audit log");
    enum outcome outcome = audit_sql_text(db, sql, arena, &answer, err);
    *ret_more = outcome == OUTCOME_OK && strcmp(answer, "true") == 0;
    return outcome;
}

static enum outcome move_rows(struct executor *db, const char *from_table, const char *to_table,
                              const struct audit_range *range, struct arena *arena,
                              int64_t *ret_moved, struct err *err)
{
    struct audit_range_sql bounds = audit_range_sql(range);
    const char *columns;
    struct rows rows;

    enum outcome outcome = audit_columns(db, arena, &columns, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    const struct statement move = {
        .sql = arena_printf(arena,
                            "WITH moved AS (DELETE FROM %s WHERE id >= %s AND id < %s RETURNING *)"
                            " INSERT INTO %s (%s) SELECT %s FROM moved",
                            from_table, bounds.from, bounds.until, to_table, columns, columns),
    };
    if (move.sql == NULL)
        return err_no_memory(err, "audit log");
    outcome = executor_run(db, &move, arena, &rows, err);
    if (outcome == OUTCOME_OK)
        *ret_moved = (int64_t)rows.affected;
    return outcome;
}

static enum outcome attach_interval(struct executor *db, const char *name,
                                    const struct audit_range *range, struct arena *arena,
                                    struct err *err)
{
    struct audit_range_sql bounds = audit_range_sql(range);
    return audit_sql(db, arena, err,
                     "ALTER TABLE auth_audit_events_timed ATTACH PARTITION %s"
                     " FOR VALUES FROM (%s) TO (%s)",
                     name, bounds.from, bounds.until);
}

static enum outcome create_interval(struct executor *db, const char *name, struct arena *arena,
                                    struct err *err)
{
    enum outcome outcome = audit_sql(
        db, arena, err, "CREATE TABLE %s (LIKE auth_audit_events_timed INCLUDING ALL)", name);
    return outcome == OUTCOME_OK ? give_to_owner_of(db, "auth_audit_events", name, arena, err)
                                 : outcome;
}

/* --- converting -------------------------------------------------------------------------- */

struct conversion {
    const struct audit_conversion *wanted;
    const struct audit_range *ranges;
    size_t range_count;
    struct audit_converted done;
};

static enum outcome plan_conversion(struct conversion *self, const struct audit_layout *layout,
                                    struct arena *arena, struct err *err)
{
    const struct audit_conversion *wanted = self->wanted;
    bool given = wanted->first_us != TIMESTAMP_ABSENT;

    if (given && wanted->first_us < 0)
        return err_set(err, OUTCOME_REJECT, "", "intervals lie between 1970 and 2109");
    self->done.first_us = given ? interval_begin_us(wanted->interval, wanted->first_us)
                                : interval_end_us(wanted->interval, layout->now_us);
    enum outcome outcome =
        audit_intervals_plan(self->done.first_us, layout->now_us, wanted->interval, wanted->ahead,
                             arena, &self->ranges, &self->range_count, err);
    self->done.intervals = self->range_count;
    return outcome;
}

static struct audit_range timed_range(const struct conversion *self)
{
    return (struct audit_range){self->done.first_us, timed_end_us()};
}

/* Moving takes a few microseconds a row. What lies in the future is few, whatever the table holds;
 * what is to be moved out of the past is the caller's choice. */
static enum outcome refuse_large_move(struct executor *db, const struct conversion *self,
                                      int64_t now_us, struct arena *arena, struct err *err)
{
    const struct audit_range range = timed_range(self);
    bool more = false;

    if (self->done.first_us > now_us)
        return OUTCOME_OK;
    enum outcome outcome =
        has_more(db, "auth_audit_events", &range, AUDIT_MOVED_MAX, arena, &more, err);
    if (outcome == OUTCOME_OK && more)
        return err_set(err, OUTCOME_REJECT, "",
                       "more than %d rows would have to be moved while everyone waits; begin later",
                       AUDIT_MOVED_MAX);
    return outcome;
}

/* The old table makes room for three new ones, empty and not yet put together but for stray. */
static enum outcome create_tables(struct executor *db, struct arena *arena, struct err *err)
{
    static const char *const tables[] = {"auth_audit_events", "auth_audit_events_timed",
                                         "auth_audit_events_stray"};

    enum outcome outcome =
        audit_sql(db, arena, err, "ALTER TABLE auth_audit_events RENAME TO auth_audit_events_rest");
    for (size_t i = 0; outcome == OUTCOME_OK && i < 3; i++)
        outcome = audit_sql(db, arena, err,
                            "CREATE TABLE %s (LIKE auth_audit_events_rest INCLUDING ALL)%s",
                            tables[i], i < 2 ? " PARTITION BY RANGE (id)" : "");
    for (size_t i = 0; outcome == OUTCOME_OK && i < 3; i++)
        outcome = give_to_owner_of(db, "auth_audit_events_rest", tables[i], arena, err);
    if (outcome == OUTCOME_OK)
        outcome = audit_sql(db, arena, err, "%s", copy_privileges);
    if (outcome == OUTCOME_OK)
        outcome = audit_sql(db, arena, err,
                            "ALTER TABLE auth_audit_events_timed"
                            " ATTACH PARTITION auth_audit_events_stray DEFAULT");
    return outcome;
}

static enum outcome fill_intervals(struct executor *db, struct conversion *self,
                                   struct arena *arena, struct err *err)
{
    const struct audit_range range = timed_range(self);

    for (size_t i = 0; i < self->range_count; i++) {
        char name[AUDIT_NAME_BYTES];
        audit_interval_name(self->ranges[i].from_us, name);
        enum outcome outcome = create_interval(db, name, arena, err);
        if (outcome == OUTCOME_OK)
            outcome = attach_interval(db, name, &self->ranges[i], arena, err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return move_rows(db, "auth_audit_events_rest", "auth_audit_events_timed", &range, arena,
                     &self->done.rows_moved, err);
}

static enum outcome put_together(struct executor *db, const struct conversion *self,
                                 struct arena *arena, struct err *err)
{
    const struct audit_range range = timed_range(self);
    struct audit_range_sql bounds = audit_range_sql(&range);

    enum outcome outcome =
        audit_sql(db, arena, err,
                  "ALTER TABLE auth_audit_events ATTACH PARTITION auth_audit_events_rest DEFAULT");
    if (outcome == OUTCOME_OK)
        outcome = audit_sql(db, arena, err,
                            "ALTER TABLE auth_audit_events ATTACH PARTITION auth_audit_events_timed"
                            " FOR VALUES FROM (%s) TO (%s)",
                            bounds.from, bounds.until);
    if (outcome == OUTCOME_OK)
        outcome = audit_sql(db, arena, err, "%s", hand_over_names);
    return outcome;
}

static enum outcome convert(struct executor *db, void *context, struct arena *arena,
                            struct err *err)
{
    struct conversion *self = context;
    struct audit_layout layout;

    self->done = (struct audit_converted){.converted = false};
    enum outcome outcome =
        audit_sql(db, arena, err, "LOCK TABLE auth_audit_events IN ACCESS EXCLUSIVE MODE");
    if (outcome == OUTCOME_OK)
        outcome = audit_layout_read(db, arena, &layout, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (layout.shape == AUDIT_PARTITIONED)
        return OUTCOME_OK;
    if (layout.shape == AUDIT_FOREIGN)
        return err_set(err, OUTCOME_FATAL, AUDIT_UNFIT,
                       "auth_audit_events is partitioned in another way");
    outcome = refuse_obstacles(db, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = plan_conversion(self, &layout, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = refuse_large_move(db, self, layout.now_us, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = create_tables(db, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = fill_intervals(db, self, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = put_together(db, self, arena, err);
    self->done.converted = outcome == OUTCOME_OK;
    return outcome;
}

enum outcome audit_convert(const struct audit_change *change,
                           const struct audit_conversion *conversion, struct arena *arena,
                           struct audit_converted *ret_converted, struct err *err)
{
    struct conversion self = {.wanted = conversion};

    enum outcome outcome = audit_change_run(change, convert, &self, arena, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "partition the audit log");
    *ret_converted = self.done;
    return OUTCOME_OK;
}

/* --- intervals ahead --------------------------------------------------------------------- */

struct extension {
    const struct audit_range *range;
    struct audit_extended done;
};

/* Locks in the order in which lanes take them: from the top. Once nobody uses `timed` no lane uses
 * what hangs below it; whoever does else (a vacuum, a dump) is not waited for, since everyone waits
 * for us. ACCESS EXCLUSIVE also of `timed`, although adding a partition does with less: a lane that
 * had looked up where a row goes would otherwise find stray changed under it, and be refused. */
static enum outcome extend(struct executor *db, void *context, struct arena *arena, struct err *err)
{
    struct extension *self = context;
    char name[AUDIT_NAME_BYTES];
    bool more = false;

    audit_interval_name(self->range->from_us, name);
    self->done = (struct audit_extended){.added = false};
    enum outcome outcome = create_interval(db, name, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = audit_sql(db, arena, err,
                            "LOCK TABLE ONLY auth_audit_events_timed IN ACCESS EXCLUSIVE MODE");
    if (outcome == OUTCOME_OK)
        outcome =
            audit_sql(db, arena, err,
                      "LOCK TABLE ONLY auth_audit_events_stray IN ACCESS EXCLUSIVE MODE NOWAIT");
    if (outcome == OUTCOME_OK)
        outcome = has_more(db, "auth_audit_events_stray", self->range, AUDIT_STRAYS_MAX, arena,
                           &more, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (more)
        return audit_sql(db, arena, err, "DROP TABLE %s", name);
    outcome = move_rows(db, "auth_audit_events_stray", name, self->range, arena,
                        &self->done.rows_moved, err);
    if (outcome == OUTCOME_OK)
        outcome = attach_interval(db, name, self->range, arena, err);
    self->done.added = outcome == OUTCOME_OK;
    return outcome;
}

enum outcome audit_extend(const struct audit_change *change, const struct audit_range *range,
                          struct arena *arena, struct audit_extended *ret_extended, struct err *err)
{
    struct extension self = {.range = range};

    enum outcome outcome = audit_change_run(change, extend, &self, arena, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "add an interval to the audit log");
    *ret_extended = self.done;
    return OUTCOME_OK;
}
