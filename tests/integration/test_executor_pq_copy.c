/* COPY through the libpq executor. */

#include "base/clock.h"
#include "tests/integration/repo_test.h"

#include "repo/pg/pg_copy.h"
#include "repo/pg/refused_row.h"

static int setup(void **state)
{
    if (pg_fixture_setup_unmigrated(state) != 0)
        return 1;
    pg_fixture_sql(*state, "CREATE TABLE copied (id int8 PRIMARY KEY, small int2, number int4,"
                           " at timestamptz, uuid uuid, list text[], document json, name text)");
    return 0;
}

static int clean(void **state)
{
    if (pg_fixture_clean(state) != 0)
        return 1;
    pg_fixture_sql(*state, "TRUNCATE copied");
    return 0;
}

static const char copy_sql[] = "COPY copied FROM STDIN (FORMAT binary)";
static const char id_name_sql[] = "COPY copied (id, name) FROM STDIN (FORMAT binary)";

static enum outcome run_copy(struct pg_fixture *t, const char *sql, struct pg_copy *rows,
                             struct err *err)
{
    struct copy copy = {.name = "t.copy", .sql = sql};

    assert_true(pg_copy_done(rows, &copy.rows));
    return executor_copy(t->db, &copy, err);
}

/* Rows first ... first + count - 1, with a name of `length` bytes each. */
static struct pg_copy rows_of(struct pg_fixture *t, int64_t first, int64_t count, size_t length)
{
    char *name = arena_alloc(t->arena, length);
    struct pg_copy rows;

    assert_non_null(name);
    memset(name, 'x', length);
    pg_copy_init(&rows, t->arena, 0);
    for (int64_t i = 0; i < count; i++) {
        pg_copy_row(&rows, 2);
        pg_copy_int8(&rows, first + i);
        pg_copy_text(&rows, (struct text){name, length});
    }
    return rows;
}

static void test_copy__stores_values_of_every_kind(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    const struct uuid uuid = {{0x01, 0x90, 0xAB}};
    const struct text items[] = {TEXT("x\"y"), TEXT("\\"), TEXT("{,}")};
    struct pg_copy rows;
    pg_copy_init(&rows, t->arena, 0);
    pg_copy_row(&rows, 8);
    pg_copy_int8(&rows, INT64_MIN);
    pg_copy_int2(&rows, -3);
    pg_copy_int4(&rows, -7);
    pg_copy_time(&rows, INT64_C(1767225599123456));
    pg_copy_uuid(&rows, &uuid);
    pg_copy_list(&rows, (struct text_list){items, 3});
    pg_copy_text(&rows, TEXT("{\"k\" :1}"));
    pg_copy_text(&rows, TEXT("t\xC3\xA4"));
    pg_copy_row(&rows, 8);
    pg_copy_int8(&rows, 2);
    for (size_t i = 0; i < 4; i++)
        pg_copy_null(&rows);
    pg_copy_list(&rows, (struct text_list){items, 0});
    pg_copy_text(&rows, TEXT_ABSENT);
    pg_copy_text(&rows, TEXT(""));

    begin(t);
    ASSERT_OK(run_copy(t, copy_sql, &rows, &err));
    commit(t);

    assert_string_equal(pg_fixture_text(t, "SELECT copied::text FROM copied WHERE id < 0"),
                        "(-9223372036854775808,-3,-7,\"2025-12-31 23:59:59.123456+00\","
                        "0190ab00-0000-0000-0000-000000000000,\"{\"\"x\\\\\"\"y\"\","
                        "\"\"\\\\\\\\\"\",\"\"{,}\"\"}\",\"{\"\"k\"\" :1}\",t\xC3\xA4)");
    assert_string_equal(pg_fixture_text(t, "SELECT copied::text FROM copied WHERE id = 2"),
                        "(2,,,,,{},,\"\")");
}

