#include <assert.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/timestamp.h"
#include "events/audit_message.h"
#include "events/dead_letter.h"
#include "worker/cli/recover.h"

enum { FIRST_CAPACITY = 1024 };

/* --- commands ----------------------------------------------------------------------------------
 */

static const struct lost_range *range_of(const struct recovery *self, const struct message *message)
{
    for (size_t i = 0; i < self->ranges.count; i++) {
        const struct lost_range *range = &self->ranges.items[i];
        if (range->range.partition == message->partition && text_is(message->topic, range->topic) &&
            message->offset >= range->range.from && message->offset < range->range.to)
            return range;
    }
    return NULL;
}

static bool copy_slice(struct arena *arena, struct slice *slice)
{
    if (slice->data == NULL)
        return true;
    slice->data = (const uint8_t *)arena_copy(arena, slice->data, slice->length);
    return slice->data != NULL;
}

static bool copy_message(struct arena *arena, struct message *message)
{
    struct header *headers = ARENA_ARRAY(arena, struct header, message->header_count);

    if (headers == NULL || !arena_copy_text(arena, message->topic, &message->topic) ||
        !copy_slice(arena, &message->key) || !copy_slice(arena, &message->value))
        return false;
    for (size_t i = 0; i < message->header_count; i++) {
        headers[i] = message->headers[i];
        if (!arena_copy_text(arena, headers[i].name, &headers[i].name) ||
            !copy_slice(arena, &headers[i].value))
            return false;
    }
    message->headers = headers;
    return true;
}

static bool reserve(struct recovery *self)
{
    if (self->count < self->capacity)
        return true;
    size_t larger = self->capacity == 0 ? FIRST_CAPACITY : 2 * self->capacity;
    struct lost_command **commands = ARENA_ARRAY(self->arena, struct lost_command *, larger);
    if (commands == NULL)
        return false;
    if (self->count > 0)
        memcpy(commands, self->commands, self->count * sizeof(struct lost_command *));
    self->commands = commands;
    self->capacity = larger;
    return true;
}

static enum outcome take_command(void *context, const struct message *message, struct arena *arena,
                                 bool *ret_stop, struct err *err)
{
    struct recovery *self = context;

    (void)arena;
    (void)ret_stop;
    if (range_of(self, message) == NULL)
        return OUTCOME_OK;
    struct lost_command *lost = ARENA_NEW(self->arena, struct lost_command);
    if (lost == NULL || !reserve(self))
        return err_no_memory(err, "commands");
    lost->message = *message;
    if (!copy_message(self->arena, &lost->message))
        return err_no_memory(err, "commands");
    enum outcome outcome = command_decode(&lost->message, self->arena, &lost->command, err);
    if (outcome != OUTCOME_OK && outcome != OUTCOME_REJECT)
        return outcome;
    lost->decoded = outcome == OUTCOME_OK;
    if (lost->decoded)
        lost->conflict_id = conflict_id_of(lost->command.envelope.source, lost->command.envelope.id,
                                           &lost->command.digest);
    self->commands[self->count++] = lost;
    return OUTCOME_OK;
}

static enum outcome read_commands(struct recovery *self, struct letter_topics topics,
                                  struct err *err)
{
    size_t total = 0, at = 0;

    for (size_t i = 0; i < topics.count; i++)
        total += (size_t)topics.items[i].partitions;
    int64_t *offsets = ARENA_ARRAY(self->arena, int64_t, total);
    if (offsets == NULL)
        return err_no_memory(err, "commands");
    for (size_t i = 0; i < topics.count; i++) {
        for (int p = 0; p < topics.items[i].partitions; p++, at++) {
            offsets[at] = INT64_MAX; /* nothing of it is wanted */
            for (size_t k = 0; k < self->ranges.count; k++) {
                const struct lost_range *range = &self->ranges.items[k];
                if (range->range.partition == p && strcmp(range->topic, topics.items[i].name) == 0)
                    offsets[at] = range->range.from;
            }
        }
    }
    const struct kafka_reader_start start = {
        .beginning = true, .from_us = TIMESTAMP_ABSENT, .past_open = true, .offsets = offsets};
    return topics_visit(self->config, &topics, &start, take_command, self, err);
}

/* --- order -------------------------------------------------------------------------------------
 */

