#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/timestamp.h"
#include "events/message_json.h"
#include "worker/cli_kafka.h"
#include "worker/interrupt.h"
#include "worker/kafka_client.h"
#include "worker/verbs.h"

/* Records of one or several topics as JSON lines: a reader that assigns itself all partitions and
 * belongs to no group. */

enum {
    LINE_ARENA_BYTES = 256 * 1024 * 1024, /* one record as JSON, every byte escaped */
    POLL_MS = 100,
    ASK_TIMEOUT_MS = 10000,
};

struct tail {
    const struct arguments *arguments;
    struct config config;
    const char **names; /* of the topics */
    char **made_names;  /* those of them that were put together here */
    size_t name_count;
    bool configured;
    int64_t from_us; /* TIMESTAMP_ABSENT: from the beginning or the end */
    bool from_beginning;
    int64_t count; /* INT64_MAX: no limit */
    bool until_end;

    rd_kafka_t *consumer;
    rd_kafka_topic_partition_list_t *partitions; /* offset: where reading starts */
    int64_t *ends; /* one per partition: what stood behind its last record at the start; -1: done */
    size_t open_count; /* partitions not read to that end yet */
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

/* --- where to start and to end -----------------------------------------------------------------
 */

/* read_committed: the end is where the oldest open transaction begins. */
static enum outcome ask_ends(struct tail *tail, struct err *err)
{
    for (int i = 0; i < tail->partitions->cnt; i++) {
        rd_kafka_topic_partition_t *partition = &tail->partitions->elems[i];
        int64_t low, high;
        rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
            tail->consumer, partition->topic, partition->partition, &low, &high, ASK_TIMEOUT_MS);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return kafka_fail(code, err, "end of topic %s partition %" PRId32, partition->topic,
                              partition->partition);
        partition->offset = tail->from_beginning ? low : high;
        tail->ends[i] = high;
    }
    return OUTCOME_OK;
}

static enum outcome ask_times(struct tail *tail, struct err *err)
{
    /* record timestamps have milliseconds: the first at or after the time */
    int64_t from_ms = tail->from_us / 1000 + (tail->from_us % 1000 > 0 ? 1 : 0);
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *times = rd_kafka_topic_partition_list_copy(tail->partitions);
    for (int i = 0; i < times->cnt; i++)
        times->elems[i].offset = from_ms > 0 ? from_ms : 0;

    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(tail->consumer, times, ASK_TIMEOUT_MS);
    for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < times->cnt; i++)
        code = times->elems[i].err;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(code, err, "offsets of a time");
    for (int i = 0; i < times->cnt; i++) {
        /* nothing as young as that: what comes from now on */
        if (times->elems[i].offset >= 0)
            tail->partitions->elems[i].offset = times->elems[i].offset;
    }
    return OUTCOME_OK;
}

