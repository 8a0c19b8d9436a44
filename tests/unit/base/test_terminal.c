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
    /* as numbers: they would do in an editor what they do on a terminal */
    static const unsigned codes[] = {0x061C, 0x200E, 0x200F, 0x2028, 0x202A,
                                     0x202E, 0x2066, 0x2069, 0x206F, 0xFEFF};

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        unsigned code = codes[i];
        char bytes[3] = {(char)(0xE0 | code >> 12), (char)(0x80 | (code >> 6 & 0x3F)),
                         (char)(0x80 | (code & 0x3F))};
        size_t length = 3;
        if (code < 0x800) {
            bytes[0] = (char)(0xC0 | code >> 6);
            bytes[1] = bytes[2];
            length = 2;
        }
        assert_unsafe(bytes, length, code, length);
    }
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
