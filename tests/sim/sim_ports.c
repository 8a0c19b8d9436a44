#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "events/audit_message.h"
#include "tests/sim/sim.h"

static struct sim_lane *lane_of_source(struct source *source)
{
    return (struct sim_lane *)((char *)source - offsetof(struct sim_lane, source));
}

static struct sim_lane *lane_of_sink(struct sink *sink)
{
    return (struct sim_lane *)((char *)sink - offsetof(struct sim_lane, sink));
}

/* --- consumer ------------------------------------------------------------------------------- */

static void begin_generation(void)
{
    sim.preparing = false;
    sim.generation++;
    sim.rebalances++;
    int members[SIM_LANES] = {0};
    int count = 0;
    for (int i = 0; i < SIM_LANES; i++) {
        if (sim.in_group[i])
            members[count++] = i;
    }
    for (int p = 0; p < SIM_PARTITIONS; p++)
        sim.owner[p] = count > 0 ? members[(p + (int)sim.generation) % count] : -1;
}

static bool is_awaited(void)
{
    for (int i = 0; i < SIM_LANES; i++) {
        if (sim.in_group[i] && !sim.rejoined[i])
            return true;
    }
    return false;
}

void sim_rebalance(void)
{
    memset(sim.rejoined, 0, sizeof(sim.rejoined));
    sim.preparing = sim.orderly && is_awaited();
    if (!sim.preparing)
        begin_generation();
}

/* Offsets that a transaction still holds back; the coordinator answers only with stable ones. */
static bool unstable(int partition)
{
    for (int i = 0; i < SIM_LANES; i++) {
        if ((sim.transaction_open[i] || sim.hanging[i]) && sim.pending[i][partition] >= 0)
            return sim.mistake != SIM_MISTAKE_UNSTABLE_OFFSETS;
    }
    return false;
}

/* Where a member begins: nothing committed is -1. */
static int64_t position_of(int partition)
{
    return sim.committed[partition] > 0 ? sim.committed[partition] : 0;
}

static void give_up(struct sim_lane *lane)
{
    bool owned = false;

    for (int p = 0; p < SIM_PARTITIONS; p++)
        owned = owned || lane->owns[p];
    if (owned)
        lane->source_generation++; /* the revoke callback */
    memset(lane->owns, 0, sizeof(lane->owns));
}

/* What happens inside poll(): joining, revocation, assignment. */
static void serve_group(struct sim_lane *lane)
{
    if (!sim.in_group[lane->index] || !lane->joined) {
        /* expelled, or not joined yet */
        sim.in_group[lane->index] = true;
        lane->joined = true;
        sim_rebalance();
    }
    if (sim.preparing) {
        give_up(lane);
        sim.rejoined[lane->index] = true;
        if (is_awaited())
            return;
        begin_generation();
    }
    if (lane->member && lane->member_generation == sim.generation)
        return;
    give_up(lane);
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        if (sim.owner[p] == lane->index && unstable(p))
            return; /* the fetch of committed offsets is tried again at the next poll */
    }
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        lane->owns[p] = sim.owner[p] == lane->index;
        lane->next[p] = position_of(p);
        lane->began[p] = sim.committed[p];
        lane->told[p] = false;
    }
    lane->member = true;
    lane->member_generation = sim.generation;
}

/* false: offsets are not stable yet. */
static bool rewind_now(struct sim_lane *lane)
{
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        if (lane->owns[p] && unstable(p))
            return false;
    }
    for (int p = 0; p < SIM_PARTITIONS; p++)
        lane->next[p] = position_of(p);
    lane->rewind = false;
    return true;
}

/* A log that ends before the position begins again at its start, where the group's offset is set.
 * false: the coordinator does not take the commit now, or the member is no member any more. */
static bool reset_positions(struct sim_lane *lane)
{
    lane->reset_count = 0;
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        if (!lane->owns[p] || lane->next[p] <= sim.topic_end[p])
            continue;
        if (lane->member_generation != sim.generation || sim_chance(10)) {
            lane->reset_count = 0;
            return false;
        }
        lane->resets[lane->reset_count++] = (struct log_reset){.topic = TEXT("commands"),
                                                               .partition = p,
                                                               .position = lane->next[p],
                                                               .end = sim.topic_end[p]};
    }
    for (size_t i = 0; i < lane->reset_count; i++) {
        int32_t p = lane->resets[i].partition;
        sim.committed[p] = lane->next[p] = 0;
        sim.ours[p] = false;
    }
    if (lane->reset_count == 0)
        return true;
    lane->source_generation++;
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        lane->began[p] = sim.committed[p];
        lane->told[p] = false;
    }
    return true;
}

