#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "events/command_message.h"
#include "worker/cli/cli_kafka.h"
#include "worker/cli/interrupt.h"
#include "worker/cli/progress_line.h"
#include "worker/cli/verbs.h"
#include "worker/daemon/policies.h"
#include "worker/kafka/kafka_publisher.h"

enum {
    LINE_ARENA_BYTES = 64 * 1024 * 1024,
    LINE_BYTES_MAX = 4 * 1024 * 1024, /* no record that large gets through */
    TOPICS_MAX = 2,
    QUEUE_FULL_WAIT_MS = 100,
    FLUSH_SLICE_MS = 200,
    UNDELIVERED_SHOWN = 10,
};

struct publication {
    const struct arguments *arguments;
    struct config config;
    struct policies policies;       /* allow-lists of the topics */
    const char *topics[TOPICS_MAX]; /* of identity and audit commands, of key commands */
    bool dry_run, strict;
    FILE *input;
    struct kafka_publisher *publisher; /* NULL: a dry run */
    struct arena *arena;
    struct progress_line progress;

    uint64_t line; /* number of the line in hand */
    uint64_t accepted;
    uint64_t refused;
    uint64_t delivered;
    uint64_t undelivered;
    struct err delivery_err; /* of the first that was not delivered */
};

DEFINE_CLEANUP(FILE *, fclose)

/* --- deliveries --------------------------------------------------------------------------------
 */

static void on_delivered(void *context, uint64_t line, enum outcome outcome, const struct err *err)
{
    struct publication *publication = context;
    if (outcome == OUTCOME_OK) {
        publication->delivered++;
        return;
    }
    if (publication->undelivered++ == 0)
        publication->delivery_err = *err;
    if (publication->undelivered <= UNDELIVERED_SHOWN) {
        struct err shown = *err;
        err_prefix(&shown, "line %" PRIu64, line);
        progress_line_end(&publication->progress);
        cli_kafka_fail(publication->arguments, &shown);
    }
}

static void show_delivered(struct publication *publication)
{
    progress_line_update(&publication->progress, publication->delivered, "published");
}

static enum outcome send_record(struct publication *publication,
                                const struct outgoing_record *record, struct err *err)
{
    enum outcome outcome;
    while ((outcome = kafka_publisher_send(publication->publisher, record, publication->line,
                                           err)) == OUTCOME_RETRY &&
           !interrupted()) {
        kafka_publisher_serve(publication->publisher, QUEUE_FULL_WAIT_MS);
        show_delivered(publication);
    }
    return outcome;
}

/* Waits for what is under way. librdkafka gives each record up after message.timeout.ms. */
static void finish_deliveries(struct publication *publication)
{
    while (kafka_publisher_flush(publication->publisher, FLUSH_SLICE_MS) > 0)
        show_delivered(publication);
}

/* --- lines -------------------------------------------------------------------------------------
 */

static void refuse(struct publication *publication, const char *reason)
{
    publication->refused++;
    progress_line_end(&publication->progress);
    cli_fail(publication->arguments, EXIT_DATA, "line %" PRIu64 ": %s", publication->line, reason);
}

static bool is_blank(struct text line)
{
    for (size_t i = 0; i < line.length; i++) {
        if (strchr(" \t\r\n", line.data[i]) == NULL || line.data[i] == '\0')
            return false;
    }
    return true;
}

/* A bad line is an answer, not a failure. FATAL: the producer is broken. */
static enum outcome publish_line(struct publication *publication, struct text line, struct err *err)
{
    struct outgoing_record record;
    struct command command;

    arena_reset(publication->arena);
    enum outcome outcome = command_message_from_json(line, TEXT_ABSENT, clock_wall_us(),
                                                     publication->arena, &record, &command, err);
    if (outcome != OUTCOME_OK) {
        refuse(publication, err->text);
        return OUTCOME_OK;
    }
    bool of_keys = strcmp(command.type->category, "key") == 0;
    record.topic = text_of(publication->topics[of_keys ? 1 : 0]);
    const struct topic_policy *policy =
        topic_policy_find(publication->policies.items, publication->policies.count, record.topic);
    if (topic_policy_check(policy, &command.envelope, err) != OUTCOME_OK) {
        refuse(publication, err->text);
        return OUTCOME_OK;
    }
    if (publication->publisher != NULL) {
        outcome = send_record(publication, &record, err);
        if (outcome == OUTCOME_REJECT && strcmp(err->code, "MSG_SIZE_TOO_LARGE") == 0) {
            refuse(publication, "the record is larger than kafka.message.max.bytes allows");
            return OUTCOME_OK;
        }
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    publication->accepted++;
    return OUTCOME_OK;
}

/* Reads one line into *buffer, without its end. -1: end of input, an error, or a signal. */
static ssize_t read_line(struct publication *publication, char **buffer, size_t *capacity)
{
    ssize_t length = getline(buffer, capacity, publication->input);
    if (length < 0)
        return -1;
    publication->line++;
    while (length > 0 && ((*buffer)[length - 1] == '\n' || (*buffer)[length - 1] == '\r'))
        length--;
    return length;
}

static enum outcome publish_lines(struct publication *publication, char **buffer, struct err *err)
{
    size_t capacity = 0;
    ssize_t length;

