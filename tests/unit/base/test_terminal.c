#include "base/terminal.h"
#include "cmocka_all.h"

static void assert_unsafe(const char *bytes, size_t length, unsigned code, size_t taken)
{
    unsigned seen = 0;

    assert_int_equal(terminal_unsafe((struct text){bytes, length}, &seen), taken);
    assert_int_equal(seen, code);
    assert_int_equal(terminal_safe_length((struct text){bytes, length}), 0);
}

static void test_terminal_unsafe__controls(void **state)
{
    (void)state;
    assert_unsafe("\x1b[2J", 4, 0x1B, 1);
    assert_unsafe("\0", 1, 0, 1);
    assert_unsafe("\n", 1, '\n', 1);
    assert_unsafe("\x7f", 1, 0x7F, 1);
    assert_unsafe("\xc2\x9b", 2, 0x9B, 2);
    assert_unsafe("\xc2\x80x", 3, 0x80, 2);
}

static void test_terminal_unsafe__direction_and_line_separators(void **state)
{
    (void)state;
    assert_unsafe("\xe2\x80\xae", 3, 0x202E, 3);
    assert_unsafe("\xe2\x81\xa6", 3, 0x2066, 3);
    assert_unsafe("\xe2\x80\x8f", 3, 0x200F, 3);
    assert_unsafe("\xd8\x9c", 2, 0x061C, 2);
    assert_unsafe("\xe2\x80\xa8", 3, 0x2028, 3);
    assert_unsafe("\xef\xbb\xbf", 3, 0xFEFF, 3);
}

/* A terminal that does not read UTF-8 takes them for C1 controls. */
static void test_terminal_unsafe__bytes_that_are_no_text(void **state)
{
    (void)state;
    assert_unsafe("\x9b", 1, 0x9B, 1);
    assert_unsafe("\xc2", 1, 0xC2, 1);
    assert_unsafe("\xc2x", 2, 0xC2, 1);
    assert_unsafe("\xe2\x80", 2, 0xE2, 1);
    assert_unsafe("\xed\xa0\x80", 3, 0xED, 1);
    assert_unsafe("\xff", 1, 0xFF, 1);
}

static void test_terminal_safe_length__text_of_every_script(void **state)
{
    static const char text[] =
        "aZ~ \xc2\xa0\xc3\xa9 \xd7\xa9\xd9\x84 \xe4\xb8\xad \xf0\x9f\x98\x80";

    (void)state;
    assert_int_equal(terminal_safe_length(text_of(text)), strlen(text));
    assert_int_equal(terminal_safe_length(text_of("ab\x1b")), 2);
    assert_int_equal(terminal_safe_length(text_of("")), 0);
}

static void test_terminal_escape__as_json_writes_it(void **state)
{
    char escape[TERMINAL_ESCAPE_LENGTH + 1];

    (void)state;
    terminal_escape(0x202E, escape);
    assert_string_equal(escape, "\\u202e");
    terminal_escape(0x1B, escape);
    assert_string_equal(escape, "\\u001b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminal_unsafe__controls),
        cmocka_unit_test(test_terminal_unsafe__direction_and_line_separators),
        cmocka_unit_test(test_terminal_unsafe__bytes_that_are_no_text),
        cmocka_unit_test(test_terminal_safe_length__text_of_every_script),
        cmocka_unit_test(test_terminal_escape__as_json_writes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
