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

void sim_rebalance(void)
{
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

/* Offsets that a transaction still holds back; the coordinator answers only with stable ones. */
static bool unstable(int partition)
{
    for (int i = 0; i < SIM_LANES; i++) {
        if ((sim.transaction_open[i] || sim.hanging[i]) && sim.pending[i][partition] >= 0)
            return sim.mistake != SIM_MISTAKE_UNSTABLE_OFFSETS;
    }
    return false;
}

/* What happens inside poll(): joining, revocation, assignment. */
static void serve_group(struct sim_lane *lane)
{
    if (!sim.in_group[lane->index]) {
        /* expelled, or not joined yet */
        sim.in_group[lane->index] = true;
        sim_rebalance();
    }
    if (lane->member && lane->member_generation == sim.generation)
        return;
    bool owned = false;
    for (int p = 0; p < SIM_PARTITIONS; p++)
        owned = owned || lane->owns[p];
    if (owned)
        lane->source_generation++; /* the revoke callback */
    memset(lane->owns, 0, sizeof(lane->owns));
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        if (sim.owner[p] == lane->index && unstable(p))
            return; /* the fetch of committed offsets is tried again at the next poll */
    }
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        lane->owns[p] = sim.owner[p] == lane->index;
        lane->next[p] = sim.committed[p];
        lane->began[p] = sim.committed[p];
        lane->told[p] = false;
    }
    lane->member = true;
    lane->member_generation = sim.generation;
}

static enum outcome poll(struct source *port, int timeout_ms, const struct batch_limits *limits,
                         const struct message **ret_messages, size_t *ret_count, struct err *err)
{
    struct sim_lane *lane = lane_of_source(port);
    size_t count = 0;

    (void)timeout_ms;
    sim_yield();
    if (sim_chance(2))
        return err_set(err, OUTCOME_RETRY, "_ALL_BROKERS_DOWN", "poll: simulated");
    serve_group(lane);
    for (int p = 0; lane->rewind && p < SIM_PARTITIONS; p++)
        lane->next[p] = sim.committed[p];
    lane->rewind = false;
    size_t most = 1 + (size_t)sim_random(limits->messages);
    for (int turn = 0; turn < SIM_PARTITIONS; turn++) {
        int p = (turn + (int)(sim.steps % SIM_PARTITIONS)) % SIM_PARTITIONS;
        while (lane->owns[p] && count < most && lane->next[p] < sim.topic_end[p])
            lane->polled[count++] = sim.topic[p][lane->next[p]++].message;
    }
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
            lane->fresh[count++] = (struct position){TEXT("commands"), p, lane->began[p]};
        lane->told[p] = lane->owns[p];
    }
    *ret_positions = lane->fresh;
    *ret_count = count;
    return OUTCOME_OK;
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
    }
    return OUTCOME_OK;
}

static int64_t lag(struct source *port)
{
    (void)port;
    return -1;
}

static bool connected(struct source *port)
{
    (void)port;
    return true;
}

static void source_close(struct source *port)
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
    static const struct source_ops ops = {poll,          release,   keep_alive, generation,
                                          take_assigned, committed, lag,        connected,
                                          source_close,  rewind_all};

    lane->source.ops = &ops;
    lane->member = false;
    lane->source_generation = 0;
    memset(lane->owns, 0, sizeof(lane->owns));
}

/* --- producer ------------------------------------------------------------------------------- */

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
        if (commit && sim.pending[index][p] >= 0)
            sim.committed[p] = sim.pending[index][p];
        sim.pending[index][p] = -1;
    }
    sim.transaction_open[index] = false;
    sim.transaction_committed[index] = commit;
    sim.aborts += !commit;
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

