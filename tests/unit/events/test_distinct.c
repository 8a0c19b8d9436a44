/* Equal texts, and base 64. */
#include <stdio.h>

#include "events/wire/base64.h"
#include "events/wire/distinct.h"
#include "support.h"

static struct text *numbers(void **state, size_t count, size_t modulus)
{
    struct text *texts = ARENA_ARRAY(*state, struct text, count);

    assert_non_null(texts);
    for (size_t i = 0; i < count; i++)
        texts[i] = text_of(arena_printf(*state, "%zu", i % modulus));
    return texts;
}

static void test_texts_distinct__few_and_many(void **state)
{
    static const size_t counts[] = {0, 1, 2, 16, 17, 1000};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        assert_true(texts_distinct(numbers(state, counts[i], 100000), counts[i]));
        if (counts[i] >= 2)
            assert_false(texts_distinct(numbers(state, counts[i], counts[i] - 1), counts[i]));
    }
}

static void test_texts_distinct__empty_texts_are_equal(void **state)
{
    struct text texts[] = {TEXT(""), TEXT("a"), TEXT("")};

    (void)state;
    assert_false(texts_distinct(texts, 3));
}

static void test_texts_deduplicate__keeps_the_first_of_each_in_order(void **state)
{
    static const size_t counts[] = {0, 1, 5, 16, 17, 999};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const size_t modulus = 7;
        size_t count = counts[i];
        struct text *texts = numbers(state, count, modulus);

        assert_true(texts_deduplicate(texts, &count, *state));

        assert_int_equal(count, counts[i] < modulus ? counts[i] : modulus);
        for (size_t n = 0; n < count; n++)
            assert_text(texts[n], arena_printf(*state, "%zu", n));
    }
}

static void test_texts_deduplicate__full_arena(void **state)
{
    struct arena *small = arena_new(1);
    size_t count = 17;

    assert_false(texts_deduplicate(numbers(state, count, 5), &count, small));

    arena_free(small);
}

/* RFC 4648, section 10 */
static void test_base64__the_vectors_of_the_rfc(void **state)
{
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct buffer buffer;
        struct slice bytes;
        struct err err = {.text = ""};

        buffer_init(&buffer, *state);
        base64_append(&buffer, slice_of_text(text_of(vectors[i][0])));
        assert_slice(buffer_slice(&buffer), slice_of_text(text_of(vectors[i][1])));

        assert_int_equal(base64_decode(text_of(vectors[i][1]), *state, &bytes, &err), OUTCOME_OK);
        assert_slice(bytes, slice_of_text(text_of(vectors[i][0])));
    }
}

static void test_base64_decode__what_is_none(void **state)
{
    static const char *const wrong[] = {"Zg",   "Zg=",  "Z===", "====", "Zg==Zg==", "Zm9v=",
                                        "Zm 9", "Zm9-", "Zm9_", "Z=g=", "Zm9vZ\n=="};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct slice bytes;
        struct err err = {.text = ""};

        assert_int_equal(base64_decode(text_of(wrong[i]), *state, &bytes, &err), OUTCOME_REJECT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_distinct__few_and_many),
        cmocka_unit_test(test_texts_distinct__empty_texts_are_equal),
        cmocka_unit_test(test_texts_deduplicate__keeps_the_first_of_each_in_order),
        cmocka_unit_test(test_texts_deduplicate__full_arena),
        cmocka_unit_test(test_base64__the_vectors_of_the_rfc),
        cmocka_unit_test(test_base64_decode__what_is_none),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
