#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/utf8.h"
#include "base/uuid.h"
#include "repo/audit/audit_repo.h"
#include "repo/schema/migrate.h"
#include "repo/skip_repo.h"
#include "worker/cli/cli_kafka.h"
#include "worker/cli/interrupt.h"
#include "worker/cli/session.h"
#include "worker/cli/verbs.h"
#include "worker/kafka/kafka_group.h"

enum {
    STATEMENT_TIMEOUT_MS = 60000,
    ASK_TIMEOUT_MS = 10000,
    PAUSE_US = 250 * 1000,
    WAIT_MAX_S = 3600,
    REASON_MAX_BYTES = 1000,
};

struct skip_call {
    const struct arguments *arguments;
    struct session session;
    struct stored_skip skip;
    int64_t wait_s;
};

static bool parse(struct skip_call *call)
{
    const struct arguments *arguments = call->arguments;
    const char *topic = argument(arguments, "topic"), *reason = argument(arguments, "reason");
    int64_t partition = -1;

    if (topic == NULL || argument(arguments, "partition") == NULL ||
        argument(arguments, "to") == NULL || reason == NULL) {
        cli_usage_error(arguments, "needs --topic, --partition, --to and --reason");
        return false;
    }
    if (!argument_number(arguments, "partition", 0, INT32_MAX, &partition) ||
        !argument_number(arguments, "to", 1, INT64_MAX, &call->skip.to) ||
        !argument_number(arguments, "wait", 0, WAIT_MAX_S, &call->wait_s))
        return false;
    struct text text = text_of(reason);
    if (text.length == 0 || text.length > REASON_MAX_BYTES || !utf8_valid(text) ||
        utf8_has_control(text)) {
        cli_usage_error(arguments, "--reason: must be 1 to %d bytes without control characters",
                        REASON_MAX_BYTES);
        return false;
    }
    call->skip.topic = text_of(topic);
    call->skip.partition = (int32_t)partition;
    call->skip.reason = text;
    call->skip.unread = argument(arguments, "unread") != NULL;
    return true;
}

static bool is_command_topic(const struct skip_call *call)
{
    const struct config *config = &call->session.config;

    for (size_t i = 0; i < config->command_topic_count; i++) {
        if (text_is(call->skip.topic, config->command_topics[i]))
            return true;
    }
    return false;
}

/* Where the partition stands, and whether it may be moved. */
static enum exit_code look(struct skip_call *call)
{
    struct stored_skip *skip = &call->skip;
    struct kafka_group_position at;
    struct err err;

    if (!is_command_topic(call))
        return cli_usage_error(call->arguments, "--topic: is not one of worker.command_topics");
    if (kafka_group_position(&call->session.config, skip->topic.data, skip->partition,
                             ASK_TIMEOUT_MS, &at, &err) != OUTCOME_OK)
        return cli_kafka_fail(call->arguments, &err);
    skip->from = at.committed >= at.first ? at.committed : at.first;
    if (skip->to <= skip->from)
        return cli_fail(call->arguments, EXIT_DATA,
                        "the partition stands at offset %" PRId64 ": there is nothing to skip",
                        skip->from);
    if (skip->to > at.end)
        return cli_fail(call->arguments, EXIT_DATA,
                        "--to lies behind the end of the partition, which is %" PRId64, at.end);
    return EXIT_DONE;
}

static bool is_same(const struct stored_skip *a, const struct stored_skip *b)
{
    return text_equal(a->topic, b->topic) && a->partition == b->partition && a->from == b->from &&
           a->to == b->to;
}

/* The same request may be there already: it is waited for. */
static enum outcome is_pending(const struct skip_call *call, bool *ret_pending, struct err *err)
{
    const struct session *session = &call->session;
    const struct arena_mark mark = arena_mark(session->arena);
    const struct stored_skip *skips;
    size_t count;

    enum outcome outcome =
        skip_requests_list(session_db(session), session->arena, &skips, &count, err);
    *ret_pending = false;
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++)
        *ret_pending = *ret_pending || is_same(&skips[i], &call->skip);
    arena_rewind(session->arena, mark);
    return outcome;
}

static enum exit_code request(struct skip_call *call)
{
    const struct session *session = &call->session;
    bool written, pending = true;
    struct err err;

