#include "worker/lane/publish.h"

#include <assert.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "worker/lane/confirm.h"
#include "worker/lane/context.h"
#include "worker/lane/wait.h"

enum { REJOIN_MS = 10 };

static bool wait_for_brokers(struct lane *lane, const struct batch *batch, const struct err *err)
{
    return wait_again(lane, DEPENDENCY_BROKERS, batch->generation, err);
}

/* Behind every call of the sink: whether the same call is to be made again. RETRY becomes REJECT
 * when the lane gives up. While the store commits, nothing is waited for and RETRY is passed on. */
static bool call_again(struct lane *lane, const struct batch *batch, enum outcome *outcome,
                       struct err *err)
{
    if (*outcome != OUTCOME_RETRY || batch->publication.overlapping)
        return false;
    if (wait_for_brokers(lane, batch, err))
        return true;
    *outcome = err_set(err, OUTCOME_REJECT, err->code, "given up while waiting for Kafka");
    return false;
}

static enum outcome produce_record(struct lane *lane, const struct batch *batch,
                                   const struct outgoing_record *record, struct err *err)
{
    enum outcome outcome;

    do {
        outcome = sink_produce(lane->sink, record, err);
    } while (call_again(lane, batch, &outcome, err));
    return outcome;
}

static void report_truncated(const struct lane *lane, const struct message *message)
{
    metric_add(&lane->metrics->dead_letters_truncated, 1);
    log_line(LOG_WARN, "dead letter truncated", LOG_TEXT("topic", message->topic),
             LOG_INT("partition", message->partition), LOG_INT("offset", message->offset),
             LOG_INT("bytes", message->value.length));
}

/* NULL: it is none of the command topics. */
static struct letter_form *form_of(struct lane *lane, struct text topic)
{
    for (size_t i = 0; i < lane->options.command_topic_count; i++) {
        if (text_equal(topic, lane->options.command_topics[i]))
            return &lane->forms[i];
    }
    return NULL;
}

/* The sink copies the record, so that the letters of a batch need the memory of one. */
static enum outcome produce_letter(struct lane *lane, const struct batch *batch,
                                   const struct entry *entry, struct err *err)
{
    const struct arena_mark mark = arena_mark(lane->scratch);
    struct letter_form *form = form_of(lane, entry->message->topic);
    struct dead_letter_limits limits = lane->limits;
    struct outgoing_record letter;
    bool truncated;

    assert(!entry->settled);
    limits.no_secrets = topic_policy_excludes_secrets(policy_of(lane, entry->message->topic));
    if (form != NULL)
        limits.changes = letter_form_changes(form);
    enum outcome outcome = dead_letter_encode(entry->message, &entry->reason, &limits,
                                              lane->scratch, &letter, &truncated, err);
    if (outcome == OUTCOME_OK && truncated)
        report_truncated(lane, entry->message);
    if (outcome == OUTCOME_OK)
        outcome = produce_record(lane, batch, &letter, err);
    arena_rewind(lane->scratch, mark);
    return outcome;
}

static enum outcome produce_entry(struct lane *lane, const struct batch *batch,
                                  const struct entry *entry, struct err *err)
{
    if (entry->state == ENTRY_DEAD)
        return produce_letter(lane, batch, entry, err);
    return entry->event != NULL ? produce_record(lane, batch, &entry->record, err) : OUTCOME_OK;
}

static enum outcome begin(struct lane *lane, struct batch *batch, struct err *err)
{
    enum outcome outcome;

    do {
        outcome = sink_begin(lane->sink, err);
    } while (call_again(lane, batch, &outcome, err));
    batch->publication.begun = outcome == OUTCOME_OK;
    CRASH_POINT(after_begin);
    return outcome;
}

/* Produces the records that are not produced yet. */
static enum outcome produce_records(struct lane *lane, struct batch *batch, struct err *err)
{
    struct publication *publication = &batch->publication;
    enum outcome outcome = publication->begun ? OUTCOME_OK : begin(lane, batch, err);

    while (outcome == OUTCOME_OK && publication->produced < batch->count) {
        outcome = produce_entry(lane, batch, &batch->entries[publication->produced], err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (publication->produced++ == batch->count / 2)
            CRASH_POINT(half_produced);
    }
    return outcome;
}

static enum outcome send_offsets(struct lane *lane, struct batch *batch, struct err *err)
{
    enum outcome outcome;

