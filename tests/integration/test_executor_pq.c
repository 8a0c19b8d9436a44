#include <arpa/inet.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "repo/pg/pg_binary.h"
#include "tests/integration/pg_fixture.h"

static enum outcome run_sql(struct pg_fixture *fixture, const char *name, const char *sql,
                            struct rows *ret_rows, struct err *err)
{
    const struct statement statement = {.name = name, .sql = sql};
    return executor_run(fixture->db, &statement, fixture->arena, ret_rows, err);
}

static void recover(struct pg_fixture *fixture)
{
    struct err err;
    if (executor_recover(fixture->db, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
}

static int64_t int_cell(const struct rows *rows, size_t row, size_t column)
{
    int64_t value = -1;
    assert_true(pg_cell_int(rows_cell(rows, row, column), &value));
    return value;
}

static int setup(void **state)
{
    if (pg_fixture_setup_unmigrated(state) != 0)
        return 1;
    pg_fixture_sql(*state, "CREATE TABLE things (id int8 PRIMARY KEY, name text)");
    return 0;
}

/* --- running ------------------------------------------------------------------------------ */

enum { STATEMENT_TIMEOUT_MS = 100, GIVEN_UP_AFTER_MS = STATEMENT_TIMEOUT_MS + 2000 };

struct pause {
    struct overlap overlap;
    struct pg_fixture *fixture;
    int64_t seen; /* rows that another connection sees at the end */
};

static void pause_run(struct overlap *overlap)
{
    struct pause *self = (struct pause *)overlap;
    clock_sleep_us((int64_t)(GIVEN_UP_AFTER_MS + 200) * 1000);
    self->seen = pg_fixture_int(self->fixture, "SELECT count(*) FROM things");
}

/* The server does not wait for it, and its answer is still good. */
static void test_run__overlap_takes_no_time_from_the_server(void **state)
{
    struct pg_fixture *fixture = *state;
    CLEANUP(executor_pq_freep)
    struct executor_pq *pq = pg_fixture_connect(fixture, STATEMENT_TIMEOUT_MS);
    const struct statement statements[] = {
        executor_begin, {.sql = "INSERT INTO things VALUES (1, 'one')"}, executor_commit};
    struct pause pause = {.overlap = {pause_run}, .fixture = fixture};
    struct rows rows[3];
    struct err err;

    enum outcome outcome = executor_run_overlapped(executor_pq_port(pq), statements, 3,
                                                   &pause.overlap, fixture->arena, rows, &err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(pause.seen, 1);
    assert_true(pause.overlap.took_us >= (int64_t)GIVEN_UP_AFTER_MS * 1000);
}

static void test_run__overlap_needs_something_under_way(void **state)
{
    struct pg_fixture *fixture = *state;
    CLEANUP(executor_pq_freep) struct executor_pq *pq = pg_fixture_connect(fixture, 0);
    struct pause pause = {.overlap = {pause_run}, .fixture = fixture, .seen = -1};
    const struct statement ending = {.sql = "SELECT pg_terminate_backend(pg_backend_pid())"};
    struct rows rows;
    struct err err;
    assert_int_equal(executor_run(executor_pq_port(pq), &ending, fixture->arena, &rows, &err),
                     OUTCOME_RETRY);

    enum outcome outcome = executor_run_overlapped(executor_pq_port(pq), &executor_begin, 1,
                                                   &pause.overlap, fixture->arena, &rows, &err);

    assert_int_equal(outcome, OUTCOME_RETRY);
    assert_int_equal(pause.seen, -1);
}

static void test_run__answers_each_statement_of_a_round_trip(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct statement statements[] = {
        executor_begin,
        {.name = "t.insert", .sql = "INSERT INTO things VALUES (1, 'one'), (2, NULL)"},
        {.name = "t.select", .sql = "SELECT id, name FROM things ORDER BY id"},
        {.sql = "UPDATE things SET name = 'x' WHERE id = 2"},
        executor_commit,
    };
    struct rows rows[5];
    struct err err;

    assert_int_equal(executor_run_all(fixture->db, statements, 5, fixture->arena, rows, &err),
                     OUTCOME_OK);

    assert_int_equal(rows[1].affected, 2);
    assert_int_equal(rows[2].row_count, 2);
    assert_int_equal(rows[2].column_count, 2);
    assert_int_equal(int_cell(&rows[2], 0, 0), 1);
    assert_memory_equal(rows_cell(&rows[2], 0, 1).data, "one", 3);
    assert_null(rows_cell(&rows[2], 1, 1).data);
    assert_int_equal(rows[3].affected, 1);
    assert_int_equal(rows[3].row_count, 0);
}

static void test_run__prepares_a_name_once(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct statement twice[] = {
        {.name = "t.twice", .sql = "SELECT 1"},
        {.name = "t.twice", .sql = "SELECT 1"},
    };
    struct rows rows[2];
    struct err err;

    assert_int_equal(executor_run_all(fixture->db, twice, 2, fixture->arena, rows, &err),
                     OUTCOME_OK);
    assert_int_equal(executor_run_all(fixture->db, twice, 2, fixture->arena, rows, &err),
                     OUTCOME_OK);

    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM pg_prepared_statements"
                                             " WHERE name = 't.twice'"),
                     1);
}

static void test_run__sends_binary_parameters_of_every_kind(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct text texts[] = {TEXT("a"), TEXT_ABSENT, TEXT("")};
    const struct text_list list = {(const struct text[]){TEXT("x\"y"), TEXT("\\"), TEXT("{,}")}, 3};
    const struct uuid uuid = {{0x01, 0x90, 0xAB}};
    struct statement statement = {
        .sql = "SELECT concat_ws('|', $1::text, $2::int8, $3::int4, $4::bool,"
               " $5::timestamptz, $6::uuid, $7::json->>'k', $8::text[]::text, $9::text IS NULL,"
               " $10::text::text[]::text, $11::timestamptz[]::text, $12::int4[]::text,"
               " $13::uuid[]::text, $14::bool[]::text, $15::json[]::text, $16::int8[]::text)",
    };
    struct params params;
    struct pg_array array;
    struct rows rows;
    struct err err;

    params_init(&params, fixture->arena, 16);
    params_text(&params, TEXT("t\xC3\xA4"));
    params_int8(&params, INT64_MIN);
    params_int4(&params, -7);
    params_bool(&params, true);
    params_time(&params, INT64_C(1767225599123456));
    params_uuid(&params, &uuid);
    params_json(&params, TEXT("{\"k\":\"v\"}"));
    params_text_array(&params, texts, 3);
    params_text(&params, TEXT_ABSENT);
    struct buffer literal;
    buffer_init(&literal, fixture->arena);
    pg_list_literal(&literal, list);
    params_text(&params, buffer_text(&literal));
    pg_array_init(&array, PG_TIMESTAMPTZ_ARRAY, fixture->arena);
    pg_array_time(&array, 0);
    pg_array_time(&array, TIMESTAMP_ABSENT);
    params_array(&params, &array);
    pg_array_init(&array, PG_INT4_ARRAY, fixture->arena);
    pg_array_int4(&array, -1);
    params_array(&params, &array);
    params_uuid_array(&params, &uuid, 1);
    pg_array_init(&array, PG_BOOL_ARRAY, fixture->arena);
    pg_array_bool(&array, false);
    params_array(&params, &array);
    pg_array_init(&array, PG_JSON_ARRAY, fixture->arena);
    pg_array_text(&array, TEXT("[1]"));
    params_array(&params, &array);
    pg_array_init(&array, PG_INT8_ARRAY, fixture->arena);
    params_array(&params, &array);
    assert_true(params_done(&params, &statement));

    if (executor_run(fixture->db, &statement, fixture->arena, &rows, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);

    struct cell cell = rows_cell(&rows, 0, 0);
    assert_string_equal(arena_copy(fixture->arena, cell.data, cell.length),
                        "t\xC3\xA4|-9223372036854775808|-7|t|2025-12-31 23:59:59.123456+00|"
                        "0190ab00-0000-0000-0000-000000000000|v|{a,NULL,\"\"}|t|"
                        "{\"x\\\"y\",\"\\\\\",\"{,}\"}|{\"1970-01-01 00:00:00+00\",NULL}|{-1}|"
                        "{0190ab00-0000-0000-0000-000000000000}|{f}|{[1]}|{}");
}

static void test_run__reads_binary_cells_of_every_kind(void **state)
{
    struct pg_fixture *fixture = *state;
    struct rows rows;
    struct pg_row row;
    struct uuid uuid;
    struct err err;

    assert_int_equal(
        run_sql(fixture, NULL,
                "SELECT 'text', 2::int2, 4::int4, 8::int8, true, '2000-01-01Z'::timestamptz,"
                " '0190ab00-0000-0000-0000-000000000000'::uuid, '{a,\"\"}'::text[],"
                " '{}'::text[], '{\"k\": 1}'::json, '{\"k\": 1}'::jsonb, NULL::jsonb",
                &rows, &err),
        OUTCOME_OK);

    pg_row_init(&row, &rows, 0, fixture->arena);
    assert_true(text_is(pg_row_text(&row), "text"));
    assert_int_equal(pg_row_int(&row), 2);
    assert_int_equal(pg_row_int(&row), 4);
    assert_int_equal(pg_row_int(&row), 8);
    assert_true(pg_row_bool(&row));
    assert_int_equal(pg_row_time(&row), INT64_C(946684800000000));
    assert_true(pg_row_uuid(&row, &uuid));
    assert_int_equal(uuid.bytes[1], 0x90);
    struct text_list list = pg_row_list(&row);
    assert_int_equal(list.count, 2);
    assert_true(text_is(list.items[0], "a"));
    assert_true(text_is(list.items[1], ""));
    list = pg_row_list(&row);
    assert_int_equal(list.count, 0);
    assert_non_null(list.items);
    assert_true(text_is(pg_row_json(&row), "{\"k\": 1}"));
    assert_true(text_is(pg_row_json(&row), "{\"k\": 1}"));
    assert_false(text_present(pg_row_json(&row)));
    assert_int_equal(pg_row_done(&row, "row", &err), OUTCOME_OK);
}

static void test_run__a_time_that_is_none_is_refused_by_name(void **state)
{
    struct pg_fixture *fixture = *state;
    struct rows rows;
    struct pg_row row;
    struct err err;

    assert_int_equal(run_sql(fixture, NULL, "SELECT 1, '294276-12-31'::timestamptz", &rows, &err),
                     OUTCOME_OK);
    pg_row_init(&row, &rows, 0, fixture->arena);
    (void)pg_row_int(&row);
    assert_int_equal(pg_row_time(&row), TIMESTAMP_ABSENT);

    assert_int_equal(pg_row_done(&row, "key", &err), OUTCOME_FATAL);
    assert_non_null(strstr(err.text, "key: column 2: "));
    assert_non_null(strstr(err.text, "not a time"));
}

static void test_run__large_pipelines_do_not_deadlock(void **state)
{
    enum { STATEMENTS = 48, BYTES = 512 * 1024 };
    struct pg_fixture *fixture = *state;
    struct statement *statements = ARENA_ARRAY(fixture->arena, struct statement, STATEMENTS);
    struct rows *rows = ARENA_ARRAY(fixture->arena, struct rows, STATEMENTS);
    char *big = arena_alloc(fixture->arena, BYTES);
    struct err err;

    /* Far more in both directions than socket buffers hold. */
    memset(big, 'x', BYTES);
    for (size_t i = 0; i < STATEMENTS; i++) {
        struct params params;
        params_init(&params, fixture->arena, 1);
        params_text(&params, (struct text){big, BYTES});
        statements[i] = (struct statement){.name = "t.echo", .sql = "SELECT $1::text"};
        assert_true(params_done(&params, &statements[i]));
    }

    assert_int_equal(
        executor_run_all(fixture->db, statements, STATEMENTS, fixture->arena, rows, &err),
        OUTCOME_OK);

    for (size_t i = 0; i < STATEMENTS; i++)
        assert_int_equal(rows_cell(&rows[i], 0, 0).length, BYTES);
}

/* --- failures ----------------------------------------------------------------------------- */

static void test_run__a_failure_undoes_what_ran_before_it_in_the_round_trip(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct statement statements[] = {
        {.sql = "INSERT INTO things VALUES (1, 'secret-one')"},
        {.name = "t.again", .sql = "INSERT INTO things VALUES (1, 'secret-two')"},
        {.sql = "INSERT INTO things VALUES (3, 'three')"},
    };
    struct rows rows[3] = {{.affected = 77}};
    struct err err;

    assert_int_equal(executor_run_all(fixture->db, statements, 3, fixture->arena, rows, &err),
                     OUTCOME_REJECT);

    assert_string_equal(err.code, "23505");
    assert_int_equal(strncmp(err.text, "t.again: ", 9), 0);
    assert_non_null(strstr(err.text, "things_pkey"));
    assert_null(strstr(err.text, "secret"));
    assert_int_equal(rows[0].affected, 77);
    recover(fixture);
    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM things"), 0);
}

static void test_run__a_refused_value_is_not_in_the_message(void **state)
{
    struct pg_fixture *fixture = *state;
    struct statement statement = {.name = "t.cast", .sql = "SELECT $1::text::int8"};
    struct params params;
    struct rows rows;
    struct err err;

    params_init(&params, fixture->arena, 1);
    params_text(&params, TEXT("hunter2"));
    assert_true(params_done(&params, &statement));

    assert_int_equal(executor_run(fixture->db, &statement, fixture->arena, &rows, &err),
                     OUTCOME_REJECT);

    assert_string_equal(err.code, "22P02");
    assert_null(strstr(err.text, "hunter2"));
}

static void test_run__sqlstate_decides_the_outcome(void **state)
{
    static const struct {
        const char *sqlstate;
        enum outcome outcome;
    } cases[] = {
        {"08000", OUTCOME_RETRY},  {"22003", OUTCOME_REJECT}, {"23503", OUTCOME_REJECT},
        {"25006", OUTCOME_RETRY},  {"26000", OUTCOME_RETRY},  {"40001", OUTCOME_RETRY},
        {"40P01", OUTCOME_RETRY},  {"42501", OUTCOME_FATAL},  {"42P01", OUTCOME_FATAL},
        {"42P05", OUTCOME_RETRY},  {"53100", OUTCOME_RETRY},  {"53300", OUTCOME_RETRY},
        {"55006", OUTCOME_RETRY},  {"55P03", OUTCOME_RETRY},  {"57014", OUTCOME_RETRY},
        {"57P01", OUTCOME_RETRY},  {"57P03", OUTCOME_RETRY},  {"58030", OUTCOME_RETRY},
        {"0A000", OUTCOME_FATAL},  {"28000", OUTCOME_FATAL},  {"3D000", OUTCOME_FATAL},
        {"P0001", OUTCOME_REJECT}, {"XX000", OUTCOME_RETRY},  {"XX001", OUTCOME_FATAL},
        {"21000", OUTCOME_REJECT}, {"44000", OUTCOME_REJECT}, {"54000", OUTCOME_REJECT},
        {"54001", OUTCOME_FATAL},
    };
    struct pg_fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char sql[128];
        struct rows rows;
        struct err err;
        snprintf(sql, sizeof(sql), "DO $$ BEGIN RAISE SQLSTATE '%s'; END $$", cases[i].sqlstate);

        enum outcome outcome = run_sql(fixture, NULL, sql, &rows, &err);

        if (outcome != cases[i].outcome)
            fail_msg("%s: %s", cases[i].sqlstate, outcome_name(outcome));
        assert_string_equal(err.code, cases[i].sqlstate);
        recover(fixture);
    }
}

static void test_run__the_words_of_a_trigger_are_not_in_the_message(void **state)
{
    static const char *const codes[] = {"P0001", "ABC01", "53100"};
    struct pg_fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char sql[128];
        struct rows rows;
        struct err err;
        snprintf(sql, sizeof(sql),
                 "DO $$ BEGIN RAISE EXCEPTION 'hunter2' USING ERRCODE = '%s'; END $$", codes[i]);

        assert_int_not_equal(run_sql(fixture, NULL, sql, &rows, &err), OUTCOME_OK);

        assert_string_equal(err.code, codes[i]);
        assert_null(strstr(err.text, "hunter2"));
        recover(fixture);
    }
}

