#include "repo/audit/audit_retention.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "repo/pg/pg_binary.h"

/* Random once: ours among other programs'. */
#define LOCK_CLASS "1130455911"

enum outcome audit_retention_lock(struct executor *db, const char *schema, struct arena *arena,
                                  bool *ret_locked, struct err *err)
{
    struct statement lock = {.sql = "SELECT pg_try_advisory_lock(" LOCK_CLASS ", hashtext($1))"};
    struct params params;
    struct rows rows;
    struct pg_row row;

    params_init(&params, arena, 1);
    params_text(&params, text_of(schema));
    if (!params_done(&params, &lock))
        return err_no_memory(err, "retention");
    enum outcome outcome = executor_run(db, &lock, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    pg_row_init(&row, &rows, 0, arena);
    *ret_locked = pg_row_bool(&row);
    return pg_row_done(&row, "retention lock", err);
}

/* --- the guard as parameters ------------------------------------------------------------- */

/* $1 to $3. A row of `a` with no floor has low NULL. */
#define FLOORS "unnest($1::int4[], $2::int4[], $3::int8[]) AS f(topic_id, part, low)"
#define WITH_FLOOR " LEFT JOIN " FLOORS " ON f.topic_id = a.topic_id AND f.part = a.\"partition\""

enum { GUARD_PARAMS = 5 };

/* $1, $2, $3 floors, $4 gone topics, $5 keep_from. */
static void guard_bind(struct params *params, const struct audit_guard *guard)
{
    struct pg_array topics;
    struct pg_array partitions;
    struct pg_array offsets;
    struct pg_array gone;

    pg_array_init(&topics, PG_INT4_ARRAY, params->arena);
    for (size_t i = 0; i < guard->floor_count; i++)
        pg_array_int4(&topics, guard->floors[i].topic_id);
    pg_array_init(&partitions, PG_INT4_ARRAY, params->arena);
    for (size_t i = 0; i < guard->floor_count; i++)
        pg_array_int4(&partitions, guard->floors[i].partition);
    pg_array_init(&offsets, PG_INT8_ARRAY, params->arena);
    for (size_t i = 0; i < guard->floor_count; i++)
        pg_array_int8(&offsets, guard->floors[i].offset);
    pg_array_init(&gone, PG_INT4_ARRAY, params->arena);
    for (size_t i = 0; i < guard->gone_topic_count; i++)
        pg_array_int4(&gone, guard->gone_topics[i]);
    params_array(params, &topics);
    params_array(params, &partitions);
    params_array(params, &offsets);
    params_array(params, &gone);
    params_time(params, guard->keep_from_us);
}

/* Runs a statement whose parameters are the guard's. */
static enum outcome guarded(struct executor *db, const char *sql, const struct audit_guard *guard,
                            struct arena *arena, struct rows *ret_rows, struct err *err)
{
    struct statement statement = {.sql = sql};
    struct params params;

    params_init(&params, arena, GUARD_PARAMS);
    guard_bind(&params, guard);
    if (sql == NULL || !params_done(&params, &statement))
        return err_no_memory(err, "retention");
    return executor_run(db, &statement, arena, ret_rows, err);
}

/* --- judging ----------------------------------------------------------------------------- */

/* How the rows are found that must stay. `a` is the interval. */
struct search {
    const char *sources;     /* another WITH query */
    const char *deliverable; /* FROM what WHERE what */
};

/* Another name for the interval, no copy of it. */
#define INTERVAL_AS_A "WITH RECURSIVE a AS NOT MATERIALIZED (SELECT * FROM {schema}.%s)%s "

/* Reads the interval. */
static const struct search scanning = {
    .sources = "",
    .deliverable = " FROM a" WITH_FLOOR " WHERE a.topic_id IS NOT NULL AND a.topic_id <> ALL($4)"
                   " AND (a.\"offset\" < f.low) IS NOT TRUE",
};

/* By the index on the coordinates: from one partition that the interval has commands of to the
 * next, and there from its floor on. */
static const struct search by_index = {
    .sources = ", source AS ((SELECT topic_id, \"partition\" FROM a WHERE topic_id IS NOT NULL"
               " ORDER BY topic_id, \"partition\" LIMIT 1)"
               " UNION ALL SELECT next.* FROM source AS s CROSS JOIN LATERAL"
               " (SELECT a.topic_id, a.\"partition\" FROM a"
               " WHERE (a.topic_id, a.\"partition\") > (s.topic_id, s.\"partition\")"
               " ORDER BY a.topic_id, a.\"partition\" LIMIT 1) AS next)",
    .deliverable = " FROM source AS s LEFT JOIN " FLOORS
                   " ON f.topic_id = s.topic_id AND f.part = s.\"partition\""
                   " CROSS JOIN LATERAL (SELECT a.id FROM a WHERE a.topic_id = s.topic_id"
                   " AND a.\"partition\" = s.\"partition\""
                   " AND a.\"offset\" >= coalesce(f.low, 0)) AS a WHERE s.topic_id <> ALL($4)",
};

static const char young[] = " FROM a WHERE a.occurred_at >= $5";

static enum outcome look(struct executor *db, const char *table, const struct search *search,
                         const struct audit_guard *guard, struct arena *arena,
                         int64_t *ret_deliverable, int64_t *ret_young, struct err *err)
{
    struct rows rows;
    struct pg_row row;

    /* One more than may move. */
    const char *sql =
        arena_printf(arena,
                     INTERVAL_AS_A "SELECT (SELECT count(*) FROM (SELECT%s LIMIT %d) AS s),"
                                   " (SELECT count(*) FROM (SELECT%s LIMIT %d) AS s)",
                     table, search->sources, search->deliverable, AUDIT_STAYING_MAX + 1, young,
                     AUDIT_STAYING_MAX + 1);
    enum outcome outcome = guarded(db, sql, guard, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    pg_row_init(&row, &rows, 0, arena);
    *ret_deliverable = pg_row_int(&row);
    *ret_young = pg_row_int(&row);
    return pg_row_done(&row, "retention", err);
}

/* Rows may count twice: once too often is the safe side. */
static struct audit_judgement judge(const struct audit_partition *interval, int64_t deliverable,
                                    int64_t young_rows)
{
    int64_t share = interval->estimated_rows > 0 ? interval->estimated_rows / 100 : 0;
    int64_t movable = share < AUDIT_STAYING_MAX ? share : AUDIT_STAYING_MAX;
    struct audit_judgement judgement = {AUDIT_MAY_GO, deliverable + young_rows};

    if (judgement.staying > movable)
        judgement.verdict = deliverable > 0 ? AUDIT_DELIVERABLE : AUDIT_YOUNG_ROWS;
    return judgement;
}

static enum outcome set_seqscan(struct executor *db, bool on, struct arena *arena, struct err *err)
{
    return audit_sql(db, arena, err, "SELECT set_config('enable_seqscan', '%s', true)",
                     on ? "on" : "off");
}

static enum outcome index_state(struct executor *db, const char *interval, struct arena *arena,
                                bool *ret_there, bool *ret_valid, struct err *err)
{
    const char *state = "";

    const char *sql = arena_printf(arena,
                                   "SELECT (SELECT indisvalid::text FROM pg_index"
                                   " WHERE indexrelid = to_regclass('{schema_text}.%s_retention'))",
                                   interval);
    if (sql == NULL)
        return err_no_memory(err, "retention");
    enum outcome outcome = audit_sql_text(db, sql, arena, &state, err);
    *ret_there = state[0] != '\0';
    *ret_valid = strcmp(state, "true") == 0;
    return outcome;
}

/* Without an index it reads the interval once, unless it finds enough before. */
static enum outcome look_freely(struct executor *db, const struct audit_partition *interval,
                                const struct audit_guard *guard, struct arena *arena,
                                struct audit_judgement *ret_judgement, struct err *err)
{
    bool there = false;
    bool valid = false;
    int64_t deliverable = 0;
    int64_t young_rows = 0;
    struct rows rows;

    enum outcome outcome = index_state(db, interval->name, arena, &there, &valid, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run(db, &executor_begin, arena, &rows, err);
    if (outcome == OUTCOME_OK)
        outcome = set_seqscan(db, !valid, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = look(db, interval->name, valid ? &by_index : &scanning, guard, arena,
                       &deliverable, &young_rows, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run(db, &executor_commit, arena, &rows, err);
    *ret_judgement = judge(interval, deliverable, young_rows);
    return outcome;
}

enum outcome audit_judge(struct executor *db, const struct audit_partition *interval,
                         const struct audit_guard *guard, struct arena *arena,
                         struct audit_judgement *ret_judgement, struct err *err)
{
    *ret_judgement = (struct audit_judgement){.verdict = AUDIT_TOO_NEW};
    if (interval->until_us > guard->keep_from_us)
        return OUTCOME_OK;
    return look_freely(db, interval, guard, arena, ret_judgement, err);
}

/* --- dropping ---------------------------------------------------------------------------- */

/* Builds the index beside the running work. One that an earlier run left unfinished is no use. */
static enum outcome ensure_index(struct executor *db, const char *interval, struct arena *arena,
                                 struct err *err)
{
    bool there = false;
    bool valid = false;

    enum outcome outcome = index_state(db, interval, arena, &there, &valid, err);
    if (outcome != OUTCOME_OK || valid)
        return outcome;
    if (there)
        outcome =
            audit_sql(db, arena, err, "DROP INDEX CONCURRENTLY {schema}.%s_retention", interval);
    if (outcome == OUTCOME_OK)
        outcome = audit_sql(db, arena, err,
                            "CREATE INDEX CONCURRENTLY %s_retention ON {schema}.%s"
                            " (topic_id, \"partition\", \"offset\")",
                            interval, interval);
    return outcome;
}

struct drop_call {
    const struct audit_partition *interval;
    const struct audit_guard *guard;
    const struct search *search;
    struct audit_judgement judgement;
};

static enum outcome move_staying(struct executor *db, const struct drop_call *self,
                                 struct arena *arena, struct err *err)
{
    const char *columns;
    struct rows rows;

    enum outcome outcome = audit_columns(db, arena, &columns, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    const char *sql = arena_printf(
        arena,
        INTERVAL_AS_A "INSERT INTO {schema}.auth_audit_events_stray (%s) SELECT %s FROM {schema}.%s"
                      " WHERE id IN (SELECT a.id%s UNION ALL SELECT a.id%s)",
        self->interval->name, self->search->sources, columns, columns, self->interval->name,
        self->search->deliverable, young);
    return guarded(db, sql, self->guard, arena, &rows, err);
}

/* The locks: see extend() in repo/audit/audit_partitions.c. */
static enum outcome drop(struct executor *db, void *context, struct arena *arena, struct err *err)
{
    struct drop_call *self = context;
    const char *name = self->interval->name;
    int64_t deliverable = 0;
    int64_t young_rows = 0;

    enum outcome outcome =
        audit_sql(db, arena, err,
                  "LOCK TABLE ONLY {schema}.auth_audit_events_timed IN ACCESS EXCLUSIVE MODE");
    if (outcome == OUTCOME_OK)
        outcome = audit_sql(db, arena, err,
                            "LOCK TABLE ONLY %s, ONLY auth_audit_events_stray"
                            " IN ACCESS EXCLUSIVE MODE NOWAIT",
                            name);
    if (outcome == OUTCOME_OK)
        outcome = set_seqscan(db, self->search == &scanning, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = look(db, name, self->search, self->guard, arena, &deliverable, &young_rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    self->judgement = judge(self->interval, deliverable, young_rows);
    if (self->judgement.verdict != AUDIT_MAY_GO)
        return OUTCOME_OK;
    outcome = audit_sql(db, arena, err,
                        "ALTER TABLE {schema}.auth_audit_events_timed DETACH PARTITION {schema}.%s",
                        name);
    if (outcome == OUTCOME_OK && self->judgement.staying > 0)
        outcome = move_staying(db, self, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = audit_sql(db, arena, err, "DROP TABLE {schema}.%s", name);
    return outcome;
}

enum outcome audit_drop(const struct audit_change *change, const struct audit_partition *interval,
                        const struct audit_guard *guard, int64_t scan_max_bytes,
                        struct arena *arena, struct audit_judgement *ret_judgement, struct err *err)
{
    bool scan = interval->bytes <= scan_max_bytes;
    struct drop_call self = {
        .interval = interval, .guard = guard, .search = scan ? &scanning : &by_index};

    assert(interval->kind == AUDIT_INTERVAL);
    enum outcome outcome = audit_judge(change->db, interval, guard, arena, ret_judgement, err);
    if (outcome == OUTCOME_OK && ret_judgement->verdict == AUDIT_MAY_GO) {
        if (!scan)
            outcome = ensure_index(change->db, interval->name, arena, err);
        if (outcome == OUTCOME_OK)
            outcome = audit_change_run(change, drop, &self, arena, err);
        *ret_judgement = self.judgement;
    }
    return outcome == OUTCOME_OK ? OUTCOME_OK : err_prefix(err, "drop %s", interval->name);
}

/* --- rows -------------------------------------------------------------------------------- */

/* Ids are collected a million at a time: the cursor's result is kept by the server beyond the
 * transaction that read the table. Deletes take as long as a batch of a lane. */
enum { COLLECT_ROWS = 1000000, DELETE_ROWS = 5000, DELETE_ARENA_BYTES = 4 * 1024 * 1024 };

/* Again in the DELETE: by then the id may be that of another row. */
#define OLD                                                                                        \
    WITH_FLOOR " WHERE a.occurred_at < $5 AND"                                                     \
               " (a.topic_id IS NULL OR a.topic_id = ANY($4) OR a.\"offset\" < f.low)"

static enum outcome count_old(struct executor *db, const char *table,
                              const struct audit_guard *guard, struct arena *arena,
                              int64_t *ret_count, struct err *err)
{
    struct rows rows;
    struct pg_row row;

    enum outcome outcome =
        guarded(db, arena_printf(arena, "SELECT count(*) FROM {schema}.%s a" OLD, table), guard,
                arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    pg_row_init(&row, &rows, 0, arena);
    *ret_count = pg_row_int(&row);
    return pg_row_done(&row, "retention", err);
}

/* Fills the cursor. */
static enum outcome collect(struct executor *db, const char *table, const struct audit_guard *guard,
                            struct arena *arena, struct err *err)
{
    struct rows rows;

    const char *sql = arena_printf(arena,
                                   "DECLARE catalyst_old NO SCROLL CURSOR WITH HOLD FOR"
                                   " SELECT a.id FROM {schema}.%s a" OLD " LIMIT %d",
                                   table, COLLECT_ROWS);
    enum outcome outcome = executor_run(db, &executor_begin, arena, &rows, err);
    if (outcome == OUTCOME_OK)
        outcome = guarded(db, sql, guard, arena, &rows, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run(db, &executor_commit, arena, &rows, err);
    return outcome;
}

static enum outcome delete_ids(struct executor *db, const char *table,
                               const struct audit_guard *guard, const struct rows *found,
                               struct arena *arena, int64_t *deleted, struct err *err)
{
    struct statement statement = {
        .sql =
            arena_printf(arena,
                         "DELETE FROM {schema}.%s WHERE id IN (SELECT a.id FROM {schema}.%s a" OLD
                         " AND a.id = ANY($6))",
                         table, table)};
    struct pg_array ids;
    struct params params;
    struct rows rows;

    pg_array_init(&ids, PG_UUID_ARRAY, arena);
    for (size_t i = 0; i < found->row_count; i++) {
        struct cell cell = rows_cell(found, i, 0);
        struct uuid id;
        if (cell.data == NULL || cell.length != sizeof(id.bytes))
            return err_set(err, OUTCOME_FATAL, "", "retention: an id is no UUID");
        memcpy(id.bytes, cell.data, sizeof(id.bytes));
        pg_array_uuid(&ids, &id);
    }
    params_init(&params, arena, GUARD_PARAMS + 1);
    guard_bind(&params, guard);
    params_array(&params, &ids);
    if (statement.sql == NULL || !params_done(&params, &statement))
        return err_no_memory(err, "retention");
    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome == OUTCOME_OK)
        *deleted += (int64_t)rows.affected;
    return outcome;
}

/* Deletes what the cursor holds. */
static enum outcome delete_collected(const struct audit_change *change, const char *table,
                                     const struct audit_guard *guard, struct arena *arena,
                                     size_t *ret_collected, int64_t *deleted, struct err *err)
{
    const struct statement fetch = {.sql = "FETCH 5000 FROM catalyst_old"};
    struct rows found;

    static_assert(DELETE_ROWS == 5000, "the number in the FETCH");
    *ret_collected = 0;
    do {
        arena_reset(arena);
        enum outcome outcome = executor_run(change->db, &fetch, arena, &found, err);
        if (outcome == OUTCOME_OK && found.row_count > 0)
            outcome = delete_ids(change->db, table, guard, &found, arena, deleted, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        *ret_collected += found.row_count;
        if (change->stop != NULL && change->stop())
            *ret_collected = 0; /* as if there were no more */
    } while (found.row_count == DELETE_ROWS && *ret_collected > 0);
    return audit_sql(change->db, arena, err, "CLOSE catalyst_old");
}

enum outcome audit_delete_old(const struct audit_change *change, const char *table,
                              const struct audit_guard *guard, bool only_count,
                              int64_t *ret_deleted, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(DELETE_ARENA_BYTES);
    size_t collected;

    *ret_deleted = 0;
    if (arena == NULL)
        return err_no_memory(err, "retention");
    if (only_count)
        return count_old(change->db, table, guard, arena, ret_deleted, err);
    do {
        enum outcome outcome = collect(change->db, table, guard, arena, err);
        if (outcome == OUTCOME_OK)
            outcome = delete_collected(change, table, guard, arena, &collected, ret_deleted, err);
        if (outcome != OUTCOME_OK)
            return err_prefix(err, "delete from %s", table);
        arena_reset(arena);
    } while (collected == COLLECT_ROWS);
    return OUTCOME_OK;
}
