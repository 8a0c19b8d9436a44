#include "worker/lane/lane.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "worker/lane/bisect.h"
#include "worker/lane/confirm.h"
#include "worker/lane/publish.h"

/* How long a stop request may go unnoticed on an idle topic. */
enum { POLL_MS = 100 };

/* Before what the lane knows of its partitions goes; each may take the source's time-out of some
 * seconds when Kafka is away. */
enum { LAST_CONFIRM_ATTEMPTS = 3 };

/* Dead letters logged one by one per batch; the rest as a number. */
enum { DEAD_LETTERS_LOGGED = 5 };

/* The arena's ceiling: room per message for its record, event and row, and per byte of the batch
 * for its forms (MessagePack, JSON text with every character escaped, parameter). A batch that
 * needs more is taken in halves. */
enum { ARENA_BYTES_PER_MESSAGE = 8 * 1024, ARENA_BYTES_PER_BYTE = 12 };

struct lane {
    struct lane_options options;
    struct source *source;
    struct sink *sink;
    struct store *store;
    struct lane_metrics *metrics;

    struct arena *arena; /* of the batch */
    struct progress progress;
    struct confirming confirming;
    uint64_t progress_generation;
    int32_t *topic_ids;
    struct wait wait;
    struct dead_letter_limits limits;
    atomic_int stopping;
};

void lane_free(struct lane *lane)
{
    if (lane == NULL)
        return;
    progress_release(&lane->progress);
    arena_free(lane->arena);
    free(lane->topic_ids);
    free(lane);
}

static bool reserve_memory(struct lane *lane, const struct lane_options *options)
{
    lane->arena = arena_new(options->limits.messages * ARENA_BYTES_PER_MESSAGE +
                            options->limits.bytes * ARENA_BYTES_PER_BYTE);
    lane->topic_ids = calloc(options->command_topic_count, sizeof(*lane->topic_ids));
    return lane->arena != NULL && lane->topic_ids != NULL;
}

enum outcome lane_new(const struct lane_options *options, struct source *source, struct sink *sink,
                      struct store *store, struct lane_metrics *metrics, struct lane **ret_lane,
                      struct err *err)
{
    struct lane *lane = calloc(1, sizeof(*lane));

    if (lane == NULL || !reserve_memory(lane, options)) {
        lane_free(lane);
        return err_no_memory(err, "lane");
    }
    lane->options = *options;
    lane->source = source;
    lane->sink = sink;
    lane->store = store;
    lane->metrics = metrics;
    lane->wait = (struct wait){.source = source,
                               .sink = sink,
                               .metrics = metrics,
                               .stopping = &lane->stopping,
                               .lane = options->index,
                               .random = (uint64_t)clock_monotonic_us() | 1};
    lane->confirming = (struct confirming){.progress = &lane->progress,
                                           .source = source,
                                           .metrics = metrics,
                                           .lane = options->index,
                                           .topics = options->command_topics,
                                           .topic_ids = lane->topic_ids,
                                           .topic_count = options->command_topic_count};
    lane->limits = (struct dead_letter_limits){.suffix = options->dlq_suffix,
                                               .connector_name = options->group_id};
    *ret_lane = lane;
    return OUTCOME_OK;
}

void lane_stop(struct lane *lane)
{
    atomic_store(&lane->stopping, 1);
}

static enum dead_letter_class class_of(const char *class_name)
{
    static const char *const names[DEAD_CLASS_COUNT] = {
        [DEAD_ENVELOPE] = "envelope", [DEAD_BODY] = "body",     [DEAD_TYPE] = "type",
        [DEAD_FIELD] = "field",       [DEAD_SECRET] = "secret", [DEAD_SQLSTATE] = "sqlstate"};

    for (int i = 0; i < DEAD_CLASS_COUNT; i++) {
        if (strcmp(names[i], class_name) == 0)
            return (enum dead_letter_class)i;
    }
    return DEAD_BODY;
}

static void report_dead(const struct lane *lane, const struct entry *entry, size_t nth)
{
    metric_add(&lane->metrics->dead_letters[class_of(entry->reason.class_name)], 1);
    if (nth >= DEAD_LETTERS_LOGGED)
        return;
    log_line(LOG_WARN, "dead letter", LOG_INT("lane", lane->options.index),
             LOG_TEXT("topic", entry->message->topic),
             LOG_INT("partition", entry->message->partition),
             LOG_INT("offset", entry->message->offset), LOG_STR("class", entry->reason.class_name),
             LOG_STR("reason", entry->reason.message));
}

