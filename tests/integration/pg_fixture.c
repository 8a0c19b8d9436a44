#include "tests/integration/pg_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "repo/pg/pg_binary.h"
#include "repo/schema/migrate.h"

enum { ARENA_BYTES = 256 * 1024 * 1024 };

static const char *database_url(void)
{
    const char *url = getenv("CATALYST_DATABASE_URL");
    if (url == NULL || url[0] == '\0') {
        fprintf(stderr, "CATALYST_DATABASE_URL is not set; start the local stack and take its "
                        "addresses: eval \"$(deploy/local/stack.sh env)\"\n");
        exit(1);
    }
    return url;
}

struct executor_pq *pg_fixture_connect(const struct pg_fixture *fixture,
                                       int64_t statement_timeout_ms)
{
    /* The tests' own statements name no schema. */
    char search_path[sizeof(fixture->schema) + 2];
    snprintf(search_path, sizeof(search_path), "\"%s\"", fixture->schema);
    const struct executor_pq_options options = {
        .conninfo = database_url(),
        .schema = fixture->schema,
        .search_path = search_path,
        .application_name = "catalyst-test",
        .statement_timeout_ms = statement_timeout_ms,
    };
    struct executor_pq *pq = NULL;
    struct err err;

    if (executor_pq_new(&options, &pq, &err) != OUTCOME_OK ||
        executor_recover(executor_pq_port(pq), &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
    return pq;
}

static struct pg_fixture *connect(void)
{
    struct pg_fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    snprintf(fixture->schema, sizeof(fixture->schema), "Test %ld-%" PRIx64, (long)getpid(),
             (uint64_t)clock_wall_us());
    fixture->arena = arena_new(ARENA_BYTES);
    assert_non_null(fixture->arena);
    fixture->pq = pg_fixture_connect(fixture, 60000);
    fixture->db = executor_pq_port(fixture->pq);
    return fixture;
}

static void run(struct pg_fixture *fixture, const char *sql, struct rows *ret_rows)
{
    const struct statement statement = {.sql = sql};
    struct err err;

    if (executor_run(fixture->db, &statement, fixture->arena, ret_rows, &err) != OUTCOME_OK)
        fail_msg("%s: %s", sql, err.text);
}

void pg_fixture_sql(struct pg_fixture *fixture, const char *sql)
{
    struct rows rows;
    run(fixture, sql, &rows);
}

static struct pg_row only_row(struct pg_fixture *fixture, const char *sql, struct rows *rows)
{
    struct pg_row row;

    run(fixture, sql, rows);
    assert_int_equal(rows->row_count, 1);
    pg_row_init(&row, rows, 0, fixture->arena);
    return row;
}

const char *pg_fixture_text(struct pg_fixture *fixture, const char *sql)
{
    struct rows rows;
    struct pg_row row = only_row(fixture, sql, &rows);
    struct text text = pg_row_text(&row);

    return text_present(text) ? arena_copy(fixture->arena, text.data, text.length) : "NULL";
}

int64_t pg_fixture_int(struct pg_fixture *fixture, const char *sql)
{
    struct rows rows;
    struct pg_row row = only_row(fixture, sql, &rows);
    int64_t value = pg_row_int(&row);

    assert_null(row.problem);
    return value;
}

static void drop_schema(struct pg_fixture *fixture)
{
    char sql[128];

    snprintf(sql, sizeof(sql), "DROP SCHEMA IF EXISTS \"%s\" CASCADE", fixture->schema);
    pg_fixture_sql(fixture, sql);
}

void pg_fixture_empty_schema(struct pg_fixture *fixture)
{
    char sql[128];

    drop_schema(fixture);
    snprintf(sql, sizeof(sql), "CREATE SCHEMA \"%s\"", fixture->schema);
    pg_fixture_sql(fixture, sql);
}

int pg_fixture_setup(void **state)
{
    struct pg_fixture *fixture = connect();
    struct migrate_report report;
    struct err err;

    if (migrate_up(fixture->db, fixture->schema, fixture->arena, &report, &err) != OUTCOME_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    *state = fixture;
    return 0;
}

int pg_fixture_setup_unmigrated(void **state)
{
    struct pg_fixture *fixture = connect();

    pg_fixture_empty_schema(fixture);
    *state = fixture;
    return 0;
}

int pg_fixture_teardown(void **state)
{
    struct pg_fixture *fixture = *state;
    struct err err;

    if (executor_recover(fixture->db, &err) != OUTCOME_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    drop_schema(fixture);
    executor_pq_free(fixture->pq);
    arena_free(fixture->arena);
    free(fixture);
    return 0;
}

int pg_fixture_clean(void **state)
{
    struct pg_fixture *fixture = *state;
    struct err err;

    if (executor_recover(fixture->db, &err) != OUTCOME_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    /* A handful of rows each: deleting is a hundred times quicker than truncating. */
    pg_fixture_sql(fixture, "DO $$ DECLARE t text; BEGIN"
                            " FOR t IN SELECT tablename FROM pg_tables"
                            "  WHERE schemaname = current_schema()"
                            "  AND tablename <> 'catalyst_schema_migrations'"
                            " LOOP EXECUTE format('DELETE FROM %I', t); END LOOP; END $$");
    arena_reset(fixture->arena);
    return 0;
}
