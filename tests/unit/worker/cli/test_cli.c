#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/timestamp.h"
#include "worker/cli/cli.h"
#include "worker/cli/cursor.h"
#include "worker/cli/verbs.h"

/* The command line with a verb of its own that writes down how it was called; then the real verbs,
 * as far as they ask no server. */

static struct {
    bool called;
    char operands[64];
    char color[64];
    bool loud;
    int64_t number;
    bool number_fine;
    int64_t time_us;
    enum output output;
    char config_file[64];
    size_t override_count;
    char override[2][64];
} seen;

static enum exit_code probe_answer;

static enum exit_code probe_run(const struct arguments *arguments)
{
    seen.called = true;
    for (size_t i = 0; i < arguments->operand_count; i++) {
        size_t length = strlen(seen.operands);
        snprintf(seen.operands + length, sizeof(seen.operands) - length, "%s;",
                 arguments->operands[i]);
    }
    const char *color = argument(arguments, "color");
    snprintf(seen.color, sizeof(seen.color), "%s", color != NULL ? color : "(none)");
    seen.loud = argument(arguments, "loud") != NULL;
    seen.number_fine = argument_number(arguments, "number", 1, 10, &seen.number) &&
                       argument_time(arguments, "time", &seen.time_us);
    seen.output = arguments->output;
    snprintf(seen.config_file, sizeof(seen.config_file), "%s",
             arguments->config_file != NULL ? arguments->config_file : "(none)");
    seen.override_count = arguments->override_count;
    for (size_t i = 0; i < arguments->override_count && i < 2; i++)
        snprintf(seen.override[i], sizeof(seen.override[i]), "%s=%s (%s)",
                 arguments->overrides[i].setting, arguments->overrides[i].value,
                 arguments->overrides[i].flag);
    return seen.number_fine ? probe_answer : EXIT_USAGE;
}

static const struct flag probe_flags[] = {
    {"color", "NAME", "which color"},
    {"loud", NULL, "a switch"},
    {"number", "N", "1 to 10"},
    {"time", "TIME", "when"},
};
static const struct verb probe = {
    "probe", "[THING...]", "for tests", "Writes down its call.", probe_flags, 4, probe_run};
static const struct verb *const probes[] = {&probe};

/* --- capturing ---------------------------------------------------------------------------------
 */

enum { CAPTURED_MAX = 64 * 1024, ARGUMENTS_MAX = 16 };

static char out[CAPTURED_MAX];
static char errors[CAPTURED_MAX];

struct captured {
    int original;
    FILE *file;
};

static struct captured capture(int descriptor)
{
    struct captured captured = {dup(descriptor), tmpfile()};

    assert_true(captured.original >= 0);
    assert_non_null(captured.file);
    assert_true(dup2(fileno(captured.file), descriptor) >= 0);
    return captured;
}

static void restore(int descriptor, struct captured captured, char text[CAPTURED_MAX])
{
    dup2(captured.original, descriptor);
    close(captured.original);
    rewind(captured.file);
    size_t length = fread(text, 1, CAPTURED_MAX - 1, captured.file);
    text[length] = '\0';
    fclose(captured.file);
}

/* Calls the command line with the words of `line`, separated by single blanks. */
static enum exit_code call(const struct verb *const *verbs_of, size_t count, const char *line)
{
    char words[1024], *argv[ARGUMENTS_MAX + 1], *rest = words;
    int argc = 0;

    memset(&seen, 0, sizeof(seen));
    seen.number = -1;
    snprintf(words, sizeof(words), "catalyst-worker%s%s", *line != '\0' ? " " : "", line);
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        assert_true(argc < ARGUMENTS_MAX);
        argv[argc++] = word;
    }
    argv[argc] = NULL;

    fflush(stdout);
    struct captured standard = capture(STDOUT_FILENO), error = capture(STDERR_FILENO);
    enum exit_code code = cli_main(argc, argv, verbs_of, count);
    fflush(stdout);
    restore(STDOUT_FILENO, standard, out);
    restore(STDERR_FILENO, error, errors);
    return code;
}

static enum exit_code call_probe(const char *line)
{
    return call(probes, 1, line);
}

