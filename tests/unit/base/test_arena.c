/* arena.h, buffer.h, map.h: memory with a ceiling. */
#include <stdalign.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/map.h"
#include "cmocka_all.h"

static void test_arena_alloc__aligned_for_any_type(void **state)
{
    struct arena *arena = arena_new(1000000);

    (void)state;
    for (size_t size = 0; size < 40; size++) {
        void *bytes = arena_alloc(arena, size);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % alignof(max_align_t), 0);
    }
    arena_free(arena);
}

static void test_arena_alloc__null_at_the_ceiling(void **state)
{
    struct arena *arena = arena_new(1000);
    size_t taken = 0;

    (void)state;
    while (arena_alloc(arena, 16) != NULL)
        taken += 16;

    assert_true(taken > 900 && taken <= 1000);
    assert_true(arena_held(arena) <= 1000);
    assert_int_equal(arena_used(arena), taken);
    assert_null(arena_alloc(arena, 1));
    arena_free(arena);
}

static void test_arena_alloc__one_allocation_may_be_the_whole_ceiling(void **state)
{
    struct arena *arena = arena_new(1000000);

    (void)state;
    assert_null(arena_alloc(arena, 1000001));
    /* the compiler must not see that nobody can mean these */
    volatile size_t absurd = SIZE_MAX;
    assert_null(arena_alloc(arena, absurd));
    assert_null(arena_alloc(arena, absurd - 3));
    assert_non_null(arena_alloc(arena, 1000000));
    assert_null(arena_alloc(arena, 1));
    arena_free(arena);
}

static void test_arena_calloc__cleared_and_overflow_is_null(void **state)
{
    struct arena *arena = arena_new(100000);
    static const uint8_t zeros[64];

    (void)state;
    memset(arena_alloc(arena, 64), 0xff, 64);
    arena_reset(arena);
    assert_memory_equal(arena_calloc(arena, 4, 16), zeros, 64);
    assert_null(arena_calloc(arena, SIZE_MAX / 2, 3));
    assert_non_null(arena_calloc(arena, 0, 16));
    arena_free(arena);
}

static void test_arena_reset__gives_the_memory_again(void **state)
{
    struct arena *arena = arena_new(1000000);

    (void)state;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 9; i++)
            assert_non_null(arena_alloc(arena, 100000));
        arena_reset(arena);
        assert_int_equal(arena_used(arena), 0);
    }
    arena_free(arena);
}

static void test_arena_reset__a_burst_does_not_stay(void **state)
{
    const size_t mebibyte = (size_t)1024 * 1024;
    struct arena *arena = arena_new(200 * mebibyte);

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_non_null(arena_alloc(arena, mebibyte));
    assert_true(arena_held(arena) >= 100 * mebibyte);
    arena_reset(arena);

    assert_true(arena_held(arena) <= 16 * mebibyte);
    arena_free(arena);
}

static void test_arena_extend__the_latest_grows_in_place(void **state)
{
    struct arena *arena = arena_new(1000000);
    char *first = arena_alloc(arena, 10);
    char *latest = arena_alloc(arena, 10);

    (void)state;
    char *longer = arena_extend(arena, latest, 10, 1000);

    assert_ptr_equal(longer, latest);
    memset(longer, 'x', 1000);
    char *next = arena_alloc(arena, 10);
    assert_true(next >= longer + 1000);
    assert_null(arena_extend(arena, first, 10, 20));
    assert_null(arena_extend(arena, longer, 1000, 1100));
    arena_free(arena);
}

static void test_arena_extend__not_beyond_its_block_nor_shorter(void **state)
{
    struct arena *arena = arena_new(1000000);
    char *latest = arena_alloc(arena, 100);
    size_t used = arena_used(arena);

    (void)state;
    assert_null(arena_extend(arena, latest, 100, 900000));
    assert_null(arena_extend(arena, latest, 100, 50));
    assert_null(arena_extend(arena, latest, 100, SIZE_MAX));

    assert_int_equal(arena_used(arena), used);
    arena_free(arena);
}

static void test_arena_rewind__frees_what_came_since(void **state)
{
    struct arena *arena = arena_new(1000000);

    (void)state;
    char *kept = arena_copy(arena, "kept", 4);
    struct arena_mark mark = arena_mark(arena);
    size_t used = arena_used(arena);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 9; i++)
            assert_non_null(arena_alloc(arena, 90000));
        arena_rewind(arena, mark);
        assert_int_equal(arena_used(arena), used);
    }

    assert_string_equal(kept, "kept");
    arena_free(arena);
}