/* What the worker says of its own accord is no message's fault. */
static void test_run__a_refusal_of_an_own_statement_is_fatal(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct statement own = {.sql = "SELECT 1/0", .own = true};
    struct rows rows;
    struct err err;

    assert_int_equal(executor_run(fixture->db, &own, fixture->arena, &rows, &err), OUTCOME_FATAL);

    assert_string_equal(err.code, "22012");
    recover(fixture);
}

/* What a server that has lost its mind caches goes with its process. */
static void test_recover__leaves_a_session_with_an_internal_error(void **state)
{
    struct pg_fixture *fixture = *state;
    uint64_t connects = executor_pq_connects(fixture->pq);
    struct rows rows;
    struct err err;

    assert_int_equal(
        run_sql(fixture, NULL, "DO $$ BEGIN RAISE SQLSTATE 'XX000'; END $$", &rows, &err),
        OUTCOME_RETRY);
    recover(fixture);

    assert_int_equal(executor_pq_connects(fixture->pq), connects + 1);
}

static void test_run__a_commit_that_rolls_back_is_retry(void **state)
{
    struct pg_fixture *fixture = *state;
    struct rows rows;
    struct err err;

    assert_int_equal(executor_run(fixture->db, &executor_begin, fixture->arena, &rows, &err),
                     OUTCOME_OK);
    assert_int_equal(run_sql(fixture, NULL, "SELECT 1/0", &rows, &err), OUTCOME_REJECT);

    assert_int_equal(executor_run(fixture->db, &executor_commit, fixture->arena, &rows, &err),
                     OUTCOME_RETRY);

    assert_string_equal(err.code, "40000");
}

