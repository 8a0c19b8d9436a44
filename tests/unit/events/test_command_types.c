#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "events/command_types.h"

static void test_commands_check__passes_the_rows_of_the_contract(void **state)
{
    (void)state;
    struct err err = {0};

    enum outcome outcome = commands_check(&err);

    assert_string_equal(err.text, "");
    assert_int_equal(outcome, OUTCOME_OK);
}

static void assert_wrong(struct command_type type, const char *what)
{
    struct err err = {0};

    assert_int_equal(command_type_check(&type, &err), OUTCOME_FATAL);

    assert_non_null(strstr(err.text, what));
}

static void test_command_type_check__names_what_a_row_lacks(void **state)
{
    (void)state;
    struct command_type no_name = command_types[USER_UPSERT];
    struct command_type no_record = command_types[USER_UPSERT];
    struct command_type no_action = command_types[USER_UPSERT];
    struct command_type bad_use = command_types[USER_UPSERT];

    no_name.name = NULL;
    no_record.record = NULL;
    no_action.applied_action = NULL;
    bad_use.use = RECORD_COMMANDS_MAX;

    assert_wrong(no_name, "lacks a name");
    assert_wrong(no_record, "a record");
    assert_wrong(no_action, "lacks an action");
    assert_wrong(bad_use, "use is out of range");
}

static void test_command_type_check__names_fields_that_the_record_does_not_declare(void **state)
{
    (void)state;
    struct command_type subject = command_types[GROUP_UPSERT];
    struct command_type kind = command_types[ENTITLEMENT_UPSERT];
    struct command_type metadata = command_types[GROUP_UPSERT];

    subject.subject_field = "nothing";
    kind.subject_type_field = "nothing";
    metadata.metadata[1] = "nothing";

    assert_wrong(subject, "a field of the subject");
    assert_wrong(kind, "a field of the subject");
    assert_wrong(metadata, "a field of the metadata");
}

static void test_command_type_check__wants_an_id_from_the_data_or_from_the_command(void **state)
{
    (void)state;
    struct command_type not_made = command_types[KEY_ISSUE_COMMAND];
    struct command_type not_given = command_types[USER_UPSERT];

    not_made.makes_id = false;
    not_given.use = COMMAND_REMOVE; /* users have no removal: no field is given */

    assert_wrong(not_made, "its id may be absent");
    assert_wrong(not_given, "does not give the id");
}

static void test_command_type_check__wants_words_for_each_rejection(void **state)
{
    (void)state;
    struct command_type type = command_types[ORG_UPSERT];

    struct command_type undeclared = command_types[ORG_UPSERT];

    type.rejections[0].message = NULL;
    undeclared.rejections[0].field = "nothing";

    assert_wrong(type, "no message");
    assert_wrong(undeclared, "does not declare the field of a rejection");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_check__passes_the_rows_of_the_contract),
        cmocka_unit_test(test_command_type_check__names_what_a_row_lacks),
        cmocka_unit_test(test_command_type_check__names_fields_that_the_record_does_not_declare),
        cmocka_unit_test(test_command_type_check__wants_an_id_from_the_data_or_from_the_command),
        cmocka_unit_test(test_command_type_check__wants_words_for_each_rejection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
