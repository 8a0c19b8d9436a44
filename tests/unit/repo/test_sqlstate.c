#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo/pg/sqlstate.h"

/* --- the table -------------------------------------------------------------------------------- */

static void assert_rule(const char *sqlstate, const char *function, const char *name)
{
    assert_string_equal(sqlstate_rule_of(sqlstate, function)->name, name);
}

static void test_rule_of__a_code_comes_before_its_class(void **state)
{
    (void)state;
    assert_rule("23505", "", "unique violation");
    assert_rule("23514", "", "integrity constraint violation");
    assert_rule("54001", "", "statement too complex");
    assert_rule("54000", "", "program limit exceeded");
    assert_rule("57014", "", "query cancelled");
    assert_rule("57P01", "", "operator intervention");
}

static void test_rule_of__the_function_of_the_server_tells_two_apart(void **state)
{
    (void)state;
    assert_rule("42501", "ExecWithCheckOptions", "row-level security");
    assert_rule("42501", "aclcheck_error", "insufficient privilege");
    assert_rule("0A000", "RevalidateCachedQuery", "outdated plan");
    assert_rule("0A000", "BeginCopyFrom", "any other code");
}

static void test_rule_of__what_is_not_known_refuses_no_row(void **state)
{
    static const char *const codes[] = {"", "00000", "0A000", "25P02", "ABC01", "99999"};
    (void)state;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        assert_int_equal(sqlstate_rule_of(codes[i], "")->outcome, OUTCOME_FATAL);
}

/* A rule that no code reaches would be a promise that is not kept. */
static void test_rules__each_is_reached(void **state)
{
    struct sqlstate_rule rule;
    (void)state;

    for (size_t i = 0; sqlstate_rule_at(i, &rule); i++) {
        char code[8];
        snprintf(code, sizeof(code), "%.5s%s", rule.sqlstate,
                 strlen(rule.sqlstate) == 5   ? ""
                 : strlen(rule.sqlstate) == 2 ? "ZZZ"
                                              : "ZZZZZ");
        assert_string_equal(
            sqlstate_rule_of(code, rule.function != NULL ? rule.function : "")->name, rule.name);
    }
}

static void test_own_outcome__refuses_no_row(void **state)
{
    struct sqlstate_rule rule;
    (void)state;

    for (size_t i = 0; sqlstate_rule_at(i, &rule); i++) {
        enum outcome own = sqlstate_own_outcome(&rule);
        assert_int_equal(own, rule.outcome == OUTCOME_REJECT ? OUTCOME_FATAL : rule.outcome);
    }
}

/* --- the manual says the same, no more and no less ---------------------------------------------
 */

/* The table, from the line below its heading. */
static char *read_table(void)
{
    enum { CONTENT_MAX = 128 * 1024 };
    FILE *file = fopen(SOURCE_DIR "/docs/operations.md", "re");
    char *page = calloc(1, CONTENT_MAX);

    assert_non_null(file);
    assert_non_null(page);
    assert_true(fread(page, 1, CONTENT_MAX - 1, file) > 0);
    fclose(file);
    const char *begin = strstr(page, "\n## SQLSTATE\n");
    if (begin == NULL) {
        fail_msg("the section is missing");
        return NULL;
    }
    const char *rows = strstr(begin, "\n|---");
    if (rows == NULL) {
        fail_msg("the table is missing");
        return NULL;
    }
    const char *end = strstr(rows, "\n\n"); /* a line that is none of the table */
    char *table = strndup(rows, end != NULL ? (size_t)(end - rows) + 1 : strlen(rows));
    assert_non_null(table);
    free(page);
    return table;
}

static const char *action_of(const struct sqlstate_rule *rule)
{
    switch (rule->outcome) {
    case OUTCOME_REJECT:
        return "refused: split, the row becomes a dead letter";
    case OUTCOME_RETRY:
        return rule->reconnect      ? "again, on a new connection"
               : rule->prepare_anew ? "again, statements prepared anew"
                                    : "again";
    case OUTCOME_FATAL:
        return "again, until somebody has mended it";
    case OUTCOME_OK:
    case OUTCOME_FULL:
        break;
    }
    fail_msg("a rule without an action");
    return "";
}

static void row_of(const struct sqlstate_rule *rule, char *row, size_t size)
{
    char code[64];

    if (rule->sqlstate[0] == '\0')
        snprintf(code, sizeof(code), "others");
    else
        snprintf(code, sizeof(code), "%s`%s`%s%s", strlen(rule->sqlstate) == 2 ? "class " : "",
                 rule->sqlstate, rule->function != NULL ? " of " : "",
                 rule->function != NULL ? rule->function : "");
    snprintf(row, size, "\n| %s | %s | %s | %s |\n", code, rule->name, action_of(rule),
             rule->reason);
}

static void test_operations_page__lists_exactly_the_rules(void **state)
{
    char *table = read_table();
    struct sqlstate_rule rule;
    const char *at = table;
    size_t rules = 0, rows = 0;
    (void)state;

    for (; sqlstate_rule_at(rules, &rule); rules++) {
        char row[512];
        row_of(&rule, row, sizeof(row));
        const char *found = strstr(at, row);
        if (found == NULL)
            fail_msg("missing, or not in this order: %s", row);
        else
            at = found + 1;
    }

    for (at = table; (at = strstr(at, "\n| ")) != NULL; at++)
        rows++;
    assert_int_equal(rows, rules);
    free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule_of__a_code_comes_before_its_class),
        cmocka_unit_test(test_rule_of__the_function_of_the_server_tells_two_apart),
        cmocka_unit_test(test_rule_of__what_is_not_known_refuses_no_row),
        cmocka_unit_test(test_rules__each_is_reached),
        cmocka_unit_test(test_own_outcome__refuses_no_row),
        cmocka_unit_test(test_operations_page__lists_exactly_the_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
