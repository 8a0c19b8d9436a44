#include "base/map.h"
#include "base/timestamp.h"
#include "events/audit_message.h"
#include "repo/audit/audit_repo.h"
#include "repo/protocol_repo.h"
#include "worker/cli/recover.h"
#include "worker/kafka/kafka_group.h"
#include "worker/kafka/kafka_redriver.h"

enum {
    PAGE = 500,
    COMMITTED_TIMEOUT_MS = 30000,
    OPEN_TIMEOUT_MS = 30000,
    COMMIT_TIMEOUT_MS = 60000
};

struct audit_scan {
    struct recovery *recovery;
    struct audit_recovery *audit;
    struct partitions all;
    struct map missing; /* ids of events that are published and not seen on the topic; 1: seen */
    struct arena *page;
    struct kafka_redriver *redriver;
};

static struct text key_of(const struct uuid *id)
{
    return (struct text){(const char *)id->bytes, sizeof(id->bytes)};
}

/* Below this offset the events of a partition are published; at and above it the lanes publish. */
static int64_t floor_of(const struct audit_scan *self, const struct audit_event *event)
{
    for (size_t i = 0; i < self->all.count; i++) {
        const struct stored_offset *stored = &self->all.stored[i];
        if (stored->topic_id == event->topic_id && stored->partition == event->partition) {
            int64_t committed = self->all.committed[i].offset;
            return committed > stored->offset ? committed : stored->offset;
        }
    }
    return 0;
}

typedef enum outcome event_visitor(struct audit_scan *self, const struct audit_event *event,
                                   struct err *err);

/* Every event of the worker since the time whose event is published, in the log's order. */
static enum outcome visit_stored(struct audit_scan *self, event_visitor *visitor, struct err *err)
{
    struct audit_filter filter = {.since_us = self->audit->since_us,
                                  .until_us = TIMESTAMP_ABSENT,
                                  .after_occurred_at_us = TIMESTAMP_ABSENT,
                                  .limit = PAGE};
    size_t count = PAGE;

    while (count == PAGE) {
        const struct audit_event *events;
        arena_reset(self->page);
        enum outcome outcome =
            audit_list(self->recovery->db, &filter, self->page, &events, &count, err);
        for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
            if (events[i].topic_id != 0 && events[i].offset < floor_of(self, &events[i]))
                outcome = visitor(self, &events[i], err);
        }
        if (outcome != OUTCOME_OK)
            return outcome;
        if (count > 0) {
            filter.after_occurred_at_us = events[count - 1].occurred_at_us;
            filter.after_id = events[count - 1].id;
        }
    }
    return OUTCOME_OK;
}

static enum outcome remember(struct audit_scan *self, const struct audit_event *event,
                             struct err *err)
{
    char *id = arena_copy(self->recovery->arena, event->id.bytes, sizeof(event->id.bytes));
    bool is_new;

    if (id == NULL ||
        map_put(&self->missing, 0, (struct text){id, sizeof(event->id.bytes)}, &is_new) == NULL)
        return err_no_memory(err, "audit events");
    self->audit->stored++;
    return OUTCOME_OK;
}

static enum outcome see(void *context, const struct message *message, struct arena *arena,
                        bool *ret_stop, struct err *err)
{
    struct audit_scan *self = context;
    const struct header *header = message_header(message, "ce_id");
    struct uuid id;
    bool is_new;

    (void)arena;
    (void)ret_stop;
    if (header == NULL || !uuid_parse(text_of_slice(header->value), &id) ||
        map_get(&self->missing, 0, key_of(&id)) == NULL)
        return OUTCOME_OK;
    size_t *seen = map_put(&self->missing, 0, key_of(&id), &is_new);
    if (seen == NULL)
        return err_no_memory(err, "audit events");
    *seen = 1;
    return OUTCOME_OK;
}

static bool is_missing(const struct audit_scan *self, const struct audit_event *event)
{
    const size_t *seen = map_get(&self->missing, 0, key_of(&event->id));
    return seen != NULL && *seen == 0;
}

static enum outcome count_missing(struct audit_scan *self, const struct audit_event *event,
                                  struct err *err)
{
    (void)err;
    self->audit->published += is_missing(self, event);
    return OUTCOME_OK;
}

/* A call after a crash finds on the topic what was committed. */
static enum outcome publish_missing(struct audit_scan *self, const struct audit_event *event,
                                    struct err *err)
{
    struct kafka_redriver *redriver = self->redriver;
    struct outgoing_record record;

    if (!is_missing(self, event))
        return OUTCOME_OK;
    if (kafka_redriver_is_due(redriver)) {
        enum outcome committed = kafka_redriver_commit(redriver, COMMIT_TIMEOUT_MS, err);
        if (committed != OUTCOME_OK)
            return committed;
    }
    enum outcome outcome = audit_message_encode(event, text_of(self->recovery->config->audit_topic),
                                                self->page, &record, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_redriver_begin(redriver, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_redriver_send(redriver, &record, -1, err);
    self->audit->published += outcome == OUTCOME_OK;
    return outcome;
}

static enum outcome publish(struct audit_scan *self, struct err *err)
{
    CLEANUP(kafka_redriver_freep) struct kafka_redriver *redriver = NULL;

    enum outcome outcome =
        kafka_redriver_new(self->recovery->config, OPEN_TIMEOUT_MS, &redriver, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    self->redriver = redriver;
    outcome = kafka_redriver_begin(redriver, err);
    if (outcome == OUTCOME_OK)
        outcome = visit_stored(self, publish_missing, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_redriver_begin(redriver, err);
    return outcome == OUTCOME_OK ? kafka_redriver_commit(redriver, COMMIT_TIMEOUT_MS, err)
                                 : outcome;
}

enum outcome recover_audit(struct recovery *self, struct letter_topics topics,
                           struct audit_recovery *audit, struct err *err)
{
    CLEANUP(arena_freep) struct arena *page = arena_new(SIZE_MAX);
    struct audit_scan scan = {.recovery = self, .audit = audit, .page = page};
    size_t commands = self->config->command_topic_count;
    struct letter_topics audit_topic = {topics.items + 2 * commands, 1};

    if (page == NULL || !map_init(&scan.missing, self->arena, PAGE))
        return err_no_memory(err, "audit events");
    enum outcome outcome = recover_ask_partitions(
        self, (struct letter_topics){topics.items, commands}, false, &scan.all, err);
    if (outcome == OUTCOME_OK)
        outcome = visit_stored(&scan, remember, err);
    if (outcome == OUTCOME_OK)
        outcome = letter_topics_visit(self->config, &audit_topic, see, &scan, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return audit->dry_run ? visit_stored(&scan, count_missing, err) : publish(&scan, err);
}
