#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/daemon/watchdog.h"

enum { LANES = 2, LOOKS = 3 };

static struct lane_metrics metrics[LANES];
static const struct lane_metrics *const lanes[LANES] = {&metrics[0], &metrics[1]};
static struct watchdog watchdog;

static int setup(void **state)
{
    (void)state;
    watchdog = (struct watchdog){0};
    for (size_t i = 0; i < LANES; i++) {
        atomic_store(&metrics[i].progress_us, 1);
        atomic_store(&metrics[i].stopped, 0);
        atomic_store(&metrics[i].publishing, 0);
    }
    return 0;
}

static int look_at(bool stopping)
{
    return watchdog_look(&watchdog, lanes, LANES, LOOKS, stopping);
}

static int look(void)
{
    return look_at(false);
}

static void go_round(size_t lane)
{
    atomic_fetch_add(&metrics[lane].progress_us, 1);
}

static void test_lanes_that_go_round_do_not_hang(void **state)
{
    (void)state;
    for (int i = 0; i < 10 * LOOKS; i++) {
        go_round(0);
        go_round(1);
        assert_int_equal(look(), -1);
    }
}

static void test_the_lane_that_stands_is_named(void **state)
{
    (void)state;
    for (int i = 0; i < 1 + LOOKS; i++) {
        go_round(0);
        assert_int_equal(look(), -1);
    }
    go_round(0);
    assert_int_equal(look(), 1);
}

static void test_a_lane_that_publishes_has_a_minute(void **state)
{
    (void)state;
    atomic_store(&metrics[1].publishing, 1);
    for (int i = 0; i < 61; i++)
        assert_int_equal(watchdog_look(&watchdog, lanes, LANES, 1000, false), -1);
    assert_int_equal(watchdog_look(&watchdog, lanes, LANES, 1000, false), 1);
}

static void test_a_lane_that_goes_on_begins_anew(void **state)
{
    (void)state;
    for (int i = 0; i < 10 * LOOKS; i++) {
        if (i % LOOKS == 0) {
            go_round(0);
            go_round(1);
        }
        assert_int_equal(look(), -1);
    }
}

static void test_a_lane_that_has_ended_hangs_only_while_it_should_come_back(void **state)
{
    (void)state;
    atomic_store(&metrics[1].stopped, 1);
    for (int i = 0; i < 10 * LOOKS; i++) {
        go_round(0);
        assert_int_equal(look_at(true), -1);
    }
    for (int i = 0; i < LOOKS; i++) {
        go_round(0);
        assert_int_equal(look(), -1);
    }
    go_round(0);
    assert_int_equal(look(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_lanes_that_go_round_do_not_hang, setup),
        cmocka_unit_test_setup(test_the_lane_that_stands_is_named, setup),
        cmocka_unit_test_setup(test_a_lane_that_publishes_has_a_minute, setup),
        cmocka_unit_test_setup(test_a_lane_that_goes_on_begins_anew, setup),
        cmocka_unit_test_setup(test_a_lane_that_has_ended_hangs_only_while_it_should_come_back,
                               setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