static enum outcome choose_offsets(struct tail *tail, struct err *err)
{
    enum outcome outcome = ask_ends(tail, err);
    if (outcome == OUTCOME_OK && tail->from_us != TIMESTAMP_ABSENT)
        outcome = ask_times(tail, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (int i = 0; i < tail->partitions->cnt; i++) {
        if (tail->partitions->elems[i].offset >= tail->ends[i])
            tail->ends[i] = -1;
        else
            tail->open_count++;
    }
    return OUTCOME_OK;
}

static enum outcome open_consumer(struct tail *tail, struct err *err)
{
    const struct kafka_setting own[] = {{"group.id", tail->config.group_id}};
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    enum outcome outcome = kafka_conf_new(&tail->config, KAFKA_READER, "tail", own, 1, &conf, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_new(RD_KAFKA_CONSUMER, &conf, &tail->consumer, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    rd_kafka_poll_set_consumer(tail->consumer);
    return OUTCOME_OK;
}

static enum outcome start(struct tail *tail, const struct kafka_topic *topics, struct err *err)
{
    int count = 0;
    for (size_t i = 0; i < tail->name_count; i++)
        count += topics[i].partitions;
    tail->partitions = rd_kafka_topic_partition_list_new(count);
    tail->ends = calloc((size_t)count + 1, sizeof(*tail->ends));
    if (tail->partitions == NULL || tail->ends == NULL)
        return err_no_memory(err, "tail");
    for (size_t i = 0; i < tail->name_count; i++)
        rd_kafka_topic_partition_list_add_range(tail->partitions, tail->names[i], 0,
                                                topics[i].partitions - 1);

    enum outcome outcome = open_consumer(tail, err);
    if (outcome == OUTCOME_OK)
        outcome = choose_offsets(tail, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    rd_kafka_resp_err_t code = rd_kafka_assign(tail->consumer, tail->partitions);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? OUTCOME_OK : kafka_fail(code, err, "assign");
}

/* --- records -----------------------------------------------------------------------------------
 */

static int index_of(const struct tail *tail, const rd_kafka_message_t *message)
{
    const char *topic = rd_kafka_topic_name(message->rkt);
    int i = 0;
    while (i < tail->partitions->cnt - 1 &&
           (tail->partitions->elems[i].partition != message->partition ||
            strcmp(tail->partitions->elems[i].topic, topic) != 0))
        i++;
    return i;
}

/* The partition is read to its end as of the start. */
static void note_end(struct tail *tail, int index)
{
    if (tail->ends[index] >= 0)
        tail->open_count--;
    tail->ends[index] = -1;
}

static struct header *headers_of(struct tail *tail, const rd_kafka_message_t *message,
                                 size_t *ret_count)
{
    rd_kafka_headers_t *headers;
    *ret_count = 0;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return NULL;
    struct header *converted =
        ARENA_ARRAY(tail->arena, struct header, rd_kafka_header_cnt(headers));
    const char *name;
    const void *value;
    size_t length;
    while (converted != NULL && rd_kafka_header_get_all(headers, *ret_count, &name, &value,
                                                        &length) == RD_KAFKA_RESP_ERR_NO_ERROR)
        converted[(*ret_count)++] = (struct header){text_of(name), {value, length}};
    return converted;
}

static enum outcome print_record(struct tail *tail, const rd_kafka_message_t *message,
                                 struct err *err)
{
    rd_kafka_timestamp_type_t type;
    int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
    size_t header_count;

    arena_reset(tail->arena);
    const struct header *headers = headers_of(tail, message, &header_count);
    const struct message record = {
        .topic = text_of(rd_kafka_topic_name(message->rkt)),
        .partition = message->partition,
        .offset = message->offset,
        .timestamp_ms = type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? timestamp_ms : -1,
        .key = {message->key, message->key_len},
        .value = {message->payload, message->len},
        .headers = headers,
        .header_count = header_count,
    };
    struct text line;
    enum outcome outcome = message_to_json(&record, tail->arena, &line, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    fwrite(line.data, 1, line.length, stdout);
    fputc('\n', stdout);
    tail->printed++;
    return OUTCOME_OK;
}

/* What came in place of a record. What passes by itself is waited for, as librdkafka's log lines
 * tell. */
static enum outcome take_error(struct tail *tail, const rd_kafka_message_t *message,
                               struct err *err)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        note_end(tail, index_of(tail, message));
        return OUTCOME_OK;
    }
    enum outcome outcome = message->rkt != NULL ? kafka_fail(message->err, err, "read topic %s",
                                                             rd_kafka_topic_name(message->rkt))
                                                : kafka_fail(message->err, err, "read");
    return outcome == OUTCOME_RETRY ? OUTCOME_OK : outcome;
}

static enum outcome take(struct tail *tail, const rd_kafka_message_t *message, struct err *err)
{
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return take_error(tail, message, err);
    int index = index_of(tail, message);
    bool beyond = message->offset >= tail->ends[index];
    enum outcome outcome =
        tail->until_end && beyond ? OUTCOME_OK : print_record(tail, message, err);
    if (message->offset + 1 >= tail->ends[index])
        note_end(tail, index);
    return outcome;
}

/* Nobody reads any more (| head): found out also while nothing is there to write. */
static bool reader_is_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};
    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

static bool is_done(const struct tail *tail)
{
    return interrupted() || tail->printed >= tail->count ||
           (tail->until_end && tail->open_count == 0) || ferror(stdout);
}

static enum outcome follow(struct tail *tail, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;
    while (outcome == OUTCOME_OK && !is_done(tail)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(tail->consumer, 0);
        if (message == NULL) {
            /* Nothing is there at the moment: what there was is shown before waiting. */
            fflush(stdout);
            if (reader_is_gone())
                return OUTCOME_OK;
            message = rd_kafka_consumer_poll(tail->consumer, POLL_MS);
        }
        if (message == NULL)
            continue;
        outcome = take(tail, message, err);
        rd_kafka_message_destroy(message);
    }
    return outcome;
}

/* --- the verb ----------------------------------------------------------------------------------
 */

/* A reader that has seen enough (| head) closes the pipe. */
static enum exit_code finish_output(const struct tail *tail)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_DONE;
    return errno == EPIPE || errno == 0
               ? EXIT_DONE
               : cli_fail(tail->arguments, EXIT_BUG, "cannot write: %s", strerror(errno));
}

static enum exit_code tail_topics(struct tail *tail)
{
    struct err err = {0};

    if (!choose_topics(tail))
        return cli_fail(tail->arguments, EXIT_BUG, "no memory");
    struct kafka_topic *topics = calloc(tail->name_count, sizeof(*topics));
    tail->arena = arena_new(LINE_ARENA_BYTES);
    if (topics == NULL || tail->arena == NULL) {
        free(topics);
        return cli_fail(tail->arguments, EXIT_BUG, "no memory");
    }
    enum exit_code code = cli_topics(tail->arguments, &tail->config, tail->names, tail->name_count,
                                     tail->configured, topics);
    if (code == EXIT_DONE) {
        interrupt_catch();
        enum outcome outcome = start(tail, topics, &err);
        if (outcome == OUTCOME_OK)
            outcome = follow(tail, &err);
        code = finish_output(tail);
        if (outcome != OUTCOME_OK)
            code = cli_kafka_fail(tail->arguments, &err);
    }
    free(topics);
    return code;
}

static void tail_release(struct tail *tail)
{
    if (tail->consumer != NULL)
        rd_kafka_destroy(tail->consumer);
    if (tail->partitions != NULL)
        rd_kafka_topic_partition_list_destroy(tail->partitions);
    for (size_t i = 0; i < tail->name_count; i++)
        free(tail->made_names[i]);
    free(tail->made_names);
    free(tail->names);
    free(tail->ends);
    arena_free(tail->arena);
    config_release(&tail->config);
}

/* false: the usage error is printed. */
static bool parse_from(struct tail *tail)
{
    const char *from = argument(tail->arguments, "from");

    tail->from_us = TIMESTAMP_ABSENT;
    if (from == NULL || strcmp(from, "end") == 0)
        return true;
    tail->from_beginning = strcmp(from, "beginning") == 0;
    if (tail->from_beginning || timestamp_parse(text_of(from), &tail->from_us))
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