static enum outcome begin(struct sink *port, struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    if (is_fenced(lane) || lane->in_transaction)
        return fenced(err);
    lane->in_transaction = true;
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

static struct text header_text(const struct outgoing *record, const char *name)
{
    for (size_t i = 0; i < record->header_count; i++) {
        if (text_is(record->headers[i].name, name))
            return text_of_slice(record->headers[i].value);
    }
    return TEXT_ABSENT;
}

static enum outcome produce(struct sink *port, const struct outgoing *outgoing, struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    if (is_fenced(lane))
        return fenced(err);
    if (sim_chance(2))
        return err_set(err, OUTCOME_RETRY, "_QUEUE_FULL", "simulated");
    if (sim.record_count == SIM_RECORDS_MAX) {
        sim.flooded = true;
        return err_set(err, OUTCOME_RETRY, "_QUEUE_FULL", "simulated");
    }
    struct sim_record *record = &sim.records[sim.record_count++];
    *record = (struct sim_record){.value = copy(outgoing->value.data, outgoing->value.length),
                                  .value_length = outgoing->value.length,
                                  .key = copy(outgoing->key.data, outgoing->key.length),
                                  .key_length = outgoing->key.length,
                                  .lane = lane->index,
                                  .epoch = lane->epoch};
    record->dead = !text_is(outgoing->topic, "audit");
    if (record->dead)
        snprintf(record->id, sizeof(record->id), "%.*s/%.*s",
                 TEXT_ARG(header_text(outgoing, "__connect.errors.partition")),
                 TEXT_ARG(header_text(outgoing, "__connect.errors.offset")));
    else
        snprintf(record->id, sizeof(record->id), "%.*s", TEXT_ARG(header_text(outgoing, "ce_id")));
    return OUTCOME_OK;
}

static enum outcome send_offsets(struct sink *port, const struct position *positions, size_t count,
                                 struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    if (is_fenced(lane))
        return fenced(err);
    if (sim_chance(2))
        return err_set(err, OUTCOME_RETRY, "COORDINATOR_LOAD_IN_PROGRESS", "simulated");
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

static enum outcome commit(struct sink *port, struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    if (is_fenced(lane))
        return fenced(err);
    if (lane->in_transaction && !sim.transaction_open[lane->index]) {
        /* asked again after a lost answer: the coordinator tells how it ended */
        lane->in_transaction = false;
        return sim.transaction_committed[lane->index]
                   ? OUTCOME_OK
                   : err_set(err, OUTCOME_FATAL, "INVALID_TXN_STATE", "simulated");
    }
    if (sim_chance(4))
        return err_set(err, OUTCOME_REJECT, "_PURGE_QUEUE", "delivery failed: simulated");
    if (sim_chance(4)) /* broken before it was asked for: aborted when the producer is replaced */
        return err_set(err, OUTCOME_FATAL, "_FATAL", "simulated");
    /* Never two in a row: the lane takes the second acknowledgement for the proof of the first. */
    if (!sim.hanging[lane->index] && sim_chance(2)) {
        sim.hung++;
        sim.hanging[lane->index] = true;
        sim.transaction_open[lane->index] = false;
        sim.transaction_committed[lane->index] = true;
        lane->in_transaction = false;
        return OUTCOME_OK;
    }
    sim_transaction_end(lane->index, true);
    sim_yield(); /* committed, nobody told yet: a crash here is the ambiguous commit */
    if (sim_chance(4)) {
        sim.lost_answers++;
        return err_set(err, OUTCOME_FATAL, "_TIMED_OUT", "answer lost: simulated");
    }
    if (sim_chance(4)) {
        sim.lost_answers++;
        return err_set(err, OUTCOME_RETRY, "_TIMED_OUT", "answer late: simulated");
    }
    lane->in_transaction = false;
    return OUTCOME_OK;
}

static enum outcome abort_transaction(struct sink *port, struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    if (is_fenced(lane))
        return fenced(err);
    if (sim_chance(3))
        return err_set(err, OUTCOME_RETRY, "_TIMED_OUT", "simulated");
    if (sim_chance(3))
        return err_set(err, OUTCOME_FATAL, "_FATAL", "simulated");
    sim_transaction_end(lane->index, false);
    lane->in_transaction = false;
    return OUTCOME_OK;
}

static enum outcome reopen(struct sink *port, struct err *err)
{
    struct sim_lane *lane = lane_of_sink(port);

    sim_yield();
    if (sim_chance(5))
        return err_set(err, OUTCOME_RETRY, "_TIMED_OUT", "simulated");
    sim_transaction_end(lane->index, false);
    lane->epoch = ++sim.producer_epoch[lane->index];
    lane->in_transaction = false;
    return OUTCOME_OK;
}

static void serve(struct sink *port)
{
    (void)port;
}

static size_t record_bytes_max(struct sink *port)
{
    (void)port;
    return 1000000;
}

void sim_sink_init(struct sim_lane *lane)
{
    static const struct sink_ops ops = {begin,  produce, send_offsets,    commit, abort_transaction,
                                        reopen, serve,   record_bytes_max};

    lane->sink.ops = &ops;
    lane->epoch = 0;
    lane->in_transaction = false;
}
