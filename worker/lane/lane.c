#include "worker/lane/lane.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "worker/lane/assignment.h"
#include "worker/lane/bisect.h"
#include "worker/lane/context.h"
#include "worker/lane/publish.h"
#include "worker/lane/report.h"
#include "worker/lane/skip.h"
#include "worker/lane/wait.h"

/* How long a stop request may go unnoticed on an idle topic. */
enum { POLL_MS = 100 };

/* How long a message may fail in the same way before the lane looks whether others do too. */
enum { SUSPECT_AFTER_US = 60 * 1000 * 1000 };

/* The arena's ceiling: room per message for its record, event and row, and per byte of the batch
 * for its forms (MessagePack, JSON text with every character escaped, parameter). A batch that
 * needs more is taken in halves. */
enum { ARENA_BYTES_PER_MESSAGE = 8 * 1024, ARENA_BYTES_PER_BYTE = 12 };

/* The same for a message that stands alone, whatever a batch may have. A byte of an array of short
 * texts takes most: a text, a pointer, a parameter. Each partition may have an offset to save. */
enum { ALONE_BYTES = 1024 * 1024, ALONE_BYTES_PER_BYTE = 128, ALONE_BYTES_PER_PARTITION = 256 };

void lane_free(struct lane *lane)
{
    if (lane == NULL)
        return;
    progress_release(&lane->progress);
    arena_free(lane->arena);
    arena_free(lane->scratch);
    free(lane->topic_ids);
    free(lane->forms);
    free(lane);
}

static bool reserve_memory(struct lane *lane, const struct lane_options *options)
{
    lane->arena = arena_new(options->limits.messages * ARENA_BYTES_PER_MESSAGE +
                            options->limits.bytes * ARENA_BYTES_PER_BYTE);
    lane->scratch = arena_new(SIZE_MAX);
    lane->topic_ids = calloc(options->command_topic_count, sizeof(*lane->topic_ids));
    lane->forms = calloc(options->command_topic_count, sizeof(*lane->forms));
    return lane->arena != NULL && lane->scratch != NULL && lane->topic_ids != NULL &&
           lane->forms != NULL;
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
    lane->random = (uint64_t)clock_monotonic_us() | 1;
    lane->suspect_after_us = SUSPECT_AFTER_US;
    lane->limits = (struct dead_letter_limits){.suffix = options->dlq_suffix,
                                               .connector_name = options->group_id,
                                               .task_id = options->index};
    *ret_lane = lane;
    return OUTCOME_OK;
}

void lane_stop(struct lane *lane)
{
    atomic_store(&lane->stopping, 1);
}

/* --- one batch ---------------------------------------------------------------------------------
 */

static enum outcome decode(struct lane *lane, struct arena *arena, const struct message *messages,
                           size_t count, uint64_t generation, struct batch *ret_batch,
                           struct err *err)
{
    int64_t since_us = clock_monotonic_us();

    arena_reset(arena);
    arena_reset(lane->scratch);
    lane->limits.max_record_bytes = sink_record_bytes_max(lane->sink);
    enum outcome outcome = batch_decode(ret_batch, lane, arena, messages, count, err);
    ret_batch->generation = generation;
    ret_batch->overlap = (struct overlap){.run = publish_overlapping, .context = ret_batch};
    histogram_observe(&lane->metrics->steps[STEP_DECODE],
                      (uint64_t)(clock_monotonic_us() - since_us), duration_bounds_us);
    return outcome;
}

