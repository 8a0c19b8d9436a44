#include "worker/cli/check_kafka.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/kafka/kafka_admin.h"
#include "worker/kafka/kafka_client.h"

enum { ASK_TIMEOUT_MS = 10000, SCRATCH_BYTES = 4 * 1024 * 1024 };
#define MS_PER_DAY (24 * 3600 * 1000.0)

struct kafka_check {
    const struct config *config;
    struct findings *findings;
    struct kafka_topic_names names;
    struct kafka_topic *topics;
    int brokers;
};

static void ask_failed(const struct kafka_check *check, const struct err *err)
{
    bool away = err->outcome == OUTCOME_RETRY && !kafka_refuses_connection(err);
    enum finding_level level = away ? FINDING_AWAY : FINDING_ERROR;
    finding_add(check->findings, level, "kafka", "%s [%s]", err->text, err->code);
}

static bool is_there(const struct kafka_topic *topic)
{
    return topic->state == KAFKA_TOPIC_THERE || topic->state == KAFKA_TOPIC_LEADERLESS;
}

/* --- one topic ---------------------------------------------------------------------------------
 */

static void judge_state(const struct kafka_check *check, const char *where,
                        const struct kafka_topic *topic)
{
    switch (topic->state) {
    case KAFKA_TOPIC_THERE:
        return;
    case KAFKA_TOPIC_MISSING:
        finding_add(check->findings, FINDING_ERROR, where,
                    "is missing; make it with catalyst-worker migrate up --topics");
        return;
    case KAFKA_TOPIC_FORBIDDEN:
        finding_add(check->findings, FINDING_ERROR, where,
                    "may not be described: the principal needs at least DESCRIBE on it");
        return;
    case KAFKA_TOPIC_LEADERLESS:
        finding_add(check->findings, FINDING_WARNING, where,
                    "a partition has no leader at the moment");
        return;
    }
}

/* A command takes effect once because the audit log remembers it: as long as it can still be read
 * from its topic, its row must be there. */
static void judge_retention(const struct kafka_check *check, const char *where,
                            const struct kafka_topic *topic)
{
    int64_t kept_ms = check->config->audit_retention_ms;
    bool forever = kept_ms == CONFIG_FOREVER;

    if (topic->retention_ms == KAFKA_NOT_TOLD)
        finding_add(check->findings, forever ? FINDING_INFO : FINDING_WARNING, where,
                    "its retention may not be asked for (DESCRIBE_CONFIGS); rows of "
                    "auth_audit_events must be kept at least as long");
    else if (topic->retention_ms < 0 && forever)
        finding_add(check->findings, FINDING_INFO, where,
                    "keeps commands for ever, so rows of auth_audit_events must be kept too");
    else if (topic->retention_ms < 0)
        finding_add(check->findings, FINDING_ERROR, where,
                    "keeps commands for ever, but database.audit_retention does not keep their "
                    "rows: set retention.ms, or audit_retention = forever");
    else if (!forever && kept_ms < topic->retention_ms)
        finding_add(check->findings, FINDING_ERROR, where,
                    "keeps commands for %.1f days, longer than the %.1f days of "
                    "database.audit_retention",
                    (double)topic->retention_ms / MS_PER_DAY, (double)kept_ms / MS_PER_DAY);
    else
        finding_add(check->findings, FINDING_INFO, where,
                    "keeps commands for %.1f days; rows of auth_audit_events must be kept at least "
                    "as long",
                    (double)topic->retention_ms / MS_PER_DAY);
}

static void judge_record_size(const struct kafka_check *check, const char *where,
                              const struct kafka_topic *topic)
{
    if (topic->max_message_bytes != KAFKA_NOT_TOLD &&
        topic->max_message_bytes < KAFKA_RECORD_BYTES_LEAST)
        finding_add(check->findings, FINDING_ERROR, where,
                    "max.message.bytes is less than %d: what does not fit would wait for ever",
                    KAFKA_RECORD_BYTES_LEAST);
}

static void judge_topic(const struct kafka_check *check, size_t index)
{
    const struct kafka_topic_name *name = &check->names.items[index];
    const struct kafka_topic *topic = &check->topics[index];
    char where[300];

    snprintf(where, sizeof(where), "topic %s", name->name);
    judge_state(check, where, topic);
    if (!is_there(topic))
        return;
    if (topic->compacted && name->use == KAFKA_COMMAND_TOPIC)
        finding_add(check->findings, FINDING_ERROR, where,
                    "is compacted: commands that nobody has applied yet would vanish; set "
                    "cleanup.policy=delete");
    else if (topic->compacted && name->use == KAFKA_DEAD_LETTER_TOPIC)
        finding_add(check->findings, FINDING_ERROR, where,
                    "is compacted: dead letters with the same key vanish, and those without a key "
                    "are refused; set cleanup.policy=delete");
    else if (topic->compacted)
        finding_add(check->findings, FINDING_WARNING, where,
                    "is compacted: records with the same key vanish; set cleanup.policy=delete");
    if (topic->compressed && name->use == KAFKA_COMMAND_TOPIC)
        finding_add(check->findings, FINDING_ERROR, where,
                    "takes compressed batches: one of some kilobytes may need gigabytes to be read "
                    "and end every replica in turn; set compression.type=uncompressed");
    if (check->brokers > 1 && topic->replicas < 2)
        finding_add(check->findings, FINDING_WARNING, where,
                    "has one replica: a lost broker is a lost topic");
    if (name->use == KAFKA_COMMAND_TOPIC)
        judge_retention(check, where, topic);
    else
        judge_record_size(check, where, topic);
}

