#include "repo/audit/audit_change.h"

#include <stdio.h>

#include "base/clock.h"
#include "repo/audit/audit_layout.h"
#include "repo/pg/pg_binary.h"
#include "repo/schema/migrate.h"
#include "repo/schema/trusted_schema.h"

/* Between two attempts everyone who waited goes on. */
enum { PAUSE_MIN_MS = 100, PAUSE_MAX_MS = 2000 };

enum outcome audit_sql(struct executor *db, struct arena *arena, struct err *err,
                       const char *format, ...)
{
    char sql[4096];
    struct rows rows;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(sql, sizeof(sql), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(sql))
        return err_set(err, OUTCOME_FATAL, "", "a statement on the audit log is too long");
    const struct statement statement = {.sql = sql};
    return executor_run(db, &statement, arena, &rows, err);
}

enum outcome audit_sql_text(struct executor *db, const char *sql, struct arena *arena,
                            const char **ret_text, struct err *err)
{
    const struct statement statement = {.sql = sql};
    struct rows rows;
    struct pg_row row;

    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    pg_row_init(&row, &rows, 0, arena);
    struct text text = pg_row_text(&row);
    const char *copy = arena_copy(arena, text.data != NULL ? text.data : "", text.length);
    if (copy == NULL)
        return err_no_memory(err, "audit log");
    *ret_text = copy;
    return pg_row_done(&row, "audit log", err);
}

enum outcome audit_columns(struct executor *db, struct arena *arena, const char **ret_columns,
                           struct err *err)
{
    return audit_sql_text(
        db,
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)"
        " FROM pg_attribute WHERE attrelid = '{schema_text}.auth_audit_events'::regclass"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        arena, ret_columns, err);
}

struct audit_range_sql audit_range_sql(const struct audit_range *range)
{
    struct audit_range_sql sql;
    struct uuid from = audit_bound_of(range->from_us);
    struct uuid until = audit_bound_of(range->until_us);
    char text[UUID_TEXT_LENGTH + 1];

    uuid_format(&from, text);
    snprintf(sql.from, sizeof(sql.from), "'%s'", text);
    uuid_format(&until, text);
    snprintf(sql.until, sizeof(sql.until), "'%s'", text);
    return sql;
}

/* --- patience ---------------------------------------------------------------------------- */

/* A process that hangs with the locks is thrown out soon; the statements themselves may take what
 * they take. Migrations are kept away by their own lock. */
static enum outcome begin(const struct audit_change *change, struct arena *arena, struct err *err)
{
    struct statement statements[] = {
        executor_begin,
        {.sql = "SELECT set_config('lock_timeout', least(500, (SELECT setting::int / 2"
                " FROM pg_settings WHERE name = 'deadlock_timeout'))::text || 'ms', true),"
                " set_config('statement_timeout', '0', true),"
                " set_config('idle_in_transaction_session_timeout', '10s', true)"},
        {.sql = "SELECT pg_try_advisory_xact_lock(" MIGRATE_LOCK_CLASS ", hashtext($1))"},
        trusted_schema_enter,
    };
    struct params params;
    struct rows rows[4];
    struct pg_row row;

    params_init(&params, arena, 1);
    params_text(&params, text_of(change->schema));
    if (!params_done(&params, &statements[2]))
        return err_no_memory(err, "audit log");
    enum outcome outcome = trusted_schema_check(change->db, change->schema, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run_all(change->db, statements, 4, arena, rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    pg_row_init(&row, &rows[2], 0, arena);
    if (!pg_row_bool(&row))
        return err_set(err, OUTCOME_RETRY, AUDIT_IN_USE, "a migration is under way");
    return OUTCOME_OK;
}

static enum outcome attempt(const struct audit_change *change, audit_change_work *work,
                            void *context, struct arena *arena, struct err *err)
{
    struct rows rows;

    enum outcome outcome = begin(change, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = work(change->db, context, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run(change->db, &executor_commit, arena, &rows, err);
    return outcome;
}

/* Lock not available, deadlock. */
static bool gave_way(const struct err *err)
{
    return err->outcome == OUTCOME_RETRY &&
           (strcmp(err->code, AUDIT_IN_USE) == 0 || strcmp(err->code, "40P01") == 0);
}

enum outcome audit_change_run(const struct audit_change *change, audit_change_work *work,
                              void *context, struct arena *arena, struct err *err)
{
    int64_t end_us = clock_monotonic_us() + change->patience_ms * 1000;
    int64_t pause_ms = PAUSE_MIN_MS;

    for (;;) {
        enum outcome outcome = attempt(change, work, context, arena, err);
        if (outcome == OUTCOME_OK)
            return OUTCOME_OK;
        struct err failed;
        if (executor_recover(change->db, &failed) != OUTCOME_OK) {
            *err = failed;
            return failed.outcome;
        }
        if (!gave_way(err))
            return outcome;
        if (clock_monotonic_us() >= end_us || (change->stop != NULL && change->stop())) {
            snprintf(err->code, sizeof(err->code), "%s", AUDIT_IN_USE);
            return err_prefix(err, "the audit log stays in use");
        }
        clock_sleep_us(pause_ms * 1000);
        pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    }
}
