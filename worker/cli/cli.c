#include "worker/cli/cli.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/timestamp.h"
#include "config/nearest.h"
#include "events/command_types.h"
#include "repo/pg/executor_pq.h"
#include "repo/schema/migrate.h"
#include "worker/cli/printed.h"
#include "worker/kafka/kafka_config.h"

extern char **environ;

#define PROGRAM "catalyst-worker"

enum { OVERRIDES_MAX = 64, OPTION_FIRST = 256, SUGGESTION_DISTANCE_MAX = 2 };

/* Flags of every verb; their options are numbered from OPTION_FIRST, those of the verb follow. */
enum common { COMMON_CONFIG, COMMON_SET, COMMON_OUTPUT, COMMON_HELP, COMMON_COUNT };
static const struct flag common_flags[COMMON_COUNT] = {
    [COMMON_CONFIG] = {"config", "FILE", "read settings from this INI file"},
    [COMMON_SET] = {"set", "SECTION.KEY=VALUE", "override one setting; may be repeated"},
    [COMMON_OUTPUT] = {"output", "json|table", "a table on a terminal, else JSON, unless given"},
    [COMMON_HELP] = {"help", NULL, "print this and exit"},
};

struct parser {
    struct arguments arguments;
    struct config_override overrides[OVERRIDES_MAX];
    char *set_texts[OVERRIDES_MAX]; /* "worker.lanes", cut at the =, then the flag as typed */
    char *set_flags[OVERRIDES_MAX];
    bool help;
};

/* --- messages ----------------------------------------------------------------------------------
 */

static void complain(const char *verb, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void complain(const char *verb, const char *format, va_list arguments)
{
    fprintf(stderr, PROGRAM "%s%s: ", verb[0] != '\0' ? " " : "", verb);
    cli_print_message_list(stderr, format, arguments);
}

enum exit_code cli_usage_error(const struct arguments *arguments, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    complain(arguments->verb->name, format, list);
    va_end(list);
    fprintf(stderr, "See: " PROGRAM " %s --help\n", arguments->verb->name);
    return EXIT_USAGE;
}

enum exit_code cli_fail(const struct arguments *arguments, enum exit_code code, const char *format,
                        ...)
{
    va_list list;

    va_start(list, format);
    complain(arguments->verb->name, format, list);
    va_end(list);
    return code;
}

/* SQLSTATE classes in which the server refuses us as we are: wrong password, database, schema,
 * permission, version. */
static bool refused_by_database(const char *code)
{
    static const char *const classes[] = {"0A", "28", "3D", "3F", "42"};

    if (strlen(code) != 5)
        return false;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strncmp(code, classes[i], 2) == 0)
            return true;
    }
    return false;
}

static bool refused_otherwise(const char *code)
{
    return strstr(code, "AUTH") != NULL || strstr(code, "UNKNOWN_TOPIC") != NULL ||
           strcmp(code, ERR_CONFIG) == 0 || strcmp(code, MIGRATE_SCHEMA) == 0 ||
           strcmp(code, EXECUTOR_PQ_POOLED) == 0;
}

enum exit_code exit_code_of(const struct err *err)
{
    switch (err->outcome) {
    case OUTCOME_OK:
        return EXIT_DONE;
    case OUTCOME_RETRY:
        return EXIT_UNAVAILABLE;
    case OUTCOME_REJECT:
        return EXIT_DATA;
    case OUTCOME_FULL:
        return EXIT_BUG;
    case OUTCOME_FATAL:
        break;
    }
    return refused_by_database(err->code) || refused_otherwise(err->code) ? EXIT_CONFIG : EXIT_BUG;
}

enum exit_code cli_fail_err(const struct arguments *arguments, const struct err *err)
{
    return cli_fail(arguments, exit_code_of(err), "%s%s%s%s", err->text,
                    err->code[0] != '\0' ? " [" : "", err->code, err->code[0] != '\0' ? "]" : "");
}

/* --- near names --------------------------------------------------------------------------------
 */

const char *nearest_name(const char *typed, const char *const *names, size_t count)
{
    struct nearest nearest = {.typed = typed, .distance_max = SUGGESTION_DISTANCE_MAX};

    for (size_t i = 0; i < count; i++)
        nearest_offer(&nearest, names[i]);
    return nearest.name;
}

