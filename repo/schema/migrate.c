#include "repo/schema/migrate.h"

#include <assert.h>
#include <stdio.h>

#include "repo/pg/pg_binary.h"
#include "repo/schema/migrations/embedded.h"
#include "repo/schema/sql_script.h"
#include "repo/schema/trusted_schema.h"

enum {
    STEP_ROWS = 5000,              /* audit ids a fetch */
    STEP_BYTES = 64 * 1024 * 1024, /* ids may be long texts */
};

/* One row of catalyst_schema_migrations. */
struct applied {
    int number;
    const char *name;
    const char *checksum;
    bool breaking;
    int64_t applied_at_us;
};

struct applied_list {
    const struct applied *items;
    size_t count;
    bool table_exists;
};

static enum outcome run_sql(struct executor *db, const char *sql, struct arena *arena,
                            struct rows *ret_rows, struct err *err)
{
    const struct statement statement = {.sql = sql};
    return executor_run(db, &statement, arena, ret_rows, err);
}

static enum outcome run_with_text(struct executor *db, const char *sql, struct text value,
                                  struct arena *arena, struct rows *ret_rows, struct err *err)
{
    struct statement statement = {.sql = sql};
    struct params params;

    params_init(&params, arena, 1);
    params_text(&params, value);
    if (!params_done(&params, &statement))
        return err_no_memory(err, "migrate");
    return executor_run(db, &statement, arena, ret_rows, err);
}

/* --- state ------------------------------------------------------------------------------- */

static const char *own_text(struct arena *arena, struct text text)
{
    const char *copy = arena_copy(arena, text.data != NULL ? text.data : "", text.length);
    return copy != NULL ? copy : "";
}

static enum outcome read_applied(struct executor *db, struct arena *arena,
                                 struct applied_list *ret_list, struct err *err)
{
    struct rows rows;
    struct applied_list list = {.items = NULL};