static enum exit_code call_real(const char *line)
{
    return call(verbs, verb_count, line);
}

static void assert_in(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, text);
}

/* --- flags -------------------------------------------------------------------------------------
 */

static void test_cli_main__hands_flags_and_operands_to_the_verb(void **state)
{
    (void)state;

    assert_int_equal(call_probe("probe one --color red two --loud --number=7 "
                                "--time 2026-01-31T12:00:00Z -- --three"),
                     EXIT_DONE);

    assert_string_equal(seen.operands, "one;two;--three;");
    assert_string_equal(seen.color, "red");
    assert_true(seen.loud);
    assert_int_equal(seen.number, 7);
    assert_true(seen.time_us == 1769860800000000);
}

static void test_cli_main__flags_that_are_not_given_have_no_value(void **state)
{
    (void)state;

    assert_int_equal(call_probe("probe"), EXIT_DONE);

    assert_string_equal(seen.color, "(none)");
    assert_false(seen.loud);
    assert_int_equal(seen.number, -1);
    assert_string_equal(seen.config_file, "(none)");
}

static void test_cli_main__common_flags_reach_the_verb(void **state)
{
    (void)state;

    assert_int_equal(call_probe("probe --config w.ini --set worker.lanes=2 "
                                "--set kafka.client.rack=a=b --output table"),
                     EXIT_DONE);

    assert_string_equal(seen.config_file, "w.ini");
    assert_int_equal(seen.override_count, 2);
    assert_string_equal(seen.override[0], "worker.lanes=2 (--set worker.lanes)");
    assert_string_equal(seen.override[1], "kafka.client.rack=a=b (--set kafka.client.rack)");
    assert_int_equal(seen.output, OUTPUT_TABLE);
}

static void test_cli_main__output_is_json_where_there_is_no_terminal(void **state)
{
    (void)state;

    assert_int_equal(call_probe("probe"), EXIT_DONE);

    assert_int_equal(seen.output, OUTPUT_JSON);
}

static void test_cli_main__answers_the_code_of_the_verb(void **state)
{
    (void)state;

    probe_answer = EXIT_NOT_FOUND;
    enum exit_code code = call_probe("probe");
    probe_answer = EXIT_DONE;

    assert_int_equal(code, EXIT_NOT_FOUND);
}

static void test_cli_main__refuses_wrong_usage_with_a_hint(void **state)
{
    static const struct {
        const char *line;
        const char *error;
    } rows[] = {
        {"prob", "no such verb: prob; did you mean probe?"},
        {"zebra", "no such verb: zebra\n"},
        {"probe --colr x", "no such flag: --colr; did you mean --color?"},
        {"probe --zebra=1", "no such flag: --zebra\n"},
        {"probe -x", "no such flag: -x\n"},
        {"probe --color", "--color: a value is missing"},
        {"probe --set lanes", "--set: must be SECTION.KEY=VALUE"},
        {"probe --output xml", "--output: must be json or table"},
        {"probe --number 11", "--number: must be a number, 1 to 10"},
        {"probe --number x", "--number: must be a number, 1 to 10"},
        {"probe --number 1x", "--number: must be a number, 1 to 10"},
        {"probe --time yesterday", "--time: must be an RFC 3339 time"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(call_probe(rows[i].line), EXIT_USAGE);
        assert_in(errors, rows[i].error);
        assert_in(errors, "See: catalyst-worker");
        assert_string_equal(out, "");
    }
}

static void test_cli_main__no_verb_is_wrong_usage(void **state)
{
    (void)state;

    assert_int_equal(call_probe(""), EXIT_USAGE);

    assert_in(errors, "usage: catalyst-worker VERB");
}

/* --- help --------------------------------------------------------------------------------------
 */

static void test_cli_main__help_goes_to_standard_output(void **state)
{
    static const char *const lines[] = {"help", "--help", "-h"};
    (void)state;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(call_probe(lines[i]), EXIT_DONE);
        assert_in(out, "probe      for tests");
    }
}