    do {
        outcome = sink_send_offsets(lane->sink, batch->positions, batch->position_count, err);
    } while (call_again(lane, batch, &outcome, err));
    batch->publication.offsets_sent = outcome == OUTCOME_OK;
    return outcome;
}

/* Everything but the commit. */
static enum outcome prepare(struct lane *lane, struct batch *batch, struct err *err)
{
    enum outcome outcome = produce_records(lane, batch, err);

    CRASH_POINT(after_produced);
    if (outcome == OUTCOME_OK && !batch->publication.offsets_sent)
        outcome = send_offsets(lane, batch, err);
    return outcome;
}

static enum outcome commit(struct lane *lane, const struct batch *batch, struct err *err)
{
    enum outcome outcome;

    CRASH_POINT(after_send_offsets);
    CRASH_POINT(during_kafka_commit);
    do {
        outcome = sink_commit(lane->sink, err);
    } while (call_again(lane, batch, &outcome, err));
    if (outcome == OUTCOME_OK)
        CRASH_POINT(after_kafka_commit);
    return outcome;
}

static enum outcome transact(struct lane *lane, struct batch *batch, struct err *err)
{
    enum outcome outcome = prepare(lane, batch, err);
    return outcome == OUTCOME_OK ? commit(lane, batch, err) : outcome;
}

/* OK: the group's offsets are at or past the batch's end; REJECT: they are not, or the lane gives
 * up. */
static enum outcome has_committed(struct lane *lane, const struct batch *batch, struct err *err)
{
    struct position *stored = batch->committed;
    enum outcome outcome;

    do {
        memcpy(stored, batch->positions, batch->position_count * sizeof(*stored));
        outcome = source_committed(lane->source, stored, batch->position_count, err);
        if (outcome != OUTCOME_OK && !wait_for_brokers(lane, batch, err))
            return OUTCOME_REJECT;
    } while (outcome != OUTCOME_OK);
    for (size_t i = 0; i < batch->position_count; i++) {
        if (stored[i].offset < batch->positions[i].offset)
            return err_set(err, OUTCOME_REJECT, "", "the transaction did not commit");
    }
    return OUTCOME_OK;
}

/* A new producer ends the transaction that the old one left open, so that the committed offsets are
 * final. Also for a batch that is no longer the lane's: its offsets would hold up the next owner of
 * the partitions. */
static enum outcome replace_producer(struct lane *lane, struct batch *batch, struct err *err)
{
    metric_add(&lane->metrics->transactions_aborted, 1);
    metric_add(&lane->metrics->producers_reopened, 1);
    while (sink_reopen(lane->sink, err) != OUTCOME_OK) {
        if (!wait_for_brokers(lane, batch, err) && atomic_load(&lane->stopping))
            return OUTCOME_REJECT;
    }
    batch->publication = (struct publication){0};
    if (source_generation(lane->source) != batch->generation)
        return err_set(err, OUTCOME_REJECT, "", "the batch's partitions were revoked");
    return OUTCOME_OK;
}

/* The brokers may take smaller records than the producer was told: dead letters are cut further. */
static void shrink(struct lane *lane)
{
    size_t taken = sink_record_bytes_max(lane->sink);
    if (taken < lane->limits.max_record_bytes)
        lane->limits.max_record_bytes = taken;
}

/* Of the command topic whose dead-letter topic this is; absent: it is none. */
static struct text origin_of(const struct lane *lane, struct text topic)
{
    const struct text suffix = lane->options.dlq_suffix;

    for (size_t i = 0; i < lane->options.command_topic_count; i++) {
        struct text name = lane->options.command_topics[i];
        if (topic.length == name.length + suffix.length &&
            memcmp(topic.data, name.data, name.length) == 0 &&
            memcmp(topic.data + name.length, suffix.data, suffix.length) == 0)
            return name;
    }
    return TEXT_ABSENT;
}

/* The brokers may refuse a dead letter for good. true: the next attempt sends it in another form.
 */
static bool change_letters(struct lane *lane, const struct batch *batch)
{
    struct sink_refusal refusal = sink_refusal(lane->sink);
    struct text origin =
        refusal.refused != SINK_REFUSED_NOTHING ? origin_of(lane, refusal.topic) : TEXT_ABSENT;

    if (!text_present(origin))
        return false;
    struct letter_form *form = form_of(lane, origin);
    if (!letter_form_learn(form, batch, origin, refusal.refused))
        return false;
    log_line(LOG_WARN, "dead letters are changed: the brokers refuse them as they are",
             LOG_INT("lane", lane->options.index), LOG_TEXT("topic", refusal.topic),
             LOG_INT("timestamps", form->dated), LOG_INT("keys", form->keys),
             LOG_INT("headers", form->headers));
    return true;
}

/* Whether the batch may go out again. */
static enum outcome confirm_earlier(struct lane *lane, const struct batch *batch, struct err *err)
{
    enum outcome outcome;