static void test_arena_rewind__to_an_empty_arena(void **state)
{
    struct arena *arena = arena_new(1000000);
    struct arena_mark mark = arena_mark(arena);

    (void)state;
    assert_non_null(arena_alloc(arena, 900000));
    arena_rewind(arena, mark);

    assert_int_equal(arena_used(arena), 0);
    assert_non_null(arena_alloc(arena, 900000));
    arena_free(arena);
}

static void test_arena_copy__ends_with_a_nul_and_texts_stay_absent(void **state)
{
    struct arena *arena = arena_new(1000);
    struct text copy = TEXT("x");

    (void)state;
    assert_string_equal(arena_copy(arena, "abcdef", 3), "abc");
    assert_string_equal(arena_copy(arena, NULL, 0), "");

    assert_true(arena_copy_text(arena, TEXT_ABSENT, &copy));
    assert_null(copy.data);

    assert_true(arena_copy_text(arena, TEXT(""), &copy));
    assert_non_null(copy.data);
    assert_int_equal(copy.length, 0);

    assert_null(arena_copy(arena, "x", SIZE_MAX));
    arena_free(arena);
}

static void test_arena_copy_text__full(void **state)
{
    struct arena *arena = arena_new(1);
    struct text copy;

    (void)state;
    assert_false(arena_copy_text(arena, TEXT("x"), &copy));
    assert_null(arena_printf(arena, "%d", 5));
    arena_free(arena);
}

static void test_arena_printf(void **state)
{
    struct arena *arena = arena_new(10000);

    (void)state;
    assert_string_equal(arena_printf(arena, "%s-%03d", "a", 7), "a-007");
    assert_string_equal(arena_printf(arena, "%s", ""), "");
    arena_free(arena);
}

static void test_arena_trim__the_latest_gives_back(void **state)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(100000);
    (void)state;
    char *first = arena_alloc(arena, 100);
    char *latest = arena_alloc(arena, 1000);
    size_t used = arena_used(arena);
    assert_non_null(first);
    assert_non_null(latest);

    assert_false(arena_trim(arena, first, 100, 10));
    assert_false(arena_trim(arena, latest, 1000, 2000));
    assert_int_equal(arena_used(arena), used);
    assert_true(arena_trim(arena, latest, 1000, 16));

    assert_int_equal(arena_used(arena), used - (1008 - 16));
    assert_ptr_equal(arena_alloc(arena, 1), latest + 16);
}

static void test_buffer_trim__gives_back_what_is_not_used(void **state)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(100000);
    struct buffer buffer;
    (void)state;

    buffer_init(&buffer, arena);
    buffer_trim(&buffer);
    assert_int_equal(arena_used(arena), 0);
    buffer_reserve(&buffer, 1000);
    buffer_append_literal(&buffer, "a value");
    buffer_trim(&buffer);

    assert_int_equal(arena_used(arena), 16);
    assert_true(text_is(buffer_text(&buffer), "a value"));
    buffer_append_literal(&buffer, " and more");
    assert_non_null(arena_alloc(arena, 1));
    buffer_trim(&buffer);
    buffer_append_literal(&buffer, ", longer than what it had before it was trimmed");
    assert_true(text_is(buffer_text(&buffer),
                        "a value and more, longer than what it had before it was trimmed"));
}

static void test_buffer__grows_and_keeps_what_it_has(void **state)
{
    struct arena *arena = arena_new(1000000);
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, arena);
    for (int i = 0; i < 10000; i++)
        buffer_append_byte(&buffer, (uint8_t)i);
    buffer_append_literal(&buffer, "abc");
    buffer_append_text(&buffer, TEXT("de"));
    buffer_append_text(&buffer, TEXT_ABSENT);

    assert_false(buffer.full);
    assert_int_equal(buffer.length, 10005);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buffer.bytes[i], (uint8_t)i);
    assert_memory_equal(buffer.bytes + 10000, "abcde", 5);
    arena_free(arena);
}

static void test_buffer__full_is_remembered(void **state)
{
    struct arena *arena = arena_new(1000);
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, arena);
    buffer_append_literal(&buffer, "first");
    for (int i = 0; i < 300; i++)
        buffer_append_literal(&buffer, "0123456789");
    assert_true(buffer.full);
    size_t length = buffer.length;
    buffer_append_byte(&buffer, 'x');

    assert_int_equal(buffer.length, length);
    assert_null(buffer_reserve(&buffer, 1));
    assert_memory_equal(buffer.bytes, "first", 5);

    buffer_init(&buffer, arena);
    assert_null(buffer_reserve(&buffer, SIZE_MAX));
    assert_true(buffer.full);
    arena_free(arena);
}