static void test_verb_help__names_every_flag(void **state)
{
    (void)state;

    assert_int_equal(call_probe("probe --loud --help"), EXIT_DONE);

    assert_false(seen.called);
    assert_in(out, "usage: catalyst-worker probe [THING...] [FLAG...]");
    assert_in(out, "Writes down its call.");
    for (size_t i = 0; i < 4; i++)
        assert_in(out, probe_flags[i].help);
    assert_in(out, "--config FILE");
    assert_in(out, "--set SECTION.KEY=VALUE");
    assert_in(out, "--output json|table");
}

static void test_verbs__each_has_help_with_every_flag(void **state)
{
    (void)state;

    for (size_t i = 0; i < verb_count; i++) {
        char line[64];
        snprintf(line, sizeof(line), "%s --help", verbs[i]->name);

        assert_int_equal(call_real(line), EXIT_DONE);

        assert_true(verbs[i]->flag_count <= FLAGS_MAX);
        assert_in(out, verbs[i]->description);
        for (size_t j = 0; j < verbs[i]->flag_count; j++)
            assert_in(out, verbs[i]->flags[j].name);
    }
}

static void test_help__lists_every_setting_and_every_refused_property(void **state)
{
    struct setting_info setting;
    struct kafka_rule_info rule;
    (void)state;

    assert_int_equal(call_real("help settings"), EXIT_DONE);

    for (size_t i = 0; config_setting_info(i, &setting); i++) {
        assert_in(out, setting.variable);
        assert_in(out, setting.description);
    }
    for (size_t i = 0; config_kafka_rule_info(i, &rule); i++)
        assert_in(out, rule.name);
}

static void test_help__of_a_verb_is_its_help(void **state)
{
    (void)state;

    assert_int_equal(call_real("help show"), EXIT_DONE);
    assert_in(out, "--include-revoked");

    assert_int_equal(call_real("help zebra"), EXIT_USAGE);
}

static void test_version__names_the_program_and_its_libraries(void **state)
{
    static const char *const lines[] = {"version", "--version"};
    (void)state;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(call_real(lines[i]), EXIT_DONE);
        assert_in(out, "{\"version\":\"" WORKER_VERSION "\",\"libpq\":\"");
        assert_in(out, "\"librdkafka\":\"");
    }
}

/* --- real verbs without a server ---------------------------------------------------------------
 */

static void test_check__reports_every_problem_and_exits_78(void **state)
{
    (void)state;

    assert_int_equal(call_real("check --set worker.lanes=0 --set kafka.acks=1 --set "
                               "kafka.no.such=1 --set database.url=postgresql://[ --set "
                               "kafka.session.timeout.ms=6000"),
                     EXIT_CONFIG);

    assert_in(out, "\"where\":\"--set worker.lanes\",\"what\":\"worker.lanes: must be 1 to 64\"");
    assert_in(out, "kafka.acks: may only be one of: all -1");
    assert_in(out, "kafka.no.such: librdkafka knows no such property");
    assert_in(out, "database.url: database URL: neither a URI nor key=value pairs");
    assert_in(out, "kafka.session.timeout.ms must exceed kafka.transaction.timeout.ms");
    assert_in(errors, "5 errors");
}

static void test_check__nothing_wrong_exits_0(void **state)
{
    (void)state;

    assert_int_equal(call_real("check"), EXIT_DONE);

    assert_int_equal(out[0], '[');
    assert_in(errors, "0 errors");
}

static void test_run__a_wrong_setting_is_78_and_named(void **state)
{
    (void)state;

    assert_int_equal(call_real("run --set kafka.transactional.id=x"), EXIT_CONFIG);

    assert_in(errors, "--set kafka.transactional.id: kafka.transactional.id: may not be set");
}

static void test_run__a_certificate_that_is_not_there_is_78(void **state)
{
    (void)state;

    assert_int_equal(call_real("run --set http.listen= --set kafka.security.protocol=ssl --set "
                               "kafka.ssl.ca.location=/nonexistent/ca.pem"),
                     EXIT_CONFIG);

    assert_in(errors, "cannot start");
}

