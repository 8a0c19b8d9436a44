#include "worker/cli/check_database.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/timestamp.h"
#include "repo/audit/audit_layout.h"
#include "repo/pg/pg_binary.h"
#include "repo/pg/pq_answers.h"
#include "repo/pg/pq_conninfo.h"
#include "repo/schema/migrate.h"
#include "worker/cli/check_rights.h"
#include "worker/cli/check_tables.h"
#include "worker/daemon/database.h"

enum { STATEMENT_TIMEOUT_MS = 15000, SCRATCH_BYTES = 4 * 1024 * 1024 };

/* Nothing that is stored depends on this machine's clock; statuses of keys as `show` judges them
 * do, and lines of logs that one wants to put side by side. */
enum { SKEW_WARNING_US = 2 * 1000 * 1000 };

/* The oldest server that the tests run on. */
enum { SERVER_VERSION_TESTED = 150000 };

struct database_check {
    struct executor *db;
    struct arena *arena;
    struct findings *findings;
};

static const char where[] = "database";

/* A server that answers once TLS is left out is there: the settings of TLS keep us from it. */
static void not_connected(const struct config *config, const struct database_check *check,
                          const struct err *err)
{
    if (err->outcome == OUTCOME_RETRY && strncmp(err->code, "08", 2) == 0 &&
        pq_answers_without_tls(config->database_url))
        finding_add(check->findings, FINDING_ERROR, where,
                    "the server answers, but not with these settings of TLS: %s [%s]", err->text,
                    err->code);
    else
        finding_add_failure(check->findings, where, err);
}

/* --- the server --------------------------------------------------------------------------------
 */

static const struct statement server_facts = {
    .sql = "select current_setting('server_encoding')::text,"
           " current_setting('server_version_num')::int8,"
           " (extract(epoch from clock_timestamp()) * 1000000)::int8,"
           " pg_is_in_recovery()::int::int8,"
           " (current_setting('synchronous_commit') = 'off')::int::int8,"
           " (current_setting('fsync') = 'off')::int::int8,"
           " (current_setting('full_page_writes') = 'off')::int::int8"};
enum {
    FACT_ENCODING,
    FACT_VERSION,
    FACT_CLOCK,
    FACT_STANDBY,
    FACT_ASYNC,
    FACT_NO_FSYNC,
    FACT_NO_PAGES
};

static int64_t fact(const struct rows *rows, size_t column)
{
    int64_t value = 0;
    return pg_cell_int(rows_cell(rows, 0, column), &value) ? value : 0;
}

static void judge_clock(const struct database_check *check, int64_t before_us, int64_t server_us)
{
    int64_t after_us = clock_wall_us();
    int64_t skew_us = server_us - (before_us + after_us) / 2;

    if (llabs(skew_us) > SKEW_WARNING_US + (after_us - before_us) / 2)
        finding_add(check->findings, FINDING_WARNING, where,
                    "the server's clock is %lld ms %s this machine's", llabs(skew_us) / 1000,
                    skew_us > 0 ? "ahead of" : "behind");
}

static void judge_durability(const struct database_check *check, const struct rows *rows)
{
    if (fact(rows, FACT_ASYNC) != 0)
        finding_add(check->findings, FINDING_WARNING, where,
                    "synchronous_commit is off: a crash of the server can lose commands whose "
                    "audit events are published");
    if (fact(rows, FACT_NO_FSYNC) != 0 || fact(rows, FACT_NO_PAGES) != 0)
        finding_add(check->findings, FINDING_WARNING, where,
                    "fsync or full_page_writes is off: a crash of the machine can lose everything");
}

