#include "tests/unit/repo/recording.h"

#include "repo/protocol_repo.h"

/* --- topics --------------------------------------------------------------------------------- */

static void test_topics_intern__inserts_the_missing_and_asks_in_order(void **state)
{
    struct recording *recording = *state;
    const struct text names[] = {TEXT("b"), TEXT("a")};
    const struct cell cells[] = {{"\0\2", 2}, {"\0\1", 2}};
    int32_t ids[2];

    script(recording, scripted_affected(1));
    script(recording, scripted_rows(cells, 2, 1));
    assert_int_equal(
        topics_intern(&recording->db.port, names, 2, recording->arena, ids, &recording->err),
        OUTCOME_OK);

    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 1);
    ASSERT_RECORDED_SQL(&recording->db, 0, "INSERT INTO {schema}.catalyst_topics",
                        "WHERE NOT EXISTS", "ON CONFLICT (name) DO NOTHING");
    ASSERT_RECORDED_SQL(&recording->db, 1, "ORDER BY u.nth");
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "{b,a}");
    ASSERT_RECORDED_PARAMS(&recording->db, 1, "{b,a}");
    assert_recording_done(&recording->db, 2, 1);
}

static void test_topics_intern__a_missing_answer_is_fatal(void **state)
{
    struct recording *recording = *state;
    const struct text names[] = {TEXT("a")};
    int32_t ids[1];

    script(recording, scripted_affected(1));
    script(recording, scripted_rows(NULL, 0, 1));

    assert_int_equal(
        topics_intern(&recording->db.port, names, 1, recording->arena, ids, &recording->err),
        OUTCOME_FATAL);
}

static void test_topics_list__hands_out_names_with_their_numbers(void **state)
{
    struct recording *recording = *state;
    const struct cell cells[] = {{"\0\1", 2}, scripted_text(TEXT("a")), {"\0\0\0\4", 4},
                                 {"\0\7", 2}, scripted_text(TEXT("b")), {"\0\0\0\0", 4}};
    const struct topic_number *topics;
    size_t count;

    script(recording, scripted_rows(cells, 2, 3));
    assert_int_equal(
        topics_list(&recording->db.port, recording->arena, &topics, &count, &recording->err),
        OUTCOME_OK);

    assert_int_equal(count, 2);
    assert_int_equal(topics[0].topic_id, 1);
    assert_string_equal(topics[0].name, "a");
    assert_int_equal(topics[0].partitions, 4);
    assert_int_equal(topics[1].topic_id, 7);
    assert_string_equal(topics[1].name, "b");
    ASSERT_RECORDED_SQL(&recording->db, 0, "FROM {schema}.catalyst_topics");
}

/* --- published offsets ------------------------------------------------------------------------ */

static void test_published_offsets_load__fills_them_in_order(void **state)
{
    struct recording *recording = *state;
    struct stored_offset offsets[] = {{.topic_id = 1, .partition = 4}, {.topic_id = 2}};
    const struct cell cells[] = {
        scripted_int8(&recording->db, 10), scripted_int8(&recording->db, 12),
        scripted_int8(&recording->db, 0), scripted_int8(&recording->db, 0)};

    script(recording, scripted_rows(cells, 2, 2));
    assert_int_equal(
        published_offsets_load(&recording->db.port, offsets, 2, recording->arena, &recording->err),
        OUTCOME_OK);

    assert_int_equal(offsets[0].offset, 10);
    assert_int_equal(offsets[0].recorded, 12);
    assert_int_equal(offsets[1].offset, 0);
    assert_int_equal(offsets[1].recorded, 0);
    assert_recorded_name(&recording->db, 0, "published_offsets.load");
    ASSERT_RECORDED_SQL(&recording->db, 0, "LEFT JOIN {schema}.catalyst_consumer_offsets",
                        "ORDER BY u.nth");
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "{1,2}", "{4,0}");
}

static void test_published_offsets_load__another_number_of_rows_is_fatal(void **state)
{
    struct recording *recording = *state;
    struct stored_offset offset = {.topic_id = 1};

    script(recording, scripted_rows(NULL, 0, 1));

    assert_int_equal(
        published_offsets_load(&recording->db.port, &offset, 1, recording->arena, &recording->err),
        OUTCOME_FATAL);
}

static void test_published_offsets_save__resets_only_what_is_asked_to(void **state)
{
    struct recording *recording = *state;
    const struct stored_offset offsets[] = {
        {.topic_id = 1, .partition = 4, .offset = 10, .recorded = 12},
        {.topic_id = 2, .partition = 5, .offset = 3, .reset = true},
    };
    struct statement statement;
    struct rows rows;

    assert_int_equal(
        published_offsets_save_prepare(offsets, 2, recording->arena, &statement, &recording->err),
        OUTCOME_OK);
    script(recording, scripted_affected(2));
    assert_int_equal(
        executor_run(&recording->db.port, &statement, recording->arena, &rows, &recording->err),
        OUTCOME_OK);

    assert_recorded_name(&recording->db, 0, "published_offsets.save");
    ASSERT_RECORDED_SQL(&recording->db, 0, "INSERT INTO {schema}.catalyst_consumer_offsets",
                        "ORDER BY", "ON CONFLICT (topic_id, \"partition\") DO UPDATE", "greatest(",
                        "recorded_offset = greatest(");
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "{1,2}", "{4,5}", "{10,3}", "{12,0}", "{2}", "{5}");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, recording_setup, recording_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_topics_intern__inserts_the_missing_and_asks_in_order),
        TEST(test_topics_intern__a_missing_answer_is_fatal),
        TEST(test_topics_list__hands_out_names_with_their_numbers),
        TEST(test_published_offsets_load__fills_them_in_order),
        TEST(test_published_offsets_load__another_number_of_rows_is_fatal),
        TEST(test_published_offsets_save__resets_only_what_is_asked_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