static bool is_unreadable(int partition, int64_t offset)
{
    return sim.unreadable && partition == sim.skip.partition && offset == sim.skip_to - 1;
}

static enum outcome poll(struct source *port, int timeout_ms, const struct batch_limits *limits,
                         const struct message **ret_messages, size_t *ret_count, struct err *err)
{
    struct sim_lane *lane = lane_of_source(port);
    size_t count = 0;

    sim_yield();
    if (sim_chance(2))
        return err_set(err, OUTCOME_RETRY, "_ALL_BROKERS_DOWN", "poll: simulated");
    serve_group(lane);
    if (lane->rewind && !rewind_now(lane))
        return err_set(err, OUTCOME_RETRY, "UNSTABLE_OFFSET_COMMIT", "rewind: simulated");
    if (!reset_positions(lane))
        return err_set(err, OUTCOME_RETRY, "_TIMED_OUT", "reset: simulated");
    size_t most = 1 + (size_t)sim_random(limits->messages);
    for (int turn = 0; turn < SIM_PARTITIONS; turn++) {
        int p = (turn + (int)(sim.steps % SIM_PARTITIONS)) % SIM_PARTITIONS;
        while (lane->owns[p] && count < most && lane->next[p] < sim.topic_end[p] &&
               !is_unreadable(p, lane->next[p]))
            lane->polled[count++] = sim.topic[p][lane->next[p]++].message;
    }
    lane->polled_generation = lane->source_generation;
    if (count == 0)
        sim.now_us += (int64_t)timeout_ms * 1000;
    *ret_messages = lane->polled;
    *ret_count = count;
    return OUTCOME_OK;
}

static void release(struct source *port)
{
    memset(lane_of_source(port)->polled, 0, sizeof(lane_of_source(port)->polled));
}

static void keep_alive(struct source *port, int timeout_ms)
{
    sim.now_us += (int64_t)timeout_ms * 1000;
    sim_yield();
    serve_group(lane_of_source(port));
}

static uint64_t generation(struct source *port)
{
    return lane_of_source(port)->source_generation;
}

static enum outcome take_assigned(struct source *port, const struct position **ret_positions,
                                  size_t *ret_count, struct err *err)
{
    struct sim_lane *lane = lane_of_source(port);
    size_t count = 0;

    sim_yield();
    if (sim_chance(2))
        return err_set(err, OUTCOME_RETRY, "_TIMED_OUT", "assigned: simulated");
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        if (lane->owns[p] && !lane->told[p])
            lane->fresh[count++] = (struct position){.topic = TEXT("commands"),
                                                     .partition = p,
                                                     .offset = lane->began[p],
                                                     .ours = sim.ours[p]};
        lane->told[p] = lane->owns[p];
    }
    *ret_positions = lane->fresh;
    *ret_count = count;
    return OUTCOME_OK;
}

static void take_resets(struct source *port, const struct log_reset **ret_resets, size_t *ret_count)
{
    struct sim_lane *lane = lane_of_source(port);

    *ret_resets = lane->resets;
    *ret_count = lane->reset_count;
    lane->reset_count = 0;
}

static enum outcome committed(struct source *port, struct position *positions, size_t count,
                              struct err *err)
{
    (void)port;
    sim_yield();
    for (size_t i = 0; i < count; i++) {
        if (unstable(positions[i].partition) || sim_chance(5))
            return err_set(err, OUTCOME_RETRY, "UNSTABLE_OFFSET_COMMIT", "committed: simulated");
        positions[i].offset = sim.committed[positions[i].partition];
        positions[i].ours = sim.ours[positions[i].partition];
    }
    return OUTCOME_OK;
}

static bool lags(struct source *port, const struct partition_lag **ret_lags, size_t *ret_count)
{
    (void)port;
    *ret_lags = NULL;
    *ret_count = 0;
    return false;
}

/* The simulated log has no control records. */
static void ends(struct source *port, const struct position **ret_positions, size_t *ret_count)
{
    (void)port;
    *ret_positions = NULL;
    *ret_count = 0;
}

static enum outcome commit_ends(struct source *port, const struct position *positions, size_t count,
                                struct err *err)
{
    (void)port;
    (void)positions;
    assert(count == 0);
    return err_set(err, OUTCOME_RETRY, "", "nothing to commit");
}

static bool connected(struct source *port)
{
    (void)port;
    return true;
}