    if (migrate_check(session_db(session), session->arena, &err) != OUTCOME_OK ||
        skip_request_write(session_db(session), &call->skip, session->arena, &written, &err) !=
            OUTCOME_OK ||
        (!written && is_pending(call, &pending, &err) != OUTCOME_OK))
        return cli_fail_err(call->arguments, &err);
    if (!pending)
        return cli_fail(call->arguments, EXIT_TRY_AGAIN,
                        "another request for this partition waits for its lane");
    return EXIT_DONE;
}

/* 75: no lane has carried it out yet. */
static enum exit_code await(const struct skip_call *call)
{
    int64_t end_us = clock_monotonic_us() + call->wait_s * 1000000;
    struct err err;

    for (;;) {
        bool pending;
        if (is_pending(call, &pending, &err) != OUTCOME_OK)
            return cli_fail_err(call->arguments, &err);
        if (!pending)
            return EXIT_DONE;
        if (interrupted() || clock_monotonic_us() >= end_us)
            return cli_fail(call->arguments, EXIT_TRY_AGAIN,
                            "the request is written and waits for the lane that holds the "
                            "partition");
        clock_sleep_us(PAUSE_US);
    }
}

static enum exit_code report(const struct skip_call *call)
{
    const struct stored_skip *skip = &call->skip;
    struct kafka_group_position at;
    struct buffer out;
    struct err err;

    if (kafka_group_position(&call->session.config, skip->topic.data, skip->partition,
                             ASK_TIMEOUT_MS, &at, &err) != OUTCOME_OK)
        return cli_kafka_fail(call->arguments, &err);
    if (at.committed < skip->to)
        return cli_fail(call->arguments, EXIT_DATA,
                        "not skipped: the partition stood at another offset when its lane looked");
    buffer_init(&out, call->session.arena);
    struct json_writer json = json_writer_of(&out);
    json_begin_object(&json, NULL);
    json_text(&json, "topic", skip->topic);
    json_int(&json, "partition", skip->partition);
    json_int(&json, "from", skip->from);
    json_int(&json, "to", skip->to);
    json_text(&json, "outcome", TEXT("skipped"));
    json_end_object(&json);
    if (out.full)
        return cli_fail(call->arguments, EXIT_BUG, "no memory");
    return output_json(call->arguments, buffer_text(&out));
}

static enum exit_code skip_run(const struct arguments *arguments)
{
    struct skip_call call = {.arguments = arguments, .wait_s = 30};

    if (arguments->operand_count > 0)
        return cli_usage_error(arguments, "takes no operands");
    if (!parse(&call))
        return EXIT_USAGE;
    enum exit_code code = session_open(arguments, STATEMENT_TIMEOUT_MS, &call.session);
    if (code == EXIT_DONE)
        code = look(&call);
    if (code == EXIT_DONE)
        code = request(&call);
    if (code == EXIT_DONE)
        code = await(&call);
    if (code == EXIT_DONE)
        code = report(&call);
    session_close(&call.session);
    return code;
}

static const struct flag flags[] = {
    {"topic", "T", "the command topic"},
    {"partition", "P", "the partition"},
    {"to", "OFFSET", "the first offset that is read again"},
    {"reason", "TEXT", "why, for the audit event"},
    {"unread", NULL, "before the partition is read: reading it ends the process"},
    {"wait", "SECONDS", "how long to wait for the lane (default 30)"},
};

const struct verb verb_skip = {
    .name = "skip",
    .operands = "",
    .summary = "move a partition past what can't be read",
    .description =
        "Asks the lane that holds the partition to go on at OFFSET. Everything from where the\n"
        "group stands up to there is never applied: for records that can't be read, as\n"
        "/health/ready names them. The lane records one audit event, partition.skipped, with\n"
        "the offsets and the reason, and moves the group's offset in the same Kafka transaction.\n"
        "Commands before OFFSET that can be read are applied first; with --unread they are not,\n"
        "and events of those that were applied may be missing.\n"
        "The request waits in the database until a replica runs; 75 says that it still does.\n"
        "OFFSET at or before the group's, or behind the partition's end: 65.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .run = skip_run,
};