static void test_run__a_full_arena_is_full_and_the_connection_survives(void **state)
{
    struct pg_fixture *fixture = *state;
    CLEANUP(arena_freep) struct arena *small = arena_new((size_t)128 * 1024);
    const struct statement statement = {.sql = "SELECT repeat('x', 1000000)"};
    struct rows rows;
    struct err err;

    assert_int_equal(executor_run(fixture->db, &statement, small, &rows, &err), OUTCOME_FULL);

    assert_string_equal(err.code, ERR_NO_MEMORY);
    uint64_t connects = executor_pq_connects(fixture->pq);
    recover(fixture);
    assert_int_equal(pg_fixture_int(fixture, "SELECT 1"), 1);
    assert_int_equal(executor_pq_connects(fixture->pq), connects);
}

static void test_run__a_statement_that_cannot_be_prepared_fails_alone(void **state)
{
    struct pg_fixture *fixture = *state;
    struct rows rows;
    struct err err;

    assert_int_equal(run_sql(fixture, "t.bad", "SELECT FROM WHERE", &rows, &err), OUTCOME_FATAL);

    assert_string_equal(err.code, "42601");
    recover(fixture);
    assert_int_equal(pg_fixture_int(fixture, "SELECT 1"), 1);
}

/* --- recovering --------------------------------------------------------------------------- */