/* --- all topics together -----------------------------------------------------------------------
 */

static const struct kafka_topic *topic_find(const struct kafka_check *check, const char *name)
{
    for (size_t i = 0; i < check->names.count; i++) {
        if (strcmp(check->names.items[i].name, name) == 0)
            return &check->topics[i];
    }
    return NULL;
}

static void judge_dead_letter_size(const struct kafka_check *check, const char *command_topic)
{
    char name[400];
    const struct kafka_topic *origin = topic_find(check, command_topic);

    snprintf(name, sizeof(name), "%s%s", command_topic, check->config->dlq_suffix);
    const struct kafka_topic *dead_letters = topic_find(check, name);
    if (origin == NULL || dead_letters == NULL || origin->max_message_bytes == KAFKA_NOT_TOLD ||
        dead_letters->max_message_bytes == KAFKA_NOT_TOLD ||
        dead_letters->max_message_bytes >= origin->max_message_bytes)
        return;
    char where[420];
    snprintf(where, sizeof(where), "topic %s", name);
    finding_add(check->findings, FINDING_WARNING, where,
                "max.message.bytes is less than that of %s: large dead letters would be cut",
                command_topic);
}

static void judge_together(const struct kafka_check *check)
{
    size_t partitions = 0;

    for (size_t i = 0; i < check->names.count; i++) {
        if (check->names.items[i].use != KAFKA_COMMAND_TOPIC || !is_there(&check->topics[i]))
            continue;
        partitions += (size_t)check->topics[i].partitions;
        judge_dead_letter_size(check, check->names.items[i].name);
    }
    if (partitions > 0 && check->config->lanes > partitions)
        finding_add(check->findings, FINDING_WARNING, "configuration",
                    "worker.lanes: more lanes (%zu) than partitions of the command topics (%zu): "
                    "some stay idle",
                    check->config->lanes, partitions);
}

/* --- permissions -------------------------------------------------------------------------------
 */

static void probe(const struct kafka_check *check)
{
    struct err err;

    if (kafka_probe_group(check->config, ASK_TIMEOUT_MS, &err) != OUTCOME_OK)
        ask_failed(check, &err);
    if (kafka_probe_transactions(check->config, ASK_TIMEOUT_MS, &err) != OUTCOME_OK)
        ask_failed(check, &err);
    for (size_t i = 0; i < check->names.count; i++) {
        if (check->names.items[i].use == KAFKA_COMMAND_TOPIC &&
            check->topics[i].state == KAFKA_TOPIC_THERE &&
            kafka_probe_read(check->config, check->names.items[i].name, ASK_TIMEOUT_MS, &err) !=
                OUTCOME_OK)
            ask_failed(check, &err);
    }
}

/* --- all ---------------------------------------------------------------------------------------
 */

static bool sleep_ms(void *context, int64_t pause_ms)
{
    (void)context;
    clock_sleep_us(pause_ms * 1000);
    return true;
}

static enum outcome describe(struct kafka_check *check, struct kafka_admin *admin,
                             struct arena *arena, struct err *err)
{
    check->topics = ARENA_ARRAY(arena, struct kafka_topic, check->names.count);
    if (check->topics == NULL)
        return err_no_memory(err, "topics");
    return kafka_admin_describe_settled(admin, &check->names, ASK_TIMEOUT_MS, sleep_ms, NULL,
                                        check->topics, err);
}

static enum outcome ask(struct kafka_check *check, struct arena *arena, struct err *err)
{
    CLEANUP(kafka_admin_freep) struct kafka_admin *admin = NULL;

    enum outcome outcome = kafka_topic_names(check->config, &check->names, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_admin_new(check->config, &admin, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_admin_reach(admin, ASK_TIMEOUT_MS, &check->brokers, err);
    if (outcome == OUTCOME_OK)
        outcome = describe(check, admin, arena, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (size_t i = 0; i < check->names.count; i++)
        judge_topic(check, i);
    judge_together(check);
    probe(check);
    return OUTCOME_OK;
}

void check_kafka(const struct config *config, struct findings *findings)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(SCRATCH_BYTES);
    struct kafka_check check = {.config = config, .findings = findings};
    struct err err;

    if (arena == NULL)
        findings->full = true;
    else if (ask(&check, arena, &err) != OUTCOME_OK)
        ask_failed(&check, &err);
    kafka_topic_names_release(&check.names);
}
