#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repo/pg/sql_schema.h"

static void assert_expands(const char *name, const char *sql, const char *expected)
{
    struct sql_schema schema;

    assert_true(sql_schema_init(&schema, name));
    assert_string_equal(sql_schema_expand(&schema, sql), expected);
    sql_schema_release(&schema);
}

static void test_sql_schema_expand__names_the_schema_as_an_identifier_and_in_texts(void **state)
{
    (void)state;

    assert_expands("public", "SELECT FROM {schema}.a JOIN {schema}.b",
                   "SELECT FROM \"public\".a JOIN \"public\".b");
    assert_expands("public", "SELECT to_regclass('{schema_text}.a')",
                   "SELECT to_regclass('\"public\".a')");
}

static void test_sql_schema_expand__quotes_whatever_the_name_is(void **state)
{
    (void)state;

    assert_expands("o'brien \"x\"", "FROM {schema}.a", "FROM \"o'brien \"\"x\"\"\".a");
    assert_expands("o'brien", "'{schema_text}.a'", "'\"o''brien\".a'");
}

static void test_sql_schema_expand__leaves_other_texts_as_they_are(void **state)
{
    struct sql_schema schema;
    const char *const sql = "SELECT '{}'::json, '{a}'::text[]";
    (void)state;

    assert_true(sql_schema_init(&schema, "public"));
    assert_ptr_equal(sql_schema_expand(&schema, sql), sql);
    assert_string_equal(sql_schema_expand(&schema, "{schema_of}{schem"), "{schema_of}{schem");
    sql_schema_release(&schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sql_schema_expand__names_the_schema_as_an_identifier_and_in_texts),
        cmocka_unit_test(test_sql_schema_expand__quotes_whatever_the_name_is),
        cmocka_unit_test(test_sql_schema_expand__leaves_other_texts_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
