#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/apply/waves.h"

enum { ARENA_BYTES = 1024 * 1024 };

static struct waves waves;

static int setup(void **state)
{
    struct arena *arena = arena_new(ARENA_BYTES);

    *state = arena;
    return arena != NULL && waves_init(&waves, arena, 2) ? 0 : -1;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

static size_t place(const struct resource *touched, size_t count)
{
    size_t wave = SIZE_MAX;

    assert_true(waves_place(&waves, touched, count, &wave));
    return wave;
}

static size_t place_one(enum resource_kind kind, const char *name, bool merges)
{
    const struct resource touched = {kind, text_of(name), merges};
    return place(&touched, 1);
}

static void test_waves_place__independent_commands_share_the_first_wave(void **state)
{
    (void)state;

    assert_int_equal(place_one(RESOURCE_USER, "a", false), 0);
    assert_int_equal(place_one(RESOURCE_USER, "b", false), 0);
    assert_int_equal(place_one(RESOURCE_KEY, "a", false), 0);
    assert_int_equal(place(NULL, 0), 0);
    assert_int_equal(waves.count, 1);
}

static void test_waves_place__the_same_row_comes_one_wave_later_each_time(void **state)
{
    (void)state;

    assert_int_equal(place_one(RESOURCE_USER, "a", false), 0);
    assert_int_equal(place_one(RESOURCE_USER, "a", false), 1);
    assert_int_equal(place_one(RESOURCE_USER, "a", false), 2);
    assert_int_equal(waves.count, 3);
}

static void test_waves_place__usages_of_one_key_merge_until_something_else_touches_it(void **state)
{
    (void)state;

    assert_int_equal(place_one(RESOURCE_KEY, "k", false), 0); /* issue */
    assert_int_equal(place_one(RESOURCE_KEY, "k", true), 1);
    assert_int_equal(place_one(RESOURCE_KEY, "k", true), 1);
    assert_int_equal(place_one(RESOURCE_KEY, "k", false), 2); /* revocation */
    assert_int_equal(place_one(RESOURCE_KEY, "k", true), 3);
}

static void test_waves_place__a_command_waits_for_the_latest_of_its_rows(void **state)
{
    const struct resource both[] = {{RESOURCE_ORG, TEXT("o2"), false},
                                    {RESOURCE_ORG_SLUG, TEXT("s"), false}};
    (void)state;

    assert_int_equal(place_one(RESOURCE_ORG_SLUG, "s", false), 0);
    assert_int_equal(place_one(RESOURCE_ORG_SLUG, "s", false), 1);

    assert_int_equal(place(both, 2), 2);
    assert_int_equal(place_one(RESOURCE_ORG, "o2", false), 3);
}

static void test_waves_place__names_of_different_kinds_do_not_meet(void **state)
{
    (void)state;

    assert_int_equal(place_one(RESOURCE_KEY, "x", false), 0);
    assert_int_equal(place_one(RESOURCE_KEY_HASH, "x", false), 0);
}

static void test_waves_place__thousands_of_rows_keep_their_waves(void **state)
{
    struct arena *arena = *state;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2000; i++) {
            char *name = arena_printf(arena, "%d", i);
            assert_int_equal(place_one(RESOURCE_GROUP, name, false), (size_t)round);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_waves_place__independent_commands_share_the_first_wave),
        TEST(test_waves_place__the_same_row_comes_one_wave_later_each_time),
        TEST(test_waves_place__usages_of_one_key_merge_until_something_else_touches_it),
        TEST(test_waves_place__a_command_waits_for_the_latest_of_its_rows),
        TEST(test_waves_place__names_of_different_kinds_do_not_meet),
        TEST(test_waves_place__thousands_of_rows_keep_their_waves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