static enum outcome publish(struct lane *lane, struct batch *batch, struct err *err)
{
    enum outcome outcome = publish_batch(lane, batch, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    progress_published(&lane->progress, batch);
    batch_report(lane, batch);
    return OUTCOME_OK;
}

static enum outcome process_within(struct lane *lane, struct arena *arena,
                                   const struct message *messages, size_t count,
                                   uint64_t generation, struct err *err)
{
    struct batch batch;

    enum outcome outcome = decode(lane, arena, messages, count, generation, &batch, err);
    if (outcome == OUTCOME_OK)
        outcome = bisect_settle(lane, &batch, err);
    return outcome == OUTCOME_OK ? publish(lane, &batch, err) : outcome;
}

/* A message whose decoded form is many times as large as the message becomes a dead letter. It is
 * not settled: it never fits, whatever the limits of a batch are, and settling comes before. */
static enum outcome process_oversized(struct lane *lane, const struct message *message,
                                      uint64_t generation, struct err *err)
{
    struct entry entry = {.message = message};
    struct position position = {
        .topic = message->topic, .partition = message->partition, .offset = message->offset + 1};
    struct position committed;
    struct batch batch = {.lane = lane,
                          .entries = &entry,
                          .count = 1,
                          .positions = &position,
                          .committed = &committed,
                          .position_count = 1,
                          .generation = generation};

    arena_reset(lane->scratch);
    if (!entry_bury(lane, &entry, DEAD_LETTER_DECODE, "body",
                    "body: needs far more memory than its size allows"))
        return err_no_memory(err, "process");
    lane->hand = message;
    enum outcome outcome = bisect_end(lane, &batch, err);
    return outcome == OUTCOME_OK ? publish(lane, &batch, err) : outcome;
}

/* A message that does not fit into the memory of a batch has memory by its own size. */
static enum outcome process_alone(struct lane *lane, const struct message *message,
                                  uint64_t generation, struct err *err)
{
    CLEANUP(arena_freep)
    struct arena *arena = arena_new(ALONE_BYTES + ALONE_BYTES_PER_BYTE * message_bytes(message) +
                                    ALONE_BYTES_PER_PARTITION * lane->progress.count);

    if (arena == NULL)
        return err_no_memory(err, "process");
    enum outcome outcome = process_within(lane, arena, message, 1, generation, err);
    return outcome == OUTCOME_FULL ? process_oversized(lane, message, generation, err) : outcome;
}

/* OK, or REJECT: the messages are dropped. FULL: the system has no memory. */
static enum outcome process(struct lane *lane, const struct message *messages, size_t count,
                            uint64_t generation, struct err *err)
{
    enum outcome outcome = process_within(lane, lane->arena, messages, count, generation, err);

    if (outcome != OUTCOME_FULL)
        return outcome;
    if (count == 1)
        return process_alone(lane, messages, generation, err);
    outcome = process(lane, messages, count / 2, generation, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return process(lane, messages + count / 2, count - count / 2, generation, err);
}

/* --- the loop ----------------------------------------------------------------------------------
 */

static bool is_fatal(enum outcome outcome)
{
    return outcome == OUTCOME_FATAL || outcome == OUTCOME_FULL;
}

static void tell_stuck(struct lane *lane)
{
    struct lane_metrics *metrics = lane->metrics;
    struct stuck stuck;

    bool is_stuck = source_stuck(lane->source, NULL, &stuck);
    if (is_stuck) {
        struct holdup holdup = {
            .partition = stuck.at.partition, .offset = stuck.at.offset, .since_us = stuck.since_us};
        snprintf(holdup.code, sizeof(holdup.code), "%s", stuck.code);
        snprintf(holdup.topic, sizeof(holdup.topic), "%.*s", TEXT_ARG(stuck.at.topic));
        holdup_set(&metrics->stuck, &holdup);
    }
    atomic_store(&metrics->is_stuck, is_stuck);
}

static enum outcome poll(struct lane *lane, const struct message **ret_messages, size_t *ret_count,
                         struct err *err)
{
    /* The first poll only finds out whether the brokers answer: it waits for nothing. */
    int timeout_ms = atomic_load(&lane->metrics->started) ? POLL_MS : 0;

    enum outcome outcome =
        source_poll(lane->source, timeout_ms, &lane->options.limits, ret_messages, ret_count, err);
    if (is_fatal(outcome))
        return outcome;
    atomic_store(&lane->metrics->progress_us, clock_monotonic_us());
    wait_tell_lags(lane);
    tell_stuck(lane);
    if (outcome == OUTCOME_OK) {
        wait_done(lane);
        atomic_store(&lane->metrics->started, 1);
    }
    return outcome;
}

static enum outcome take(struct lane *lane, const struct message *messages, size_t count,
                         uint64_t generation, struct err *err)
{
    CRASH_POINT(after_poll);
    enum outcome outcome = process(lane, messages, count, generation, err);
    lane->hand = NULL;
    if (outcome == OUTCOME_REJECT) {
        metric_add(&lane->metrics->batches_dropped, 1);
        log_line(LOG_INFO, "batch dropped", LOG_INT("lane", lane->options.index),
                 LOG_INT("messages", count), LOG_STR("error", err->text));
    }
    return is_fatal(outcome) ? outcome : OUTCOME_OK;
}

/* Once round the loop. FATAL, FULL: the lane cannot go on. */
static enum outcome turn(struct lane *lane, struct err *err)
{
    const struct message *messages;
    size_t count = 0;

    enum outcome outcome = poll(lane, &messages, &count, err);
    if (is_fatal(outcome))
        return outcome;
    uint64_t generation = source_generation(lane->source);
    if (outcome != OUTCOME_OK) {
        wait_again(lane, DEPENDENCY_BROKERS, generation, err);
        return OUTCOME_OK;
    }
    if (assignment_follow(lane, err)) {
        if (skip_follow(lane, messages, count, generation)) {
            source_release(lane->source);
            source_rewind(lane->source);
            return OUTCOME_OK;
        }
        if (count == 0) {
            assignment_idle(lane);
            return OUTCOME_OK;
        }
        outcome = take(lane, messages, count, generation, err);
    }
    source_release(lane->source);
    return outcome;
}

static bool open_store(struct lane *lane, struct err *err)
{
    uint64_t generation = source_generation(lane->source);

    if (!store_recover_until_done(lane, generation))
        return false;
    arena_reset(lane->scratch);
    if (store_intern(lane->store, lane->options.command_topics, lane->options.command_topic_count,
                     lane->scratch, lane->topic_ids, err) == OUTCOME_OK)
        return true;
    wait_again(lane, DEPENDENCY_DATABASE, generation, err);
    return false;
}

static bool open_sink(struct lane *lane, struct err *err)
{
    if (sink_reopen(lane->sink, err) == OUTCOME_OK)
        return true;
    wait_again(lane, DEPENDENCY_BROKERS, source_generation(lane->source), err);
    return false;
}

static bool open_port(struct lane *lane, bool (*attempt)(struct lane *, struct err *),
                      struct err *err)
{
    while (!atomic_load(&lane->stopping)) {
        if (attempt(lane, err)) {
            wait_done(lane);
            return true;
        }
    }
    return false;
}

enum outcome lane_run(struct lane *lane, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    atomic_store(&lane->metrics->progress_us, clock_monotonic_us());
    if (open_port(lane, open_store, err) && open_port(lane, open_sink, err)) {
        while (outcome == OUTCOME_OK && !atomic_load(&lane->stopping))
            outcome = turn(lane, err);
        assignment_leave(lane);
    }
    source_close(lane->source);
    atomic_store(&lane->metrics->stopped, 1);
    return outcome;
}
