#include "tests/unit/repo/recording.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct statement one = {.name = "one", .sql = "SELECT 1"};
static const struct statement two = {.name = "two", .sql = "SELECT 2"};

/* Runs a test that must fail, in a process of its own, and tells whether it did. */
static bool fails(CMUnitTestFunction test)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test, recording_setup, recording_teardown)};
        if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
            _exit(0);
        _exit(cmocka_run_group_tests(tests, NULL, NULL) == 1 ? 42 : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 42;
}

static void runs_unscripted(void **state)
{
    struct recording *recording = *state;
    struct rows rows;

    (void)executor_run(&recording->db.port, &one, recording->arena, &rows, &recording->err);
}

static void leaves_a_reply(void **state)
{
    struct recording *recording = *state;

    script(recording, scripted_affected(1));
    assert_recording_done(&recording->db, 0, 0);
}

static void copies_unscripted(void **state)
{
    struct recording *recording = *state;
    const struct copy copy = {.name = "copy", .sql = "COPY t FROM STDIN"};

    (void)executor_copy(&recording->db.port, &copy, &recording->err);
}

static void expects_another_parameter(void **state)
{
    struct recording *recording = *state;
    struct rows rows;
    struct statement statement = one;
    struct params params;

    params_init(&params, recording->arena, 1);
    params_int8(&params, 5);
    assert_true(params_done(&params, &statement));
    script(recording, scripted_affected(1));
    (void)executor_run(&recording->db.port, &statement, recording->arena, &rows, &recording->err);
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "6");
}

static void expects_fragments_in_another_order(void **state)
{
    struct recording *recording = *state;
    struct rows rows;

    script(recording, scripted_affected(1));
    (void)executor_run(&recording->db.port, &one, recording->arena, &rows, &recording->err);
    ASSERT_RECORDED_SQL(&recording->db, 0, "1", "SELECT");
}

static void test_recording__fails_the_test_that_does_not_fit_its_script(void **state)
{
    (void)state;
    assert_true(fails(runs_unscripted));
    assert_true(fails(copies_unscripted));
    assert_true(fails(leaves_a_reply));
    assert_true(fails(expects_another_parameter));
    assert_true(fails(expects_fragments_in_another_order));
}

static void test_recording__answers_in_order_with_copies(void **state)
{
    struct recording *recording = *state;
    char *bytes = arena_copy(recording->arena, "abc", 3);
    const struct cell cells[] = {{bytes, 3}, {NULL, 0}};
    const struct statement both[] = {one, two};
    struct rows rows[2];

    script(recording, scripted_rows(cells, 1, 2));
    script(recording, scripted_affected(9));
    assert_int_equal(
        executor_run_all(&recording->db.port, both, 2, recording->arena, rows, &recording->err),
        OUTCOME_OK);
    bytes[0] = 'X';

    assert_memory_equal(rows_cell(&rows[0], 0, 0).data, "abc", 3);
    assert_null(rows_cell(&rows[0], 0, 1).data);
    assert_int_equal(rows[1].affected, 9);
    assert_recording_done(&recording->db, 2, 1);
}

static void test_recording__keeps_copies_of_parameters(void **state)
{
    struct recording *recording = *state;
    const struct uuid uuid = {{0xAB}};
    char *name = arena_copy(recording->arena, "n", 1);
    struct statement statement = one;
    struct params params;
    struct rows rows;

    params_init(&params, recording->arena, 6);
    params_text(&params, (struct text){name, 1});
    params_int4(&params, -1);
    params_bool(&params, false);
    params_time(&params, 0);
    params_uuid(&params, &uuid);
    params_text(&params, TEXT_ABSENT);
    assert_true(params_done(&params, &statement));
    script(recording, scripted_affected(0));
    (void)executor_run(&recording->db.port, &statement, recording->arena, &rows, &recording->err);
    name[0] = 'X';

    ASSERT_RECORDED_PARAMS(&recording->db, 0, "n", "-1", "false", "1970-01-01T00:00:00.000000Z",
                           "ab000000-0000-0000-0000-000000000000", "NULL");
}

static void test_recording__a_failure_ends_the_round_trip_and_leaves_the_rows(void **state)
{
    struct recording *recording = *state;
    const struct statement both[] = {one, two};
    struct rows rows[2] = {{.affected = 77}};

    script(recording, scripted_failure(OUTCOME_REJECT, "23505"));
    assert_int_equal(
        executor_run_all(&recording->db.port, both, 2, recording->arena, rows, &recording->err),
        OUTCOME_REJECT);

    assert_string_equal(recording->err.code, "23505");
    assert_string_equal(recording->err.text, "one: scripted");
    assert_int_equal(rows[0].affected, 77);
    assert_recording_done(&recording->db, 2, 1);
}

static void test_recording__a_copy_is_a_statement_with_its_rows(void **state)
{
    struct recording *recording = *state;
    const struct copy copy = {
        .name = "copy", .sql = "COPY t FROM STDIN", .rows = slice_of_text(TEXT("rows"))};
    script(recording, scripted_affected(1));
    script(recording, scripted_failure(OUTCOME_REJECT, "23505"));

    assert_int_equal(executor_copy(&recording->db.port, &copy, &recording->err), OUTCOME_OK);
    assert_int_equal(executor_copy(&recording->db.port, &copy, &recording->err), OUTCOME_REJECT);

    assert_string_equal(recording->err.code, "23505");
    assert_recorded_name(&recording->db, 0, "copy");
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "rows");
    assert_recording_done(&recording->db, 2, 4);
}

static void test_recording__counts_recoveries(void **state)
{
    struct recording *recording = *state;

    assert_int_equal(executor_recover(&recording->db.port, &recording->err), OUTCOME_OK);

    assert_int_equal(recording->db.recover_count, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, recording_setup, recording_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_recording__fails_the_test_that_does_not_fit_its_script),
        TEST(test_recording__answers_in_order_with_copies),
        TEST(test_recording__keeps_copies_of_parameters),
        TEST(test_recording__a_failure_ends_the_round_trip_and_leaves_the_rows),
        TEST(test_recording__a_copy_is_a_statement_with_its_rows),
        TEST(test_recording__counts_recoveries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