    enum outcome outcome =
        run_sql(db, "SELECT to_regclass('{schema_text}.catalyst_schema_migrations') IS NOT NULL",
                arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct pg_row row;
    pg_row_init(&row, &rows, 0, arena);
    list.table_exists = pg_row_bool(&row);
    if (!list.table_exists) {
        *ret_list = list;
        return OUTCOME_OK;
    }

    outcome = run_sql(db,
                      "SELECT number, name, checksum, breaking, applied_at"
                      " FROM {schema}.catalyst_schema_migrations ORDER BY number",
                      arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct applied *items = ARENA_ARRAY(arena, struct applied, rows.row_count);
    if (items == NULL)
        return err_no_memory(err, "migrate");
    for (size_t i = 0; i < rows.row_count; i++) {
        pg_row_init(&row, &rows, i, arena);
        items[i].number = (int)pg_row_int(&row);
        items[i].name = own_text(arena, pg_row_text(&row));
        items[i].checksum = own_text(arena, pg_row_text(&row));
        items[i].breaking = pg_row_bool(&row);
        items[i].applied_at_us = pg_row_time(&row);
        outcome = pg_row_done(&row, "catalyst_schema_migrations", err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    list.items = items;
    list.count = rows.row_count;
    *ret_list = list;
    return OUTCOME_OK;
}

static struct migration_status status_of(const struct migration *ours, const struct applied *theirs,
                                         struct arena *arena)
{
    struct migration_status status = {.state = MIGRATION_PENDING,
                                      .applied_at_us = TIMESTAMP_ABSENT};

    if (ours != NULL) {
        char checksum[65];
        sha256_hex(slice_of_text(ours->sql), checksum);
        status.number = ours->number;
        status.name = ours->name;
        status.checksum = own_text(arena, text_of(checksum));
    }
    if (theirs == NULL)
        return status;
    status.applied_at_us = theirs->applied_at_us;
    if (ours == NULL) {
        status.number = theirs->number;
        status.name = theirs->name;
        status.checksum = theirs->checksum;
        bool newer = theirs->number > migrations[migration_count - 1].number;
        status.state = newer && !theirs->breaking ? MIGRATION_NEWER : MIGRATION_FOREIGN;
    } else {
        status.state =
            strcmp(status.checksum, theirs->checksum) == 0 ? MIGRATION_APPLIED : MIGRATION_CHANGED;
    }
    return status;
}

/* Both lists are sorted by number: a merge. */
static enum outcome compare(const struct applied_list *applied, struct arena *arena,
                            const struct migration_status **ret_migrations, size_t *ret_count,
                            struct err *err)
{
    struct migration_status *all =
        ARENA_ARRAY(arena, struct migration_status, migration_count + applied->count);
    size_t count = 0;
    size_t ours = 0;
    size_t theirs = 0;

    if (all == NULL)
        return err_no_memory(err, "migrate");
    while (ours < migration_count || theirs < applied->count) {
        const struct migration *migration = ours < migration_count ? &migrations[ours] : NULL;
        const struct applied *row = theirs < applied->count ? &applied->items[theirs] : NULL;
        if (migration != NULL && row != NULL && migration->number < row->number)
            row = NULL;
        else if (migration != NULL && row != NULL && row->number < migration->number)
            migration = NULL;
        all[count++] = status_of(migration, row, arena);
        ours += migration != NULL;
        theirs += row != NULL;
    }
    *ret_migrations = all;
    *ret_count = count;
    return OUTCOME_OK;
}

const char *migration_state_name(enum migration_state state)
{
    switch (state) {
    case MIGRATION_APPLIED:
        return "applied";
    case MIGRATION_PENDING:
        return "pending";
    case MIGRATION_CHANGED:
        return "changed";
    case MIGRATION_NEWER:
        return "newer";
    case MIGRATION_FOREIGN:
        return "foreign";
    }
    return "unknown";
}

enum outcome migrate_status(struct executor *db, struct arena *arena,
                            const struct migration_status **ret_migrations, size_t *ret_count,
                            struct err *err)
{
    struct applied_list applied = {.items = NULL};

    enum outcome outcome = read_applied(db, arena, &applied, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "migrate status");
    return compare(&applied, arena, ret_migrations, ret_count, err);
}

/* --- check ------------------------------------------------------------------------------- */

/* What stands in the way of both running and migrating further. */
static enum outcome refuse_unfit(const struct migration_status *all, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (all[i].state == MIGRATION_CHANGED)
            return err_set(err, OUTCOME_FATAL, MIGRATE_SCHEMA,
                           "schema: migration %s was applied with another text than this program "
                           "has; use the program version that migrated, or restore",
                           all[i].name);
        if (all[i].state == MIGRATION_FOREIGN)
            return err_set(err, OUTCOME_FATAL, MIGRATE_SCHEMA,
                           "schema: migration %s is unknown to this program, which cannot work "
                           "with it; install a newer version",
                           all[i].name);
    }
    return OUTCOME_OK;
}

enum outcome migrate_check(struct executor *db, struct arena *arena, struct err *err)
{
    struct applied_list applied = {.items = NULL};
    const struct migration_status *all = NULL;
    size_t count = 0;

    enum outcome outcome = read_applied(db, arena, &applied, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "schema check");
    if (!applied.table_exists)
        return err_set(err, OUTCOME_FATAL, MIGRATE_SCHEMA,
                       "schema: it has no tables of this program; run catalyst-worker migrate up");
    outcome = compare(&applied, arena, &all, &count, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    outcome = refuse_unfit(all, count, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (size_t i = 0; i < count; i++) {
        if (all[i].state == MIGRATION_PENDING)
            return err_set(err, OUTCOME_FATAL, MIGRATE_SCHEMA,
                           "schema: migration %s is missing; run catalyst-worker migrate up",
                           all[i].name);
    }
    return OUTCOME_OK;
}

/* --- steps that SQL cannot take ------------------------------------------------------------ */

static enum outcome insert_new_ids(struct executor *db, const struct rows *old, struct arena *arena,
                                   struct err *err)
{
    struct statement insert = {
        .name = "migrate.new_audit_ids",
        .sql = "INSERT INTO catalyst_new_audit_ids (old_id, new_id)"
               " SELECT * FROM unnest($1::text[], $2::uuid[])",
    };
    struct pg_array old_ids;
    struct pg_array new_ids;
    struct params params;
    struct rows rows;

    params_init(&params, arena, 2);
    pg_array_init(&old_ids, PG_TEXT_ARRAY, arena);
    pg_array_init(&new_ids, PG_UUID_ARRAY, arena);
    for (size_t i = 0; i < old->row_count; i++) {
        struct cell cell = rows_cell(old, i, 0);
        struct text id = {cell.data, cell.length};
        struct uuid made = legacy_audit_id_of(id);
        pg_array_text(&old_ids, id);
        pg_array_uuid(&new_ids, &made);
    }
    params_array(&params, &old_ids);
    params_array(&params, &new_ids);
    if (!params_done(&params, &insert))
        return err_no_memory(err, "migrate");
    return executor_run(db, &insert, arena, &rows, err);
}

static enum outcome has_text_audit_ids(struct executor *db, struct arena *arena, bool *ret_has,
                                       struct err *err)
{
    struct rows rows;
    enum outcome outcome =
        run_sql(db,
                "SELECT atttypid = 'text'::regtype FROM pg_attribute"
                " WHERE attrelid = '{schema_text}.auth_audit_events'::regclass AND attname = 'id'",
                arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct pg_row row;
    pg_row_init(&row, &rows, 0, arena);
    *ret_has = pg_row_bool(&row);
    return pg_row_done(&row, "audit id type", err);
}

/* Fills catalyst_new_audit_ids. A UUID in capitals stays that UUID, unless another row has it too:
 * then it counts as a text. */
static enum outcome make_new_audit_ids(struct executor *db, struct migrate_report *report,
                                       struct err *err)
{
    static const char declare[] =
        "DECLARE catalyst_old_ids NO SCROLL CURSOR FOR"
        " SELECT id FROM {schema}.auth_audit_events"
        " WHERE id !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
        " UNION ALL"
        " SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY lower(id) ORDER BY id) AS nth"
        " FROM {schema}.auth_audit_events WHERE id <> lower(id)"
        " AND id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') AS capitals"
        " WHERE nth > 1 OR EXISTS"
        " (SELECT FROM {schema}.auth_audit_events other WHERE other.id = lower(capitals.id))";
    const struct statement fetch = {.name = "migrate.fetch",
                                    .sql = "FETCH 5000 FROM catalyst_old_ids"};
    CLEANUP(arena_freep) struct arena *arena = arena_new(STEP_BYTES);
    struct rows rows;
    bool has;

    static_assert(STEP_ROWS == 5000, "the number in the FETCH");
    if (arena == NULL)
        return err_no_memory(err, "migrate");
    enum outcome outcome = has_text_audit_ids(db, arena, &has, err);
    if (outcome != OUTCOME_OK || !has)
        return outcome;
    outcome = run_sql(db, declare, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    do {
        arena_reset(arena);
        outcome = executor_run(db, &fetch, arena, &rows, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (rows.row_count > 0)
            outcome = insert_new_ids(db, &rows, arena, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        report->audit_ids_converted += rows.row_count;
    } while (rows.row_count == STEP_ROWS);
    /* An open cursor would keep the table from being altered. */
    return run_sql(db, "CLOSE catalyst_old_ids", arena, &rows, err);
}

/* Lines of a migration that begin with --! */
static const struct {
    const char *line;
    enum outcome (*take)(struct executor *db, struct migrate_report *report, struct err *err);
} steps[] = {
    {"--! new audit ids", make_new_audit_ids},
};

static enum outcome take_step(struct executor *db, struct text line, struct migrate_report *report,
                              struct err *err)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (text_is(line, steps[i].line))
            return steps[i].take(db, report, err);
    }
    return err_set(err, OUTCOME_FATAL, "", "no such step: %.*s", TEXT_ARG(line));
}

/* --- up ---------------------------------------------------------------------------------- */

/* A migration that begins with this line makes older programs refuse the schema. */
static const char BREAKING[] = "--! breaks older programs";

static enum outcome run_script(struct executor *db, struct text script, struct arena *arena,
                               struct migrate_report *report, bool *ret_breaking, struct err *err)
{
    struct text statement;
    struct rows rows;

    *ret_breaking = false;
    while (sql_script_next(&script, &statement)) {
        enum outcome outcome;
        if (text_is(statement, BREAKING)) {
            *ret_breaking = true;
            continue;
        }
        if (text_starts_with(statement, "--!")) {
            outcome = take_step(db, statement, report, err);
        } else {
            const char *sql = arena_copy(arena, statement.data, statement.length);
            if (sql == NULL)
                return err_no_memory(err, "migrate");
            outcome = run_sql(db, sql, arena, &rows, err);
        }
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}

/* Waits for other migrating programs without limit; for locks on tables 30 s, or the role's own
 * lock_timeout; for the work itself without limit again. */
static enum outcome begin_locked(struct executor *db, const char *schema, struct arena *arena,
                                 struct err *err)
{
    struct rows rows;

    enum outcome outcome = executor_run(db, &executor_begin, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    outcome = run_sql(db,
                      "SELECT set_config('catalyst.lock_timeout',"
                      " coalesce(nullif(current_setting('lock_timeout'), '0'), '30s'), true)",
                      arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    outcome = run_sql(db,
                      "SELECT set_config('lock_timeout', '0', true),"
                      " set_config('statement_timeout', '0', true),"
                      " set_config('idle_in_transaction_session_timeout', '0', true),"
                      " set_config('enable_seqscan', 'on', true),"
                      " set_config('maintenance_work_mem', '256MB', true)",
                      arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    outcome =
        run_with_text(db, "SELECT pg_advisory_xact_lock(" MIGRATE_LOCK_CLASS ", hashtext($1))",
                      text_of(schema), arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return run_sql(db,
                   "SELECT set_config('lock_timeout', current_setting('catalyst.lock_timeout'),"
                   " true)",
                   arena, &rows, err);
}

static enum outcome commit(struct executor *db, struct arena *arena, struct err *err)
{
    struct rows rows;
    return executor_run(db, &executor_commit, arena, &rows, err);
}

/* Leaves out what is there already: even a CREATE IF NOT EXISTS takes the privilege to create. */
static enum outcome create_bookkeeping(struct executor *db, const char *schema, struct arena *arena,
                                       struct err *err)
{
    struct rows rows;
    struct pg_row row;

    enum outcome outcome =
        run_with_text(db,
                      "SELECT quote_ident($1), to_regnamespace(quote_ident($1)) IS NOT NULL,"
                      " to_regclass('{schema_text}.catalyst_schema_migrations') IS NOT NULL",
                      text_of(schema), arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    pg_row_init(&row, &rows, 0, arena);
    struct text quoted = pg_row_text(&row);
    bool has_schema = pg_row_bool(&row);
    bool has_table = pg_row_bool(&row);
    outcome = pg_row_done(&row, "schema", err);
    if (outcome != OUTCOME_OK)
        return outcome;

    outcome = trusted_schema_check(db, schema, arena, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!has_schema) {
        const char *create = arena_printf(arena, "CREATE SCHEMA %.*s", TEXT_ARG(quoted));
        if (create == NULL)
            return err_no_memory(err, "migrate");
        outcome = run_sql(db, create, arena, &rows, err);
        if (outcome != OUTCOME_OK)
            return err_prefix(err, "create the schema");
    }
    outcome = executor_run(db, &trusted_schema_enter, arena, &rows, err);
    if (outcome != OUTCOME_OK || has_table)
        return outcome;
    return run_sql(db,
                   "CREATE TABLE {schema}.catalyst_schema_migrations ("
                   "number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
                   " breaking boolean NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
                   arena, &rows, err);
}

static enum outcome record(struct executor *db, const struct migration_status *migration,
                           bool breaking, struct arena *arena, struct err *err)
{
    struct statement insert = {
        .sql = "INSERT INTO {schema}.catalyst_schema_migrations (number, name, checksum, breaking)"
               " VALUES ($1, $2, $3, $4)",
    };
    struct params params;
    struct rows rows;

    params_init(&params, arena, 4);
    params_int4(&params, migration->number);
    params_text(&params, text_of(migration->name));
    params_text(&params, text_of(migration->checksum));
    params_bool(&params, breaking);
    if (!params_done(&params, &insert))
        return err_no_memory(err, "migrate");
    return executor_run(db, &insert, arena, &rows, err);
}

static const struct migration *embedded(int number)
{
    for (size_t i = 0; i < migration_count; i++) {
        if (migrations[i].number == number)
            return &migrations[i];
    }
    return NULL;
}

/* Applies the first pending migration, in one transaction. What is pending is read under the lock:
 * another program may have come first. */
static enum outcome apply_next(struct executor *db, const char *schema, struct arena *arena,
                               struct migrate_report *report, bool *ret_more, struct err *err)
{
    struct applied_list applied = {.items = NULL};
    const struct migration_status *all = NULL;
    size_t count = 0;
    bool breaking = false;

    *ret_more = false;
    enum outcome outcome = begin_locked(db, schema, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = create_bookkeeping(db, schema, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = read_applied(db, arena, &applied, err);
    if (outcome == OUTCOME_OK)
        outcome = compare(&applied, arena, &all, &count, err);
    if (outcome == OUTCOME_OK)
        outcome = refuse_unfit(all, count, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    size_t next = 0;
    while (next < count && all[next].state != MIGRATION_PENDING)
        next++;
    if (next == count)
        return commit(db, arena, err);
    outcome = run_script(db, embedded(all[next].number)->sql, arena, report, &breaking, err);
    if (outcome == OUTCOME_OK)
        outcome = record(db, &all[next], breaking, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = commit(db, arena, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "%s", all[next].name);
    report->applied++;
    *ret_more = true;
    return OUTCOME_OK;
}

static enum outcome count_set_aside(struct executor *db, struct arena *arena, size_t *ret_count,
                                    struct err *err)
{
    struct rows rows;
    struct pg_row row;

    *ret_count = 0;
    enum outcome outcome =
        run_sql(db, "SELECT to_regclass('{schema_text}.auth_entitlements_duplicates') IS NOT NULL",
                arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    pg_row_init(&row, &rows, 0, arena);
    if (!pg_row_bool(&row))
        return OUTCOME_OK;
    outcome = run_sql(db, "SELECT count(*) FROM {schema}.auth_entitlements_duplicates", arena,
                      &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    pg_row_init(&row, &rows, 0, arena);
    *ret_count = (size_t)pg_row_int(&row);
    return OUTCOME_OK;
}

enum outcome migrate_up(struct executor *db, const char *schema, struct arena *arena,
                        struct migrate_report *ret_report, struct err *err)
{
    struct migrate_report report = {.applied = 0};
    enum outcome outcome;
    bool more;

    do {
        outcome = apply_next(db, schema, arena, &report, &more, err);
        if (outcome != OUTCOME_OK) {
            struct err ignored;
            (void)executor_recover(db, &ignored);
            return err_prefix(err, "migrate up");
        }
    } while (more);
    outcome = count_set_aside(db, arena, &report.entitlements_set_aside, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "migrate up");
    *ret_report = report;
    return OUTCOME_OK;
}
