#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crash_point.h"

static enum outcome arm(const char *spec)
{
    struct err err;

    assert_int_equal(setenv("WORKER_CRASH_POINT", spec, 1), 0);
    return crash_points_arm(&err);
}

static void silence(void)
{
    if (freopen("/dev/null", "w", stderr) == NULL)
        _exit(98);
}

/* The wait status of a child that comes by after_find `times` times. */
static int pass_by(const char *spec, int times)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        silence();
        if (arm(spec) != OUTCOME_OK)
            _exit(99);
        for (int i = 0; i < times; i++)
            CRASH_POINT(after_find);
        CRASH_POINT(after_apply);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    if (WIFSTOPPED(status)) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return status;
}

static void test_crash_point__nothing_armed_nothing_happens(void **state)
{
    (void)state;
    int status = pass_by("", 3);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_crash_point__kills_at_the_nth_time(void **state)
{
    (void)state;
    assert_true(WIFEXITED(pass_by("after_find:3", 2)));
    int status = pass_by("after_find:3", 3);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void test_crash_point__stops(void **state)
{
    (void)state;
    int status = pass_by("after_find:1:stop", 1);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(WSTOPSIG(status), SIGSTOP);
}

static void test_crash_point__several(void **state)
{
    (void)state;
    assert_true(WIFSIGNALED(pass_by("after_find:9,after_apply", 1)));
}

static void test_crash_points_arm__refuses_what_would_test_nothing(void **state)
{
    (void)state;
    assert_int_equal(arm("after_fin"), OUTCOME_REJECT);
    assert_int_equal(arm("after_find:0"), OUTCOME_REJECT);
    assert_int_equal(arm("after_find:1:die"), OUTCOME_REJECT);
    assert_int_equal(arm("after_find:1:kill:more"), OUTCOME_REJECT);
    assert_int_equal(arm("after_find;"), OUTCOME_REJECT);
    assert_int_equal(arm("after_find,after_find,after_find,after_find,after_find"), OUTCOME_REJECT);
    assert_int_equal(arm(""), OUTCOME_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_point__nothing_armed_nothing_happens),
        cmocka_unit_test(test_crash_point__kills_at_the_nth_time),
        cmocka_unit_test(test_crash_point__stops),
        cmocka_unit_test(test_crash_point__several),
        cmocka_unit_test(test_crash_points_arm__refuses_what_would_test_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