/* --- help --------------------------------------------------------------------------------------
 */

static void flag_help(const struct flag *flag, FILE *stream)
{
    char left[64];

    snprintf(left, sizeof(left), "--%s%s%s", flag->name, flag->operand != NULL ? " " : "",
             flag->operand != NULL ? flag->operand : "");
    fprintf(stream, "  %-28s %s\n", left, flag->help);
}

void verb_help(const struct verb *verb, FILE *stream)
{
    fprintf(stream, "usage: " PROGRAM " %s%s%s%s\n\n%s\n\n", verb->name,
            verb->operands[0] != '\0' ? " " : "", verb->operands, " [FLAG...]", verb->description);
    for (size_t i = 0; i < verb->flag_count; i++)
        flag_help(&verb->flags[i], stream);
    for (size_t i = 0; i < COMMON_COUNT; i++)
        flag_help(&common_flags[i], stream);
}

static void help_all(const struct verb *const *verbs, size_t verb_count, FILE *stream)
{
    fputs("usage: " PROGRAM " VERB [FLAG...]\n\n"
          "Applies identity and API-key commands from Kafka to PostgreSQL exactly once and\n"
          "publishes an audit event for each.\n\n",
          stream);
    for (size_t i = 0; i < verb_count; i++)
        fprintf(stream, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    fputs("\nFlags of a verb: " PROGRAM " VERB --help. Settings: " PROGRAM " help settings.\n"
          "Exit codes: 0 done, 64 usage, 65 bad data, 66 not found, 69 broker or database away,\n"
          "70 defect, 75 try again, 78 configuration, schema or topics.\n",
          stream);
}

/* --- parsing -----------------------------------------------------------------------------------
 */

static size_t flag_position(const struct verb *verb, const char *name)
{
    for (size_t i = 0; i < verb->flag_count; i++) {
        if (strcmp(verb->flags[i].name, name) == 0)
            return i;
    }
    return SIZE_MAX;
}

const char *argument(const struct arguments *arguments, const char *flag)
{
    size_t position = flag_position(arguments->verb, flag);

    assert(position != SIZE_MAX);
    return arguments->values[position];
}

bool argument_number(const struct arguments *arguments, const char *flag, int64_t min, int64_t max,
                     int64_t *ret_number)
{
    const char *value = argument(arguments, flag);
    char *end;

    if (value == NULL)
        return true;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || isspace((unsigned char)value[0]) ||
        number < min || number > max) {
        cli_usage_error(arguments, "--%s: must be a number, %lld to %lld", flag, (long long)min,
                        (long long)max);
        return false;
    }
    *ret_number = number;
    return true;
}

bool argument_time(const struct arguments *arguments, const char *flag, int64_t *ret_us)
{
    const char *value = argument(arguments, flag);

    if (value == NULL || timestamp_parse(text_of(value), ret_us))
        return true;
    cli_usage_error(arguments, "--%s: must be an RFC 3339 time, as in 2026-01-31T12:00:00Z", flag);
    return false;
}

bool argument_flags_among(const struct arguments *arguments, size_t first, const char *action,
                          const char *allowed)
{
    const struct verb *verb = arguments->verb;

    for (size_t i = first; i < verb->flag_count; i++) {
        char word[32];
        snprintf(word, sizeof(word), " %s ", verb->flags[i].name);
        if (arguments->values[i] != NULL && strstr(allowed, word) == NULL) {
            cli_usage_error(arguments, "%s does not take --%s", action, verb->flags[i].name);
            return false;
        }
    }
    return true;
}

static void options_of(const struct verb *verb, struct option *options)
{
    size_t n = 0;

    for (size_t i = 0; i < COMMON_COUNT + verb->flag_count; i++) {
        const struct flag *flag =
            i < COMMON_COUNT ? &common_flags[i] : &verb->flags[i - COMMON_COUNT];
        options[n++] =
            (struct option){flag->name, flag->operand != NULL ? required_argument : no_argument,
                            NULL, OPTION_FIRST + (int)i};
    }
    options[n] = (struct option){0};
}

static enum exit_code unknown_flag(const struct arguments *arguments, const char *typed)
{
    const char *names[FLAGS_MAX + COMMON_COUNT];
    char bare[64];
    size_t count = 0;