static void report_entry(const struct lane *lane, const struct entry *entry)
{
    struct lane_metrics *metrics = lane->metrics;

    switch (entry->state) {
    case ENTRY_NEW:
        metric_add(entry->result.rejection == NULL ? &metrics->applied[entry->command.type->kind]
                                                   : &metrics->rejected[entry->command.type->kind],
                   1);
        break;
    case ENTRY_CONFLICT:
        metric_add(&metrics->conflicts, 1);
        log_line(LOG_WARN, "id conflict", LOG_TEXT("topic", entry->message->topic),
                 LOG_INT("partition", entry->message->partition),
                 LOG_INT("offset", entry->message->offset));
        break;
    case ENTRY_REDELIVERED:
    case ENTRY_PUBLISHED:
        metric_add(&metrics->redeliveries, 1);
        break;
    case ENTRY_DUPLICATE:
        metric_add(&metrics->duplicates, 1);
        break;
    case ENTRY_DEAD:
        break;
    }
}

static void report(const struct lane *lane, const struct batch *batch)
{
    size_t dead = 0;

    for (size_t i = 0; i < batch->count; i++) {
        if (batch->entries[i].state == ENTRY_DEAD)
            report_dead(lane, &batch->entries[i], dead++);
        else
            report_entry(lane, &batch->entries[i]);
    }
    if (dead > DEAD_LETTERS_LOGGED)
        log_line(LOG_WARN, "more dead letters in this batch", LOG_INT("lane", lane->options.index),
                 LOG_INT("count", dead - DEAD_LETTERS_LOGGED));
    metric_add(&lane->metrics->batches, 1);
    histogram_observe(&lane->metrics->batch_messages, batch->count, batch_bounds);
}

static struct publishing publishing_of(struct lane *lane, struct batch *batch)
{
    return (struct publishing){.batch = batch,
                               .source = lane->source,
                               .sink = lane->sink,
                               .metrics = lane->metrics,
                               .wait = &lane->wait,
                               .limits = &lane->limits,
                               .confirming = &lane->confirming,
                               .ahead = {publish_ahead}};
}

