#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "worker/daemon/supervisor.h"

/* Lanes that cannot be built, because librdkafka refuses to make a consumer whose certificate is
 * not there: what a supervisor does about them needs no server. */

enum { WAIT_S = 10 };

static struct config config;
static struct supervisor *supervisor;
static sigset_t signals;

static int setup(void **state)
{
    char lanes[] = "CATALYST_LANES=2", protocol[] = "CATALYST_KAFKA_SECURITY_PROTOCOL=ssl";
    char authority[] = "CATALYST_KAFKA_SSL_CA_LOCATION=/nonexistent/ca.pem";
    char *environment[] = {lanes, protocol, authority, NULL};
    struct config_problems problems;
    struct err err;
    (void)state;

    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (config_load(NULL, environment, NULL, 0, &config, &problems, &err) != OUTCOME_OK)
        return -1;
    return supervisor_new(&config, &supervisor, &err) == OUTCOME_OK ? 0 : -1;
}

static int teardown(void **state)
{
    const struct timespec none = {0};
    (void)state;

    supervisor_free(supervisor);
    config_release(&config);
    int caught;
    do
        caught = sigtimedwait(&signals, NULL, &none);
    while (caught == SIGUSR1);
    return 0;
}

static void start(int64_t pause_min_ms)
{
    struct err err;
    assert_int_equal(supervisor_start(supervisor, 0, pause_min_ms, &err), OUTCOME_OK);
}

/* Waits as the daemon does: every lane that ends sends a signal. */
static void wait_until_none_runs(void)
{
    const struct timespec limit = {.tv_sec = WAIT_S};

    while (supervisor_running(supervisor) > 0)
        assert_int_equal(sigtimedwait(&signals, NULL, &limit), SIGUSR1);
}

static void test_supervisor__gives_up_when_building_anew_does_not_help(void **state)
{
    (void)state;

    start(1);
    wait_until_none_runs();

    assert_true(supervisor_gave_up(supervisor));
    for (size_t i = 0; i < supervisor_lane_count(supervisor); i++)
        assert_true(atomic_load(&supervisor_metrics(supervisor)[i]->stopped));
}

static void test_supervisor_stop__does_not_wait_for_a_pause(void **state)
{
    (void)state;
    start(30000);
    clock_sleep_us(100000); /* both lanes have failed once and rest */
    assert_int_equal(supervisor_running(supervisor), 2);
    int64_t since_us = clock_monotonic_us();

    supervisor_stop(supervisor);
    wait_until_none_runs();

    assert_true(clock_monotonic_us() - since_us < 2000000);
    assert_false(supervisor_gave_up(supervisor));
}

static void test_supervisor__a_resting_lane_shows_progress(void **state)
{
    (void)state;
    start(30000);
    clock_sleep_us(200000);
    int64_t early_us = atomic_load(&supervisor_metrics(supervisor)[0]->progress_us);

    clock_sleep_us(200000);

    assert_true(atomic_load(&supervisor_metrics(supervisor)[0]->progress_us) > early_us);
}

static void test_supervisor__nothing_runs_before_the_start(void **state)
{
    (void)state;

    assert_int_equal(supervisor_lane_count(supervisor), 2);
    assert_int_equal(supervisor_running(supervisor), 0);
    assert_true(atomic_load(&supervisor_metrics(supervisor)[1]->partitions) == -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_supervisor__gives_up_when_building_anew_does_not_help),
        TEST(test_supervisor_stop__does_not_wait_for_a_pause),
        TEST(test_supervisor__a_resting_lane_shows_progress),
        TEST(test_supervisor__nothing_runs_before_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
