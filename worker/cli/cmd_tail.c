#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/timestamp.h"
#include "events/message_json.h"
#include "worker/cli/cli_kafka.h"
#include "worker/cli/interrupt.h"
#include "worker/cli/printed.h"
#include "worker/cli/verbs.h"
#include "worker/kafka/kafka_reader.h"

enum {
    LINE_ARENA_BYTES = 256 * 1024 * 1024, /* one record as JSON, every byte escaped */
    POLL_MS = 100,
};

struct tail {
    const struct arguments *arguments;
    struct config config;
    const char **names; /* of the topics */
    char **made_names;  /* those of them that were put together here */
    size_t name_count;
    bool configured;
    struct kafka_reader_start start;
    int64_t count; /* INT64_MAX: no limit */
    bool until_end;

    struct arena *arena;
    int64_t printed;
};

/* --- topics ------------------------------------------------------------------------------------
 */

static bool add_name(struct tail *tail, const char *name, const char *suffix)
{
    size_t size = strlen(name) + strlen(suffix) + 1;
    char *whole = malloc(size);
    if (whole == NULL)
        return false;
    snprintf(whole, size, "%s%s", name, suffix);
    tail->made_names[tail->name_count] = whole;
    tail->names[tail->name_count++] = whole;
    return true;
}

/* false: no memory. */
static bool choose_topics(struct tail *tail)
{
    const struct config *config = &tail->config;
    const char *topic = argument(tail->arguments, "topic");
    bool dead_letters = topic != NULL && strcmp(topic, "dlq") == 0;
    bool commands = topic != NULL && strcmp(topic, "commands") == 0;

    tail->names = calloc(config->command_topic_count, sizeof(*tail->names));
    tail->made_names = calloc(config->command_topic_count, sizeof(*tail->made_names));
    if (tail->names == NULL || tail->made_names == NULL)
        return false;
    tail->configured = topic == NULL || dead_letters || commands || strcmp(topic, "audit") == 0;
    if (!dead_letters && !commands)
        return add_name(tail, tail->configured ? config->audit_topic : topic, "");
    for (size_t i = 0; i < config->command_topic_count; i++) {
        if (!add_name(tail, config->command_topics[i], dead_letters ? config->dlq_suffix : ""))
            return false;
    }
    return true;
}

/* --- records -----------------------------------------------------------------------------------
 */

static enum outcome print_record(struct tail *tail, const struct message *message, struct err *err)
{
    struct text line;
    enum outcome outcome = message_to_json(message, tail->arena, &line, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    cli_print_text(stdout, line);
    fputc('\n', stdout);
    tail->printed++;
    return OUTCOME_OK;
}

static bool is_done(const struct tail *tail, const struct kafka_reader *reader)
{
    return interrupted() || tail->printed >= tail->count ||
           (tail->until_end && kafka_reader_at_end(reader)) || ferror(stdout);
}

static enum outcome follow(struct tail *tail, struct kafka_reader *reader, struct err *err)
{
    int timeout_ms = 0;
    while (!is_done(tail, reader)) {
        const struct message *message;
        bool beyond;
        arena_reset(tail->arena);
        enum outcome outcome =
            kafka_reader_next(reader, timeout_ms, tail->arena, &message, &beyond, err);
        if (outcome == OUTCOME_OK && message != NULL && !(tail->until_end && beyond))
            outcome = print_record(tail, message, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        /* What there was is shown before waiting for more. */
        timeout_ms = message == NULL ? POLL_MS : 0;
        if (message == NULL) {
            fflush(stdout);
            if (output_reader_is_gone())
                return OUTCOME_OK;
        }
    }
    return OUTCOME_OK;
}

/* --- the verb ----------------------------------------------------------------------------------
 */

static enum exit_code read_topics(struct tail *tail, const struct kafka_reader_topic *topics)
{
    CLEANUP(kafka_reader_freep) struct kafka_reader *reader = NULL;
    struct err err = {0};

