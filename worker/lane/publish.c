#include "worker/lane/publish.h"

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"

enum { REJOIN_MS = 10 };

static const char SIZE_TOO_LARGE[] = "MSG_SIZE_TOO_LARGE";

typedef enum outcome sink_call(const struct publishing *with, const void *argument,
                               struct err *err);

static enum outcome call_begin(const struct publishing *with, const void *argument, struct err *err)
{
    (void)argument;
    return with->sink->ops->begin(with->sink, err);
}

static enum outcome call_produce(const struct publishing *with, const void *argument,
                                 struct err *err)
{
    return with->sink->ops->produce(with->sink, argument, err);
}

static enum outcome call_send_offsets(const struct publishing *with, const void *argument,
                                      struct err *err)
{
    (void)argument;
    return with->sink->ops->send_offsets(with->sink, with->batch->positions,
                                         with->batch->position_count, err);
}

static enum outcome call_commit(const struct publishing *with, const void *argument,
                                struct err *err)
{
    (void)argument;
    return with->sink->ops->commit(with->sink, err);
}

static enum outcome call_reopen(const struct publishing *with, const void *argument,
                                struct err *err)
{
    (void)argument;
    return with->sink->ops->reopen(with->sink, err);
}

static bool wait_for_kafka(const struct publishing *with, const struct err *err)
{
    return wait_again(with->wait, DEPENDENCY_BROKERS, with->batch->generation, err);
}

/* Makes the call again for as long as it asks for that. REJECT also when the lane gives up. Ahead
 * of the store's commit: once, RETRY is passed on. */
static enum outcome persist(const struct publishing *with, sink_call *call, const void *argument,
                            struct err *err)
{
    for (;;) {
        enum outcome outcome = call(with, argument, err);
        if (outcome != OUTCOME_RETRY || with->is_ahead)
            return outcome;
        if (!wait_for_kafka(with, err))
            return err_set(err, OUTCOME_REJECT, err->code, "given up while waiting for Kafka");
    }
}

static enum outcome produce_entry(const struct publishing *with, const struct entry *entry,
                                  struct err *err)
{
    struct outgoing letter;
    bool truncated;