static void test_recover__rolls_back_what_is_open(void **state)
{
    struct pg_fixture *fixture = *state;
    struct rows rows;
    struct err err;
    uint64_t connects = executor_pq_connects(fixture->pq);

    assert_int_equal(executor_run(fixture->db, &executor_begin, fixture->arena, &rows, &err),
                     OUTCOME_OK);
    pg_fixture_sql(fixture, "INSERT INTO things VALUES (9, NULL)");
    recover(fixture);

    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM things"), 0);
    assert_int_equal(executor_pq_connects(fixture->pq), connects);
}

static void test_recover__prepares_again_what_the_server_forgot(void **state)
{
    struct pg_fixture *fixture = *state;
    struct rows rows;
    struct err err;

    assert_int_equal(run_sql(fixture, "t.forgotten", "SELECT 5", &rows, &err), OUTCOME_OK);
    pg_fixture_sql(fixture, "DEALLOCATE ALL");
    assert_int_equal(run_sql(fixture, "t.forgotten", "SELECT 5", &rows, &err), OUTCOME_RETRY);
    assert_string_equal(err.code, "26000");

    recover(fixture);
    assert_int_equal(run_sql(fixture, "t.forgotten", "SELECT 5", &rows, &err), OUTCOME_OK);
    assert_int_equal(int_cell(&rows, 0, 0), 5);
}