static void test_show__wrong_usage_is_found_before_a_server_is_asked(void **state)
{
    static const char *const lines[] = {
        "show",
        "show user",
        "show user a b",
        "show zebra a",
        "show org",
        "show org a --slug b",
        "show key a --hash b",
        "show user a --slug b",
        "show keys",
        "show keys --owner nonsense",
        "show keys --owner user:",
        "show keys --include-revoked",
        "show groups",
        "show memberships",
        "show memberships --user a --org b",
        "show entitlements --subject a",
        "show identity --org a",
        "show audit --since yesterday",
        "show audit --limit 0",
        "show audit --after nonsense",
        "show audit x",
        "show user \xff",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (call_real(lines[i]) != EXIT_USAGE)
            fail_msg("%s: not refused", lines[i]);
        assert_string_equal(out, "");
    }
}

static void test_show__a_database_that_is_away_is_69(void **state)
{
    (void)state;

    assert_int_equal(call_real("show user u --set database.url=postgresql://127.0.0.1:1/x"),
                     EXIT_UNAVAILABLE);

    assert_in(errors, "catalyst-worker show: connect to PostgreSQL");
}

static void test_migrate__wrong_usage_is_found_before_a_server_is_asked(void **state)
{
    static const char *const lines[] = {"migrate down", "migrate up status",
                                        "migrate --partitions 3", "migrate status --topics",
                                        "migrate up --topics --partitions 0"};
    (void)state;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_int_equal(call_real(lines[i]), EXIT_USAGE);
}

/* --- exit codes --------------------------------------------------------------------------------
 */

static void test_exit_code_of__follows_outcome_and_code(void **state)
{
    static const struct {
        enum outcome outcome;
        const char *code;
        enum exit_code expected;
    } rows[] = {
        {OUTCOME_RETRY, "08006", EXIT_UNAVAILABLE},
        {OUTCOME_REJECT, "mismatch", EXIT_DATA},
        {OUTCOME_FATAL, "28P01", EXIT_CONFIG},
        {OUTCOME_FATAL, "42501", EXIT_CONFIG},
        {OUTCOME_FATAL, "3D000", EXIT_CONFIG},
        {OUTCOME_FATAL, "SCHEMA", EXIT_CONFIG},
        {OUTCOME_FATAL, ERR_CONFIG, EXIT_CONFIG},
        {OUTCOME_FATAL, "TOPIC_AUTHORIZATION_FAILED", EXIT_CONFIG},
        {OUTCOME_FATAL, ERR_NO_MEMORY, EXIT_BUG},
        {OUTCOME_FATAL, "XX000", EXIT_BUG},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err;
        err_set(&err, rows[i].outcome, rows[i].code, "x");
        assert_int_equal(exit_code_of(&err), rows[i].expected);
    }
}

/* --- tables ------------------------------------------------------------------------------------
 */

static void assert_table(const char *json, const char *expected)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    assert_true(output_table(text_of(json), stream));
    fclose(stream);
    assert_string_equal(text, expected);
    free(text);
}

static void test_output_table__an_array_has_a_column_per_field(void **state)
{
    (void)state;

    assert_table("[{\"id\":\"a\",\"n\":1},{\"id\":\"b\\u001b\",\"x\":{\"y\":[true]}}]",
                 "id       n  x\n"
                 "a        1  \n"
                 "b\\u001b     {\"y\":[true]}\n");
}

static void test_output_table__an_object_has_a_line_per_field(void **state)
{
    (void)state;

    assert_table("{\"id\":\"\xc3\xa9\",\"longer\":null}", "id      \xc3\xa9\nlonger  \n");
}

static void test_output_table__shortens_all_but_the_last_column(void **state)
{
    (void)state;

    assert_table("[{\"a\":\"0123456789012345678901234567890123456789012345678901234567890123\","
                 "\"b\":\"0123456789012345678901234567890123456789012345678901234567890123\"}]",
                 "a                                                             b\n"
                 "012345678901234567890123456789012345678901234567890123456...  "
                 "0123456789012345678901234567890123456789012345678901234567890123\n");
}

static void test_output_table__an_empty_array_is_nothing(void **state)
{
    (void)state;

    assert_table("[]", "");
}

/* --- cursors -----------------------------------------------------------------------------------
 */

