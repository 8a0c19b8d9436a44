#include "worker/cli/retention_guard.h"

#include "repo/protocol_repo.h"
#include "worker/kafka/kafka_admin.h"

enum { ASK_TIMEOUT_MS = 10000, REACH_MAX_MS = 3600 * 1000 };

/* Rows of all topics, growing as their partitions are told. */
struct collector {
    const struct config *config;
    struct kafka_admin *admin;
    struct arena *arena;
    struct audit_floor *floors;
    size_t floor_count;
    int32_t *gone_topics;
    size_t gone_topic_count;
};

static bool is_configured(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->command_topic_count; i++) {
        if (strcmp(config->command_topics[i], name) == 0)
            return true;
    }
    return false;
}

/* Topic numbers were read before the brokers were asked: partitions that commands came from, and
 * that are not there now, were there once. What came to be since then is not told of, so it stays.
 */
static enum outcome add_floors(struct collector *self, const struct topic_number *topic,
                               int partitions, struct err *err)
{
    int all = topic->partitions > partitions ? topic->partitions : partitions;
    int64_t *offsets = ARENA_ARRAY(self->arena, int64_t, (size_t)all);
    struct audit_floor *floors =
        ARENA_ARRAY(self->arena, struct audit_floor, self->floor_count + (size_t)all);

    if (offsets == NULL || floors == NULL)
        return err_no_memory(err, "first offsets");
    for (int i = partitions; i < all; i++)
        offsets[i] = INT64_MAX;
    enum outcome outcome = kafka_admin_first_offsets(self->admin, topic->name, partitions,
                                                     ASK_TIMEOUT_MS, offsets, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (self->floor_count > 0)
        memcpy(floors, self->floors, self->floor_count * sizeof(floors[0]));
    for (int i = 0; i < all; i++)
        floors[self->floor_count++] = (struct audit_floor){topic->topic_id, i, offsets[i]};
    self->floors = floors;
    return OUTCOME_OK;
}

static enum outcome add_topic(struct collector *self, const struct topic_number *topic,
                              const struct kafka_topic *described, struct err *err)
{
    bool configured = is_configured(self->config, topic->name);

    switch (described->state) {
    case KAFKA_TOPIC_THERE:
        return add_floors(self, topic, described->partitions, err);
    case KAFKA_TOPIC_LEADERLESS:
        return err_set(err, OUTCOME_RETRY, "", "topic %s: a partition has no leader", topic->name);
    case KAFKA_TOPIC_MISSING:
        if (configured)
            return err_set(err, OUTCOME_REJECT, "", "topic %s is missing although it is configured",
                           topic->name);
        self->gone_topics[self->gone_topic_count++] = topic->topic_id;
        return OUTCOME_OK;
    case KAFKA_TOPIC_FORBIDDEN:
        break;
    }
    return configured ? err_set(err, OUTCOME_REJECT, "",
                                "topic %s: the brokers do not let us describe it", topic->name)
                      : OUTCOME_OK;
}

static enum outcome ask(struct collector *self, const struct topic_number *topics, size_t count,
                        struct err *err)
{
    const char **names = ARENA_ARRAY(self->arena, const char *, count);
    struct kafka_topic *described = ARENA_ARRAY(self->arena, struct kafka_topic, count);
    int64_t deadline_ms = self->config->startup_deadline_ms;
    int brokers;

    self->gone_topics = ARENA_ARRAY(self->arena, int32_t, count);
    if (names == NULL || described == NULL || self->gone_topics == NULL)
        return err_no_memory(err, "topics");
    for (size_t i = 0; i < count; i++)
        names[i] = topics[i].name;
    enum outcome outcome = kafka_admin_reach(
        self->admin, deadline_ms > REACH_MAX_MS ? REACH_MAX_MS : (int)deadline_ms, &brokers, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_admin_describe(self->admin, names, count, ASK_TIMEOUT_MS, described, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++)
        outcome = add_topic(self, &topics[i], &described[i], err);
    return outcome;
}

enum outcome retention_guard(const struct config *config, struct executor *db, int64_t keep_from_us,
                             struct arena *arena, struct audit_guard *ret_guard, struct err *err)
{
    CLEANUP(kafka_admin_freep) struct kafka_admin *admin = NULL;
    struct collector self = {.config = config, .arena = arena};
    const struct topic_number *topics;
    size_t count;

    enum outcome outcome = topics_list(db, arena, &topics, &count, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_admin_new(config, &admin, err);
    self.admin = admin;
    if (outcome == OUTCOME_OK)
        outcome = ask(&self, topics, count, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    *ret_guard = (struct audit_guard){
        .keep_from_us = keep_from_us,
        .floors = self.floors,
        .floor_count = self.floor_count,
        .gone_topics = self.gone_topics,
        .gone_topic_count = self.gone_topic_count,
    };
    return OUTCOME_OK;
}