    if (entry->state != ENTRY_DEAD)
        return entry->event != NULL ? persist(with, call_produce, &entry->record, err) : OUTCOME_OK;
    enum outcome outcome = dead_letter_encode(entry->message, &entry->reason, with->limits,
                                              with->batch->arena, &letter, &truncated, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (truncated) {
        metric_add(&with->metrics->dead_letters_truncated, 1);
        log_line(LOG_WARN, "dead letter truncated", LOG_TEXT("topic", entry->message->topic),
                 LOG_INT("partition", entry->message->partition),
                 LOG_INT("offset", entry->message->offset),
                 LOG_INT("bytes", entry->message->value.length));
    }
    return persist(with, call_produce, &letter, err);
}

/* From where it stopped. */
static enum outcome produce_events(struct publishing *with, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    if (!with->begun) {
        outcome = persist(with, call_begin, NULL, err);
        with->begun = outcome == OUTCOME_OK;
        CRASH_POINT(after_begin);
    }
    while (outcome == OUTCOME_OK && with->produced < with->batch->count) {
        outcome = produce_entry(with, &with->batch->entries[with->produced], err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (with->produced++ == with->batch->count / 2)
            CRASH_POINT(half_produced);
    }
    return outcome;
}

/* All but the commit. */
static enum outcome prepare(struct publishing *with, struct err *err)
{
    enum outcome outcome = produce_events(with, err);

    CRASH_POINT(after_produced);
    if (outcome == OUTCOME_OK && !with->offsets_sent) {
        outcome = persist(with, call_send_offsets, NULL, err);
        with->offsets_sent = outcome == OUTCOME_OK;
    }
    return outcome;
}

static enum outcome transact(struct publishing *with, struct err *err)
{
    enum outcome outcome = prepare(with, err);

    if (outcome == OUTCOME_OK) {
        CRASH_POINT(after_send_offsets);
        CRASH_POINT(during_kafka_commit);
        outcome = persist(with, call_commit, NULL, err);
    }
    if (outcome == OUTCOME_OK)
        CRASH_POINT(after_kafka_commit);
    return outcome;
}

static void begin_anew(struct publishing *with)
{
    with->begun = false;
    with->produced = 0;
    with->offsets_sent = false;
    with->failed = OUTCOME_OK;
}

/* OK: the group's offsets are at or past the batch's end; REJECT: they are not, or the lane gives
 * up. */
static enum outcome has_committed(const struct publishing *with, struct err *err)
{
    const struct batch *batch = with->batch;
    struct position *stored = ARENA_ARRAY(batch->arena, struct position, batch->position_count);
    enum outcome outcome;

    if (stored == NULL)
        return err_no_memory(err, "publish");
    do {
        memcpy(stored, batch->positions, batch->position_count * sizeof(*stored));
        outcome = source_committed(with->source, stored, batch->position_count, err);
        if (outcome != OUTCOME_OK && !wait_for_kafka(with, err))
            return OUTCOME_REJECT;
    } while (outcome != OUTCOME_OK);
    for (size_t i = 0; i < batch->position_count; i++) {
        if (stored[i].offset < batch->positions[i].offset)
            return err_set(err, OUTCOME_REJECT, "", "the transaction did not commit");
    }
    return OUTCOME_OK;
}

/* A new producer ends what the old one left open, so that the committed offsets are final. Also for
 * a batch that is no longer the lane's: its offsets would hold up whoever has the partitions now.
 */
static enum outcome replace_producer(struct publishing *with, struct err *err)
{
    metric_add(&with->metrics->transactions_aborted, 1);
    metric_add(&with->metrics->producers_reopened, 1);
    while (call_reopen(with, NULL, err) != OUTCOME_OK) {
        if (!wait_for_kafka(with, err) && atomic_load(with->wait->stopping))
            return OUTCOME_REJECT;
    }
    begin_anew(with);
    if (source_generation(with->source) != with->batch->generation)
        return err_set(err, OUTCOME_REJECT, "", "the batch's partitions were revoked");
    return OUTCOME_OK;
}

static void report_failed(const struct publishing *with, const struct err *err)
{
    log_line(LOG_WARN, "kafka transaction failed", LOG_INT("lane", with->wait->lane),
             LOG_STR("code", err->code), LOG_STR("error", err->text));
}

/* The brokers take smaller records than the producer was told: dead letters are cut further. */
static void shrink(const struct publishing *with, const struct err *err)
{
    if (strcmp(err->code, SIZE_TOO_LARGE) != 0)
        return;
    size_t taken = with->sink->ops->record_bytes_max(with->sink);
    if (taken < with->limits->max_record_bytes)
        with->limits->max_record_bytes = taken;
}

/* Whether the batch may go out again. */
static enum outcome confirm_earlier(const struct publishing *with, struct err *err)
{
    enum outcome outcome;

    while ((outcome = confirm_published(with->confirming, with->batch->arena, err)) ==
           OUTCOME_RETRY) {
        if (!wait_for_kafka(with, err))
            return OUTCOME_REJECT;
    }
    return outcome;
}

/* What to do about a transaction that failed. OK: it had committed all the same. RETRY: publish
 * again. */
static enum outcome mend(struct publishing *with, struct err *err)
{
    const struct err why = *err; /* what readiness tells, whatever becomes of the producer */

    shrink(with, err);
    report_failed(with, err);
    /* the cause may be a rebalance that only polling gets us through */
    source_keep_alive(with->source, REJOIN_MS);
    enum outcome outcome = replace_producer(with, err);
    if (outcome == OUTCOME_OK)
        outcome = has_committed(with, err);
    if (outcome == OUTCOME_OK)
        return OUTCOME_OK;
    if (!wait_for_kafka(with, &why))
        return OUTCOME_REJECT;
    outcome = confirm_earlier(with, err);
    return outcome == OUTCOME_OK ? OUTCOME_RETRY : outcome;
}

/* What went ahead failed, or it goes on from there. */
static enum outcome go_on(struct publishing *with, struct err *err)
{
    if (with->failed == OUTCOME_OK)
        return transact(with, err);
    *err = with->why;
    return with->failed;
}

static enum outcome publish_until_done(struct publishing *publishing, struct err *err)
{
    int64_t since_us = clock_monotonic_us();
    enum outcome outcome;

    do {
        outcome = go_on(publishing, err);
        if (outcome == OUTCOME_FATAL && strcmp(err->code, ERR_NO_MEMORY) == 0) {
            struct err reopen_err;
            persist(publishing, call_reopen, NULL, &reopen_err);
            return outcome;
        }
        if (outcome != OUTCOME_OK)
            outcome = mend(publishing, err);
    } while (outcome == OUTCOME_RETRY);
    if (outcome != OUTCOME_OK)
        return outcome;

    wait_done(publishing->wait);
    histogram_observe(&publishing->metrics->steps[STEP_PUBLISH],
                      (uint64_t)(clock_monotonic_us() - since_us), duration_bounds_us);
    return OUTCOME_OK;
}

/* While nothing but the producer's calls can hold the lane up. */
static void begin_watch(const struct publishing *publishing)
{
    atomic_store(&publishing->metrics->progress_us, clock_monotonic_us());
    atomic_store(&publishing->metrics->publishing, 1);
}

static void end_watch(const struct publishing *publishing)
{
    atomic_store(&publishing->metrics->publishing, 0);
}

enum outcome publish_batch(struct publishing *publishing, struct err *err)
{
    begin_watch(publishing);
    enum outcome outcome = publish_until_done(publishing, err);
    end_watch(publishing);
    return outcome;
}

void publish_ahead(struct meanwhile *ahead)
{
    struct publishing *publishing =
        (struct publishing *)((char *)ahead - offsetof(struct publishing, ahead));

    if (publishing->failed != OUTCOME_OK)
        return;
    begin_watch(publishing);
    publishing->is_ahead = true;
    enum outcome outcome = ahead->again ? produce_events(publishing, &publishing->why)
                                        : prepare(publishing, &publishing->why);
    publishing->failed = outcome == OUTCOME_RETRY ? OUTCOME_OK : outcome;
    publishing->is_ahead = false;
    end_watch(publishing);
}

enum outcome publish_take_back(struct publishing *publishing, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    if (publishing->begun) {
        log_line(LOG_INFO, "kafka transaction taken back: the database did not commit",
                 LOG_INT("lane", publishing->wait->lane));
        begin_watch(publishing);
        outcome = replace_producer(publishing, err);
        /* An earlier transaction may have ended with it, too. */
        if (outcome == OUTCOME_OK)
            outcome = confirm_earlier(publishing, err);
        end_watch(publishing);
    }
    begin_anew(publishing);
    return outcome;
}