    for (size_t i = 0; i < COMMON_COUNT; i++)
        names[count++] = common_flags[i].name;
    for (size_t i = 0; i < arguments->verb->flag_count; i++)
        names[count++] = arguments->verb->flags[i].name;
    snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(typed + strspn(typed, "-"), "="),
             typed + strspn(typed, "-"));

    const char *nearest = nearest_name(bare, names, count);
    if (nearest != NULL)
        return cli_usage_error(arguments, "no such flag: --%s; did you mean --%s?", bare, nearest);
    return cli_usage_error(arguments, "no such flag: %s%s", typed[1] == '-' ? "--" : "-", bare);
}

static enum exit_code take_set(struct parser *parser, const char *value)
{
    struct arguments *arguments = &parser->arguments;
    size_t n = arguments->override_count;
    size_t name_length = strcspn(value, "=");
    char flag[128];

    if (value[name_length] != '=')
        return cli_usage_error(arguments, "--set: must be SECTION.KEY=VALUE");
    if (n == OVERRIDES_MAX)
        return cli_usage_error(arguments, "--set: at most %d of them", OVERRIDES_MAX);
    snprintf(flag, sizeof(flag), "--set %.*s", (int)name_length, value);
    parser->set_texts[n] = strndup(value, name_length);
    parser->set_flags[n] = strdup(flag);
    arguments->override_count++;
    if (parser->set_texts[n] == NULL || parser->set_flags[n] == NULL)
        return cli_fail(arguments, EXIT_BUG, "no memory");
    parser->overrides[n] = (struct config_override){
        .setting = parser->set_texts[n],
        .value = value + name_length + 1,
        .flag = parser->set_flags[n],
    };
    return EXIT_DONE;
}

static enum exit_code take_output(struct arguments *arguments, const char *value)
{
    if (strcmp(value, "json") == 0)
        arguments->output = OUTPUT_JSON;
    else if (strcmp(value, "table") == 0)
        arguments->output = OUTPUT_TABLE;
    else
        return cli_usage_error(arguments, "--output: must be json or table");
    return EXIT_DONE;
}

static enum exit_code take_flag(struct parser *parser, int option, const char *value)
{
    struct arguments *arguments = &parser->arguments;
    int position = option - OPTION_FIRST;

    switch (position) {
    case COMMON_CONFIG:
        arguments->config_file = value;
        return EXIT_DONE;
    case COMMON_SET:
        return take_set(parser, value);
    case COMMON_OUTPUT:
        return take_output(arguments, value);
    case COMMON_HELP:
        parser->help = true;
        return EXIT_DONE;
    default:
        arguments->values[position - COMMON_COUNT] = value != NULL ? value : "";
        return EXIT_DONE;
    }
}

/* argv[0] is the verb. */
static enum exit_code parse(struct parser *parser, int argc, char **argv)
{
    struct option options[COMMON_COUNT + FLAGS_MAX + 1];
    enum exit_code code = EXIT_DONE;
    int option;

    options_of(parser->arguments.verb, options);
    optind = 0; /* glibc: begin anew, also after an earlier call */
    while (code == EXIT_DONE && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (option == '?')
            code = unknown_flag(&parser->arguments, argv[optind - 1]);
        else if (option == ':')
            code = cli_usage_error(&parser->arguments, "%s: a value is missing", argv[optind - 1]);
        else if (option == 'h')
            parser->help = true;
        else
            code = take_flag(parser, option, optarg);
    }
    parser->arguments.operands = (const char *const *)&argv[optind];
    parser->arguments.operand_count = (size_t)(argc - optind);
    return code;
}

static void parsing_release(struct parser *parser)
{
    for (size_t i = 0; i < parser->arguments.override_count; i++) {
        free(parser->set_texts[i]);
        free(parser->set_flags[i]);
    }
}

static enum exit_code verb_call(const struct verb *verb, int argc, char **argv)
{
    struct parser parser = {
        .arguments = {.verb = verb, .output = isatty(STDOUT_FILENO) ? OUTPUT_TABLE : OUTPUT_JSON},
    };

