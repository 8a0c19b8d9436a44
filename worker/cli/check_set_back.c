#include "worker/cli/check_set_back.h"

#include <inttypes.h>
#include <stdio.h>

#include "worker/cli/recover.h"
#include "worker/daemon/database.h"
#include "worker/kafka/kafka_admin.h"

enum { ASK_TIMEOUT_MS = 10000, STATEMENT_TIMEOUT_MS = 10000, ARENA_BYTES = 64 * 1024 * 1024 };

static enum outcome describe(const struct config *config, struct arena *arena,
                             struct letter_topics *ret_topics, struct err *err)
{
    CLEANUP(kafka_admin_freep) struct kafka_admin *admin = NULL;
    size_t count = config->command_topic_count;
    const char **names = ARENA_ARRAY(arena, const char *, count);
    struct kafka_topic *described = ARENA_ARRAY(arena, struct kafka_topic, count);
    struct kafka_reader_topic *items = ARENA_ARRAY(arena, struct kafka_reader_topic, count);

    if (names == NULL || described == NULL || items == NULL)
        return err_no_memory(err, "topics");
    for (size_t i = 0; i < count; i++)
        names[i] = config->command_topics[i];
    enum outcome outcome = kafka_admin_new(config, &admin, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_admin_describe(admin, names, count, ASK_TIMEOUT_MS, described, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++)
        items[i] = (struct kafka_reader_topic){names[i], described[i].partitions};
    *ret_topics = (struct letter_topics){items, count};
    return outcome;
}

static enum outcome look(struct recovery *recovery, struct err *err)
{
    struct letter_topics topics = {NULL, 0};

    enum outcome outcome = describe(recovery->config, recovery->arena, &topics, err);
    return outcome == OUTCOME_OK ? recover_find_ranges(recovery, topics, false, err) : outcome;
}

void check_set_back(const struct config *config, struct findings *findings)
{
    CLEANUP(executor_pq_freep) struct executor_pq *db = NULL;
    CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_BYTES);
    struct recovery recovery = {.config = config, .arena = arena};
    struct err err;

    if (arena == NULL) {
        findings->full = true;
        return;
    }
    enum outcome outcome =
        database_open(config, "catalyst-worker check", STATEMENT_TIMEOUT_MS, &db, &err);
    if (outcome == OUTCOME_OK) {
        recovery.db = executor_pq_port(db);
        outcome = look(&recovery, &err);
    }
    if (outcome != OUTCOME_OK) {
        finding_add(findings, outcome == OUTCOME_RETRY ? FINDING_AWAY : FINDING_ERROR, "group",
                    "recorded and committed offsets cannot be compared: %s [%s]", err.text,
                    err.code);
        return;
    }
    for (size_t i = 0; i < recovery.ranges.count; i++) {
        const struct lost_range *lost = &recovery.ranges.items[i];
        char where[300];
        snprintf(where, sizeof(where), "topic %s partition %" PRId32, lost->topic,
                 lost->range.partition);
        finding_add(findings, FINDING_ERROR, where,
                    "the database was set back: it has recorded %" PRId64
                    ", the group has committed %" PRId64 "; run catalyst-worker recover",
                    lost->range.from, lost->range.to);
    }
}
