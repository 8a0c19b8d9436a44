#include "base/json_writer.h"
#include "base/log.h"
#include "base/timestamp.h"
#include "events/wire/msgpack_to_json.h"
#include "repo/audit/audit_retention.h"
#include "repo/schema/migrate.h"
#include "worker/cli/cli_kafka.h"
#include "worker/cli/interrupt.h"
#include "worker/cli/recover.h"
#include "worker/cli/session.h"
#include "worker/cli/verbs.h"

struct recover_call {
    const struct arguments *arguments;
    struct session session;
    struct recovery recovery;
    struct letter_topics topics; /* command topics, their dead-letter topics, the audit topic */
    bool dry_run;
    int64_t since_us;
};

static enum exit_code fail(struct recover_call *self, const struct err *err)
{
    if (interrupted())
        return cli_fail(self->arguments, EXIT_TRY_AGAIN, "interrupted; the same call goes on");
    return cli_kafka_fail(self->arguments, err);
}

/* --- what comes out ----------------------------------------------------------------------------
 */

static void write_place(struct json_writer *json, const struct message *message)
{
    json_begin_object(json, NULL);
    json_text(json, "topic", message->topic);
    json_int(json, "partition", message->partition);
    json_int(json, "offset", message->offset);
}

static void write_differing(struct json_writer *json, const struct recovery *recovery)
{
    json_begin_array(json, "differing");
    for (size_t i = 0; i < recovery->count; i++) {
        const struct lost_command *lost = recovery->commands[i];
        if (lost->fate != FATE_DIFFERING)
            continue;
        write_place(json, &lost->message);
        msgpack_to_json(json_value(json, "event"), lost->value, JSON_SHOWN);
        json_document(json, "database", lost->answer);
        json_end_object(json);
    }
    json_end_array(json);
}

static void write_unanswered(struct json_writer *json, const struct recovery *recovery)
{
    json_begin_array(json, "unanswered");
    for (size_t i = 0; i < recovery->count; i++) {
        if (recovery->commands[i]->fate != FATE_UNANSWERED)
            continue;
        write_place(json, &recovery->commands[i]->message);
        json_end_object(json);
    }
    json_end_array(json);
}

static void write_range(struct json_writer *json, const char *topic, int32_t partition,
                        int64_t from, int64_t to)
{
    json_begin_object(json, NULL);
    json_text(json, "topic", text_of(topic));
    json_int(json, "partition", partition);
    json_int(json, "from", from);
    json_int(json, "to", to);
    json_end_object(json);
}

/* Offsets that the log does not hold any more. */
static void write_lost(struct json_writer *json, const struct recovery *recovery, bool *ret_any)
{
    *ret_any = false;
    json_begin_array(json, "lost");
    for (size_t i = 0; i < recovery->ranges.count; i++) {
        const struct lost_range *range = &recovery->ranges.items[i];
        int64_t to = range->first < range->range.to ? range->first : range->range.to;
        if (to <= range->range.from)
            continue;
        write_range(json, range->topic, range->range.partition, range->range.from, to);
        *ret_any = true;
    }
    json_end_array(json);
}

static void write_ranges(struct json_writer *json, const struct recovery *recovery)
{
    json_begin_array(json, "ranges");
    for (size_t i = 0; i < recovery->ranges.count; i++) {
        const struct lost_range *range = &recovery->ranges.items[i];
        write_range(json, range->topic, range->range.partition, range->range.from, range->range.to);
    }
    json_end_array(json);
}

static enum exit_code print(struct recover_call *self)
{
    static const char *const names[FATE_COUNT] = {
        [FATE_WAITING] = "toRecover",    [FATE_KNOWN] = "known",
        [FATE_APPLIED] = "applied",      [FATE_REJECTED] = "rejected",
        [FATE_DUPLICATE] = "duplicates", [FATE_DEAD_LETTER] = "deadLetters",
    };
    const struct recovery *recovery = &self->recovery;
    int64_t fates[FATE_COUNT] = {0};
    struct buffer out;
    bool lost;

