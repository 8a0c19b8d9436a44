#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/timestamp.h"
#include "worker/cli/dead_letters.h"

static const struct letter_filter everything = {.since_us = TIMESTAMP_ABSENT,
                                                .until_us = TIMESTAMP_ABSENT};
static const struct letter letter = {
    .topic = {"users.dlq", 9},
    .partition = 2,
    .offset = 5,
    .timestamp_ms = 1000,
    .origin_topic = {"users", 5},
    .stage = {"apply", 5},
    .class_name = {"sqlstate", 8},
    .reason = {"email: 23514", 12},
};

/* --- coordinates -------------------------------------------------------------------------------
 */

static void test_coordinates_parse__topic_partition_offset(void **state)
{
    (void)state;
    struct coordinates at;

    assert_true(coordinates_parse("a.dlq:0:12", &at));
    assert_true(text_is(at.topic, "a.dlq"));
    assert_int_equal(at.partition, 0);
    assert_int_equal(at.offset, 12);
    assert_true(coordinates_parse("t:2147483647:9223372036854775807", &at));
    assert_int_equal(at.partition, INT32_MAX);
    assert_int_equal(at.offset, INT64_MAX);
}

static void test_coordinates_parse__refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        ":",
        "::",
        "a",
        "a:1",
        ":0:1",
        "a::1",
        "a:1:",
        "a:-1:1",
        "a:1:-1",
        "a:x:1",
        "a:1:x",
        "a:1:1 ",
        "a:+1:1",
        "a:2147483648:1",
        "a:1:9223372036854775808",
    };
    struct coordinates at;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (coordinates_parse(texts[i], &at))
            fail_msg("\"%s\" is taken", texts[i]);
    }
}

/* --- filters -----------------------------------------------------------------------------------
 */

static void test_letter_filter_takes__everything_that_is_given_must_hold(void **state)
{
    (void)state;
    struct letter_filter filter = everything;

    assert_true(letter_filter_takes(&filter, &letter));
    filter.origin = "users";
    filter.stage = "apply";
    filter.class_name = "sqlstate";
    assert_true(letter_filter_takes(&filter, &letter));
    filter.stage = "decode";
    assert_false(letter_filter_takes(&filter, &letter));
    filter.stage = "apply";
    filter.origin = "users.dlq";
    assert_false(letter_filter_takes(&filter, &letter));
    filter.origin = NULL;
    filter.class_name = "sql";
    assert_false(letter_filter_takes(&filter, &letter));
}

static void test_letter_filter_takes__message_is_a_part_of_the_reason(void **state)
{
    (void)state;
    static const char *const parts[] = {"email: 23514", "email", "23514", ":", ""};
    static const char *const others[] = {"Email", "23515", "email: 23514 "};
    struct letter_filter filter = everything;
    struct letter silent = letter;
    silent.reason = TEXT_ABSENT;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        filter.message = parts[i];
        assert_true(letter_filter_takes(&filter, &letter));
        assert_false(letter_filter_takes(&filter, &silent));
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        filter.message = others[i];
        assert_false(letter_filter_takes(&filter, &letter));
    }
}

static void test_letter_filter_takes__since_is_in_and_until_is_not(void **state)
{
    (void)state;
    struct letter_filter filter = everything;

    filter.since_us = 1000000;
    filter.until_us = 1000001;
    assert_true(letter_filter_takes(&filter, &letter));
    filter.since_us = 1000001;
    assert_false(letter_filter_takes(&filter, &letter));
    filter.since_us = TIMESTAMP_ABSENT;
    filter.until_us = 1000000;
    assert_false(letter_filter_takes(&filter, &letter));
}

static void test_letter_filter_takes__no_time_is_in_no_span(void **state)
{
    (void)state;
    static const int64_t none[] = {-1, INT64_MAX};
    struct letter_filter since = everything, until = everything;
    since.since_us = 0;
    until.until_us = TIMESTAMP_MAX_US;

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        struct letter timeless = letter;
        timeless.timestamp_ms = none[i];
        assert_true(letter_filter_takes(&everything, &timeless));
        assert_false(letter_filter_takes(&since, &timeless));
        assert_false(letter_filter_takes(&until, &timeless));
    }
}

static void test_letter_filter_takes__one_of_the_coordinates(void **state)
{
    (void)state;
    const struct coordinates near[] = {
        {TEXT("users.dlq"), 2, 6}, {TEXT("users.dlq"), 1, 5}, {TEXT("users"), 2, 5}};
    const struct coordinates with[] = {{TEXT("a"), 0, 0}, {TEXT("users.dlq"), 2, 5}};
    struct letter_filter filter = everything;

    filter.coordinates = near;
    filter.coordinate_count = 3;
    assert_false(letter_filter_takes(&filter, &letter));
    filter.coordinates = with;
    filter.coordinate_count = 2;
    assert_true(letter_filter_takes(&filter, &letter));
    filter.stage = "decode";
    assert_false(letter_filter_takes(&filter, &letter));
}

/* --- lists -------------------------------------------------------------------------------------
 */

static void test_letter_list_find__by_topic_partition_and_offset(void **state)
{
    (void)state;
    struct letter items[] = {
        {.topic = TEXT("a"), .partition = 0, .offset = 9},
        {.topic = TEXT("a"), .partition = 1, .offset = 2},
        {.topic = TEXT("a"), .partition = 1, .offset = 10},
        {.topic = TEXT("ab"), .partition = 0, .offset = 1},
    };
    const struct letter_list list = {items, 4};
    const struct letter_list empty = {NULL, 0};

    for (size_t i = 0; i < list.count; i++)
        assert_ptr_equal(
            letter_list_find(&list, items[i].topic, items[i].partition, items[i].offset),
            &items[i]);
    assert_null(letter_list_find(&list, TEXT("a"), 1, 9));
    assert_null(letter_list_find(&list, TEXT("b"), 0, 9));
    assert_null(letter_list_find(&empty, TEXT("a"), 0, 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coordinates_parse__topic_partition_offset),
        cmocka_unit_test(test_coordinates_parse__refuses_what_is_none),
        cmocka_unit_test(test_letter_filter_takes__everything_that_is_given_must_hold),
        cmocka_unit_test(test_letter_filter_takes__message_is_a_part_of_the_reason),
        cmocka_unit_test(test_letter_filter_takes__since_is_in_and_until_is_not),
        cmocka_unit_test(test_letter_filter_takes__no_time_is_in_no_span),
        cmocka_unit_test(test_letter_filter_takes__one_of_the_coordinates),
        cmocka_unit_test(test_letter_list_find__by_topic_partition_and_offset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