static void test_cursor__reads_back_what_it_wrote(void **state)
{
    static const int64_t times[] = {TIMESTAMP_MIN_US, -1, 0, 1769860800000001, TIMESTAMP_MAX_US};
    (void)state;

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct uuid id = {{1, 2, 255}}, read = {{0}};
        char text[CURSOR_LENGTH + 1];
        int64_t time_us = 0;

        cursor_format(times[i], &id, text);

        assert_true(cursor_parse(text_of(text), &time_us, &read));
        assert_true(time_us == times[i]);
        assert_true(uuid_equal(&id, &read));
    }
}

static void test_cursor_parse__refuses_what_is_no_cursor(void **state)
{
    static const char *const texts[] = {
        "",
        "00",
        "00000000000000000000000000000000000000000000000g",
        "0000000000000000000000000000000000000000000000000",
        "800000000000000000000000000000000000000000000000",
    };
    struct uuid id;
    int64_t time_us;
    (void)state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_false(cursor_parse(text_of(texts[i]), &time_us, &id));
}

/* --- dlq ---------------------------------------------------------------------------------------
 */

static void test_dlq__refuses_what_it_cannot_mean(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"dlq", "needs ls, show or redrive"},
        {"dlq drop", "needs ls, show or redrive"},
        {"dlq ls a.dlq:0:1", "takes no letters"},
        {"dlq show", "needs letters or a filter"},
        {"dlq redrive", "or --all"},
        {"dlq show a.dlq:0", "TOPIC:PARTITION:OFFSET"},
        {"dlq show :0:1", "TOPIC:PARTITION:OFFSET"},
        {"dlq show a.dlq:0:x", "TOPIC:PARTITION:OFFSET"},
        {"dlq ls --dry-run", "does not take --dry-run"},
        {"dlq redrive --all --raw", "does not take --raw"},
        {"dlq redrive --all --rate 0", "--rate"},
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(call_real(lines[i][0]), EXIT_USAGE);
        assert_in(errors, lines[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dlq__refuses_what_it_cannot_mean),
        cmocka_unit_test(test_cli_main__hands_flags_and_operands_to_the_verb),
        cmocka_unit_test(test_cli_main__flags_that_are_not_given_have_no_value),
        cmocka_unit_test(test_cli_main__common_flags_reach_the_verb),
        cmocka_unit_test(test_cli_main__output_is_json_where_there_is_no_terminal),
        cmocka_unit_test(test_cli_main__answers_the_code_of_the_verb),
        cmocka_unit_test(test_cli_main__refuses_wrong_usage_with_a_hint),
        cmocka_unit_test(test_cli_main__no_verb_is_wrong_usage),
        cmocka_unit_test(test_cli_main__help_goes_to_standard_output),
        cmocka_unit_test(test_verb_help__names_every_flag),
        cmocka_unit_test(test_verbs__each_has_help_with_every_flag),
        cmocka_unit_test(test_help__lists_every_setting_and_every_refused_property),
        cmocka_unit_test(test_help__of_a_verb_is_its_help),
        cmocka_unit_test(test_version__names_the_program_and_its_libraries),
        cmocka_unit_test(test_check__reports_every_problem_and_exits_78),
        cmocka_unit_test(test_check__nothing_wrong_exits_0),
        cmocka_unit_test(test_run__a_wrong_setting_is_78_and_named),
        cmocka_unit_test(test_run__a_certificate_that_is_not_there_is_78),
        cmocka_unit_test(test_show__wrong_usage_is_found_before_a_server_is_asked),
        cmocka_unit_test(test_show__a_database_that_is_away_is_69),
        cmocka_unit_test(test_migrate__wrong_usage_is_found_before_a_server_is_asked),
        cmocka_unit_test(test_exit_code_of__follows_outcome_and_code),
        cmocka_unit_test(test_output_table__an_array_has_a_column_per_field),
        cmocka_unit_test(test_output_table__an_object_has_a_line_per_field),
        cmocka_unit_test(test_output_table__shortens_all_but_the_last_column),
        cmocka_unit_test(test_output_table__an_empty_array_is_nothing),
        cmocka_unit_test(test_cursor__reads_back_what_it_wrote),
        cmocka_unit_test(test_cursor_parse__refuses_what_is_no_cursor),
    };

    /* Settings of whoever runs the tests are not theirs. */
    unsetenv("CATALYST_DATABASE_URL");
    unsetenv("CATALYST_KAFKA_BOOTSTRAP_SERVERS");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
