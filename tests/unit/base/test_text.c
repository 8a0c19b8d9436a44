/* slice.h, utf8.h, json.h, err.h */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/utf8.h"
#include "cmocka_all.h"

static void test_text__presence_and_equality(void **state)
{
    (void)state;
    assert_false(text_present(TEXT_ABSENT));
    assert_true(text_present(TEXT("")));
    assert_true(text_equal(TEXT_ABSENT, TEXT("")));
    assert_true(text_equal(TEXT("ab"), TEXT("ab")));
    assert_false(text_equal(TEXT("ab"), TEXT("abc")));
    assert_true(text_is(TEXT("ab"), "ab"));
    assert_false(text_is(TEXT("abc"), "ab"));
    assert_false(text_is(TEXT_ABSENT, ""));
    assert_false(text_is(TEXT("b"), "a"));
    assert_false(text_is(TEXT("a"), ""));
    assert_false(text_is(TEXT(""), "a"));
    assert_true(text_is(TEXT(""), ""));
    assert_true(text_starts_with(TEXT("ce_id"), "ce_"));
    assert_false(text_starts_with(TEXT("ce"), "ce_"));
    assert_null(text_of(NULL).data);
}

static void test_text_compare__bytewise(void **state)
{
    static const char *const ordered[] = {"", "A", "Z", "a", "aa", "ab", "b", "\xc3\xa9", "\xff"};

    (void)state;
    for (size_t i = 0; i < sizeof(ordered) / sizeof(ordered[0]); i++) {
        for (size_t j = 0; j < sizeof(ordered) / sizeof(ordered[0]); j++) {
            int order = text_compare(text_of(ordered[i]), text_of(ordered[j]));
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

/* Every code point, encoded here, is valid but for surrogates; so is no other sequence. */
static size_t encode(uint32_t point, size_t length, char *bytes)
{
    static const uint8_t leads[] = {0, 0x00, 0xC0, 0xE0, 0xF0, 0xF8};

    for (size_t i = length - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    bytes[0] = (char)(leads[length] | point);
    return length;
}

static void test_utf8_valid__every_code_point_in_its_shortest_form(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x110400; point++) {
        size_t length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        bool surrogate = point >= 0xD800 && point <= 0xDFFF;
        char bytes[5];

        encode(point, length, bytes);
        bool expected = !surrogate && point <= 0x10FFFF;

        assert_int_equal(utf8_valid((struct text){bytes, length}), expected);
        if (length < 4 && point > 0) {
            encode(point, length + 1, bytes); /* overlong */
            assert_false(utf8_valid((struct text){bytes, length + 1}));
        }
        encode(point, length, bytes);
        if (length > 1)
            assert_false(utf8_valid((struct text){bytes, length - 1})); /* cut */
    }
}

static void test_utf8_valid__places_in_a_longer_text(void **state)
{
    char text[40];

    (void)state;
    for (size_t at = 0; at < 32; at++) {
        memset(text, 'x', sizeof(text));
        text[at] = (char)0x80;
        assert_false(utf8_valid((struct text){text, 33}));
        text[at] = (char)0xC3;
        text[at + 1] = (char)0xA9;
        assert_true(utf8_valid((struct text){text, 34}));
        assert_false(utf8_valid((struct text){text, at + 1}));
    }
    assert_true(utf8_valid(TEXT_ABSENT));
    assert_false(utf8_valid(TEXT("\xfe")));
    assert_false(utf8_valid(TEXT("\xc0\x80")));
}

static void test_utf8_has_nul(void **state)
{
    (void)state;
    assert_false(utf8_has_nul(TEXT_ABSENT));
    assert_false(utf8_has_nul(TEXT("abc")));
    assert_true(utf8_has_nul(TEXT("ab\0c")));
    assert_true(utf8_has_nul(TEXT("\0")));
}

static void test_utf8_has_control__c0_del_c1_and_nothing_else(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x3000; point++) {
        char bytes[5];
        size_t length = encode(point, point < 0x80 ? 1 : point < 0x800 ? 2 : 3, bytes);
        bool expected = point < 0x20 || (point >= 0x7F && point < 0xA0);

        assert_int_equal(utf8_has_control((struct text){bytes, length}), expected);
    }
    assert_false(utf8_has_control(TEXT("a b")));
    assert_false(utf8_has_control(TEXT_ABSENT));
    assert_true(utf8_has_control(TEXT("a\nb")));
}

static void test_utf8_has_control__every_byte_in_every_place(void **state)
{
    char text[20];
    (void)state;

    for (size_t length = 1; length <= sizeof(text); length++) {
        for (size_t at = 0; at < length; at++) {
            for (int byte = 0; byte < 0x80; byte++) {
                memset(text, at % 2 == 0 ? ' ' : '~', length);
                text[at] = (char)byte;
                assert_int_equal(utf8_has_control((struct text){text, length}),
                                 byte < 0x20 || byte == 0x7F);
            }
        }
    }
    /* C1 controls and their neighbours, across the words that are looked at at once */
    for (size_t at = 0; at + 2 <= sizeof(text); at++) {
        memset(text, 'x', sizeof(text));
        text[at] = '\xC2';
        text[at + 1] = '\x9F';
        assert_true(utf8_has_control((struct text){text, sizeof(text)}));
        text[at + 1] = '\xA0';
        assert_false(utf8_has_control((struct text){text, sizeof(text)}));
    }
}

static void test_utf8_blank__white_space_of_ecmascript(void **state)
{
    static const uint32_t spaces[] = {0x09,   0x0A,   0x0B,   0x0C,   0x0D,   0x20,   0xA0,
                                      0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005,
                                      0x2006, 0x2007, 0x2008, 0x2009, 0x200A, 0x2028, 0x2029,
                                      0x202F, 0x205F, 0x3000, 0xFEFF};
    size_t next = 0;

    (void)state;
    for (uint32_t point = 0; point < 0x10000; point++) {
        char bytes[5];
        if (point >= 0xD800 && point <= 0xDFFF)
            continue;
        size_t length = encode(point, point < 0x80 ? 1 : point < 0x800 ? 2 : 3, bytes);
        bool expected = next < sizeof(spaces) / sizeof(spaces[0]) && spaces[next] == point;
        next += expected;

        assert_int_equal(utf8_blank((struct text){bytes, length}), expected);
    }
    assert_true(utf8_blank(TEXT("")));
    assert_true(utf8_blank(TEXT(" \t\xe3\x80\x80")));
    assert_false(utf8_blank(TEXT("  x ")));
    assert_false(utf8_blank(TEXT("\xf0\x9f\x98\x80")));
}

static void test_utf8_trim__takes_the_ends_only(void **state)
{
    (void)state;
    assert_true(text_is(utf8_trim(TEXT(" \xef\xbb\xbf a b\xe3\x80\x80\n")), "a b"));
    assert_true(text_is(utf8_trim(TEXT("\xf0\x9f\x98\x80")), "\xf0\x9f\x98\x80"));
    assert_true(text_is(utf8_trim(TEXT("\xc2\x85x")), "\xc2\x85x"));
    assert_true(text_is(utf8_trim(TEXT(" ")), ""));
}

static void assert_json_string(struct arena *arena, struct text text, const char *expected)
{
    struct buffer buffer;

    buffer_init(&buffer, arena);
    json_append_string(&buffer, text);
    buffer_append_byte(&buffer, '\0');
    assert_string_equal((const char *)buffer.bytes, expected);
}

static void test_json_append_string__escapes(void **state)
{
    struct arena *arena = arena_new(1000000);

    (void)state;
    assert_json_string(arena, TEXT(""), "\"\"");
    assert_json_string(arena, TEXT_ABSENT, "\"\"");
    assert_json_string(arena, TEXT("a/b'c\x7f\xc3\xa9"), "\"a/b'c\x7f\xc3\xa9\"");
    assert_json_string(arena, TEXT("\"\\\b\f\n\r\t"), "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
    assert_json_string(arena, TEXT("\x01x\x1f"), "\"\\u0001x\\u001f\"");
    assert_json_string(arena, TEXT("\0"), "\"\\u0000\"");
    arena_free(arena);
}

static void assert_json_double(struct arena *arena, double value, const char *expected)
{
    struct buffer buffer;

    buffer_init(&buffer, arena);
    json_append_double(&buffer, value);
    buffer_append_byte(&buffer, '\0');
    assert_string_equal((const char *)buffer.bytes, expected);
}

static void test_json_append_double__shortest_and_always_a_float(void **state)
{
    struct arena *arena = arena_new(100000000);

    (void)state;
    assert_json_double(arena, 0.0, "0.0");
    assert_json_double(arena, -0.0, "-0.0");
    assert_json_double(arena, 1.0, "1.0");
    assert_json_double(arena, 0.1, "0.1");
    assert_json_double(arena, -2.5, "-2.5");
    assert_json_double(arena, 0.1 + 0.2, "0.30000000000000004");
    assert_json_double(arena, 1e15, "1e+15");
    assert_json_double(arena, 1e300, "1e+300");
    assert_json_double(arena, 123456789012345680.0, "1.2345678901234568e+17");
    assert_json_double(arena, DBL_MAX, "1.7976931348623157e+308");
    assert_json_double(arena, 4.9406564584124654e-324, "4.94065645841247e-324");

    uint64_t bits = 88172645463325252;
    for (int i = 0; i < 20000; i++) {
        double value;
        struct buffer buffer;
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&value, &bits, sizeof(value));
        if (!(value - value == 0))
            continue;
        buffer_init(&buffer, arena);
        json_append_double(&buffer, value);
        buffer_append_byte(&buffer, '\0');
        double back = strtod((const char *)buffer.bytes, NULL);
        assert_memory_equal(&back, &value, sizeof(value));
        arena_reset(arena);
    }
    arena_free(arena);
}

static void test_json_append__ints_and_times(void **state)
{
    struct arena *arena = arena_new(100000);
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, arena);
    json_append_int(&buffer, INT64_MIN);
    buffer_append_byte(&buffer, ' ');
    json_append_int(&buffer, INT64_MAX);
    buffer_append_byte(&buffer, ' ');
    json_append_time(&buffer, 0);
    buffer_append_byte(&buffer, '\0');

    assert_string_equal((const char *)buffer.bytes,
                        "-9223372036854775808 9223372036854775807 \"1970-01-01T00:00:00.000000Z\"");
    arena_free(arena);
}

static void test_err_set__fills_and_returns(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(err_set(&err, OUTCOME_RETRY, "40P01", "apply %d rows", 7), OUTCOME_RETRY);

    assert_int_equal(err.outcome, OUTCOME_RETRY);
    assert_string_equal(err.code, "40P01");
    assert_string_equal(err.text, "apply 7 rows");
}

static void test_err_prefix__outermost_first_and_cut(void **state)
{
    struct err err;
    char text[600];

    (void)state;
    err_set(&err, OUTCOME_REJECT, "x", "inner");
    assert_int_equal(err_prefix(&err, "outer %s", "one"), OUTCOME_REJECT);
    assert_string_equal(err.text, "outer one: inner");
    assert_string_equal(err.code, "x");

    memset(text, 'y', sizeof(text));
    text[599] = '\0';
    err_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    err_set(&err, OUTCOME_REJECT, text, "%s", text);
    assert_int_equal(strlen(err.code), sizeof(err.code) - 1);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void test_err_no_memory__says_what_is_full(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(err_no_memory(&err, "batch arena"), OUTCOME_FULL);
    assert_string_equal(err.code, ERR_NO_MEMORY);
    assert_string_equal(err.text, "batch arena: out of memory");
}

static void test_outcome_name(void **state)
{
    (void)state;
    assert_string_equal(outcome_name(OUTCOME_OK), "ok");
    assert_string_equal(outcome_name(OUTCOME_RETRY), "retry");
    assert_string_equal(outcome_name(OUTCOME_REJECT), "reject");
    assert_string_equal(outcome_name(OUTCOME_FATAL), "fatal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text__presence_and_equality),
        cmocka_unit_test(test_text_compare__bytewise),
        cmocka_unit_test(test_utf8_valid__every_code_point_in_its_shortest_form),
        cmocka_unit_test(test_utf8_valid__places_in_a_longer_text),
        cmocka_unit_test(test_utf8_has_nul),
        cmocka_unit_test(test_utf8_has_control__c0_del_c1_and_nothing_else),
        cmocka_unit_test(test_utf8_has_control__every_byte_in_every_place),
        cmocka_unit_test(test_utf8_blank__white_space_of_ecmascript),
        cmocka_unit_test(test_utf8_trim__takes_the_ends_only),
        cmocka_unit_test(test_json_append_string__escapes),
        cmocka_unit_test(test_json_append_double__shortest_and_always_a_float),
        cmocka_unit_test(test_json_append__ints_and_times),
        cmocka_unit_test(test_err_set__fills_and_returns),
        cmocka_unit_test(test_err_prefix__outermost_first_and_cut),
        cmocka_unit_test(test_err_no_memory__says_what_is_full),
        cmocka_unit_test(test_outcome_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