    for (size_t i = 0; i < recovery->count; i++)
        fates[recovery->commands[i]->fate]++;
    buffer_init(&out, recovery->arena);
    struct json_writer json = json_writer_of(&out);
    json_begin_object(&json, NULL);
    json_bool(&json, "dryRun", self->dry_run);
    write_ranges(&json, recovery);
    json_int(&json, "commands", (int64_t)recovery->count);
    for (int i = 0; i < FATE_COUNT; i++) {
        if (names[i] != NULL && (i != FATE_WAITING || self->dry_run))
            json_int(&json, names[i], fates[i]);
    }
    write_differing(&json, recovery);
    write_unanswered(&json, recovery);
    write_lost(&json, recovery, &lost);
    json_end_object(&json);
    if (out.full)
        return cli_fail(self->arguments, EXIT_BUG, "no memory");
    enum exit_code code = output_json(self->arguments, buffer_text(&out));
    if (code == EXIT_DONE && (lost || fates[FATE_DIFFERING] > 0 || fates[FATE_UNANSWERED] > 0))
        return EXIT_DATA;
    return code;
}

/* --- the two ways ------------------------------------------------------------------------------
 */

static enum exit_code recover_database(struct recover_call *self)
{
    struct recovery *recovery = &self->recovery;
    size_t commands = self->session.config.command_topic_count;
    struct err err;

    enum outcome outcome = recover_find_ranges(
        recovery, (struct letter_topics){self->topics.items, commands}, !self->dry_run, &err);
    if (outcome == OUTCOME_OK && recovery->ranges.count > 0)
        outcome = recover_read(recovery, self->topics, &err);
    if (outcome == OUTCOME_OK && recovery->ranges.count > 0 && !self->dry_run)
        outcome = recover_apply(recovery, &err);
    return outcome == OUTCOME_OK ? print(self) : fail(self, &err);
}

static enum exit_code recover_audit_topic(struct recover_call *self)
{
    struct audit_recovery audit = {.since_us = self->since_us, .dry_run = self->dry_run};
    struct buffer out;
    struct err err;

    if (recover_audit(&self->recovery, self->topics, &audit, &err) != OUTCOME_OK)
        return fail(self, &err);
    buffer_init(&out, self->recovery.arena);
    struct json_writer json = json_writer_of(&out);
    json_begin_object(&json, NULL);
    json_bool(&json, "dryRun", self->dry_run);
    json_time(&json, "since", self->since_us);
    json_int(&json, "events", (int64_t)audit.stored);
    json_int(&json, self->dry_run ? "missing" : "published", (int64_t)audit.published);
    json_end_object(&json);
    return out.full ? cli_fail(self->arguments, EXIT_BUG, "no memory")
                    : output_json(self->arguments, buffer_text(&out));
}

/* --- the verb ----------------------------------------------------------------------------------
 */

static enum exit_code find_topics(struct recover_call *self)
{
    const struct config *config = &self->session.config;
    struct arena *arena = self->recovery.arena;
    size_t commands = config->command_topic_count, count = 2 * commands + 1;
    const char **names = ARENA_ARRAY(arena, const char *, count);
    struct kafka_topic *described = ARENA_ARRAY(arena, struct kafka_topic, count);
    struct kafka_reader_topic *items = ARENA_ARRAY(arena, struct kafka_reader_topic, count);