static void test_buffer__empty_has_bytes(void **state)
{
    struct arena *arena = arena_new(1000);
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, arena);
    buffer_append(&buffer, NULL, 0);

    assert_non_null(buffer_text(&buffer).data);
    assert_int_equal(buffer_slice(&buffer).length, 0);
    arena_free(arena);
}

static void test_map__kinds_and_keys(void **state)
{
    struct arena *arena = arena_new((size_t)16 * 1024 * 1024);
    struct map map;
    bool is_new;

    (void)state;
    assert_true(map_init(&map, arena, 0));
    assert_null(map_get(&map, 1, TEXT("a")));
    *map_put(&map, 1, TEXT("a"), &is_new) = 10;
    assert_true(is_new);
    *map_put(&map, 2, TEXT("a"), &is_new) = 20;
    assert_true(is_new);
    assert_int_equal(*map_put(&map, 1, TEXT("a"), &is_new), 10);
    assert_false(is_new);

    assert_int_equal(*map_get(&map, 1, TEXT("a")), 10);
    assert_int_equal(*map_get(&map, 2, TEXT("a")), 20);
    assert_null(map_get(&map, 3, TEXT("a")));
    assert_null(map_get(&map, 1, TEXT("")));
    arena_free(arena);
}

static void test_map__grows_and_finds_everything(void **state)
{
    struct arena *arena = arena_new((size_t)64 * 1024 * 1024);
    struct map map;
    bool is_new;

    (void)state;
    assert_true(map_init(&map, arena, 4));
    for (size_t i = 0; i < 20000; i++)
        *map_put(&map, 7, text_of(arena_printf(arena, "key-%zu", i)), &is_new) = i;

    for (size_t i = 0; i < 20000; i++) {
        char key[24];
        snprintf(key, sizeof(key), "key-%zu", i);
        const size_t *value = map_get(&map, 7, text_of(key));
        assert_non_null(value);
        assert_int_equal(*value, i);
    }
    assert_int_equal(map.used, 20000);
    arena_free(arena);
}

static void test_map__full_arena(void **state)
{
    struct arena *arena = arena_new(4096);
    struct map map;
    bool is_new;
    char keys[1000][8];
    size_t put = 0;

    (void)state;
    assert_true(map_init(&map, arena, 0));
    for (; put < 1000; put++) {
        snprintf(keys[put], sizeof(keys[put]), "%zu", put);
        size_t *value = map_put(&map, 0, text_of(keys[put]), &is_new);
        if (value == NULL)
            break;
        *value = put;
    }
    assert_true(put > 4 && put < 1000);
    assert_int_equal(*map_get(&map, 0, TEXT("3")), 3);

    struct arena *none = arena_new(1);
    assert_false(map_init(&map, none, 0));
    arena_free(none);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_alloc__aligned_for_any_type),
        cmocka_unit_test(test_arena_alloc__null_at_the_ceiling),
        cmocka_unit_test(test_arena_alloc__one_allocation_may_be_the_whole_ceiling),
        cmocka_unit_test(test_arena_calloc__cleared_and_overflow_is_null),
        cmocka_unit_test(test_arena_reset__gives_the_memory_again),
        cmocka_unit_test(test_arena_reset__a_burst_does_not_stay),
        cmocka_unit_test(test_arena_extend__the_latest_grows_in_place),
        cmocka_unit_test(test_arena_extend__not_beyond_its_block_nor_shorter),
        cmocka_unit_test(test_arena_rewind__frees_what_came_since),
        cmocka_unit_test(test_arena_rewind__to_an_empty_arena),
        cmocka_unit_test(test_arena_copy__ends_with_a_nul_and_texts_stay_absent),
        cmocka_unit_test(test_arena_copy_text__full),
        cmocka_unit_test(test_arena_printf),
        cmocka_unit_test(test_arena_trim__the_latest_gives_back),
        cmocka_unit_test(test_buffer_trim__gives_back_what_is_not_used),
        cmocka_unit_test(test_buffer__grows_and_keeps_what_it_has),
        cmocka_unit_test(test_buffer__full_is_remembered),
        cmocka_unit_test(test_buffer__empty_has_bytes),
        cmocka_unit_test(test_map__kinds_and_keys),
        cmocka_unit_test(test_map__grows_and_finds_everything),
        cmocka_unit_test(test_map__full_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