    interrupt_catch();
    enum outcome outcome =
        kafka_reader_new(&tail->config, topics, tail->name_count, &tail->start, &reader, &err);
    if (outcome == OUTCOME_OK)
        outcome = follow(tail, reader, &err);
    return outcome != OUTCOME_OK ? cli_kafka_fail(tail->arguments, &err) : EXIT_DONE;
}

static enum exit_code tail_topics(struct tail *tail)
{
    tail->arena = arena_new(LINE_ARENA_BYTES);
    if (tail->arena == NULL || !choose_topics(tail))
        return cli_fail(tail->arguments, EXIT_BUG, "no memory");
    struct kafka_topic *described = ARENA_ARRAY(tail->arena, struct kafka_topic, tail->name_count);
    struct kafka_reader_topic *topics = calloc(tail->name_count, sizeof(*topics));
    if (described == NULL || topics == NULL) {
        free(topics);
        return cli_fail(tail->arguments, EXIT_BUG, "no memory");
    }
    enum exit_code code = cli_topics(tail->arguments, &tail->config, tail->names, tail->name_count,
                                     tail->configured, described);
    for (size_t i = 0; i < tail->name_count; i++)
        topics[i] = (struct kafka_reader_topic){tail->names[i], described[i].partitions};
    if (code == EXIT_DONE)
        code = read_topics(tail, topics);
    free(topics);
    return code;
}

static void tail_release(struct tail *tail)
{
    for (size_t i = 0; i < tail->name_count; i++)
        free(tail->made_names[i]);
    free(tail->made_names);
    free(tail->names);
    arena_free(tail->arena);
    config_release(&tail->config);
}

/* false: the usage error is printed. */
static bool parse_from(struct tail *tail)
{
    const char *from = argument(tail->arguments, "from");

    tail->start.from_us = TIMESTAMP_ABSENT;
    if (from == NULL || strcmp(from, "end") == 0)
        return true;
    tail->start.beginning = strcmp(from, "beginning") == 0;
    if (tail->start.beginning || timestamp_parse(text_of(from), &tail->start.from_us))
        return true;
    cli_usage_error(tail->arguments, "--from must be beginning, end or an RFC 3339 time");
    return false;
}

static enum exit_code tail_run(const struct arguments *arguments)
{
    struct tail tail = {.arguments = arguments,
                        .count = INT64_MAX,
                        .until_end = argument(arguments, "until-end") != NULL};

    if (arguments->operand_count > 0)
        return cli_usage_error(arguments, "takes no operands; the topic is given with --topic");
    if (!parse_from(&tail) || !argument_number(arguments, "count", 1, INT64_MAX, &tail.count))
        return EXIT_USAGE;
    enum exit_code code = cli_config(arguments, &tail.config);
    if (code != EXIT_DONE)
        return code;
    log_configure(tail.config.log_level, tail.config.log_format);
    code = tail_topics(&tail);
    tail_release(&tail);
    return code;
}

static const struct flag flags[] = {
    {"topic", "NAME", "audit (the default), commands, dlq, or the name of a topic"},
    {"from", "WHERE", "beginning, end (the default), or an RFC 3339 time"},
    {"count", "N", "stop after N records"},
    {"until-end", NULL, "stop at what was the end when the program started"},
};

const struct verb verb_tail = {
    .name = "tail",
    .operands = "",
    .summary = "print audit events, commands or dead letters as JSON lines",
    .description =
        "Prints the records of a topic as JSON lines, committed ones only, and follows it "
        "until a\nsignal, --count or --until-end. A line is\n"
        "  {\"topic\", \"partition\", \"offset\", \"timestamp\", \"key\", \"headers\", "
        "\"data\"}\n"
        "Records of one partition come in their order. Nothing is committed: the worker's "
        "consumer\ngroup does not notice.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .run = tail_run,
};