static void test_recover__prepares_again_after_a_table_has_changed(void **state)
{
    struct pg_fixture *fixture = *state;
    struct rows rows;
    struct err err;

    pg_fixture_sql(fixture, "CREATE TABLE changing (a int)");
    assert_int_equal(run_sql(fixture, "t.star", "SELECT * FROM changing", &rows, &err), OUTCOME_OK);
    pg_fixture_sql(fixture, "ALTER TABLE changing ADD COLUMN b int");
    assert_int_equal(run_sql(fixture, "t.star", "SELECT * FROM changing", &rows, &err),
                     OUTCOME_RETRY);

    recover(fixture);
    assert_int_equal(run_sql(fixture, "t.star", "SELECT * FROM changing", &rows, &err), OUTCOME_OK);
    assert_int_equal(rows.column_count, 2);
    pg_fixture_sql(fixture, "DROP TABLE changing");
}

static void assert_session_settings(struct pg_fixture *fixture)
{
    char path[80];
    snprintf(path, sizeof(path), "\"%s\"", fixture->schema);
    assert_string_equal(pg_fixture_text(fixture, "SHOW search_path"), path);
    assert_string_equal(pg_fixture_text(fixture, "SHOW plan_cache_mode"), "force_generic_plan");
    assert_string_equal(pg_fixture_text(fixture, "SHOW enable_seqscan"), "off");
    assert_string_equal(pg_fixture_text(fixture, "SHOW work_mem"), "64MB");
    assert_string_equal(pg_fixture_text(fixture, "SHOW timezone"), "UTC");
    assert_string_equal(pg_fixture_text(fixture, "SHOW client_encoding"), "UTF8");
    assert_string_equal(pg_fixture_text(fixture, "SHOW application_name"), "catalyst-test");
    assert_string_equal(pg_fixture_text(fixture, "SHOW statement_timeout"), "1min");
}

static void test_recover__connects_again_with_all_settings(void **state)
{
    struct pg_fixture *fixture = *state;
    CLEANUP(executor_pq_freep) struct executor_pq *other = pg_fixture_connect(fixture, 0);
    uint64_t connects = executor_pq_connects(fixture->pq);
    char sql[128];
    struct rows rows;
    struct err err;

    assert_session_settings(fixture);
    assert_int_equal(run_sql(fixture, "t.kept", "SELECT 7", &rows, &err), OUTCOME_OK);
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%" PRId64 ", 5000)",
             pg_fixture_int(fixture, "SELECT pg_backend_pid()"));
    const struct statement kill = {.sql = sql};
    assert_int_equal(executor_run(executor_pq_port(other), &kill, fixture->arena, &rows, &err),
                     OUTCOME_OK);

    assert_int_equal(run_sql(fixture, "t.kept", "SELECT 7", &rows, &err), OUTCOME_RETRY);
    assert_true(strcmp(err.code, "57P01") == 0 || strcmp(err.code, "08006") == 0);
    assert_int_equal(run_sql(fixture, "t.kept", "SELECT 7", &rows, &err), OUTCOME_RETRY);
    assert_string_equal(err.code, "08006");

    recover(fixture);
    assert_int_equal(executor_pq_connects(fixture->pq), connects + 1);
    assert_int_equal(run_sql(fixture, "t.kept", "SELECT 7", &rows, &err), OUTCOME_OK);
    assert_session_settings(fixture);
}

static void test_recover__an_answered_commit_lasts_whatever_the_role_says(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct statement show = {.sql = "SHOW synchronous_commit"};
    struct rows rows;
    struct err err;

    pg_fixture_sql(fixture, "ALTER ROLE CURRENT_USER SET synchronous_commit = off");
    CLEANUP(executor_pq_freep) struct executor_pq *later = pg_fixture_connect(fixture, 0);
    pg_fixture_sql(fixture, "ALTER ROLE CURRENT_USER RESET synchronous_commit");

    assert_int_equal(executor_run(executor_pq_port(later), &show, fixture->arena, &rows, &err),
                     OUTCOME_OK);
    assert_int_equal(rows_cell(&rows, 0, 0).length, 2);
    assert_memory_equal(rows_cell(&rows, 0, 0).data, "on", 2);
}

static void test_recover__looks_for_another_server_when_this_one_is_read_only(void **state)
{
    struct pg_fixture *fixture = *state;
    uint64_t connects = executor_pq_connects(fixture->pq);
    struct rows rows;
    struct err err;

    pg_fixture_sql(fixture, "SET default_transaction_read_only = on");
    assert_int_equal(run_sql(fixture, NULL, "INSERT INTO things VALUES (4, NULL)", &rows, &err),
                     OUTCOME_RETRY);
    assert_string_equal(err.code, "25006");

    recover(fixture);
    assert_int_equal(executor_pq_connects(fixture->pq), connects + 1);
}

/* --- cancelling and deadlines --------------------------------------------------------------- */

static void *cancel_soon(void *argument)
{
    clock_sleep_us(300000);
    executor_pq_cancel(argument);
    return NULL;
}