static bool same_partition(const struct lost_command *a, const struct lost_command *b)
{
    return a->message.partition == b->message.partition &&
           text_equal(a->message.topic, b->message.topic);
}

static int compare_places(const void *a, const void *b)
{
    const struct message *left = &(*(struct lost_command *const *)a)->message;
    const struct message *right = &(*(struct lost_command *const *)b)->message;
    int order = text_compare(left->topic, right->topic);

    if (order != 0)
        return order;
    if (left->partition != right->partition)
        return left->partition < right->partition ? -1 : 1;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

/* Where a partition's commands stand among the sorted ones. */
struct run {
    size_t next, end;
};

/* Partitions are merged by the time of their records: about the order in which they were applied.
 * The order within each is exact. */
static bool merge(struct recovery *self)
{
    struct lost_command **merged = ARENA_ARRAY(self->arena, struct lost_command *, self->count + 1);
    struct run *runs = ARENA_ARRAY(self->arena, struct run, self->ranges.count + 1);
    size_t run_count = 0, at = 0;

    if (merged == NULL || runs == NULL)
        return false;
    for (size_t i = 0; i < self->count; i++) {
        if (i == 0 || !same_partition(self->commands[i - 1], self->commands[i]))
            runs[run_count++] = (struct run){i, i};
        runs[run_count - 1].end = i + 1;
    }
    while (at < self->count) {
        struct run *first = NULL;
        for (size_t i = 0; i < run_count; i++) {
            if (runs[i].next < runs[i].end &&
                (first == NULL || self->commands[runs[i].next]->message.timestamp_ms <
                                      self->commands[first->next]->message.timestamp_ms))
                first = &runs[i];
        }
        assert(first != NULL);
        merged[at++] = self->commands[first->next++];
    }
    self->commands = merged;
    return true;
}

/* --- events ------------------------------------------------------------------------------------
 */

/* By id: commands that may be answered by it, and its event. */
struct wanted {
    struct recovery *self;
    struct map by_id;
    struct audit_event **events; /* by the map's values */
    struct slice *values;
    size_t count;
};

static struct text key_of(const struct uuid *id)
{
    return (struct text){(const char *)id->bytes, sizeof(id->bytes)};
}

static bool want(struct wanted *wanted, const struct uuid *id)
{
    bool is_new;
    size_t *slot = map_put(&wanted->by_id, 0, key_of(id), &is_new);

    if (slot != NULL && is_new)
        *slot = wanted->count++;
    return slot != NULL;
}

static enum outcome take_event(void *context, const struct message *message, struct arena *arena,
                               bool *ret_stop, struct err *err)
{
    struct wanted *wanted = context;
    const struct header *header = message_header(message, "ce_id");
    struct uuid id;

    (void)arena;
    (void)ret_stop;
    if (header == NULL || !uuid_parse(text_of_slice(header->value), &id))
        return OUTCOME_OK;
    const size_t *slot = map_get(&wanted->by_id, 0, key_of(&id));
    if (slot == NULL || wanted->events[*slot] != NULL)
        return OUTCOME_OK;
    struct message copy = *message;
    struct audit_event *event = ARENA_NEW(wanted->self->arena, struct audit_event);
    if (event == NULL || !copy_message(wanted->self->arena, &copy))
        return err_no_memory(err, "audit events");
    enum outcome outcome = audit_message_decode(&copy, wanted->self->arena, event, err);
    if (outcome == OUTCOME_REJECT || !uuid_equal(&event->id, &id))
        return OUTCOME_OK; /* somebody else's */
    wanted->events[*slot] = event;
    wanted->values[*slot] = copy.value;
    return outcome;
}

static int32_t topic_id_of_range(const struct recovery *self, const struct lost_command *lost)
{
    return range_of(self, &lost->message)->range.topic_id;
}

/* The event that answers this very command; an earlier command of the same content may have it. */
static enum outcome answer(struct wanted *wanted, struct lost_command *lost, struct map *taken,
                           struct err *err)
{
    const size_t *conflict = map_get(&wanted->by_id, 0, key_of(&lost->conflict_id));
    const size_t *own = map_get(&wanted->by_id, 0, key_of(&lost->command.audit_id));
    const size_t *slot = wanted->events[*conflict] != NULL ? conflict : own;
    bool is_new;

    if (wanted->events[*slot] == NULL)
        return OUTCOME_OK;
    if (map_put(taken, 0, key_of(&wanted->events[*slot]->id), &is_new) == NULL)
        return err_no_memory(err, "audit events");
    if (!is_new) {
        lost->fate = FATE_DUPLICATE;
        return OUTCOME_OK;
    }
    lost->event = wanted->events[*slot];
    lost->value = wanted->values[*slot];
    lost->event->command_digest = lost->command.digest;
    lost->event->topic_id = topic_id_of_range(wanted->self, lost);
    lost->event->partition = lost->message.partition;
    lost->event->offset = lost->message.offset;
    return OUTCOME_OK;
}

static enum outcome read_events(struct recovery *self, struct letter_topics audit, struct err *err)
{
    const struct kafka_reader_start start = {
        .beginning = true, .from_us = TIMESTAMP_ABSENT, .past_open = true};
    struct wanted wanted = {.self = self};
    struct map taken;

    wanted.events = ARENA_ARRAY(self->arena, struct audit_event *, 2 * self->count + 1);
    wanted.values = ARENA_ARRAY(self->arena, struct slice, 2 * self->count + 1);
    if (wanted.events == NULL || wanted.values == NULL ||
        !map_init(&wanted.by_id, self->arena, 2 * self->count + 1) ||
        !map_init(&taken, self->arena, self->count + 1))
        return err_no_memory(err, "audit events");
    for (size_t i = 0; i < self->count; i++) {
        const struct lost_command *lost = self->commands[i];
        if (lost->decoded &&
            (!want(&wanted, &lost->command.audit_id) || !want(&wanted, &lost->conflict_id)))
            return err_no_memory(err, "audit events");
    }
    enum outcome outcome = topics_visit(self->config, &audit, &start, take_event, &wanted, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < self->count; i++) {
        if (self->commands[i]->decoded)
            outcome = answer(&wanted, self->commands[i], &taken, err);
    }
    return outcome;
}

/* --- dead letters ------------------------------------------------------------------------------
 */

/* Sorted by place. */
static enum outcome take_letter(void *context, const struct message *message, struct arena *arena,
                                bool *ret_stop, struct err *err)
{
    struct recovery *self = context;
    struct letter letter;

    (void)arena;
    (void)ret_stop;
    (void)err;
    if (!letter_read(message, &letter))
        return OUTCOME_OK;
    struct lost_command wanted = {.message = {.topic = letter.origin_topic,
                                              .partition = letter.origin_partition,
                                              .offset = letter.origin_offset}};
    struct lost_command *key = &wanted;
    struct lost_command **found = self->count > 0
                                      ? bsearch(&key, self->commands, self->count,
                                                sizeof(struct lost_command *), compare_places)
                                      : NULL;
    if (found != NULL && (*found)->event == NULL && (*found)->fate == FATE_UNANSWERED)
        (*found)->fate = FATE_DEAD_LETTER;
    return OUTCOME_OK;
}

static struct letter_topics slice_of_topics(struct letter_topics topics, size_t from, size_t count)
{
    return (struct letter_topics){topics.items + from, count};
}

enum outcome recover_read(struct recovery *self, struct letter_topics topics, struct err *err)
{
    size_t commands = self->config->command_topic_count;

    enum outcome outcome = read_commands(self, slice_of_topics(topics, 0, commands), err);
    if (outcome != OUTCOME_OK || self->count == 0)
        return outcome;
    qsort(self->commands, self->count, sizeof(struct lost_command *), compare_places);
    struct lost_command **by_place = self->commands;
    if (!merge(self))
        return err_no_memory(err, "commands");
    outcome = read_events(self, slice_of_topics(topics, 2 * commands, 1), err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (size_t i = 0; i < self->count; i++) {
        struct lost_command *lost = self->commands[i];
        if (lost->event == NULL && lost->fate == FATE_WAITING)
            lost->fate = FATE_UNANSWERED;
    }
    struct lost_command **merged = self->commands;
    self->commands = by_place;
    outcome = letter_topics_visit(self->config,
                                  &(struct letter_topics){topics.items + commands, commands},
                                  take_letter, self, err);
    self->commands = merged;
    return outcome;
}
