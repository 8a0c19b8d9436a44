#include "recording.h"

#include "repo/pg/pg_copy.h"

static struct arena *arena_of(void **state)
{
    struct recording *recording = *state;
    return recording->arena;
}

enum { HEADER_BYTES = 19 };

static void test_pg_copy__an_empty_copy_is_header_and_trailer(void **state)
{
    static const uint8_t expected[HEADER_BYTES + 2] = {'P',  'G',  'C',  'O', 'P', 'Y',  '\n',
                                                       0xFF, '\r', '\n', 0,   0,   0,    0,
                                                       0,    0,    0,    0,   0,   0xFF, 0xFF};
    struct pg_copy copy;
    struct slice rows;

    pg_copy_init(&copy, arena_of(state), 0);

    assert_true(pg_copy_done(&copy, &rows));
    assert_int_equal(rows.length, sizeof(expected));
    assert_memory_equal(rows.data, expected, sizeof(expected));
}

/* Header and trailer are not looked at. */
static void assert_fields(struct pg_copy *copy, const uint8_t *expected, size_t length)
{
    struct slice rows;

    assert_true(pg_copy_done(copy, &rows));
    assert_int_equal(rows.length, HEADER_BYTES + length + 2);
    assert_memory_equal(rows.data + HEADER_BYTES, expected, length);
}

static void test_pg_copy__fields_have_length_and_bytes(void **state)
{
    static const uint8_t expected[] = {
        0,    8,                                                             /* fields */
        0,    0,    0,    2,    'a',  'b',                                   /* text */
        0,    0,    0,    0,                                                 /* empty text */
        0,    0,    0,    8,    0,    0,    0,    0,    0,    0,    0,    1, /* 1 us into 2000 */
        0,    0,    0,    16,   7,    0,    0,    0,    0,    0,    0,    0,
        0,    0,    0,    0,    0,    0,    0,    0,                            /* uuid */
        0,    0,    0,    8,    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, /* int8 */
        0,    0,    0,    4,    0,    0,    1,    2,                            /* int4 */
        0,    0,    0,    2,    0xFF, 0xFF,                                     /* int2 */
        0xFF, 0xFF, 0xFF, 0xFF,                                                 /* NULL */
    };
    const struct uuid uuid = {{7}};
    struct pg_copy copy;

    pg_copy_init(&copy, arena_of(state), 0);
    pg_copy_row(&copy, 8);
    pg_copy_text(&copy, TEXT("ab"));
    pg_copy_text(&copy, TEXT(""));
    pg_copy_time(&copy, INT64_C(946684800000001));
    pg_copy_uuid(&copy, &uuid);
    pg_copy_int8(&copy, -2);
    pg_copy_int4(&copy, 258);
    pg_copy_int2(&copy, -1);
    pg_copy_null(&copy);

    assert_fields(&copy, expected, sizeof(expected));
}

static void test_pg_copy__absent_values_are_null(void **state)
{
    static const uint8_t expected[] = {0,    3,    0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                       0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    struct pg_copy copy;

    pg_copy_init(&copy, arena_of(state), 0);
    pg_copy_row(&copy, 3);
    pg_copy_text(&copy, TEXT_ABSENT);
    pg_copy_time(&copy, TIMESTAMP_ABSENT);
    pg_copy_list(&copy, (struct text_list){NULL, 0});

    assert_fields(&copy, expected, sizeof(expected));
}

static void test_pg_copy__a_list_is_an_array(void **state)
{
    static const uint8_t expected[] = {
        0, 2,                                                             /* fields */
        0, 0, 0, 30,                                                      /* length */
        0, 0, 0, 1,  0,   0,   0, 0, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1, /* header */
        0, 0, 0, 2,  'a', 'b', 0, 0, 0, 0,                                /* elements */
        0, 0, 0, 12,                                                      /* length */
        0, 0, 0, 0,  0,   0,   0, 0, 0, 0, 0, 25,                         /* no dimensions */
    };
    const struct text items[] = {TEXT("ab"), TEXT("")};
    struct pg_copy copy;

    pg_copy_init(&copy, arena_of(state), 0);
    pg_copy_row(&copy, 2);
    pg_copy_list(&copy, (struct text_list){items, 2});
    pg_copy_list(&copy, (struct text_list){items, 0});

    assert_fields(&copy, expected, sizeof(expected));
}

static void test_pg_copy__grows_past_what_was_expected(void **state)
{
    enum { ROWS = 5000 };
    struct pg_copy copy;
    struct slice rows;

    pg_copy_init(&copy, arena_of(state), 64);
    for (size_t i = 0; i < ROWS; i++) {
        pg_copy_row(&copy, 1);
        pg_copy_text(&copy, TEXT("abc"));
    }

    assert_true(pg_copy_done(&copy, &rows));
    assert_int_equal(rows.length, HEADER_BYTES + ROWS * 9 + 2);
}

static void test_pg_copy__a_full_arena_shows_at_the_end(void **state)
{
    CLEANUP(arena_freep) struct arena *small = arena_new(256);
    const struct text items[] = {TEXT("ab")};
    const struct uuid uuid = {{7}};
    struct pg_copy copy;
    struct slice rows;
    (void)state;

    pg_copy_init(&copy, small, 1024);
    pg_copy_row(&copy, 8);
    pg_copy_text(&copy, TEXT("ab"));
    pg_copy_list(&copy, (struct text_list){items, 1});
    pg_copy_time(&copy, 0);
    pg_copy_uuid(&copy, &uuid);
    pg_copy_int8(&copy, 1);
    pg_copy_int4(&copy, 1);
    pg_copy_int2(&copy, 1);
    pg_copy_null(&copy);

    assert_false(pg_copy_done(&copy, &rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDING_TEST(test_pg_copy__an_empty_copy_is_header_and_trailer),
        RECORDING_TEST(test_pg_copy__fields_have_length_and_bytes),
        RECORDING_TEST(test_pg_copy__absent_values_are_null),
        RECORDING_TEST(test_pg_copy__a_list_is_an_array),
        RECORDING_TEST(test_pg_copy__grows_past_what_was_expected),
        RECORDING_TEST(test_pg_copy__a_full_arena_shows_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