static bool stuck(struct source *port, const struct position *of, struct stuck *ret_stuck)
{
    const struct sim_lane *lane = lane_of_source(port);
    int p = sim.skip.partition;

    if (!sim.unreadable || !lane->owns[p] || lane->next[p] != sim.skip_to - 1 ||
        (of != NULL && of->partition != p))
        return false;
    *ret_stuck =
        (struct stuck){{TEXT("commands"), p, lane->next[p]}, "_BAD_COMPRESSION", sim.now_us};
    return true;
}

static void close_source(struct source *port)
{
    struct sim_lane *lane = lane_of_source(port);

    sim_yield();
    if (sim.in_group[lane->index]) {
        sim.in_group[lane->index] = false;
        sim_rebalance();
    }
    lane->member = false;
}

static void rewind_all(struct source *port)
{
    lane_of_source(port)->rewind = true;
}

void sim_source_init(struct sim_lane *lane)
{
    static const struct source_ops ops = {.poll = poll,
                                          .release = release,
                                          .keep_alive = keep_alive,
                                          .generation = generation,
                                          .take_assigned = take_assigned,
                                          .take_resets = take_resets,
                                          .committed = committed,
                                          .lags = lags,
                                          .ends = ends,
                                          .commit_ends = commit_ends,
                                          .connected = connected,
                                          .stuck = stuck,
                                          .close = close_source,
                                          .rewind = rewind_all};

    lane->source.ops = &ops;
    lane->joined = false;
    lane->member = false;
    lane->source_generation = 0;
    lane->polled_generation = 0;
    lane->rewind = false;
    memset(lane->owns, 0, sizeof(lane->owns));
}

/* --- producer ------------------------------------------------------------------------------- */

/* Nobody reads them: an outage of hours must not fill the world. */
static void forget_aborted(void)
{
    size_t kept = 0;

    for (size_t i = 0; i < sim.record_count; i++) {
        struct sim_record *record = &sim.records[i];
        if (record->state == RECORD_ABORTED) {
            free(record->value);
            free(record->key);
        } else {
            sim.records[kept++] = *record;
        }
    }
    sim.record_count = kept;
}

void sim_transaction_end(int index, bool commit)
{
    if (!sim.transaction_open[index] && !sim.hanging[index])
        return;
    sim.hanging[index] = false;
    for (size_t i = 0; i < sim.record_count; i++) {
        struct sim_record *record = &sim.records[i];
        if (record->lane == index && record->state == RECORD_OPEN)
            record->state = commit && sim.mistake != SIM_MISTAKE_COMMIT_BEFORE_DATA
                                ? RECORD_COMMITTED
                                : RECORD_ABORTED;
    }
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        if (commit && sim.pending[index][p] >= 0) {
            sim.committed[p] = sim.pending[index][p];
            sim.ours[p] = true;
        }
        sim.pending[index][p] = -1;
    }
    sim.transaction_open[index] = false;
    sim.transaction_committed[index] = commit;
    sim.aborts += !commit;
    forget_aborted();
}

static bool is_fenced(const struct sim_lane *lane)
{
    return lane->epoch == 0 || lane->epoch != sim.producer_epoch[lane->index];
}

static enum outcome fenced(struct err *err)
{
    sim.fenced++;
    return err_set(err, OUTCOME_FATAL, "_FENCED", "simulated");
}

static enum outcome bad_state(struct err *err, const char *what)
{
    return err_set(err, OUTCOME_FATAL, "_STATE", "%s: simulated", what);
}

static enum outcome late(struct err *err)
{
    sim.lost_answers++;
    return err_set(err, OUTCOME_RETRY, "_TIMED_OUT", "answer late: simulated");
}

static enum outcome lost(struct err *err)
{
    sim.lost_answers++;
    return err_set(err, OUTCOME_FATAL, "_TIMED_OUT", "answer lost: simulated");
}

/* Local, as most of what a producer does: that it is fenced it learns from the brokers. */
static enum outcome begin(struct sink *port, struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    if (lane->epoch == 0 || lane->committing)
        return bad_state(err, "begin");
    if (lane->in_transaction)
        return bad_state(err, "begin");
    if (sim_chance(2))
        return err_set(err, OUTCOME_RETRY, "_TIMED_OUT", "begin: simulated");
    lane->in_transaction = true;
    lane->undelivered = false;
    lane->letter_refused = SINK_REFUSED_NOTHING;
    if (is_fenced(lane))
        return OUTCOME_OK;
    sim.transaction_open[lane->index] = true;
    for (int p = 0; !sim.hanging[lane->index] && p < SIM_PARTITIONS; p++)
        sim.pending[lane->index][p] = -1;
    return OUTCOME_OK;
}

