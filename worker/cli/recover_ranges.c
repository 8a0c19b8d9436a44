#include <assert.h>

#include "repo/protocol_repo.h"
#include "worker/cli/recover.h"
#include "worker/kafka/kafka_admin.h"
#include "worker/kafka/kafka_group.h"
#include "worker/lane/setback.h"

enum { ASK_TIMEOUT_MS = 10000, COMMITTED_TIMEOUT_MS = 30000 };

static enum outcome number_topics(struct recovery *self, struct letter_topics topics,
                                  bool may_write, int32_t *ret_ids, struct err *err)
{
    struct text *names = ARENA_ARRAY(self->arena, struct text, topics.count);
    const struct topic_number *known;
    size_t count;

    if (names == NULL)
        return err_no_memory(err, "topics");
    for (size_t i = 0; i < topics.count; i++)
        names[i] = text_of(topics.items[i].name);
    if (may_write)
        return topics_intern(self->db, names, topics.count, self->arena, ret_ids, err);
    enum outcome outcome = topics_list(self->db, self->arena, &known, &count, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < topics.count; i++) {
        for (size_t k = 0; k < count; k++) {
            if (text_is(names[i], known[k].name))
                ret_ids[i] = known[k].topic_id;
        }
    }
    return outcome;
}

enum outcome recover_ask_partitions(struct recovery *self, struct letter_topics topics,
                                    bool may_write, struct partitions *ret_partitions,
                                    struct err *err)
{
    struct partitions all = {.topic_ids = ARENA_ARRAY(self->arena, int32_t, topics.count)};
    size_t total = 0;

    for (size_t i = 0; i < topics.count; i++)
        total += (size_t)topics.items[i].partitions;
    all.committed = ARENA_ARRAY(self->arena, struct position, total);
    all.stored = ARENA_ARRAY(self->arena, struct stored_offset, total);
    if (all.topic_ids == NULL || all.committed == NULL || all.stored == NULL)
        return err_no_memory(err, "partitions");
    enum outcome outcome = number_topics(self, topics, may_write, all.topic_ids, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (size_t i = 0; i < topics.count; i++) {
        for (int p = 0; p < topics.items[i].partitions; p++) {
            all.committed[all.count] =
                (struct position){.topic = text_of(topics.items[i].name), .partition = p};
            all.stored[all.count++] =
                (struct stored_offset){.topic_id = all.topic_ids[i], .partition = p};
        }
    }
    outcome =
        kafka_group_committed(self->config, all.committed, all.count, COMMITTED_TIMEOUT_MS, err);
    if (outcome == OUTCOME_OK)
        outcome = published_offsets_load(self->db, all.stored, all.count, self->arena, err);
    *ret_partitions = all;
    return outcome;
}

/* Those that are behind now. */
static enum outcome compare(struct recovery *self, const struct partitions *all,
                            const struct recovery_range **ret_ranges, size_t *ret_count,
                            struct err *err)
{
    struct recovery_range *ranges = ARENA_ARRAY(self->arena, struct recovery_range, all->count);

    *ret_count = 0;
    if (ranges == NULL)
        return err_no_memory(err, "ranges to recover");
    for (size_t i = 0; i < all->count; i++) {
        if (standing_of(&all->committed[i], all->stored[i].recorded) == STANDING_SET_BACK)
            ranges[(*ret_count)++] = (struct recovery_range){.topic_id = all->stored[i].topic_id,
                                                             .partition = all->stored[i].partition,
                                                             .from = all->stored[i].recorded,
                                                             .to = all->committed[i].offset};
    }
    *ret_ranges = ranges;
    return OUTCOME_OK;
}

static enum outcome add_topic(struct recovery *self, struct kafka_admin *admin,
                              const struct kafka_reader_topic *topic, int32_t topic_id,
                              const struct recovery_range *ranges, size_t count, struct err *err)
{
    int64_t *first = ARENA_ARRAY(self->arena, int64_t, (size_t)topic->partitions);

    if (first == NULL)
        return err_no_memory(err, "first offsets");
    enum outcome outcome = kafka_admin_first_offsets(admin, topic->name, topic->partitions,
                                                     ASK_TIMEOUT_MS, first, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        if (ranges[i].topic_id == topic_id && ranges[i].partition < topic->partitions)
            self->ranges.items[self->ranges.count++] =
                (struct lost_range){ranges[i], topic->name, first[ranges[i].partition]};
    }
    return outcome;
}

static enum outcome complete(struct recovery *self, struct letter_topics topics,
                             const struct partitions *all, const struct recovery_range *ranges,
                             size_t count, struct err *err)
{
    CLEANUP(kafka_admin_freep) struct kafka_admin *admin = NULL;

    self->ranges.items = ARENA_ARRAY(self->arena, struct lost_range, count + 1);
    if (self->ranges.items == NULL)
        return err_no_memory(err, "ranges to recover");
    enum outcome outcome = kafka_admin_new(self->config, &admin, err);
    assert(all->topic_ids != NULL);
    for (size_t i = 0; outcome == OUTCOME_OK && i < topics.count; i++)
        outcome = add_topic(self, admin, &topics.items[i], all->topic_ids[i], ranges, count, err);
    if (outcome == OUTCOME_OK && self->ranges.count < count)
        return err_set(err, OUTCOME_REJECT, "",
                       "a recovery is stored for a topic that is no command topic of this "
                       "configuration, or for a partition that it does not have");
    return outcome;
}

enum outcome recover_find_ranges(struct recovery *self, struct letter_topics topics, bool store,
                                 struct err *err)
{
    struct partitions all = {.count = 0};
    const struct recovery_range *ranges = NULL, *stored = NULL;
    size_t count = 0, stored_count = 0;

    enum outcome outcome = recover_ask_partitions(self, topics, store, &all, err);
    if (outcome == OUTCOME_OK)
        outcome = compare(self, &all, &ranges, &count, err);
    if (outcome == OUTCOME_OK && store && count > 0)
        outcome = recoveries_store(self->db, ranges, count, self->arena, err);
    if (outcome == OUTCOME_OK)
        outcome = recoveries_list(self->db, self->arena, &stored, &stored_count, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    /* Without storing: what an interrupted call has stored, else what is behind now. */
    bool use_stored = store || stored_count > 0;
    return complete(self, topics, &all, use_stored ? stored : ranges,
                    use_stored ? stored_count : count, err);
}
