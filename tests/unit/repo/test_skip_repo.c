#include "tests/unit/repo/recording.h"

#include "repo/skip_repo.h"

static const struct stored_skip skip = {TEXT_INIT("commands"), 3, 10, 20, TEXT_INIT("a bomb"),
                                        .unread = true};

static void test_skip_request_write__sends_every_field(void **state)
{
    struct recording *recording = *state;
    bool written = false;

    script(recording, scripted_affected(1));
    assert_int_equal(
        skip_request_write(&recording->db.port, &skip, recording->arena, &written, &recording->err),
        OUTCOME_OK);

    assert_true(written);
    ASSERT_RECORDED_SQL(&recording->db, 0, "INSERT INTO {schema}.catalyst_skip_requests",
                        "ON CONFLICT (topic, \"partition\") DO NOTHING");
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "commands", "3", "10", "20", "a bomb", "true");
}

static void test_skip_request_write__a_request_that_is_there_stays(void **state)
{
    struct recording *recording = *state;
    bool written = true;

    script(recording, scripted_affected(0));
    assert_int_equal(
        skip_request_write(&recording->db.port, &skip, recording->arena, &written, &recording->err),
        OUTCOME_OK);

    assert_false(written);
}

static void test_skip_requests_list__hands_out_all(void **state)
{
    struct recording *recording = *state;
    const struct cell cells[] = {
        scripted_text(TEXT("commands")),   {"\0\0\0\3", 4},
        scripted_int8(&recording->db, 10), scripted_int8(&recording->db, 20),
        scripted_text(TEXT("a bomb")),     {"\1", 1},
        scripted_int8(&recording->db, 0)};
    const struct stored_skip *skips;
    size_t count;

    script(recording, scripted_rows(cells, 1, 7));
    assert_int_equal(
        skip_requests_list(&recording->db.port, recording->arena, &skips, &count, &recording->err),
        OUTCOME_OK);

    assert_int_equal(count, 1);
    assert_true(text_equal(skips[0].topic, skip.topic));
    assert_int_equal(skips[0].partition, 3);
    assert_int_equal(skips[0].from, 10);
    assert_int_equal(skips[0].to, 20);
    assert_true(text_equal(skips[0].reason, skip.reason));
    assert_true(skips[0].unread);
    ASSERT_RECORDED_SQL(&recording->db, 0, "FROM {schema}.catalyst_skip_requests", "ORDER BY");
}

static void test_skip_request_delete__this_very_request(void **state)
{
    struct recording *recording = *state;

    script(recording, scripted_affected(1));
    assert_int_equal(
        skip_request_delete(&recording->db.port, &skip, recording->arena, &recording->err),
        OUTCOME_OK);

    ASSERT_RECORDED_SQL(&recording->db, 0, "DELETE FROM {schema}.catalyst_skip_requests",
                        "topic = $1", "from_offset = $3", "to_offset = $4");
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "commands", "3", "10", "20");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, recording_setup, recording_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_skip_request_write__sends_every_field),
        TEST(test_skip_request_write__a_request_that_is_there_stays),
        TEST(test_skip_requests_list__hands_out_all),
        TEST(test_skip_request_delete__this_very_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