static void *copy(const void *bytes, size_t length)
{
    void *copied = malloc(length + 1);
    assert(copied != NULL);
    if (length > 0)
        memcpy(copied, bytes, length);
    return copied;
}

static struct text header_text(const struct outgoing_record *record, const char *name)
{
    for (size_t i = 0; i < record->header_count; i++) {
        if (text_is(record->headers[i].name, name))
            return text_of_slice(record->headers[i].value);
    }
    return TEXT_ABSENT;
}

static size_t bytes_of(const struct outgoing_record *record)
{
    size_t bytes = record->key.length + record->value.length;

    for (size_t i = 0; i < record->header_count; i++)
        bytes += record->headers[i].name.length + record->headers[i].value.length;
    return bytes;
}

static int64_t header_number(const struct outgoing_record *record, const char *name)
{
    char digits[24];
    struct text text = header_text(record, name);

    snprintf(digits, sizeof(digits), "%.*s", TEXT_ARG(text));
    return strtoll(digits, NULL, 10);
}

static void append(const struct sim_lane *lane, const struct outgoing_record *outgoing)
{
    struct sim_record *record = &sim.records[sim.record_count++];

    *record =
        (struct sim_record){.value = copy(outgoing->value.data, outgoing->value.length),
                            .value_length = outgoing->value.length,
                            .key = copy(outgoing->key.data, outgoing->key.length),
                            .key_length = outgoing->key.length,
                            .timestamp_ms = outgoing->timestamp_ms,
                            .changed = text_present(header_text(outgoing, "catalyst-dlq-changed")),
                            .dead = !text_is(outgoing->topic, "audit"),
                            .lane = lane->index,
                            .epoch = lane->epoch};
    if (record->dead) {
        record->origin_partition = (int)header_number(outgoing, "__connect.errors.partition");
        record->origin_offset = header_number(outgoing, "__connect.errors.offset");
    } else {
        snprintf(record->id, sizeof(record->id), "%.*s", TEXT_ARG(header_text(outgoing, "ce_id")));
    }
}

static enum sink_refused letter_refused(const struct outgoing_record *outgoing)
{
    if (text_is(outgoing->topic, "audit"))
        return SINK_REFUSED_NOTHING;
    if (outgoing->timestamp_ms > sim.letter_age_max_ms)
        return SINK_REFUSED_TIMESTAMP;
    return sim.letters_need_keys && outgoing->key.data == NULL ? SINK_REFUSED_RECORD
                                                               : SINK_REFUSED_NOTHING;
}

static enum outcome produce(struct sink *port, const struct outgoing_record *outgoing,
                            struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    if (lane->epoch == 0 || !lane->in_transaction)
        return bad_state(err, "produce");
    if (bytes_of(outgoing) > SIM_RECORD_BYTES)
        return err_set(err, OUTCOME_REJECT, "MSG_SIZE_TOO_LARGE", "simulated");
    if (is_fenced(lane))
        return sim_chance(50) ? fenced(err) : OUTCOME_OK;
    if (sim_chance(2))
        return err_set(err, OUTCOME_RETRY, "_QUEUE_FULL", "simulated");
    if (sim.record_count == SIM_RECORDS_MAX) {
        sim.flooded = true;
        return err_set(err, OUTCOME_RETRY, "_QUEUE_FULL", "simulated");
    }
    if (lane->letter_refused == SINK_REFUSED_NOTHING)
        lane->letter_refused = letter_refused(outgoing);
    if (bytes_of(outgoing) > sim.topic_bytes_max)
        lane->undelivered = true; /* commit() tells */
    else
        append(lane, outgoing);
    return OUTCOME_OK;
}

static enum outcome send_offsets(struct sink *port, const struct position *positions, size_t count,
                                 struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    if (lane->epoch == 0)
        return bad_state(err, "send offsets");
    if (lane->polled_generation != lane->source_generation)
        return err_set(err, OUTCOME_REJECT, "ILLEGAL_GENERATION", "simulated");
    if (is_fenced(lane))
        return fenced(err);
    if (sim_chance(2))
        return err_set(err, OUTCOME_REJECT, "_TIMED_OUT", "simulated");
    bool stale =
        !lane->member || lane->member_generation != sim.generation || !sim.in_group[lane->index];
    if (stale && sim.mistake != SIM_MISTAKE_UNFENCED_OFFSETS) {
        sim.fenced++;
        return err_set(err, OUTCOME_REJECT, "ILLEGAL_GENERATION", "simulated");
    }
    for (size_t i = 0; i < count; i++)
        sim.pending[lane->index][positions[i].partition] = positions[i].offset;
    return OUTCOME_OK;
}