    while (!interrupted() && !(publication->strict && publication->refused > 0) &&
           (length = read_line(publication, buffer, &capacity)) >= 0) {
        struct text line = {*buffer, (size_t)length};
        if (is_blank(line))
            continue;
        if (line.length > LINE_BYTES_MAX) {
            refuse(publication, "longer than 4 MiB");
            continue;
        }
        enum outcome outcome = publish_line(publication, line, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        progress_line_update(&publication->progress,
                             publication->publisher != NULL ? publication->delivered
                                                            : publication->accepted,
                             publication->publisher != NULL ? "published" : "checked");
    }
    return OUTCOME_OK;
}

/* --- the verb ----------------------------------------------------------------------------------
 */

static enum exit_code summarise(struct publication *publication, enum outcome outcome,
                                const struct err *err)
{
    uint64_t good = publication->publisher != NULL ? publication->delivered : publication->accepted;

    progress_line_end(&publication->progress);
    fprintf(stderr,
            "catalyst-worker publish: %" PRIu64 " %s, %" PRIu64 " refused, %" PRIu64
            " not delivered, %.1f s\n",
            good, publication->publisher != NULL ? "published" : "valid", publication->refused,
            publication->undelivered,
            (double)(clock_monotonic_us() - publication->progress.started_us) / 1e6);
    if (outcome != OUTCOME_OK)
        return cli_kafka_fail(publication->arguments, err);
    if (publication->undelivered > 0)
        return publication->delivery_err.outcome == OUTCOME_RETRY ? EXIT_UNAVAILABLE : EXIT_CONFIG;
    if (ferror(publication->input) && !interrupted())
        return cli_fail(publication->arguments, EXIT_DATA, "the input cannot be read: %s",
                        strerror(errno));
    if (interrupted())
        return cli_fail(publication->arguments, EXIT_TRY_AGAIN, "interrupted after line %" PRIu64,
                        publication->line);
    return publication->refused > 0 ? EXIT_DATA : EXIT_DONE;
}

static enum exit_code publish_all(struct publication *publication)
{
    struct err err = {0};
    char *buffer = NULL;

    publication->arena = arena_new(LINE_ARENA_BYTES);
    if (publication->arena == NULL)
        return cli_fail(publication->arguments, EXIT_BUG, "no memory");
    if (!policies_init(&publication->policies, &publication->config))
        return cli_fail(publication->arguments, EXIT_BUG, "no memory");
    interrupt_catch();
    progress_line_begin(&publication->progress);
    if (!publication->dry_run &&
        kafka_publisher_new(&publication->config, on_delivered, publication,
                            &publication->publisher, &err) != OUTCOME_OK)
        return cli_kafka_fail(publication->arguments, &err);

    enum outcome outcome = publish_lines(publication, &buffer, &err);
    free(buffer);
    if (publication->publisher != NULL)
        finish_deliveries(publication);
    return summarise(publication, outcome, &err);
}

/* Topics by type, or the one of --topic; they must be there. */
static enum exit_code choose_topics(struct publication *publication)
{
    const struct config *config = &publication->config;
    const char *topic = argument(publication->arguments, "topic");
    struct kafka_topic described[TOPICS_MAX];

    publication->topics[0] = topic != NULL ? topic : config->command_topics[0];
    publication->topics[1] = topic == NULL && config->command_topic_count > 1
                                 ? config->command_topics[1]
                                 : publication->topics[0];
    if (publication->dry_run)
        return EXIT_DONE;
    return cli_topics(publication->arguments, config, publication->topics, TOPICS_MAX,
                      topic == NULL, described);
}

static enum exit_code publish_input(struct publication *publication)
{
    enum exit_code code = choose_topics(publication);
    if (code == EXIT_DONE)
        code = publish_all(publication);
    if (publication->publisher != NULL)
        kafka_publisher_free(publication->publisher);
    policies_release(&publication->policies);
    arena_free(publication->arena);
    return code;
}

static enum exit_code publish_run(const struct arguments *arguments)
{
    struct publication publication = {.arguments = arguments,
                                      .dry_run = argument(arguments, "dry-run") != NULL,
                                      .strict = argument(arguments, "strict") != NULL,
                                      .input = stdin};
    const char *file = argument(arguments, "file");
    CLEANUP(fclosep) FILE *opened = NULL;

    if (arguments->operand_count > 0)
        return cli_usage_error(arguments, "takes no operands; lines come on stdin or --file");
    if (file != NULL && strcmp(file, "-") != 0) {
        opened = publication.input = fopen(file, "re");
        if (opened == NULL)
            return cli_fail(arguments, EXIT_NOT_FOUND, "--file: %s", strerror(errno));
    }
    enum exit_code code = cli_config(arguments, &publication.config);
    if (code != EXIT_DONE)
        return code;
    log_configure(publication.config.log_level, publication.config.log_format);
    code = publish_input(&publication);
    config_release(&publication.config);
    return code;
}

static const struct flag flags[] = {
    {"file", "FILE", "read the lines from this file; - is stdin"},
    {"topic", "NAME", "publish everything to this topic"},
    {"strict", NULL, "stop at the first line that is refused"},
    {"dry-run", NULL, "check the lines, publish nothing, ask no broker"},
};

const struct verb verb_publish = {
    .name = "publish",
    .operands = "",
    .summary = "publish commands, one JSON line each",
    .description =
        "Reads JSON lines and publishes each as a command:\n"
        "  {\"type\", \"id\", \"source\", \"subject\"?, \"time\"?, \"correlationid\"?, "
        "\"traceparent\"?,\n"
        "   \"tracestate\"?, \"authtype\"?, \"authid\"?, \"data\": {...}}\n"
        "Key commands go to the second command topic when there are two, all others to the first.\n"
        "A line that is not a valid command is refused with its number, the field and the rule; "
        "the\n"
        "lines around it are published all the same, and the exit code is 65. To publish all or\n"
        "nothing, try with --dry-run first. Publishing a line again does no harm: the worker "
        "knows\n"
        "it by source and id.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .run = publish_run,
};
