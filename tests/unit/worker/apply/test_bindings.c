#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/apply/apply.h"
#include "worker/apply/bindings.h"

static void test_apply_check__passes_the_rows_of_the_contract(void **state)
{
    (void)state;
    struct err err = {0};

    enum outcome outcome = apply_check(&err);

    assert_string_equal(err.text, "");
    assert_int_equal(outcome, OUTCOME_OK);
}

static void assert_wrong(enum command_kind kind, struct binding binding, const char *what)
{
    struct err err = {0};

    assert_int_equal(binding_check(&command_types[kind], &binding, &err), OUTCOME_FATAL);
    assert_non_null(strstr(err.text, what));
    assert_non_null(strstr(err.text, command_types[kind].name));
}

static void test_binding_check__names_what_a_row_lacks(void **state)
{
    (void)state;
    struct binding no_prepare = bindings[USER_UPSERT];
    struct binding no_finish = bindings[USER_UPSERT];
    struct binding no_touch = bindings[USER_UPSERT];
    struct binding no_row = bindings[USER_UPSERT];
    struct binding same_answer = bindings[KEY_ISSUE_COMMAND];

    no_prepare.prepare = NULL;
    no_finish.finish = NULL;
    no_touch.touch = NULL;
    no_row.row = RESOURCE_NONE;
    same_answer.rejected[1] = same_answer.rejected[0];

    assert_wrong(USER_UPSERT, no_prepare, "lacks a function");
    assert_wrong(USER_UPSERT, no_finish, "lacks a function");
    assert_wrong(USER_UPSERT, no_touch, "lacks a function");
    assert_wrong(USER_UPSERT, no_row, "lacks the resource");
    assert_wrong(KEY_ISSUE_COMMAND, same_answer, "one answer has two rejections");
}

static void test_answer_read__maps_each_answer_to_its_rejection(void **state)
{
    (void)state;
    const struct {
        enum command_kind kind;
        enum write_result answer;
        const char *code;
    } cases[] = {
        {ORG_UPSERT, WRITE_DUPLICATE, REJECTION_ORG_DUPLICATE_SLUG},
        {GROUP_DELETE, WRITE_NOT_FOUND, REJECTION_GROUP_NOT_FOUND},
        {MEMBERSHIP_REMOVE, WRITE_NOT_FOUND, REJECTION_MEMBERSHIP_NOT_FOUND},
        {ENTITLEMENT_UPSERT, WRITE_DUPLICATE, REJECTION_ENTITLEMENT_DUPLICATE},
        {ENTITLEMENT_REMOVE, WRITE_NOT_FOUND, REJECTION_ENTITLEMENT_NOT_FOUND},
        {KEY_ISSUE_COMMAND, WRITE_DUPLICATE_ID, REJECTION_KEY_DUPLICATE_ID},
        {KEY_ISSUE_COMMAND, WRITE_DUPLICATE_HASH, REJECTION_KEY_DUPLICATE_HASH},
        {KEY_ISSUE_COMMAND, WRITE_DUPLICATE, REJECTION_KEY_DUPLICATE},
        {KEY_RECORD_USAGE_COMMAND, WRITE_NOT_FOUND, REJECTION_KEY_NOT_FOUND},
        {KEY_RECORD_USAGE_COMMAND, WRITE_REVOKED, REJECTION_KEY_REVOKED},
        {KEY_RECORD_USAGE_COMMAND, WRITE_EXPIRED, REJECTION_KEY_EXPIRED},
        {KEY_REVOKE_COMMAND, WRITE_NOT_FOUND, REJECTION_KEY_NOT_FOUND},
        {KEY_REVOKE_COMMAND, WRITE_ALREADY_REVOKED, REJECTION_KEY_ALREADY_REVOKED},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct command_result result;
        struct err err;

        assert_int_equal(answer_read(&command_types[cases[i].kind], cases[i].answer, &result, &err),
                         OUTCOME_OK);
        assert_string_equal(result.rejection, cases[i].code);
    }
}

static void test_answer_read__an_answer_that_the_row_does_not_know_is_fatal(void **state)
{
    (void)state;
    struct command_result result;
    struct err err;

    assert_int_equal(answer_read(&command_types[USER_UPSERT], WRITE_NOT_FOUND, &result, &err),
                     OUTCOME_FATAL);
    assert_int_equal(answer_read(&command_types[AUDIT_APPEND_COMMAND], WRITE_OPEN, &result, &err),
                     OUTCOME_FATAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply_check__passes_the_rows_of_the_contract),
        cmocka_unit_test(test_binding_check__names_what_a_row_lacks),
        cmocka_unit_test(test_answer_read__maps_each_answer_to_its_rejection),
        cmocka_unit_test(test_answer_read__an_answer_that_the_row_does_not_know_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