static void test_copy__many_megabytes(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct pg_copy rows = rows_of(t, 1, 6000, 999);

    begin(t);
    ASSERT_OK(run_copy(t, id_name_sql, &rows, &err));
    commit(t);

    assert_int_equal(pg_fixture_int(t, "SELECT sum(length(name)) FROM copied"), 6000 * 999);
}

static void test_copy__statements_around_it_run_too(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct pg_copy rows = rows_of(t, 1, 2, 1);

    begin(t);
    ASSERT_OK(run_copy(t,
                       "SAVEPOINT s; COPY copied (id, name) FROM STDIN (FORMAT binary);"
                       " UPDATE copied SET number = 5; RELEASE SAVEPOINT s",
                       &rows, &err));
    commit(t);

    assert_int_equal(pg_fixture_int(t, "SELECT sum(number) FROM copied"), 10);
}

static void test_copy__a_refused_row_refuses_all_and_a_savepoint_saves_the_rest(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct pg_copy fine = rows_of(t, 1, 1, 1);
    struct pg_copy refused = rows_of(t, 0, 5000, 999);
    const struct statement undo = {.name = "t.undo", .sql = "ROLLBACK TO SAVEPOINT s"};
    struct rows rows;
    begin(t);
    ASSERT_OK(run_copy(t, id_name_sql, &fine, &err));

    enum outcome outcome =
        run_copy(t,
                 "SAVEPOINT s; COPY copied (id, name) FROM STDIN (FORMAT binary);"
                 " RELEASE SAVEPOINT s",
                 &refused, &err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(err.code, "23505");
    assert_string_equal(err.text, "t.copy: PostgreSQL refuses a value (23505), table copied,"
                                  " constraint copied_pkey");
    ASSERT_OK(executor_run(t->db, &undo, t->arena, &rows, &err));
    commit(t);
    assert_int_equal(pg_fixture_int(t, "SELECT max(id) FROM copied"), 1);
}

static void test_copy__a_wrong_type_or_table_is_fatal_and_the_connection_survives(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct pg_copy rows = rows_of(t, 1, 1, 1);
    struct pg_copy again = rows_of(t, 1, 1, 1);

    begin(t);
    assert_int_equal(run_copy(t, "COPY nowhere FROM STDIN (FORMAT binary)", &rows, &err),
                     OUTCOME_FATAL);
    assert_string_equal(err.code, "42P01");
    ASSERT_OK(executor_recover(t->db, &err));
    begin(t);
    assert_int_equal(
        run_copy(t, "COPY copied (number, name) FROM STDIN (FORMAT binary)", &again, &err),
        OUTCOME_REJECT);
    assert_string_equal(err.code, "22P03");
    ASSERT_OK(executor_recover(t->db, &err));

    assert_int_equal(pg_fixture_int(t, "SELECT 7"), 7);
}

static void test_copy__a_lost_connection_is_retry_until_recovered(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct pg_copy rows = rows_of(t, 1, 3000, 999);
    struct pg_copy again = rows_of(t, 1, 1, 1);
    struct executor_pq *other = pg_fixture_connect(t, 0);
    const char *kill_sql = arena_printf(t->arena, "SELECT pg_terminate_backend(%lld)",
                                        (long long)pg_fixture_int(t, "SELECT pg_backend_pid()"));
    const struct statement kill = {.sql = kill_sql};
    struct rows killed;
    begin(t);
    ASSERT_OK(executor_run(executor_pq_port(other), &kill, t->arena, &killed, &err));

    assert_int_equal(run_copy(t, id_name_sql, &rows, &err), OUTCOME_RETRY);
    assert_int_equal(run_copy(t, id_name_sql, &again, &err), OUTCOME_RETRY);

    ASSERT_OK(executor_recover(t->db, &err));
    executor_pq_free(other);
    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM copied"), 0);
}

static void test_copy__the_server_ends_what_takes_too_long(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    CLEANUP(executor_pq_freep) struct executor_pq *hasty = pg_fixture_connect(t, 200);
    struct copy waiting = {.name = "t.copy", .sql = id_name_sql};
    struct pg_copy rows = rows_of(t, 1, 1, 1);
    struct rows begun;
    assert_true(pg_copy_done(&rows, &waiting.rows));
    begin(t);
    pg_fixture_sql(t, "LOCK TABLE copied");
    ASSERT_OK(executor_run(executor_pq_port(hasty), &executor_begin, t->arena, &begun, &err));

    enum outcome outcome = executor_copy(executor_pq_port(hasty), &waiting, &err);

    assert_int_equal(outcome, OUTCOME_RETRY);
    assert_string_equal(err.code, "57014");
    commit(t);
    ASSERT_OK(executor_recover(executor_pq_port(hasty), &err));
}

enum { HASTY_MS = 100, PAUSE_MS = HASTY_MS + 2000 + 200 };

static void pause_run(struct overlap *overlap)
{
    (void)overlap;
    clock_sleep_us((int64_t)PAUSE_MS * 1000);
}

static void test_copy__overlap_takes_no_time_from_the_server(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    CLEANUP(executor_pq_freep) struct executor_pq *hasty = pg_fixture_connect(t, HASTY_MS);
    struct executor *db = executor_pq_port(hasty);
    struct overlap pause = {pause_run};
    struct copy slow = {.name = "t.copy", .sql = id_name_sql, .overlap = &pause};
    struct pg_copy rows = rows_of(t, 1, 3, 1);
    struct rows answer;
    assert_true(pg_copy_done(&rows, &slow.rows));
    ASSERT_OK(executor_run(db, &executor_begin, t->arena, &answer, &err));

    ASSERT_OK(executor_copy(db, &slow, &err));

    ASSERT_OK(executor_run(db, &executor_commit, t->arena, &answer, &err));
    assert_true(pause.took_us >= (int64_t)PAUSE_MS * 1000);
    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM copied"), 3);
}

static void test_copy__rows_that_a_trigger_skips_are_refused(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct rows answer;
    struct pg_copy rows = rows_of(t, 1, 3, 1);
    struct copy copy = {.name = "t.copy", .sql = id_name_sql, .row_count = 3};
    pg_fixture_sql(t, "CREATE FUNCTION skip_two() RETURNS trigger LANGUAGE plpgsql AS"
                      " $$ BEGIN RETURN NULL; END $$");
    pg_fixture_sql(t, "CREATE TRIGGER skip_two BEFORE INSERT ON copied FOR EACH ROW"
                      " WHEN (NEW.id = 2) EXECUTE FUNCTION skip_two()");
    assert_true(pg_copy_done(&rows, &copy.rows));
    ASSERT_OK(executor_run(t->db, &executor_begin, t->arena, &answer, &err));

    enum outcome outcome = executor_copy(t->db, &copy, &err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(err.code, refused_row_skipped);
    ASSERT_OK(executor_recover(t->db, &err));
    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM copied"), 0);
    pg_fixture_sql(t, "DROP FUNCTION skip_two CASCADE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_copy__overlap_takes_no_time_from_the_server, clean),
        cmocka_unit_test_setup(test_copy__stores_values_of_every_kind, clean),
        cmocka_unit_test_setup(test_copy__many_megabytes, clean),
        cmocka_unit_test_setup(test_copy__rows_that_a_trigger_skips_are_refused, clean),
        cmocka_unit_test_setup(test_copy__statements_around_it_run_too, clean),
        cmocka_unit_test_setup(test_copy__a_refused_row_refuses_all_and_a_savepoint_saves_the_rest,
                               clean),
        cmocka_unit_test_setup(
            test_copy__a_wrong_type_or_table_is_fatal_and_the_connection_survives, clean),
        cmocka_unit_test_setup(test_copy__a_lost_connection_is_retry_until_recovered, clean),
        cmocka_unit_test_setup(test_copy__the_server_ends_what_takes_too_long, clean),
    };
    return cmocka_run_group_tests(tests, setup, pg_fixture_teardown);
}