/* Asked again after a late answer: how it ended. */
static enum outcome commit_again(struct sim_lane *lane, struct err *err)
{
    lane->committing = false;
    lane->in_transaction = false;
    if (sim.transaction_open[lane->index])
        sim_transaction_end(lane->index, true);
    return sim.transaction_committed[lane->index] ? OUTCOME_OK
                                                  : bad_state(err, "the transaction was aborted");
}

/* Acknowledged, and without its markers. Never two in a row: the lane takes the second
 * acknowledgement for the proof of the first. */
static bool hangs(struct sim_lane *lane)
{
    if (sim.hanging[lane->index] || !sim_chance(2))
        return false;
    sim.hung++;
    sim.hanging[lane->index] = true;
    sim.transaction_open[lane->index] = false;
    sim.transaction_committed[lane->index] = true;
    lane->in_transaction = false;
    return true;
}

static enum outcome commit(struct sink *port, struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    if (lane->epoch == 0 || !lane->in_transaction)
        return bad_state(err, "commit");
    if (is_fenced(lane))
        return fenced(err);
    if (lane->committing)
        return commit_again(lane, err);
    if (lane->letter_refused != SINK_REFUSED_NOTHING)
        return err_set(err, OUTCOME_REJECT, "INVALID_RECORD", "not delivered: simulated");
    lane->refused = lane->undelivered;
    if (lane->undelivered)
        return err_set(err, OUTCOME_REJECT, "MSG_SIZE_TOO_LARGE", "not delivered: simulated");
    if (sim.commit_refusals > 0) {
        sim.commit_refusals--;
        return err_set(err, OUTCOME_REJECT, "_PURGE_QUEUE", "outage: simulated");
    }
    if (sim_chance(4))
        return err_set(err, OUTCOME_REJECT, "_PURGE_QUEUE", "delivery failed: simulated");
    if (sim_chance(4)) /* broken before it was asked for: aborted when the producer is replaced */
        return err_set(err, OUTCOME_FATAL, "_FATAL", "simulated");
    lane->committing = sim_chance(4);
    if (lane->committing && sim_chance(50)) /* it is still under way */
        return late(err);
    if (!lane->committing && hangs(lane))
        return OUTCOME_OK;
    sim_transaction_end(lane->index, true);
    sim_yield(); /* committed, nobody told yet: a crash here is the ambiguous commit */
    if (lane->committing)
        return late(err);
    if (sim_chance(4))
        return lost(err);
    lane->in_transaction = false;
    return OUTCOME_OK;
}

static enum outcome reopen(struct sink *port, struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    lane->epoch = 0;
    lane->in_transaction = false;
    lane->committing = false;
    if (sim_chance(5))
        return err_set(err, OUTCOME_RETRY, "_TIMED_OUT", "simulated");
    if (sim_chance(2))
        return err_set(err, OUTCOME_FATAL, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "simulated");
    sim_transaction_end(lane->index, false);
    uint64_t epoch = ++sim.producer_epoch[lane->index];
    if (sim_chance(4))
        return late(err);
    lane->epoch = epoch;
    return OUTCOME_OK;
}

static struct sink_refusal last_refusal(struct sink *port)
{
    return (struct sink_refusal){lane_of_sink(port)->letter_refused, TEXT("commands.dlq")};
}

static void serve(struct sink *port)
{
    (void)port;
}

static size_t record_bytes_max(struct sink *port)
{
    struct sim_lane *lane = lane_of_sink(port);
    bool tells = sim.limit_told && sim.topic_bytes_max >= SIM_LEAST_RECORD_BYTES;

    if (lane->refused && tells)
        lane->record_bytes_max = sim.topic_bytes_max;
    else if (lane->refused && !sim.limit_told && lane->record_bytes_max > SIM_LEAST_RECORD_BYTES)
        lane->record_bytes_max = lane->record_bytes_max / 2 > SIM_LEAST_RECORD_BYTES
                                     ? lane->record_bytes_max / 2
                                     : SIM_LEAST_RECORD_BYTES;
    lane->refused = false;
    return lane->record_bytes_max;
}

void sim_sink_init(struct sim_lane *lane)
{
    static const struct sink_ops ops = {begin,  produce,      send_offsets, commit,
                                        reopen, last_refusal, serve,        record_bytes_max};

    lane->sink.ops = &ops;
    lane->record_bytes_max = SIM_RECORD_BYTES;
    lane->refused = false;
    lane->epoch = 0;
    lane->in_transaction = false;
    lane->committing = false;
}