static void test_cancel__ends_the_statement_from_another_thread(void **state)
{
    struct pg_fixture *fixture = *state;
    int64_t began_us = clock_monotonic_us();
    pthread_t thread;
    struct rows rows;
    struct err err;

    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, fixture->pq), 0);
    assert_int_equal(run_sql(fixture, NULL, "SELECT pg_sleep(30)", &rows, &err), OUTCOME_RETRY);
    pthread_join(thread, NULL);

    assert_string_equal(err.code, "57014");
    assert_true(clock_monotonic_us() - began_us < INT64_C(10) * 1000000);
}

static void test_run__the_server_ends_what_takes_too_long(void **state)
{
    struct pg_fixture *fixture = *state;
    CLEANUP(executor_pq_freep) struct executor_pq *hasty = pg_fixture_connect(fixture, 200);
    const struct statement sleep = {.name = "t.sleep", .sql = "SELECT pg_sleep(30)"};
    struct rows rows;
    struct err err;

    assert_int_equal(executor_run(executor_pq_port(hasty), &sleep, fixture->arena, &rows, &err),
                     OUTCOME_RETRY);

    assert_string_equal(err.code, "57014");
}

/* A listener on a free loopback port. */
static int listen_on(int *ret_port)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);

    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    *ret_port = ntohs(address.sin_port);
    return listener;
}

static char *conninfo_part(const char *keyword)
{
    PQconninfoOption *options = PQconninfoParse(getenv("CATALYST_DATABASE_URL"), NULL);
    const char *value = NULL;

    assert_non_null(options);
    for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
        if (strcmp(option->keyword, keyword) == 0 && option->val != NULL)
            value = option->val;
    }
    char *found = value != NULL ? strdup(value) : NULL;
    PQconninfoFree(options);
    return found;
}

/* Passes bytes between one client and the server until it is told to swallow them. */
struct proxy {
    int listener;
    int port;
    int server;
    atomic_bool silent;
    atomic_bool stop;
    pthread_t thread;
};

static void pass(struct proxy *proxy, int from, int to)
{
    char bytes[16384];
    ssize_t length = recv(from, bytes, sizeof(bytes), 0);
    if (length <= 0)
        atomic_store(&proxy->stop, true);
    for (ssize_t sent = 0; sent < length && !atomic_load(&proxy->silent);) {
        ssize_t passed = send(to, bytes + sent, (size_t)(length - sent), MSG_NOSIGNAL);
        if (passed <= 0)
            return;
        sent += passed;
    }
}

static void *proxy_run(void *argument)
{
    struct proxy *proxy = argument;
    int client = accept(proxy->listener, NULL, NULL);

    while (!atomic_load(&proxy->stop)) {
        struct pollfd both[] = {{.fd = client, .events = POLLIN},
                                {.fd = proxy->server, .events = POLLIN}};
        if (poll(both, 2, 50) <= 0)
            continue;
        if (both[0].revents != 0)
            pass(proxy, client, proxy->server);
        if (both[1].revents != 0)
            pass(proxy, proxy->server, client);
    }
    close(client);
    return NULL;
}

static void proxy_start(struct proxy *proxy)
{
    char *host = conninfo_part("host");
    char *port = conninfo_part("port");
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    proxy->listener = listen_on(&proxy->port);
    assert_int_equal(getaddrinfo(host, port, &hints, &found), 0);
    proxy->server = socket(found->ai_family, found->ai_socktype, 0);
    assert_int_equal(connect(proxy->server, found->ai_addr, found->ai_addrlen), 0);
    freeaddrinfo(found);
    free(host);
    free(port);
    assert_int_equal(pthread_create(&proxy->thread, NULL, proxy_run, proxy), 0);
}

static void proxy_stop(struct proxy *proxy)
{
    atomic_store(&proxy->stop, true);
    pthread_join(proxy->thread, NULL);
    close(proxy->server);
    close(proxy->listener);
}

static struct executor_pq *connect_to(int port, int64_t statement_timeout_ms)
{
    char *user = conninfo_part("user");
    char *database = conninfo_part("dbname");
    char conninfo[256];
    struct executor_pq *pq = NULL;
    struct err err;

    snprintf(conninfo, sizeof(conninfo),
             "host=127.0.0.1 port=%d user=%s dbname=%s password=hunter2 sslmode=disable", port,
             user, database);
    free(user);
    free(database);
    const struct executor_pq_options options = {
        .conninfo = conninfo,
        .schema = "public",
        .application_name = "catalyst-test",
        .connect_timeout_s = 1,
        .statement_timeout_ms = statement_timeout_ms,
    };
    assert_int_equal(executor_pq_new(&options, &pq, &err), OUTCOME_OK);
    return pq;
}

