#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repo/pg/pg_binary.h"

static int setup(void **state)
{
    *state = arena_new((size_t)1024 * 1024);
    return *state == NULL;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

static struct cell cell_of(const struct params *params, size_t index)
{
    return (struct cell){params->items[index].data, params->items[index].length};
}

static struct pg_row row_of(const struct rows *rows, struct arena *arena)
{
    struct pg_row row;
    pg_row_init(&row, rows, 0, arena);
    return row;
}

static void test_params__scalars_are_big_endian(void **state)
{
    static const uint8_t int8[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE};
    static const uint8_t int4[] = {0, 0, 1, 2};
    static const uint8_t time[] = {0, 0, 0, 0, 0, 0, 0, 1}; /* one microsecond into 2000 */
    struct params params;
    struct statement statement = {.name = NULL};

    params_init(&params, *state, 4);
    params_int8(&params, -2);
    params_int4(&params, 258);
    params_time(&params, INT64_C(946684800000001));
    params_bool(&params, true);

    assert_true(params_done(&params, &statement));
    assert_int_equal(statement.param_count, 4);
    assert_int_equal(statement.params[0].type, PG_INT8);
    assert_memory_equal(statement.params[0].data, int8, 8);
    assert_memory_equal(statement.params[1].data, int4, 4);
    assert_memory_equal(statement.params[2].data, time, 8);
    assert_int_equal(*(const uint8_t *)statement.params[3].data, 1);
}

static void test_params__absent_values_are_null(void **state)
{
    struct params params;

    params_init(&params, *state, 4);
    params_text(&params, TEXT_ABSENT);
    params_time(&params, TIMESTAMP_ABSENT);
    params_uuid(&params, NULL);
    params_json(&params, TEXT_ABSENT);

    for (size_t i = 0; i < 4; i++)
        assert_null(params.items[i].data);
}

static void test_params__an_empty_text_is_not_null(void **state)
{
    struct params params;

    params_init(&params, *state, 1);
    params_text(&params, TEXT(""));

    assert_non_null(params.items[0].data);
    assert_int_equal(params.items[0].length, 0);
}

static void test_array__header_counts_elements_and_flags_nulls(void **state)
{
    static const uint8_t expected[] = {0, 0, 0, 1, 0, 0, 0, 1, 0, 0,   0,    25,   0,    0,   0,
                                       2, 0, 0, 0, 1, 0, 0, 0, 1, 'a', 0xFF, 0xFF, 0xFF, 0xFF};
    const struct text items[] = {TEXT("a"), TEXT_ABSENT};
    struct params params;

    params_init(&params, *state, 1);
    params_text_array(&params, items, 2);

    assert_int_equal(params.items[0].type, PG_TEXT_ARRAY);
    assert_int_equal(params.items[0].length, sizeof(expected));
    assert_memory_equal(params.items[0].data, expected, sizeof(expected));
}

static void test_array__without_elements_has_no_dimension(void **state)
{
    static const uint8_t expected[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0B, 0x86};
    struct params params;

    params_init(&params, *state, 1);
    params_uuid_array(&params, NULL, 0);

    assert_int_equal(params.items[0].length, sizeof(expected));
    assert_memory_equal(params.items[0].data, expected, sizeof(expected));
}

static void test_array__declares_each_element_type(void **state)
{
    static const struct {
        enum pg_type array;
        enum pg_type element;
    } cases[] = {
        {PG_TEXT_ARRAY, PG_TEXT}, {PG_JSON_ARRAY, PG_JSON},
        {PG_BOOL_ARRAY, PG_BOOL}, {PG_INT4_ARRAY, PG_INT4},
        {PG_INT8_ARRAY, PG_INT8}, {PG_TIMESTAMPTZ_ARRAY, PG_TIMESTAMPTZ},
        {PG_UUID_ARRAY, PG_UUID}, {PG_BYTEA_ARRAY, PG_BYTEA},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct params params;
        struct pg_array array;
        struct pg_elements elements;
        params_init(&params, *state, 1);
        pg_array_init(&array, cases[i].array, *state);
        pg_array_null(&array);
        params_array(&params, &array);

        assert_true(pg_elements_init(&elements, cell_of(&params, 0)));
        assert_int_equal(elements.type, cases[i].element);
        assert_int_equal(elements.count, 1);
    }
}

static void test_array__reads_back_element_by_element(void **state)
{
    struct params params;
    struct pg_array array;
    struct pg_elements elements;
    struct cell element;
    int64_t value;

    params_init(&params, *state, 1);
    pg_array_init(&array, PG_INT8_ARRAY, *state);
    pg_array_int8(&array, INT64_MAX);
    pg_array_null(&array);
    params_array(&params, &array);

    assert_true(pg_elements_init(&elements, cell_of(&params, 0)));
    assert_true(pg_elements_next(&elements, &element));
    assert_true(pg_cell_int(element, &value));
    assert_int_equal(value, INT64_MAX);
    assert_true(pg_elements_next(&elements, &element));
    assert_null(element.data);
    assert_false(pg_elements_next(&elements, &element));
}

static void test_elements__a_cell_cut_short_is_refused(void **state)
{
    const struct text items[] = {TEXT("abc"), TEXT("def")};
    struct params params;
    struct pg_elements elements;
    struct cell element;

    params_init(&params, *state, 1);
    params_text_array(&params, items, 2);
    struct cell whole = cell_of(&params, 0);

    for (size_t length = 0; length < whole.length; length++) {
        struct cell cut = {whole.data, length};
        size_t taken = 0;
        if (!pg_elements_init(&elements, cut))
            continue;
        while (pg_elements_next(&elements, &element))
            taken++;
        assert_true(taken < 2);
    }
}

static void test_elements__a_count_larger_than_the_bytes_is_refused(void **state)
{
    (void)state;
    static const char lie[] = "\0\0\0\1\0\0\0\0\0\0\0\31\177\377\377\377\0\0\0\1";
    struct pg_elements elements;

    assert_false(pg_elements_init(&elements, (struct cell){lie, 20}));
}

static void test_list_literal__escapes_quotes_and_backslashes(void **state)
{
    const struct text items[] = {TEXT("a"), TEXT("b\"c"), TEXT("d\\e"), TEXT("")};
    struct buffer buffer;

    buffer_init(&buffer, *state);
    pg_list_literal(&buffer, (struct text_list){items, 4});

    assert_true(text_is(buffer_text(&buffer), "{\"a\",\"b\\\"c\",\"d\\\\e\",\"\"}"));
}

static void test_params__a_full_arena_shows_at_the_end(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *small = arena_new((size_t)64 * 1024);
    struct statement statement;
    struct params params;
    struct pg_array array;

    params_init(&params, small, 1);
    pg_array_init(&array, PG_INT8_ARRAY, small);
    for (int64_t i = 0; i < 100000; i++)
        pg_array_int8(&array, i);
    params_array(&params, &array);

    assert_false(params_done(&params, &statement));
}

static void test_row__null_reads_as_absent(void **state)
{
    const struct cell cells[7] = {{NULL, 0}};
    const struct rows rows = {1, 1, 7, cells};
    struct pg_row row = row_of(&rows, *state);
    struct uuid uuid;
    struct err err;

    assert_false(text_present(pg_row_text(&row)));
    assert_false(text_present(pg_row_json(&row)));
    assert_int_equal(pg_row_int(&row), 0);
    assert_false(pg_row_bool(&row));
    assert_int_equal(pg_row_time(&row), TIMESTAMP_ABSENT);
    assert_false(pg_row_uuid(&row, &uuid));
    assert_null(pg_row_list(&row).items);
    assert_int_equal(pg_row_done(&row, "x", &err), OUTCOME_OK);
}

static void test_row__jsonb_loses_its_version_byte(void **state)
{
    const struct cell cells[] = {{"\1{}", 3}, {"{}", 2}};
    const struct rows rows = {1, 1, 2, cells};
    struct pg_row row = row_of(&rows, *state);

    assert_true(text_is(pg_row_json(&row), "{}"));
    assert_true(text_is(pg_row_json(&row), "{}"));
}

static void test_row__the_first_problem_is_told_with_its_column(void **state)
{
    const struct cell cells[] = {{"abc", 3}, {"ab", 2}, {"x", 1}};
    const struct rows rows = {1, 1, 3, cells};
    struct pg_row row = row_of(&rows, *state);
    struct uuid uuid;
    struct err err;

    assert_true(text_is(pg_row_text(&row), "abc"));
    assert_false(pg_row_uuid(&row, &uuid));
    assert_false(text_present(pg_row_text(&row)));

    assert_int_equal(pg_row_done(&row, "key", &err), OUTCOME_FATAL);
    assert_string_equal(err.text, "key: column 2: not a uuid");
}

static void test_row__each_kind_refuses_another_size(void **state)
{
    const struct cell cells[] = {{"abc", 3}};
    const struct rows rows = {1, 1, 1, cells};
    struct pg_row row;

    row = row_of(&rows, *state);
    (void)pg_row_int(&row);
    assert_string_equal(row.problem, "not an integer");
    row = row_of(&rows, *state);
    (void)pg_row_bool(&row);
    assert_string_equal(row.problem, "not a boolean");
    row = row_of(&rows, *state);
    assert_int_equal(pg_row_time(&row), TIMESTAMP_ABSENT);
    assert_non_null(row.problem);
    row = row_of(&rows, *state);
    assert_null(pg_row_list(&row).items);
    assert_string_equal(row.problem, "not an array");
}

static void test_row__fewer_columns_than_asked_for_fail(void **state)
{
    const struct cell cells[] = {{"abc", 3}};
    const struct rows rows = {1, 1, 1, cells};
    struct pg_row row = row_of(&rows, *state);
    struct err err;

    pg_row_skip(&row);
    (void)pg_row_text(&row);

    assert_int_equal(pg_row_done(&row, "key", &err), OUTCOME_FATAL);
}

static void test_row__a_null_in_a_list_is_left_out(void **state)
{
    const struct text items[] = {TEXT_ABSENT, TEXT("a"), TEXT_ABSENT};
    struct params params;

    params_init(&params, *state, 1);
    params_text_array(&params, items, 3);
    const struct cell cells[] = {cell_of(&params, 0)};
    const struct rows rows = {1, 1, 1, cells};
    struct pg_row row = row_of(&rows, *state);

    struct text_list list = pg_row_list(&row);

    assert_null(row.problem);
    assert_int_equal(list.count, 1);
    assert_true(text_is(list.items[0], "a"));
}

/* {{a,b},{c,d}} as array_send() writes it. */
static void test_row__more_dimensions_are_one(void **state)
{
    static const char bytes[] = "\0\0\0\2\0\0\0\0\0\0\0\31\0\0\0\2\0\0\0\1\0\0\0\2\0\0\0\1"
                                "\0\0\0\1a\0\0\0\1b\0\0\0\1c\0\0\0\1d";
    const struct cell cells[] = {{bytes, sizeof(bytes) - 1}};
    const struct rows rows = {1, 1, 1, cells};
    struct pg_row row = row_of(&rows, *state);

    struct text_list list = pg_row_list(&row);

    assert_null(row.problem);
    assert_int_equal(list.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(list.items[i].data[0], "abcd"[i]);
}

static void test_elements__dimensions_that_lie_are_refused(void **state)
{
    static const char lie[] = "\0\0\0\2\0\0\0\0\0\0\0\31\0\1\0\0\0\0\0\1\0\1\0\0\0\0\0\1"
                              "\0\0\0\1a";
    static const char seven[64] = "\0\0\0\7";
    struct pg_elements elements;
    (void)state;

    assert_false(pg_elements_init(&elements, (struct cell){lie, sizeof(lie) - 1}));
    assert_false(pg_elements_init(&elements, (struct cell){seven, sizeof(seven)}));
}

static void test_cell_time__infinity_and_far_years_are_read(void **state)
{
    (void)state;
    int64_t us;

    assert_true(pg_cell_time((struct cell){"\177\377\377\377\377\377\377\377", 8}, &us));
    assert_true(us == TIMESTAMP_INFINITY);
    assert_true(pg_cell_time((struct cell){"\200\0\0\0\0\0\0\0", 8}, &us));
    assert_true(us == TIMESTAMP_MINUS_INFINITY);
    assert_false(pg_cell_time((struct cell){"\177\377\377\377\377\377\377\376", 8}, &us));
    assert_true(pg_cell_time((struct cell){"\0\0\0\0\0\0\0\0", 8}, &us));
    assert_int_equal(us, INT64_C(946684800000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params__scalars_are_big_endian),
        cmocka_unit_test(test_params__absent_values_are_null),
        cmocka_unit_test(test_params__an_empty_text_is_not_null),
        cmocka_unit_test(test_array__header_counts_elements_and_flags_nulls),
        cmocka_unit_test(test_array__without_elements_has_no_dimension),
        cmocka_unit_test(test_array__declares_each_element_type),
        cmocka_unit_test(test_array__reads_back_element_by_element),
        cmocka_unit_test(test_elements__a_cell_cut_short_is_refused),
        cmocka_unit_test(test_elements__a_count_larger_than_the_bytes_is_refused),
        cmocka_unit_test(test_list_literal__escapes_quotes_and_backslashes),
        cmocka_unit_test(test_params__a_full_arena_shows_at_the_end),
        cmocka_unit_test(test_row__null_reads_as_absent),
        cmocka_unit_test(test_row__jsonb_loses_its_version_byte),
        cmocka_unit_test(test_row__the_first_problem_is_told_with_its_column),
        cmocka_unit_test(test_row__each_kind_refuses_another_size),
        cmocka_unit_test(test_row__fewer_columns_than_asked_for_fail),
        cmocka_unit_test(test_row__a_null_in_a_list_is_left_out),
        cmocka_unit_test(test_row__more_dimensions_are_one),
        cmocka_unit_test(test_elements__dimensions_that_lie_are_refused),
        cmocka_unit_test(test_cell_time__infinity_and_far_years_are_read),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
