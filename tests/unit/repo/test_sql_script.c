#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repo/schema/migrations/embedded.h"
#include "repo/schema/sql_script.h"

static void assert_statements(const char *script, const char *const *expected, size_t count)
{
    struct text text = text_of(script);
    struct text statement;

    for (size_t i = 0; i < count; i++) {
        assert_true(sql_script_next(&text, &statement));
        if (!text_is(statement, expected[i]))
            fail_msg("%.*s, not %s", TEXT_ARG(statement), expected[i]);
    }
    assert_false(sql_script_next(&text, &statement));
}

#define ASSERT_STATEMENTS(script, ...)                                                             \
    assert_statements((script), (const char *const[]){__VA_ARGS__},                                \
                      sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void test_sql_script__takes_statements_without_their_semicolons(void **state)
{
    (void)state;
    ASSERT_STATEMENTS(" a b;\n\n c ;;d", "a b", "c ", "d");
}

static void test_sql_script__semicolons_in_quotes_do_not_end_a_statement(void **state)
{
    (void)state;
    ASSERT_STATEMENTS("a ';' b; c \";\" ; d '''; ''' ;", "a ';' b", "c \";\" ", "d '''; ''' ");
}

static void test_sql_script__dollar_quotes_end_with_their_own_tag(void **state)
{
    (void)state;
    ASSERT_STATEMENTS("do $a$ x; $b$ y; $$ z; $a$; next", "do $a$ x; $b$ y; $$ z; $a$", "next");
    ASSERT_STATEMENTS("do $$ x; $$; select $1; select 2", "do $$ x; $$", "select $1", "select 2");
}

static void test_sql_script__comments_are_skipped_between_and_kept_within(void **state)
{
    (void)state;
    ASSERT_STATEMENTS("-- one; two\n/* three; */ a -- b; '\n c; -- end", "a -- b; '\n c");
}

static void test_sql_script__a_marked_line_is_a_step(void **state)
{
    (void)state;
    ASSERT_STATEMENTS("a;\n--! step\nb - 1 / 2;", "a", "--! step", "b - 1 / 2");
}

static void test_sql_script__nothing_is_nothing(void **state)
{
    (void)state;
    struct text text = TEXT("  \n-- only; a comment");
    struct text statement;

    assert_false(sql_script_next(&text, &statement));
}

static void test_sql_script__unclosed_quotes_run_to_the_end(void **state)
{
    (void)state;
    ASSERT_STATEMENTS("a '; b", "a '; b");
    ASSERT_STATEMENTS("a $x$; b", "a $x$; b");
    ASSERT_STATEMENTS("a /*; b", "a /*; b");
}

static void test_migrations__are_numbered_without_gaps_and_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < migration_count; i++) {
        struct text sql = migrations[i].sql;
        struct text statement;
        assert_int_equal(migrations[i].number, i + 1);
        assert_true(sql_script_next(&sql, &statement));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sql_script__takes_statements_without_their_semicolons),
        cmocka_unit_test(test_sql_script__semicolons_in_quotes_do_not_end_a_statement),
        cmocka_unit_test(test_sql_script__dollar_quotes_end_with_their_own_tag),
        cmocka_unit_test(test_sql_script__comments_are_skipped_between_and_kept_within),
        cmocka_unit_test(test_sql_script__a_marked_line_is_a_step),
        cmocka_unit_test(test_sql_script__nothing_is_nothing),
        cmocka_unit_test(test_sql_script__unclosed_quotes_run_to_the_end),
        cmocka_unit_test(test_migrations__are_numbered_without_gaps_and_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