static void test_run__a_silent_server_is_given_up(void **state)
{
    struct pg_fixture *fixture = *state;
    struct proxy proxy = {.port = 0};
    const struct statement one = {.sql = "SELECT 1"};
    struct rows rows;
    struct err err;

    proxy_start(&proxy);
    CLEANUP(executor_pq_freep) struct executor_pq *pq = connect_to(proxy.port, 300);
    if (executor_recover(executor_pq_port(pq), &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
    assert_int_equal(executor_run(executor_pq_port(pq), &one, fixture->arena, &rows, &err),
                     OUTCOME_OK);
    atomic_store(&proxy.silent, true);
    int64_t began_us = clock_monotonic_us();
    assert_int_equal(executor_run(executor_pq_port(pq), &one, fixture->arena, &rows, &err),
                     OUTCOME_RETRY);

    assert_string_equal(err.code, "08006");
    assert_true(clock_monotonic_us() - began_us < INT64_C(10) * 1000000);
    proxy_stop(&proxy);
}

static void test_recover__a_silent_server_is_given_up_too(void **state)
{
    (void)state;
    int port;
    int listener = listen_on(&port);
    CLEANUP(executor_pq_freep) struct executor_pq *pq = connect_to(port, 0);
    int64_t began_us = clock_monotonic_us();
    struct err err;

    assert_int_equal(executor_recover(executor_pq_port(pq), &err), OUTCOME_RETRY);

    assert_true(clock_monotonic_us() - began_us < INT64_C(5) * 1000000);
    assert_null(strstr(err.text, "hunter2"));
    close(listener);
}

static void test_recover__no_server_is_retry(void **state)
{
    (void)state;
    int port;
    close(listen_on(&port));
    CLEANUP(executor_pq_freep) struct executor_pq *pq = connect_to(port, 0);
    struct err err;

    assert_int_equal(executor_recover(executor_pq_port(pq), &err), OUTCOME_RETRY);

    assert_string_equal(err.code, "08006");
    assert_non_null(strstr(err.text, "refused"));
    assert_null(strstr(err.text, "hunter2"));
}

static void test_recover__no_such_database_is_fatal(void **state)
{
    (void)state;
    char *host = conninfo_part("host");
    char *port = conninfo_part("port");
    char *user = conninfo_part("user");
    char conninfo[256];
    struct err err;

    snprintf(conninfo, sizeof(conninfo), "host=%s port=%s user=%s dbname=no_such password=hunter2",
             host, port, user);
    free(host);
    free(port);
    free(user);
    const struct executor_pq_options options = {
        .conninfo = conninfo, .schema = "public", .application_name = "catalyst-test"};
    CLEANUP(executor_pq_freep) struct executor_pq *pq = NULL;
    assert_int_equal(executor_pq_new(&options, &pq, &err), OUTCOME_OK);

    assert_int_equal(executor_recover(executor_pq_port(pq), &err), OUTCOME_FATAL);

    assert_string_equal(err.code, "3D000");
    assert_null(strstr(err.text, "hunter2"));
    assert_null(strchr(err.text, '\n'));
}

static enum outcome recover_with(const char *conninfo, int64_t statement_timeout_ms,
                                 struct err *err)
{
    const struct executor_pq_options options = {.conninfo = conninfo,
                                                .schema = "public",
                                                .application_name = "catalyst-test",
                                                .statement_timeout_ms = statement_timeout_ms};
    CLEANUP(executor_pq_freep) struct executor_pq *pq = NULL;

    assert_int_equal(executor_pq_new(&options, &pq, err), OUTCOME_OK);
    return executor_recover(executor_pq_port(pq), err);
}

/* 22023 would be a value of a message anywhere else. */
static void test_recover__a_setting_that_the_server_refuses_is_fatal(void **state)
{
    (void)state;
    char *host = conninfo_part("host");
    char *port = conninfo_part("port");
    char *user = conninfo_part("user");
    char *database = conninfo_part("dbname");
    char conninfo[512];
    struct err err;
    snprintf(conninfo, sizeof(conninfo),
             "host=%s port=%s user=%s dbname=%s options='-c work_mem=much'", host, port, user,
             database);
    free(host);
    free(port);
    free(user);
    free(database);

    assert_int_equal(recover_with(conninfo, 0, &err), OUTCOME_FATAL);
    assert_string_equal(err.code, "22023");

    assert_int_equal(recover_with(getenv("CATALYST_DATABASE_URL"), -7, &err), OUTCOME_FATAL);
    assert_string_equal(err.code, "22023");
    assert_non_null(strstr(err.text, "session settings"));
}

/* --- passwords ------------------------------------------------------------------------------ */

/* Just enough of a server to be told a password, which it then refuses: the local stack trusts
 * everybody. */
struct gatekeeper {
    int listener;
    char passwords[2][32]; /* of the first two clients */
};

static void read_exactly(int from, void *bytes, size_t length)
{
    for (size_t got = 0; got < length;) {
        ssize_t more = recv(from, (char *)bytes + got, length - got, 0);
        if (more <= 0)
            return;
        got += (size_t)more;
    }
}

/* A message's length word counts itself. */
static size_t read_length(int from)
{
    uint32_t length = 0;
    read_exactly(from, &length, sizeof(length));
    length = ntohl(length);
    return length >= sizeof(length) ? length - sizeof(length) : 0;
}

static void take_password(int client, char *password, size_t size)
{
    static const char ask[] = {'R', 0, 0, 0, 8, 0, 0, 0, 3}; /* AuthenticationCleartextPassword */
    static const char refuse[] = "E\0\0\0\x1d"
                                 "SFATAL\0"
                                 "C28P01\0"
                                 "Mno entry\0\0";
    char startup[1024], type;
    size_t length = read_length(client);

    if (length > sizeof(startup))
        return;
    read_exactly(client, startup, length);
    (void)send(client, ask, sizeof(ask), MSG_NOSIGNAL);
    read_exactly(client, &type, 1);
    length = read_length(client);
    if (length <= size)
        read_exactly(client, password, length);
    (void)send(client, refuse, sizeof(refuse) - 1, MSG_NOSIGNAL);
}

static void *gatekeeper_run(void *argument)
{
    struct gatekeeper *gatekeeper = argument;

    for (size_t i = 0; i < 2; i++) {
        int client = accept(gatekeeper->listener, NULL, NULL);
        take_password(client, gatekeeper->passwords[i], sizeof(gatekeeper->passwords[i]));
        close(client);
    }
    return NULL;
}

static void write_passfile(const char *path, const char *password)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "*:*:*:*:%s\n", password) > 0);
    assert_int_equal(fclose(file), 0);
}

