#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/integration/kafka/kafka_fixture.h"
#include "worker/kafka/record_limit.h"

enum { OWN = 1000000, LOWERED = 50000, TINY = 200 };
static const int64_t MINUTE_AND_MORE_US = 61 * (int64_t)1000 * 1000;

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    rig_setup(rig, 1, NULL);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_teardown(*state);
    free(*state);
    return 0;
}

static void limit_topics(const struct rig *rig, int audit, int dead_letters)
{
    rig_limit_records(rig, rig->audit, audit);
    rig_limit_records(rig, rig->dead_letters, dead_letters);
}

static int64_t after_a_refusal(struct record_limit *limit)
{
    record_limit_refused(limit);
    return record_limit_get(limit);
}

static int64_t after_a_minute(struct record_limit *limit)
{
    limit->learned_us -= MINUTE_AND_MORE_US;
    return record_limit_get(limit);
}

static void test_new__is_the_smaller_of_own_and_what_the_start_found(void **state)
{
    const struct rig *rig = *state;
    const int64_t found[] = {0, LOWERED, OWN + 1, TINY};
    const int64_t wanted[] = {OWN, LOWERED, OWN, OWN};

    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        struct record_limit limit = record_limit_new(&rig->config, found[i]);
        assert_int_equal(record_limit_get(&limit), wanted[i]);
    }
}

static void test_get__after_a_refusal_is_what_the_strictest_topic_takes(void **state)
{
    const struct rig *rig = *state;
    struct record_limit limit = record_limit_new(&rig->config, 0);
    limit_topics(rig, LOWERED, 2 * LOWERED);

    assert_int_equal(record_limit_get(&limit), OWN); /* nothing was refused */

    assert_int_equal(after_a_refusal(&limit), LOWERED);
    limit_topics(rig, 2 * LOWERED, 3 * LOWERED);
    assert_int_equal(record_limit_get(&limit), LOWERED); /* a minute is not over */
    assert_int_equal(after_a_refusal(&limit), 2 * LOWERED);
}

/* What takes less than an ordinary event is waited for: the limit stays. */
static void test_get__a_topic_that_takes_next_to_nothing_does_not_limit(void **state)
{
    const struct rig *rig = *state;
    struct record_limit limit = record_limit_new(&rig->config, 0);
    limit_topics(rig, TINY, OWN);

    for (int i = 0; i < 5; i++)
        assert_int_equal(after_a_refusal(&limit), OWN);
}

static void test_get__a_limit_that_was_raised_counts_after_a_minute(void **state)
{
    const struct rig *rig = *state;
    struct record_limit limit = record_limit_new(&rig->config, LOWERED);
    limit_topics(rig, 2 * OWN, 2 * OWN);

    assert_int_equal(record_limit_get(&limit), LOWERED);
    assert_int_equal(after_a_minute(&limit), OWN);
}

/* A broker may have another idea than the one that was asked. */
static void test_get__halves_what_is_refused_again_and_again(void **state)
{
    const struct rig *rig = *state;
    struct record_limit limit = record_limit_new(&rig->config, 0);
    limit_topics(rig, OWN, OWN);

    assert_int_equal(after_a_refusal(&limit), OWN);
    assert_int_equal(after_a_refusal(&limit), OWN);
    assert_int_equal(after_a_refusal(&limit), OWN / 2);

    assert_int_equal(after_a_minute(&limit), OWN);
    record_limit_passed(&limit);
    assert_int_equal(after_a_refusal(&limit), OWN);
}

/* As it is without the right to describe settings: a topic that is not there does not tell. */
static void test_get__halves_where_nobody_tells(void **state)
{
    const struct rig *rig = *state;
    struct rig elsewhere = {0};
    struct config config;
    snprintf(elsewhere.commands, sizeof(elsewhere.commands), "%.70s.not", rig->commands);
    snprintf(elsewhere.audit, sizeof(elsewhere.audit), "%.70s.not", rig->audit);
    elsewhere.config = rig->config;
    rig_replica(&elsewhere, "two", NULL, &config);
    struct record_limit limit = record_limit_new(&config, 0);

    assert_int_equal(after_a_refusal(&limit), OWN / 2);
    for (int i = 0; i < 10; i++)
        after_a_refusal(&limit);
    assert_int_equal(limit.now, KAFKA_RECORD_BYTES_LEAST);

    assert_int_equal(after_a_minute(&limit), OWN);
    config_release(&config);
}

static void test_get__without_a_broker_stays_what_it_was(void **state)
{
    const struct rig *rig = *state;
    struct config config;
    rig_replica(rig, "two", (const char *const[]){"bootstrap.servers=127.0.0.1:1", NULL}, &config);
    struct record_limit limit = record_limit_new(&config, LOWERED);

    assert_int_equal(after_a_refusal(&limit), LOWERED);
    assert_true(limit.refused); /* asked again the next time */
    config_release(&config);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new__is_the_smaller_of_own_and_what_the_start_found),
        TEST(test_get__after_a_refusal_is_what_the_strictest_topic_takes),
        TEST(test_get__a_topic_that_takes_next_to_nothing_does_not_limit),
        TEST(test_get__a_limit_that_was_raised_counts_after_a_minute),
        TEST(test_get__halves_what_is_refused_again_and_again),
        TEST(test_get__halves_where_nobody_tells),
        TEST(test_get__without_a_broker_stays_what_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