    /* FULL: the system has no memory at the moment */
    while ((outcome = confirm_published(lane, err)) == OUTCOME_RETRY || outcome == OUTCOME_FULL) {
        if (!wait_for_brokers(lane, batch, err))
            return OUTCOME_REJECT;
    }
    return outcome;
}

/* After a transaction that failed. OK: it had committed all the same. RETRY: publish again. */
static enum outcome mend(struct lane *lane, struct batch *batch, struct err *err)
{
    const struct err why = *err; /* readiness tells this cause, whatever becomes of the producer */

    shrink(lane);
    bool changed = change_letters(lane, batch);
    log_line(LOG_WARN, "kafka transaction failed", LOG_INT("lane", lane->options.index),
             LOG_STR("code", err->code), LOG_STR("error", err->text));
    /* The cause may be a rebalance, which only ends while the lane polls. */
    source_keep_alive(lane->source, REJOIN_MS);
    enum outcome outcome = replace_producer(lane, batch, err);
    if (outcome == OUTCOME_OK)
        outcome = has_committed(lane, batch, err);
    if (outcome == OUTCOME_OK)
        return OUTCOME_OK;
    bool goes_on = changed ? source_generation(lane->source) == batch->generation
                           : wait_for_brokers(lane, batch, &why);
    if (!goes_on)
        return OUTCOME_REJECT;
    outcome = confirm_earlier(lane, batch, err);
    return outcome == OUTCOME_OK ? OUTCOME_RETRY : outcome;
}

/* Goes on where publish_overlapping() stopped, or fails as it did. */
static enum outcome transact_rest(struct lane *lane, struct batch *batch, struct err *err)
{
    if (batch->publication.failed == OUTCOME_OK)
        return transact(lane, batch, err);
    *err = batch->publication.why;
    return batch->publication.failed;
}

static enum outcome publish_until_done(struct lane *lane, struct batch *batch, struct err *err)
{
    int64_t since_us = clock_monotonic_us();
    enum outcome outcome;

    do {
        outcome = transact_rest(lane, batch, err);
        if (outcome != OUTCOME_OK)
            outcome = mend(lane, batch, err);
    } while (outcome == OUTCOME_RETRY);
    if (outcome != OUTCOME_OK)
        return outcome;

    wait_done(lane);
    histogram_observe(&lane->metrics->steps[STEP_PUBLISH],
                      (uint64_t)(clock_monotonic_us() - since_us), duration_bounds_us);
    return OUTCOME_OK;
}

/* While nothing but the producer's calls can hold the lane up. */
static void begin_watch(struct lane *lane)
{
    atomic_store(&lane->metrics->progress_us, clock_monotonic_us());
    atomic_store(&lane->metrics->publishing, 1);
}

static void end_watch(struct lane *lane)
{
    atomic_store(&lane->metrics->publishing, 0);
}

enum outcome publish_batch(struct lane *lane, struct batch *batch, struct err *err)
{
    begin_watch(lane);
    lane->hand = batch->entries[0].message;
    enum outcome outcome = publish_until_done(lane, batch, err);
    end_watch(lane);
    return outcome;
}

void publish_overlapping(struct overlap *overlap)
{
    struct batch *batch = overlap->context;
    struct publication *publication = &batch->publication;
    struct lane *lane = batch->lane;

    if (publication->failed != OUTCOME_OK)
        return;
    begin_watch(lane);
    publication->overlapping = true;
    enum outcome outcome = overlap->runs_again ? produce_records(lane, batch, &publication->why)
                                               : prepare(lane, batch, &publication->why);
    publication->failed = outcome == OUTCOME_RETRY ? OUTCOME_OK : outcome;
    publication->overlapping = false;
    end_watch(lane);
}

enum outcome publish_abort(struct lane *lane, struct batch *batch, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    if (batch->publication.begun) {
        log_line(LOG_INFO, "kafka transaction aborted: the database did not commit",
                 LOG_INT("lane", lane->options.index));
        begin_watch(lane);
        outcome = replace_producer(lane, batch, err);
        /* An earlier transaction may have ended with it, too. */
        if (outcome == OUTCOME_OK)
            outcome = confirm_earlier(lane, batch, err);
        end_watch(lane);
    }
    batch->publication = (struct publication){0};
    return outcome;
}