static void test_recover__reads_a_passfile_anew(void **state)
{
    (void)state;
    char path[] = "/tmp/catalyst-passfile-XXXXXX"; /* made with mode 0600, as libpq wants it */
    char conninfo[256];
    struct gatekeeper gatekeeper = {0};
    CLEANUP(executor_pq_freep) struct executor_pq *pq = NULL;
    pthread_t thread;
    int port;
    struct err err;
    close(mkstemp(path));
    gatekeeper.listener = listen_on(&port);
    snprintf(
        conninfo, sizeof(conninfo),
        "host=127.0.0.1 port=%d user=u dbname=d sslmode=disable gssencmode=disable passfile=%s",
        port, path);
    const struct executor_pq_options options = {
        .conninfo = conninfo, .schema = "public", .application_name = "catalyst-test"};
    assert_int_equal(executor_pq_new(&options, &pq, &err), OUTCOME_OK);
    assert_int_equal(pthread_create(&thread, NULL, gatekeeper_run, &gatekeeper), 0);

    write_passfile(path, "before");
    assert_int_equal(executor_recover(executor_pq_port(pq), &err), OUTCOME_FATAL);
    assert_string_equal(err.code, "28P01");
    write_passfile(path, "rotated");
    assert_int_equal(executor_recover(executor_pq_port(pq), &err), OUTCOME_FATAL);

    pthread_join(thread, NULL);
    assert_string_equal(gatekeeper.passwords[0], "before");
    assert_string_equal(gatekeeper.passwords[1], "rotated");
    close(gatekeeper.listener);
    unlink(path);
}

static void test_new__a_bad_url_is_fatal_and_not_quoted(void **state)
{
    (void)state;
    const struct executor_pq_options options = {
        .conninfo = "postgresql://u:hunter2@[::1/x",
        .schema = "public",
        .application_name = "catalyst-test",
    };
    struct executor_pq *pq = NULL;
    struct err err;

    assert_int_equal(executor_pq_new(&options, &pq, &err), OUTCOME_FATAL);

    assert_null(pq);
    assert_null(strstr(err.text, "hunter2"));
}

#define CLEAN(test) cmocka_unit_test_setup(test, pg_fixture_clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLEAN(test_run__overlap_takes_no_time_from_the_server),
        CLEAN(test_run__overlap_needs_something_under_way),
        CLEAN(test_run__answers_each_statement_of_a_round_trip),
        CLEAN(test_run__prepares_a_name_once),
        CLEAN(test_run__sends_binary_parameters_of_every_kind),
        CLEAN(test_run__reads_binary_cells_of_every_kind),
        CLEAN(test_run__a_time_that_is_none_is_refused_by_name),
        CLEAN(test_run__large_pipelines_do_not_deadlock),
        CLEAN(test_run__a_failure_undoes_what_ran_before_it_in_the_round_trip),
        CLEAN(test_run__a_refused_value_is_not_in_the_message),
        CLEAN(test_run__sqlstate_decides_the_outcome),
        CLEAN(test_run__the_words_of_a_trigger_are_not_in_the_message),
        CLEAN(test_run__a_refusal_of_an_own_statement_is_fatal),
        CLEAN(test_run__a_commit_that_rolls_back_is_retry),
        CLEAN(test_run__a_full_arena_is_full_and_the_connection_survives),
        CLEAN(test_run__a_statement_that_cannot_be_prepared_fails_alone),
        CLEAN(test_recover__rolls_back_what_is_open),
        CLEAN(test_recover__prepares_again_what_the_server_forgot),
        CLEAN(test_recover__prepares_again_after_a_table_has_changed),
        CLEAN(test_recover__connects_again_with_all_settings),
        CLEAN(test_recover__an_answered_commit_lasts_whatever_the_role_says),
        CLEAN(test_recover__looks_for_another_server_when_this_one_is_read_only),
        CLEAN(test_cancel__ends_the_statement_from_another_thread),
        CLEAN(test_run__the_server_ends_what_takes_too_long),
        CLEAN(test_run__a_silent_server_is_given_up),
        CLEAN(test_recover__a_silent_server_is_given_up_too),
        CLEAN(test_recover__no_server_is_retry),
        CLEAN(test_recover__no_such_database_is_fatal),
        CLEAN(test_recover__leaves_a_session_with_an_internal_error),
        CLEAN(test_recover__a_setting_that_the_server_refuses_is_fatal),
        CLEAN(test_recover__reads_a_passfile_anew),
        CLEAN(test_new__a_bad_url_is_fatal_and_not_quoted),
    };
    return cmocka_run_group_tests(tests, setup, pg_fixture_teardown);
}