    assert(verb->flag_count <= FLAGS_MAX);
    parser.arguments.overrides = parser.overrides;
    enum exit_code code = parse(&parser, argc, argv);
    if (code == EXIT_DONE && parser.help)
        verb_help(verb, stdout);
    else if (code == EXIT_DONE)
        code = verb->run(&parser.arguments);
    parsing_release(&parser);
    return code;
}

/* --- the whole ---------------------------------------------------------------------------------
 */

static const struct verb *verb_find(const struct verb *const *verbs, size_t verb_count,
                                    const char *name)
{
    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    }
    return NULL;
}

static enum exit_code unknown_verb(const struct verb *const *verbs, size_t verb_count,
                                   const char *typed)
{
    enum { VERBS_MAX = 32 };
    const char *names[VERBS_MAX];

    assert(verb_count <= VERBS_MAX);
    for (size_t i = 0; i < verb_count; i++)
        names[i] = verbs[i]->name;
    const char *nearest = nearest_name(typed, names, verb_count);
    if (nearest != NULL)
        cli_print_message(stderr, PROGRAM ": no such verb: %s; did you mean %s?", typed, nearest);
    else
        cli_print_message(stderr, PROGRAM ": no such verb: %s", typed);
    fputs("See: " PROGRAM " help\n", stderr);
    return EXIT_USAGE;
}

/* `--help`, `-h` and `--version` in place of a verb, and `help` alone. */
static const char *verb_name(const char *typed)
{
    if (strcmp(typed, "--help") == 0 || strcmp(typed, "-h") == 0)
        return "help";
    if (strcmp(typed, "--version") == 0 || strcmp(typed, "-V") == 0)
        return "version";
    return typed;
}

enum exit_code cli_main(int argc, char **argv, const struct verb *const *verbs, size_t verb_count)
{
    if (argc < 2) {
        help_all(verbs, verb_count, stderr);
        return EXIT_USAGE;
    }
    const char *name = verb_name(argv[1]);
    if (strcmp(name, "help") == 0 && argc == 2) {
        help_all(verbs, verb_count, stdout);
        return output_finish(name, EXIT_DONE);
    }
    const struct verb *verb = verb_find(verbs, verb_count, name);
    if (verb == NULL)
        return unknown_verb(verbs, verb_count, argv[1]);

    return output_finish(name, verb_call(verb, argc - 1, argv + 1));
}

/* The problems that librdkafka sees come on top, so that all are reported at once. */
/* The configuration does not know the contract. false: no memory. */
static bool check_types(const struct config *config, struct config_problems *problems)
{
    for (size_t i = 0; i < config->topic_count; i++) {
        const struct config_names *types = &config->topics[i].types;
        for (size_t j = 0; j < types->count; j++) {
            if (command_type_find(text_of(types->items[j])) == NULL &&
                !config_problem_add(problems, types->where,
                                    "topic %s.types: one of them is no ce_type of the contract",
                                    config->topics[i].name))
                return false;
        }
    }
    return true;
}

enum outcome cli_config_load(const struct arguments *arguments, struct config *ret_config,
                             struct config_problems *ret_problems, struct err *err)
{
    enum outcome outcome = config_load(arguments->config_file, environ, arguments->overrides,
                                       arguments->override_count, ret_config, ret_problems, err);

    if (outcome == OUTCOME_FULL)
        return outcome;
    if (!kafka_config_check(ret_config, ret_problems) || !check_types(ret_config, ret_problems))
        return err_no_memory(err, "configuration");
    if (ret_problems->count > 0)
        return err_set(err, OUTCOME_REJECT, ERR_CONFIG, "configuration: %zu problems",
                       ret_problems->count);
    return OUTCOME_OK;
}

enum exit_code cli_config(const struct arguments *arguments, struct config *ret_config)
{
    struct config_problems problems;
    struct err err;
    enum outcome outcome = cli_config_load(arguments, ret_config, &problems, &err);

    for (size_t i = 0; i < problems.count; i++)
        cli_print_message(stderr, "%s: %s", problems.items[i].where, problems.items[i].what);
    config_problems_release(&problems);
    if (outcome == OUTCOME_OK)
        return EXIT_DONE;
    config_release(ret_config);
    return outcome == OUTCOME_REJECT ? EXIT_CONFIG : cli_fail_err(arguments, &err);
}
