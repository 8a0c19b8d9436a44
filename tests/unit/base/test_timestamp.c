#include <stdio.h>

#include "base/timestamp.h"
#include "cmocka_all.h"

static void test_timestamp_parse__what_it_takes(void **state)
{
    static const struct {
        const char *text;
        const char *canonical;
    } cases[] = {
        {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"},
        {"2026-01-31t23:59:59z", "2026-01-31T23:59:59.000000Z"},
        {"2026-01-31 23:59:59Z", "2026-01-31T23:59:59.000000Z"},
        {"2026-01-31T23:59:59.1Z", "2026-01-31T23:59:59.100000Z"},
        {"2026-01-31T23:59:59.123456Z", "2026-01-31T23:59:59.123456Z"},
        {"2026-01-31T23:59:59.1234569Z", "2026-01-31T23:59:59.123456Z"},
        {"2026-01-31T23:59:59.999999999999999999999Z", "2026-01-31T23:59:59.999999Z"},
        {"1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"},
        {"2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.000000Z"},
        {"2026-01-01T00:00:00-00:00", "2026-01-01T00:00:00.000000Z"},
        {"2026-01-01T00:30:00+05:30", "2025-12-31T19:00:00.000000Z"},
        {"2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00.000000Z"},
        {"2026-01-01T00:00:00+23:59", "2025-12-31T00:01:00.000000Z"},
        {"2024-02-29T12:00:00Z", "2024-02-29T12:00:00.000000Z"},
        {"2000-02-29T12:00:00Z", "2000-02-29T12:00:00.000000Z"},
        {"2024-03-01T00:00:00+01:00", "2024-02-29T23:00:00.000000Z"},
        {"1900-02-28T23:59:59-00:01", "1900-03-01T00:00:59.000000Z"},
        {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"},
        {"2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500000Z"},
        {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"},
        {"0000-12-31T23:30:00-00:30", "0001-01-01T00:00:00.000000Z"},
        {"9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t us = 0;
        char text[TIMESTAMP_TEXT_LENGTH + 1];

        if (!timestamp_parse(text_of(cases[i].text), &us))
            fail_msg("refused %s", cases[i].text);
        timestamp_format(us, text);
        assert_string_equal(text, cases[i].canonical);
    }
}

static void test_timestamp_parse__what_it_refuses(void **state)
{
    static const char *const wrong[] = {
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00Zx",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00 Z",
        "2026-1-01T00:00:00Z",
        "26-01-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+00:60",
        "2026-01-01T00:00:00+0000",
        "2026-01-01T00:00:00+00",
        "2026-01-01T00:00:00+00:0",
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-00:01",
        "+2026-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "2026/01/01T00:00:00Z",
        "1767323045",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int64_t us = 5;

        if (timestamp_parse(text_of(wrong[i]), &us))
            fail_msg("took %s", wrong[i]);
        assert_int_equal(us, 5);
    }
    int64_t us;
    assert_false(timestamp_parse(TEXT_ABSENT, &us));
    assert_false(timestamp_parse((struct text){"2026-01-01T00:00:00Z\0", 21}, &us));
    assert_false(timestamp_parse((struct text){"2026-01-01\0"
                                               "00:00:00Z",
                                               20},
                                 &us));
}

/* Every day of four centuries, forwards: the calendar of C's own library is not asked. */
static void test_timestamp_format__every_day_of_an_era(void **state)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = 1968;
    int month = 1;
    int day = 1;

    (void)state;
    for (int64_t days = -731; days < -731 + 146097; days++) {
        char text[TIMESTAMP_TEXT_LENGTH + 1];
        char expected[64];
        int64_t back;

        timestamp_format(days * 86400000000 + 86399999999, text);
        snprintf(expected, sizeof(expected), "%04d-%02d-%02dT23:59:59.999999Z", year, month, day);
        assert_string_equal(text, expected);
        assert_true(timestamp_parse(text_of(text), &back));
        assert_true(back == days * 86400000000 + 86399999999);

        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        int length = month == 2 && leap ? 29 : lengths[month - 1];
        if (++day > length) {
            day = 1;
            if (++month > 12) {
                month = 1;
                year++;
            }
        }
    }
    assert_int_equal(year, 2368);
}

static void test_timestamp_format__range_ends(void **state)
{
    char text[TIMESTAMP_TEXT_LENGTH + 1];

    (void)state;
    timestamp_format(TIMESTAMP_MIN_US, text);
    assert_string_equal(text, "0001-01-01T00:00:00.000000Z");
    timestamp_format(TIMESTAMP_MAX_US, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
    timestamp_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
}

/* The texts are those of PostgreSQL 15 with DateStyle ISO and time zone UTC. */
static void test_timestamp_format_any__writes_as_postgresql_does(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {TIMESTAMP_INFINITY, "infinity"},
        {TIMESTAMP_MINUS_INFINITY, "-infinity"},
        {TIMESTAMP_MAX_US, "9999-12-31T23:59:59.999999Z"},
        {TIMESTAMP_MAX_US + 1, "10000-01-01 00:00:00+00"},
        {TIMESTAMP_MAX_US + 1500001, "10000-01-01 00:00:01.5+00"},
        {TIMESTAMP_MIN_US - 1, "0001-12-31 23:59:59.999999+00 BC"},
        {INT64_C(-210863520000000000), "4713-01-01 00:00:00+00 BC"},
    };
    char text[TIMESTAMP_ANY_LENGTH + 1];
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t length = timestamp_format_any(cases[i].us, text);

        assert_string_equal(text, cases[i].text);
        assert_int_equal(length, strlen(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timestamp_parse__what_it_takes),
        cmocka_unit_test(test_timestamp_parse__what_it_refuses),
        cmocka_unit_test(test_timestamp_format__every_day_of_an_era),
        cmocka_unit_test(test_timestamp_format__range_ends),
        cmocka_unit_test(test_timestamp_format_any__writes_as_postgresql_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