static void look_at_server(const struct database_check *check)
{
    struct rows rows;
    struct err err;
    int64_t before_us = clock_wall_us();

    if (executor_run(check->db, &server_facts, check->arena, &rows, &err) != OUTCOME_OK) {
        finding_add_failure(check->findings, where, &err);
        return;
    }
    judge_clock(check, before_us, fact(&rows, FACT_CLOCK));
    struct cell encoding = rows_cell(&rows, 0, FACT_ENCODING);
    if (!text_is((struct text){encoding.data, encoding.length}, "UTF8"))
        finding_add(check->findings, FINDING_ERROR, where,
                    "the database's encoding must be UTF8; make a database with encoding 'UTF8'");
    if (fact(&rows, FACT_STANDBY) != 0)
        finding_add(check->findings, FINDING_ERROR, where,
                    "the server is a read-only standby; name the primary");
    if (fact(&rows, FACT_VERSION) < SERVER_VERSION_TESTED)
        finding_add(check->findings, FINDING_WARNING, where,
                    "PostgreSQL is older than 15, the oldest that is tested");
    judge_durability(check, &rows);
}

/* --- all ---------------------------------------------------------------------------------------
 */

/* Without partitions ahead nothing is refused, but what comes gathers in one table. */
static void judge_partitions(const struct database_check *check, const struct audit_layout *layout)
{
    const struct audit_partition *last = NULL;

    for (size_t i = 0; i < layout->partition_count; i++) {
        if (layout->partitions[i].kind == AUDIT_INTERVAL)
            last = &layout->partitions[i];
    }
    if (last == NULL)
        finding_add(check->findings, FINDING_WARNING, where,
                    "the audit log has no partition for what comes; run catalyst-worker retention "
                    "run daily");
    else if (last->until_us - layout->now_us < last->until_us - last->from_us) {
        char until[TIMESTAMP_TEXT_LENGTH + 1];
        timestamp_format(last->until_us, until);
        finding_add(check->findings, FINDING_WARNING, where,
                    "the partitions of the audit log end %.10s; run catalyst-worker retention run "
                    "daily",
                    until);
    }
}

static void look_at_partitions(const struct database_check *check)
{
    struct audit_layout layout;
    struct err err;

    if (audit_layout_read(check->db, check->arena, &layout, &err) != OUTCOME_OK) {
        finding_add_failure(check->findings, where, &err);
        executor_recover(check->db, &err);
    } else if (layout.shape == AUDIT_PARTITIONED)
        judge_partitions(check, &layout);
}

static void look_at_schema(const struct database_check *check)
{
    struct err err;

    if (migrate_check(check->db, check->arena, &err) != OUTCOME_OK) {
        finding_add_failure(check->findings, where, &err);
        executor_recover(check->db, &err);
        return;
    }
    look_at_partitions(check);
}

static void look_at_session(const struct config *config, const struct database_check *check)
{
    struct err err;

    if (database_check_session(config, check->db, check->arena, &err) == OUTCOME_OK)
        return;
    finding_add_failure(check->findings, where, &err);
    executor_recover(check->db, &err);
}

void check_conninfo(const struct config *config, struct findings *findings)
{
    const struct executor_pq_options options = {
        .conninfo = config->database_url,
        .schema = config->database_schema,
        .application_name = "catalyst-worker check",
    };
    CLEANUP(executor_pq_freep) struct executor_pq *db = NULL;
    struct err err;

    if (executor_pq_new(&options, &db, &err) != OUTCOME_OK)
        finding_add(findings, FINDING_ERROR, "configuration", "database.url: %s", err.text);
    const char *rule = pq_conninfo_file_rule(config->database_url);
    if (rule != NULL)
        finding_add(findings, FINDING_ERROR, "configuration", "database.url: %s", rule);
}

void check_database(const struct config *config, struct findings *findings)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(SCRATCH_BYTES);
    CLEANUP(executor_pq_freep) struct executor_pq *db = NULL;
    struct database_check check = {NULL, arena, findings};
    struct err err;

    if (arena == NULL) {
        findings->full = true;
        return;
    }
    if (database_open(config, "catalyst-worker check", STATEMENT_TIMEOUT_MS, &db, &err) !=
        OUTCOME_OK) {
        not_connected(config, &check, &err);
        return;
    }
    check.db = executor_pq_port(db);
    look_at_server(&check);
    look_at_session(config, &check);
    look_at_schema(&check);
    check_rights(check.db, config->database_schema, arena, findings);
    check_tables(check.db, arena, findings);
}