/* Settled or dead, whatever is in the batch is published and done with. */
static enum outcome publish(struct lane *lane, struct publishing *publishing, struct err *err)
{
    enum outcome outcome = publish_batch(publishing, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    progress_published(&lane->progress, publishing->batch);
    report(lane, publishing->batch);
    return OUTCOME_OK;
}

static enum outcome decode(struct lane *lane, const struct message *messages, size_t count,
                           uint64_t generation, struct batch *ret_batch, struct err *err)
{
    int64_t since_us = clock_monotonic_us();

    arena_reset(lane->arena);
    enum outcome outcome =
        batch_decode(ret_batch, lane->arena, messages, count, lane->options.command_topics,
                     lane->topic_ids, lane->options.command_topic_count, err);
    ret_batch->generation = generation;
    histogram_observe(&lane->metrics->steps[STEP_DECODE],
                      (uint64_t)(clock_monotonic_us() - since_us), duration_bounds_us);
    return outcome;
}

static enum outcome process_at_once(struct lane *lane, const struct message *messages, size_t count,
                                    uint64_t generation, struct err *err)
{
    struct batch batch;
    struct publishing publishing = publishing_of(lane, &batch);

    lane->limits.max_record_bytes = lane->sink->ops->record_bytes_max(lane->sink);
    enum outcome outcome = decode(lane, messages, count, generation, &batch, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    const struct settling settling = {.batch = &batch,
                                      .store = lane->store,
                                      .progress = &lane->progress,
                                      .metrics = lane->metrics,
                                      .audit_topic = lane->options.audit_topic,
                                      .record_bytes_max = lane->limits.max_record_bytes,
                                      .meanwhile = &publishing.ahead};
    struct bisecting bisecting = {
        .settling = &settling, .wait = &lane->wait, .publishing = &publishing};
    outcome = bisect_settle(&bisecting, err);
    return outcome == OUTCOME_OK ? publish(lane, &publishing, err) : outcome;
}

/* One message that alone needs more memory than a batch may have. */
static enum outcome process_oversized(struct lane *lane, const struct message *message,
                                      uint64_t generation, struct err *err)
{
    struct entry entry = {.message = message};
    struct position position = {message->topic, message->partition, message->offset + 1};
    struct batch batch = {.arena = lane->arena,
                          .entries = &entry,
                          .count = 1,
                          .positions = &position,
                          .position_count = 1,
                          .generation = generation};

    arena_reset(lane->arena);
    if (!entry_bury(&entry, lane->arena, DEAD_LETTER_DECODE, "body",
                    "body: needs more memory than a batch may have"))
        return err_no_memory(err, "process");
    struct publishing publishing = publishing_of(lane, &batch);
    return publish(lane, &publishing, err);
}

/* OK, or REJECT: the messages are dropped. FATAL: no memory at all. */
static enum outcome process(struct lane *lane, const struct message *messages, size_t count,
                            uint64_t generation, struct err *err)
{
    enum outcome outcome = process_at_once(lane, messages, count, generation, err);

    if (outcome != OUTCOME_FATAL)
        return outcome;
    if (count == 1)
        return process_oversized(lane, messages, generation, err);
    outcome = process(lane, messages, count / 2, generation, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return process(lane, messages + count / 2, count - count / 2, generation, err);
}

static bool save_once(struct lane *lane, struct err *err)
{
    size_t count;

    arena_reset(lane->arena);
    struct published_offset *unsaved = progress_unsaved(&lane->progress, lane->arena, &count);
    if (unsaved == NULL || count == 0)
        return true;
    CRASH_POINT(before_save);
    if (lane->store->ops->record(lane->store, NULL, 0, unsaved, count, NULL, lane->arena, err) !=
        OUTCOME_OK)
        return false;
    progress_saved(&lane->progress, unsaved, count);
    CRASH_POINT(after_save);
    return true;
}

/* Nothing is in hand: what was published is confirmed, so that the store can know it. Another lane
 * may hold the offsets of a partition that has just gone to it back for a moment, hence attempts.
 */
static void confirm_progress(struct lane *lane, int attempts)
{
    struct err err;

    for (int i = 0; i < attempts && !progress_is_confirmed(&lane->progress); i++) {
        arena_reset(lane->arena);
        if (confirm_published(&lane->confirming, lane->arena, &err) != OUTCOME_RETRY)
            return;
        log_line(LOG_DEBUG, "published offsets not confirmed yet",
                 LOG_INT("lane", lane->options.index), LOG_STR("code", err.code),
                 LOG_STR("error", err.text));
    }
}

/* Two attempts, the second on a recovered connection. What is not saved then is published a second
 * time at worst, and only after an operator resets the group's offsets. */
static void save_progress(struct lane *lane)
{
    struct err err;

    if (source_generation(lane->source) != lane->progress_generation)
        progress_revoked(&lane->progress);
    if (save_once(lane, &err))
        return;
    if (lane->store->ops->recover(lane->store, &err) == OUTCOME_OK && save_once(lane, &err))
        return;
    log_line(LOG_WARN, "published offsets not saved", LOG_INT("lane", lane->options.index),
             LOG_STR("code", err.code), LOG_STR("error", err.text));
}

static enum outcome take_assigned(struct lane *lane, enum dependency *ret_away, struct err *err)
{
    const struct position *positions;
    size_t count;

    *ret_away = DEPENDENCY_BROKERS;
    enum outcome outcome = source_take_assigned(lane->source, &positions, &count, err);
    if (outcome != OUTCOME_OK || count == 0)
        return outcome;

    *ret_away = DEPENDENCY_DATABASE;
    arena_reset(lane->arena);
    struct published_offset *floors = ARENA_ARRAY(lane->arena, struct published_offset, count);
    if (floors == NULL)
        return err_no_memory(err, "assigned partitions");
    for (size_t i = 0; i < count; i++) {
        floors[i] = (struct published_offset){
            .topic_id = topic_id_of(positions[i].topic, lane->options.command_topics,
                                    lane->topic_ids, lane->options.command_topic_count),
            .partition = positions[i].partition,
            .offset = positions[i].offset > 0 ? positions[i].offset : 0};
    }
    do {
        outcome = progress_assigned(&lane->progress, floors, count, lane->store, lane->arena, err);
    } while (outcome != OUTCOME_OK &&
             store_again(lane->store, &lane->wait, source_generation(lane->source), err));
    CRASH_POINT(after_assigned);
    return outcome;
}

/* What the lane remembers follows its partitions. false: they are not known yet, the lane stops or
 * they are gone again; the next turn tries again. */
static bool follow_assignment(struct lane *lane, struct err *err)
{
    uint64_t generation = source_generation(lane->source);
    enum dependency away;

    if (generation != lane->progress_generation) {
        confirm_progress(lane, LAST_CONFIRM_ATTEMPTS);
        save_progress(lane);
        progress_forget(&lane->progress);
        lane->progress_generation = generation;
    }
    for (;;) {
        if (take_assigned(lane, &away, err) == OUTCOME_OK)
            return true;
        if (!wait_again(&lane->wait, away, generation, err))
            return false;
    }
}

/* Once round the loop. FATAL: the consumer is broken. */
static enum outcome turn(struct lane *lane, struct err *err)
{
    const struct message *messages;
    size_t count = 0;
    /* The first poll only finds out whether the brokers answer: nobody waits for it to be over. */
    int timeout_ms = atomic_load(&lane->metrics->started) ? POLL_MS : 0;

    enum outcome outcome =
        source_poll(lane->source, timeout_ms, &lane->options.limits, &messages, &count, err);
    if (outcome == OUTCOME_FATAL)
        return outcome;
    atomic_store(&lane->metrics->progress_us, clock_monotonic_us());
    atomic_store(&lane->metrics->lag, lane->source->ops->lag(lane->source));
    if (outcome != OUTCOME_OK) {
        wait_again(&lane->wait, DEPENDENCY_BROKERS, source_generation(lane->source), err);
        return OUTCOME_OK;
    }
    wait_done(&lane->wait);
    atomic_store(&lane->metrics->started, 1);
    uint64_t generation = source_generation(lane->source);
    if (!follow_assignment(lane, err)) {
        source_release(lane->source);
        return OUTCOME_OK;
    }
    if (count == 0) {
        confirm_progress(lane, 1);
        save_progress(lane);
        return OUTCOME_OK;
    }

    CRASH_POINT(after_poll);
    outcome = process(lane, messages, count, generation, err);
    if (outcome == OUTCOME_REJECT) {
        metric_add(&lane->metrics->batches_dropped, 1);
        log_line(LOG_INFO, "batch dropped", LOG_INT("lane", lane->options.index),
                 LOG_INT("messages", count), LOG_STR("error", err->text));
    }
    source_release(lane->source);
    return outcome == OUTCOME_FATAL ? OUTCOME_FATAL : OUTCOME_OK;
}

static bool open_store(struct lane *lane, struct err *err)
{
    uint64_t generation = source_generation(lane->source);

    if (!store_recover(lane->store, &lane->wait, generation))
        return false;
    arena_reset(lane->arena);
    if (lane->store->ops->intern(lane->store, lane->options.command_topics,
                                 lane->options.command_topic_count, lane->arena, lane->topic_ids,
                                 err) == OUTCOME_OK)
        return true;
    wait_again(&lane->wait, DEPENDENCY_DATABASE, generation, err);
    return false;
}

static bool open_sink(struct lane *lane, struct err *err)
{
    if (lane->sink->ops->reopen(lane->sink, err) == OUTCOME_OK)
        return true;
    wait_again(&lane->wait, DEPENDENCY_BROKERS, source_generation(lane->source), err);
    return false;
}

/* Database, topic numbers and producer. false: the lane was stopped meanwhile. */
static bool open_ports(struct lane *lane, struct err *err)
{
    bool open = false;

    while (!open && !atomic_load(&lane->stopping))
        open = open_store(lane, err);
    if (open)
        wait_done(&lane->wait);
    open = false;
    while (!open && !atomic_load(&lane->stopping))
        open = open_sink(lane, err);
    if (open)
        wait_done(&lane->wait);
    return open;
}

enum outcome lane_run(struct lane *lane, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    atomic_store(&lane->metrics->progress_us, clock_monotonic_us());
    if (open_ports(lane, err)) {
        while (outcome == OUTCOME_OK && !atomic_load(&lane->stopping))
            outcome = turn(lane, err);
        confirm_progress(lane, LAST_CONFIRM_ATTEMPTS);
        save_progress(lane);
    }
    lane->source->ops->close(lane->source);
    atomic_store(&lane->metrics->stopped, 1);
    return outcome;
}