    if (names == NULL || described == NULL || items == NULL)
        return cli_fail(self->arguments, EXIT_BUG, "no memory");
    for (size_t i = 0; i < commands; i++) {
        names[i] = config->command_topics[i];
        names[commands + i] =
            arena_printf(arena, "%s%s", config->command_topics[i], config->dlq_suffix);
        if (names[commands + i] == NULL)
            return cli_fail(self->arguments, EXIT_BUG, "no memory");
    }
    names[2 * commands] = config->audit_topic;
    enum exit_code code = cli_topics(self->arguments, config, names, count, true, described);
    for (size_t i = 0; code == EXIT_DONE && i < count; i++)
        items[i] = (struct kafka_reader_topic){names[i], described[i].partitions};
    self->topics = (struct letter_topics){items, count};
    return code;
}

/* Ours alone from here on; retention waits, too. */
static enum exit_code begin(struct recover_call *self)
{
    struct executor *db = session_db(&self->session);
    bool locked = true;
    struct err err;

    enum outcome outcome = migrate_check(db, self->session.arena, &err);
    if (outcome == OUTCOME_OK && !self->dry_run)
        outcome = audit_retention_lock(db, self->session.config.database_schema,
                                       self->session.arena, &locked, &err);
    if (outcome != OUTCOME_OK)
        return cli_fail_err(self->arguments, &err);
    if (!locked)
        return cli_fail(self->arguments, EXIT_TRY_AGAIN,
                        "another recover or retention is under way");
    return EXIT_DONE;
}

static enum exit_code run_with(struct recover_call *self, struct arena *arena)
{
    self->recovery = (struct recovery){
        .config = &self->session.config, .db = session_db(&self->session), .arena = arena};
    log_configure(self->session.config.log_level, self->session.config.log_format);
    interrupt_catch();
    enum exit_code code = begin(self);
    if (code == EXIT_DONE)
        code = find_topics(self);
    if (code != EXIT_DONE)
        return code;
    return argument(self->arguments, "audit-topic") != NULL ? recover_audit_topic(self)
                                                            : recover_database(self);
}

static enum exit_code recover_run(const struct arguments *arguments)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(SIZE_MAX);
    struct recover_call self = {.arguments = arguments,
                                .dry_run = argument(arguments, "dry-run") != NULL,
                                .since_us = TIMESTAMP_ABSENT};
    bool audit_topic = argument(arguments, "audit-topic") != NULL;

    if (arena == NULL)
        return cli_fail(arguments, EXIT_BUG, "no memory");
    if (arguments->operand_count > 0)
        return cli_usage_error(arguments, "takes no operands");
    if (!argument_time(arguments, "since", &self.since_us))
        return EXIT_USAGE;
    if (audit_topic != (self.since_us != TIMESTAMP_ABSENT))
        return cli_usage_error(arguments, "--audit-topic and --since go together");
    /* No statement timeout: what is read and written may be much. */
    enum exit_code code = session_open(arguments, 0, &self.session);
    if (code == EXIT_DONE)
        code = run_with(&self, arena);
    session_close(&self.session);
    return code;
}

static const struct flag flags[] = {
    {"dry-run", NULL, "tell what would be done, change nothing"},
    {"audit-topic", NULL, "the audit topic lost events: publish those that it lacks"},
    {"since", "TIME", "audit-topic: events of this time and later"},
};

const struct verb verb_recover = {
    .name = "recover",
    .operands = "",
    .summary = "bring database and topics level after one was set back",
    .description =
        "After the database was set back (a restored backup, a failover to a standby that lagged)\n"
        "the replicas hold their partitions and say so. recover reads the commands that the\n"
        "database lacks and the audit events that were published for them. It records each event\n"
        "and applies its command, if the event says that it was applied. It publishes nothing.\n"
        "Afterwards the replicas go on by themselves. A call that was interrupted is made again.\n"
        "What can't be brought level is listed, and the exit code is 65: commands whose answer\n"
        "differs from the published event (differing; the event stands), those with neither an\n"
        "event nor a dead letter (unanswered), and offsets that the topic no longer holds (lost).\n"
        "--audit-topic: after the brokers were set back, publishes the stored events since a time\n"
        "that the audit topic lacks. It reads the whole audit topic in either case.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .run = recover_run,
};
