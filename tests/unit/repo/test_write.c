#include "tests/unit/repo/recording.h"

/* A write that leaves `open` results and counts who calls what. */
struct probe {
    size_t open;
    enum outcome read_outcome;
    size_t reads;
    size_t settles;
};

static enum outcome probe_read(struct write *write, const struct rows *rows, size_t *ret_open,
                               struct err *err)
{
    struct probe *probe = write->state;

    probe->reads++;
    assert_int_equal(rows->affected, probe->open);
    if (probe->read_outcome != OUTCOME_OK)
        return err_set(err, probe->read_outcome, "", "bad row");
    *ret_open = probe->open;
    return OUTCOME_OK;
}

static enum outcome probe_settle(struct write *write, struct executor *db, struct arena *arena,
                                 struct err *err)
{
    const struct statement ask = {.name = "probe.ask", .sql = "SELECT"};
    struct probe *probe = write->state;
    struct rows rows;

    probe->settles++;
    return executor_run(db, &ask, arena, &rows, err);
}

static struct write write_of(const char *name, struct probe *probe)
{
    return (struct write){
        .statement = {.name = name, .sql = "INSERT"},
        .read = probe_read,
        .settle = probe_settle,
        .state = probe,
    };
}

static void test_write_run__one_round_trip_then_settles_what_is_open(void **state)
{
    struct recording *recording = *state;
    struct probe closed = {.open = 0};
    struct probe open = {.open = 3};
    struct write writes[] = {write_of("first", &closed), write_of("second", &open)};

    script(recording, scripted_affected(0));
    script(recording, scripted_affected(3));
    script(recording, scripted_affected(0));
    assert_int_equal(write_run(&recording->db.port, writes, 2, recording->arena, &recording->err),
                     OUTCOME_OK);

    assert_recorded_name(&recording->db, 0, "first");
    assert_recorded_name(&recording->db, 1, "second");
    assert_recorded_name(&recording->db, 2, "probe.ask");
    assert_int_equal(recording->db.statements[1].trip, 0);
    assert_int_equal(recording->db.statements[2].trip, 1);
    assert_recording_done(&recording->db, 3, 2);
    assert_int_equal(closed.settles, 0);
    assert_int_equal(open.settles, 1);
}

static void test_write_run__a_failed_statement_is_read_by_nobody(void **state)
{
    struct recording *recording = *state;
    struct probe probe = {.open = 0};
    struct write writes[] = {write_of("first", &probe)};

    script(recording, scripted_failure(OUTCOME_REJECT, "23505"));
    assert_int_equal(write_run(&recording->db.port, writes, 1, recording->arena, &recording->err),
                     OUTCOME_REJECT);

    assert_string_equal(recording->err.code, "23505");
    assert_int_equal(probe.reads, 0);
}

static void test_write_run__an_unreadable_answer_names_the_statement(void **state)
{
    struct recording *recording = *state;
    struct probe probe = {.read_outcome = OUTCOME_FATAL};
    struct write writes[] = {write_of("first", &probe)};

    script(recording, scripted_affected(0));
    assert_int_equal(write_run(&recording->db.port, writes, 1, recording->arena, &recording->err),
                     OUTCOME_FATAL);

    assert_string_equal(recording->err.text, "first: bad row");
}

static void test_write_run__a_failed_settling_fails_the_run(void **state)
{
    struct recording *recording = *state;
    struct probe probe = {.open = 1};
    struct write writes[] = {write_of("first", &probe)};

    script(recording, scripted_affected(1));
    script(recording, scripted_failure(OUTCOME_RETRY, "08006"));

    assert_int_equal(write_run(&recording->db.port, writes, 1, recording->arena, &recording->err),
                     OUTCOME_RETRY);
}

static void test_write_run__a_full_arena_is_fatal(void **state)
{
    struct recording *recording = *state;
    CLEANUP(arena_freep) struct arena *none = arena_new(0);
    struct probe probe = {.open = 0};
    struct write writes[] = {write_of("first", &probe)};

    assert_int_equal(write_run(&recording->db.port, writes, 1, none, &recording->err),
                     OUTCOME_FULL);

    assert_string_equal(recording->err.code, ERR_NO_MEMORY);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, recording_setup, recording_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_write_run__one_round_trip_then_settles_what_is_open),
        TEST(test_write_run__a_failed_statement_is_read_by_nobody),
        TEST(test_write_run__an_unreadable_answer_names_the_statement),
        TEST(test_write_run__a_failed_settling_fails_the_run),
        TEST(test_write_run__a_full_arena_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
