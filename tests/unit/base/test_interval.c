#include "tests/unit/base/cmocka_all.h"

#include "base/interval.h"
#include "base/timestamp.h"

static int64_t time_of(const char *text)
{
    int64_t us;
    assert_true(timestamp_parse(text_of(text), &us));
    return us;
}

static void assert_interval(enum interval interval, const char *at, const char *begin,
                            const char *end)
{
    char text[TIMESTAMP_TEXT_LENGTH + 1];
    timestamp_format(interval_begin_us(interval, time_of(at)), text);
    assert_memory_equal(text, begin, 10);
    assert_string_equal(text + 10, "T00:00:00.000000Z");
    timestamp_format(interval_end_us(interval, time_of(at)), text);
    assert_memory_equal(text, end, 10);
    assert_string_equal(text + 10, "T00:00:00.000000Z");
}

static void test_interval__a_day_is_a_day(void **state)
{
    (void)state;

    assert_interval(INTERVAL_DAY, "2026-11-24T13:07:00.5Z", "2026-11-24", "2026-11-25");
    assert_interval(INTERVAL_DAY, "2026-12-31T23:59:59.999999Z", "2026-12-31", "2027-01-01");
    assert_interval(INTERVAL_DAY, "1970-01-01T00:00:00Z", "1970-01-01", "1970-01-02");
}

static void test_interval__a_week_begins_on_monday(void **state)
{
    (void)state;

    /* 2026-11-23 is a Monday. */
    assert_interval(INTERVAL_WEEK, "2026-11-22T23:59:59Z", "2026-11-16", "2026-11-23");
    assert_interval(INTERVAL_WEEK, "2026-11-23T00:00:00Z", "2026-11-23", "2026-11-30");
    assert_interval(INTERVAL_WEEK, "2026-12-31T12:00:00Z", "2026-12-28", "2027-01-04");
    assert_interval(INTERVAL_WEEK, "1970-01-01T00:00:00Z", "1969-12-29", "1970-01-05");
    assert_interval(INTERVAL_WEEK, "1970-01-05T00:00:00Z", "1970-01-05", "1970-01-12");
}

static void test_interval__a_month_ends_where_the_next_begins(void **state)
{
    (void)state;

    assert_interval(INTERVAL_MONTH, "2026-01-31T23:59:59.999999Z", "2026-01-01", "2026-02-01");
    assert_interval(INTERVAL_MONTH, "2026-02-01T00:00:00Z", "2026-02-01", "2026-03-01");
    assert_interval(INTERVAL_MONTH, "2028-02-29T00:00:00Z", "2028-02-01", "2028-03-01");
    assert_interval(INTERVAL_MONTH, "2026-04-30T00:00:00Z", "2026-04-01", "2026-05-01");
    assert_interval(INTERVAL_MONTH, "2026-12-01T00:00:00Z", "2026-12-01", "2027-01-01");
}

static void test_interval__an_end_is_the_next_begin(void **state)
{
    (void)state;

    for (enum interval interval = INTERVAL_DAY; interval <= INTERVAL_MONTH; interval++) {
        int64_t at = interval_begin_us(interval, time_of("2026-11-24T00:00:00Z"));
        for (int i = 0; i < 500; i++) {
            int64_t end = interval_end_us(interval, at);
            assert_true(end > at);
            assert_int_equal(interval_begin_us(interval, end), end);
            assert_int_equal(interval_begin_us(interval, end - 1), at);
            at = end;
        }
    }
}

static void test_interval_parse__knows_its_names_only(void **state)
{
    enum interval interval = INTERVAL_DAY;
    (void)state;

    for (enum interval each = INTERVAL_DAY; each <= INTERVAL_MONTH; each++) {
        assert_true(interval_parse(text_of(interval_name(each)), &interval));
        assert_int_equal(interval, each);
    }
    assert_false(interval_parse(TEXT("year"), &interval));
    assert_false(interval_parse(TEXT(""), &interval));
    assert_int_equal(interval, INTERVAL_MONTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval__a_day_is_a_day),
        cmocka_unit_test(test_interval__a_week_begins_on_monday),
        cmocka_unit_test(test_interval__a_month_ends_where_the_next_begins),
        cmocka_unit_test(test_interval__an_end_is_the_next_begin),
        cmocka_unit_test(test_interval_parse__knows_its_names_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
