#include "tests/unit/repo/recording.h"

#include "base/timestamp.h"
#include "repo/audit/audit_partitions.h"

static int64_t time_of(const char *text)
{
    int64_t us;
    assert_true(timestamp_parse(text_of(text), &us));
    return us;
}

/* --- bounds ---------------------------------------------------------------------------------- */

static void test_bound__is_the_first_id_of_its_millisecond(void **state)
{
    (void)state;
    const int64_t us = time_of("2026-12-01T00:00:00.123Z");
    const struct uuid bound = audit_bound_of(us);
    const struct uuid expected = {{0x01, 0xA2, 0x2E, 0xE6, 0xB0, 0x7B}};

    assert_true(uuid_equal(&bound, &expected));
    assert_int_equal(audit_bound_us(&bound), us);
    /* Ids of that millisecond and of the one before, as the worker makes them. */
    struct uuid id = audit_id_of(TEXT("source"), TEXT("01a22ee6-b07b-7000-8000-000000000000"));
    assert_true(uuid_compare(&id, &bound) > 0);
    id = audit_id_of(TEXT("source"), TEXT("01a22ee6-b07a-7fff-bfff-ffffffffffff"));
    assert_true(uuid_compare(&id, &bound) < 0);
}

static void test_interval_name__is_the_day_it_begins(void **state)
{
    (void)state;
    char name[AUDIT_NAME_BYTES];

    audit_interval_name(time_of("2026-12-01T00:00:00Z"), name);

    assert_string_equal(name, "auth_audit_events_t20261201");
}

#define FROM "FOR VALUES FROM ('01a22ee6-b000-0000-0000-000000000000')"
#define TO " TO ('01a2ce8b-d400-0000-0000-000000000000')"

static void test_bounds_parse__reads_what_the_server_writes(void **state)
{
    (void)state;
    int64_t from_us, until_us;

    assert_true(audit_bounds_parse(TEXT(FROM TO), &from_us, &until_us));

    assert_int_equal(from_us, time_of("2026-12-01T00:00:00Z"));
    assert_int_equal(until_us, time_of("2027-01-01T00:00:00Z"));
}

static void test_bounds_parse__refuses_other_bounds(void **state)
{
    (void)state;
    static const char *const others[] = {
        "DEFAULT",
        FROM,
        FROM TO " ",
        "FOR VALUES FROM (MINVALUE)" TO,
        FROM " TO (MAXVALUE)",
        "FOR VALUES FROM ('01a22ee6-b000-0000-0000-000000000001')" TO,
        "FOR VALUES WITH (modulus 2, remainder 0)",
        "",
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        int64_t from_us = 7, until_us = 8;
        if (audit_bounds_parse(text_of(others[i]), &from_us, &until_us))
            fail_msg("%s", others[i]);
        assert_int_equal(from_us, 7);
        assert_int_equal(until_us, 8);
    }
}

/* --- what is wanted -------------------------------------------------------------------------- */

static size_t plan(struct recording *recording, const char *start, const char *now,
                   enum interval interval, int64_t ahead, const struct audit_range **ret_ranges)
{
    size_t count = 0;
    if (audit_intervals_plan(time_of(start), time_of(now), interval, ahead, recording->arena,
                             ret_ranges, &count, &recording->err) != OUTCOME_OK)
        fail_msg("%s", recording->err.text);
    return count;
}

static void test_plan__reaches_so_many_intervals_behind_the_present_one(void **state)
{
    const struct audit_range *ranges;

    size_t count =
        plan(*state, "2026-12-01T00:00:00Z", "2026-11-24T13:00:00Z", INTERVAL_MONTH, 3, &ranges);

    assert_int_equal(count, 3);
    assert_int_equal(ranges[0].from_us, time_of("2026-12-01T00:00:00Z"));
    assert_int_equal(ranges[1].from_us, ranges[0].until_us);
    assert_int_equal(ranges[2].until_us, time_of("2027-03-01T00:00:00Z"));
    assert_int_equal(
        plan(*state, "2027-03-01T00:00:00Z", "2026-11-24T13:00:00Z", INTERVAL_MONTH, 3, &ranges),
        0);
    assert_int_equal(
        plan(*state, "2027-03-01T00:00:00Z", "2026-12-01T00:00:00Z", INTERVAL_MONTH, 3, &ranges),
        1);
}

static void test_plan__another_interval_begins_where_the_last_one_ends(void **state)
{
    const struct audit_range *ranges;

    /* 2026-12-01 is a Tuesday. */
    size_t count =
        plan(*state, "2026-12-01T00:00:00Z", "2026-11-30T00:00:00Z", INTERVAL_WEEK, 2, &ranges);

    assert_int_equal(count, 3);
    assert_int_equal(ranges[0].from_us, time_of("2026-12-01T00:00:00Z"));
    assert_int_equal(ranges[0].until_us, time_of("2026-12-07T00:00:00Z"));
    assert_int_equal(ranges[2].until_us, time_of("2026-12-21T00:00:00Z"));
}

static void test_plan__makes_good_for_what_was_not_run(void **state)
{
    const struct audit_range *ranges;

    assert_int_equal(
        plan(*state, "2026-12-01T00:00:00Z", "2026-12-04T12:00:00Z", INTERVAL_DAY, 1, &ranges), 5);
}

static void test_plan__has_bounds(void **state)
{
    struct recording *recording = *state;
    static const struct {
        const char *start, *now;
        int64_t ahead;
    } rows[] = {
        {"2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 0}, /* too many days */
        {"2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", AUDIT_INTERVALS_MAX},
        {"2110-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 0},
        {"1969-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 0},
        {"2026-01-01T00:00:00Z", "2110-01-01T00:00:00Z", 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct audit_range *ranges;
        size_t count;
        assert_int_equal(audit_intervals_plan(time_of(rows[i].start), time_of(rows[i].now),
                                              INTERVAL_DAY, rows[i].ahead, recording->arena,
                                              &ranges, &count, &recording->err),
                         OUTCOME_REJECT);
    }
}

static void test_start__is_behind_the_last_interval(void **state)
{
    (void)state;
    struct audit_layout layout = {
        .now_us = time_of("2027-03-15T00:00:00Z"),
        .first_us = time_of("2026-12-01T00:00:00Z"),
        .last_us = time_of("2027-02-01T00:00:00Z"),
    };
    assert_int_equal(audit_intervals_start_us(&layout, INTERVAL_MONTH), layout.last_us);

    /* All of them are gone: not again what was dropped. */
    layout.last_us = TIMESTAMP_ABSENT;
    assert_int_equal(audit_intervals_start_us(&layout, INTERVAL_MONTH),
                     time_of("2027-03-01T00:00:00Z"));
    layout.now_us = time_of("2026-11-24T00:00:00Z");
    assert_int_equal(audit_intervals_start_us(&layout, INTERVAL_MONTH), layout.first_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound__is_the_first_id_of_its_millisecond),
        cmocka_unit_test(test_interval_name__is_the_day_it_begins),
        cmocka_unit_test(test_bounds_parse__reads_what_the_server_writes),
        cmocka_unit_test(test_bounds_parse__refuses_other_bounds),
        RECORDING_TEST(test_plan__reaches_so_many_intervals_behind_the_present_one),
        RECORDING_TEST(test_plan__another_interval_begins_where_the_last_one_ends),
        RECORDING_TEST(test_plan__makes_good_for_what_was_not_run),
        RECORDING_TEST(test_plan__has_bounds),
        cmocka_unit_test(test_start__is_behind_the_last_interval),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
