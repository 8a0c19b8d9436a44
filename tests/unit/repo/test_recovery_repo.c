#include "tests/unit/repo/recording.h"

#include "repo/recovery_repo.h"

static const struct recovery_range ranges[] = {
    {.topic_id = 1, .partition = 4, .from = 10, .to = 20},
    {.topic_id = 2, .partition = 0, .from = 0, .to = 7},
};

static void test_recoveries_store__keeps_what_is_there(void **state)
{
    struct recording *recording = *state;

    script(recording, scripted_affected(1));
    assert_int_equal(
        recoveries_store(&recording->db.port, ranges, 2, recording->arena, &recording->err),
        OUTCOME_OK);

    ASSERT_RECORDED_SQL(&recording->db, 0, "INSERT INTO", "catalyst_recoveries",
                        "ON CONFLICT (topic_id, \"partition\") DO NOTHING");
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "{1,2}", "{4,0}", "{10,0}", "{20,7}");
    assert_recording_done(&recording->db, 1, 1);
}

static void test_recoveries_list__hands_out_all(void **state)
{
    struct recording *recording = *state;
    const struct cell cells[] = {{"\0\1", 2},
                                 {"\0\0\0\4", 4},
                                 scripted_int8(&recording->db, 10),
                                 scripted_int8(&recording->db, 20)};
    const struct recovery_range *found;
    size_t count;

    script(recording, scripted_rows(cells, 1, 4));
    assert_int_equal(
        recoveries_list(&recording->db.port, recording->arena, &found, &count, &recording->err),
        OUTCOME_OK);

    assert_int_equal(count, 1);
    assert_memory_equal(found, &ranges[0], sizeof(ranges[0]));
}

static void test_recoveries_finish__records_and_clears_in_one_transaction(void **state)
{
    struct recording *recording = *state;

    for (int i = 0; i < 4; i++)
        script(recording, scripted_affected(1));
    assert_int_equal(
        recoveries_finish(&recording->db.port, ranges, 2, recording->arena, &recording->err),
        OUTCOME_OK);

    ASSERT_RECORDED_SQL(&recording->db, 0, "BEGIN");
    assert_recorded_name(&recording->db, 1, "published_offsets.save");
    ASSERT_RECORDED_PARAMS(&recording->db, 1, "{1,2}", "{4,0}", "{20,7}", "{20,7}", "{}", "{}");
    ASSERT_RECORDED_SQL(&recording->db, 2, "DELETE FROM", "catalyst_recoveries");
    ASSERT_RECORDED_SQL(&recording->db, 3, "COMMIT");
    assert_recording_done(&recording->db, 4, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, recording_setup, recording_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_recoveries_store__keeps_what_is_there),
        TEST(test_recoveries_list__hands_out_all),
        TEST(test_recoveries_finish__records_and_clears_in_one_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
