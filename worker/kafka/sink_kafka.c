#include "worker/kafka/sink_kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crash_point.h"
#include "worker/kafka/kafka_client.h"
#include "worker/kafka/kafka_mark.h"
#include "worker/kafka/kafka_record.h"
#include "worker/kafka/kafka_topics.h"
#include "worker/kafka/record_limit.h"

/* Calls that wait for brokers give up after this long with RETRY, so that the lane can look after
 * its group membership and a stop request; librdkafka goes on in the background, and the same call
 * takes its result. */
enum {
    CONNECT_TIMEOUT_MS = 500,
    OPEN_TIMEOUT_MS = 5000,
    SEND_OFFSETS_TIMEOUT_MS = 10000, /* the one call that cannot be taken up again */
    COMMIT_TIMEOUT_MS = 5000,
    LAST_ABORT_TIMEOUT_MS = 500,
    QUEUE_FULL_WAIT_MS = 100,
    SET_DELIVERED_WAIT_MS = 1000,
    SENT_WAIT_MS = 1,
};

/* A version of librdkafka. */
enum { BOOTSTRAP_GIVES_WAY_SINCE = 0x020A0000 };

/* What the brokers add to a record: batch header (61), lengths and attributes (at most 40), a few
 * bytes for each header. */
enum { RECORD_OVERHEAD_BYTES = 1024 };

struct sink_kafka {
    struct sink port;
    const struct config *config;
    struct source_kafka *source;
    char *transactional_id;
    int lane;
    struct record_limit limit;

    rd_kafka_t *producer; /* NULL: not open */
    size_t set_bytes_max; /* its batch.size: of a set of records */
    bool initialised;     /* init_transactions() is done */
    bool committing;      /* a commit is under way in the background: only commit() may follow, or
                             reopen() */
    struct kafka_topic_handles topics;        /* of the open producer */
    rd_kafka_topic_partition_list_t *offsets; /* of the open transaction; NULL: none yet */

    /* of the transaction: deliveries that failed, and why the first did */
    uint64_t failed;
    rd_kafka_resp_err_t failure;
    enum sink_refused refused; /* of the first failure that is one */
    char refused_topic[256];   /* Kafka allows 249 characters */
    size_t queued_bytes;       /* produced since librdkafka was last made to send */
    bool unanswered;           /* a set was not delivered in time: no other is waited for */
};

/* --- callbacks, on the lane's thread -----------------------------------------------------------
 */

/* Codes that the brokers give for the record itself. Older ones than 2.4 have INVALID_MSG only. */
static enum sink_refused refused_by(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
        return SINK_REFUSED_TIMESTAMP;
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        return SINK_REFUSED_RECORD;
    default:
        return SINK_REFUSED_NOTHING;
    }
}

static void note_refusal(struct sink_kafka *self, const rd_kafka_message_t *message)
{
    self->refused = refused_by(message->err);
    if (self->refused != SINK_REFUSED_NOTHING)
        snprintf(self->refused_topic, sizeof(self->refused_topic), "%s",
                 rd_kafka_topic_name(message->rkt));
}

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    struct sink_kafka *self = opaque;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    /* What an abort throws out of the queue did not fail. */
    if (message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        return;
    if (self->failed++ == 0)
        self->failure = message->err;
    if (self->refused == SINK_REFUSED_NOTHING)
        note_refusal(self, message);
    if (message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        record_limit_refused(&self->limit);
}

/* --- opening -----------------------------------------------------------------------------------
 */

static void drop_offsets(struct sink_kafka *self)
{
    if (self->offsets != NULL)
        rd_kafka_topic_partition_list_destroy(self->offsets);
    self->offsets = NULL;
}

static void close_producer(struct sink_kafka *self)
{
    drop_offsets(self);
    kafka_topic_handles_release(&self->topics);
    kafka_transactional_destroy(self->producer, LAST_ABORT_TIMEOUT_MS);
    self->producer = NULL;
    self->initialised = false;
    self->committing = false;
}

static enum outcome make_conf(struct sink_kafka *self, rd_kafka_conf_t **ret_conf, struct err *err)
{
    char suffix[32], limit[32], batch[32];
    snprintf(suffix, sizeof(suffix), "%d-producer", self->lane);
    snprintf(limit, sizeof(limit), "%" PRId64, self->limit.own);
    /* A set of records that exceeds the topic's limit is refused as a whole. */
    const char *text = config_kafka_value(self->config, "batch.size");
    int64_t batch_size = text != NULL ? strtoll(text, NULL, 10) : self->limit.now;
    if (batch_size > self->limit.now)
        batch_size = self->limit.now;
    self->set_bytes_max = (size_t)batch_size;
    snprintf(batch, sizeof(batch), "%" PRId64, batch_size);

    const struct kafka_setting own[] = {
        {"transactional.id", self->transactional_id},
        {"message.max.bytes", limit},
        {"batch.size", batch},
    };
    enum outcome outcome = kafka_conf_new(self->config, KAFKA_LANE_PRODUCER, suffix, own,
                                          sizeof(own) / sizeof(own[0]), ret_conf, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    rd_kafka_conf_set_opaque(*ret_conf, self);
    /* Also because without a delivery callback each commit waits in slices of 10 ms. */
    rd_kafka_conf_set_dr_msg_cb(*ret_conf, on_delivery);
    return OUTCOME_OK;
}

static enum outcome open_producer(struct sink_kafka *self, struct err *err)
{
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    enum outcome outcome = make_conf(self, &conf, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return kafka_new(RD_KAFKA_PRODUCER, &conf, &self->producer, err);
}

/* Before the first transaction needs them. */
static void make_topic_handles(struct sink_kafka *self)
{
    kafka_topic_handle(&self->topics, self->producer, text_of(self->config->audit_topic));
    for (size_t i = 0; i < self->config->command_topic_count; i++) {
        char name[256]; /* Kafka allows 249 characters */
        snprintf(name, sizeof(name), "%s%s", self->config->command_topics[i],
                 self->config->dlq_suffix);
        kafka_topic_handle(&self->topics, self->producer, text_of(name));
    }
}

/* From 2.10 on the connection to a bootstrap server gives way to one to the broker that answered,
 * and init_transactions() that falls into the gap asks again after 500 ms. The second answer comes
 * over the connection that stays. What goes wrong here, init_transactions() will tell. */
static void await_connection(rd_kafka_t *producer)
{
    if (rd_kafka_version() < BOOTSTRAP_GIVES_WAY_SINCE)
        return;
    for (int i = 0; i < 2; i++) {
        const struct rd_kafka_metadata *metadata = NULL;
        if (rd_kafka_metadata(producer, 0, NULL, &metadata, CONNECT_TIMEOUT_MS) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
            return;
        rd_kafka_metadata_destroy(metadata);
    }
}

static enum outcome reopen(struct sink *port, struct err *err)
{
    struct sink_kafka *self = (struct sink_kafka *)port;

    /* An opening that the brokers did not answer in time goes on where it was. */
    if (self->producer == NULL || self->initialised) {
        close_producer(self);
        enum outcome outcome = open_producer(self, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        await_connection(self->producer);
    }

    CRASH_POINT(before_reopen);
    rd_kafka_error_t *error = rd_kafka_init_transactions(self->producer, OPEN_TIMEOUT_MS);
    if (error != NULL) {
        enum outcome outcome = kafka_transaction_fail(error, "open the producer", err);
        if (outcome != OUTCOME_RETRY)
            close_producer(self);
        return outcome;
    }
    CRASH_POINT(after_reopen);
    self->initialised = true;
    self->failed = 0;
    make_topic_handles(self);
    return OUTCOME_OK;
}

static enum outcome not_open(struct err *err)
{
    return err_set(err, OUTCOME_FATAL, "_STATE", "the producer is not open");
}

/* --- transaction -------------------------------------------------------------------------------
 */

static enum outcome begin(struct sink *port, struct err *err)
{
    struct sink_kafka *self = (struct sink_kafka *)port;
    if (!self->initialised)
        return not_open(err);

    if (self->committing)
        return err_set(err, OUTCOME_FATAL, "_STATE",
                       "begin a Kafka transaction: the commit of the last is under way");
    self->failed = 0;
    self->refused = SINK_REFUSED_NOTHING;
    self->queued_bytes = 0;
    self->unanswered = false;
    rd_kafka_error_t *error = rd_kafka_begin_transaction(self->producer);
    return error != NULL ? kafka_transaction_fail(error, "begin the Kafka transaction", err)
                         : OUTCOME_OK;
}

/* What stopped produce(): the transaction itself tells whether it must be aborted. */
static enum outcome produce_failed(struct sink_kafka *self, rd_kafka_resp_err_t code,
                                   const struct outgoing_record *record, struct err *err)
{
    enum outcome outcome = kafka_fail(code, err, "produce to topic %.*s", TEXT_ARG(record->topic));
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        record_limit_refused(&self->limit);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL || code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        return outcome;
    char reason[256];
    if (rd_kafka_fatal_error(self->producer, reason, sizeof(reason)) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return err_set(err, OUTCOME_FATAL, rd_kafka_err2name(code), "produce: %s", reason);
    /* _STATE: the transaction failed meanwhile. Aborting is right for whatever else there is. */
    return err->outcome = OUTCOME_REJECT;
}

/* Of an idempotent producer librdkafka has one set of records on the way for a partition, and while
 * more are queued behind it its thread polls without a pause until the answer is there: a quarter
 * of the process's CPU time at full load, taken from the broker that is to answer. So never more
 * than a set is queued, and since linger.ms is longer than producing takes, it goes out whole when
 * this asks for it. Nothing depends on it: what is not sent by then, the commit sends. */
static rd_kafka_resp_err_t send_queued(struct sink_kafka *self, int wait_ms)
{
    self->queued_bytes = 0;
    return rd_kafka_flush(self->producer, wait_ms);
}

/* Small sets are many to a batch: brokers that do not answer are waited for once. */
static void make_room(struct sink_kafka *self, const struct outgoing_record *record)
{
    size_t bytes = outgoing_bytes(record);

    if (!self->unanswered && self->queued_bytes + bytes > self->set_bytes_max)
        self->unanswered = send_queued(self, SET_DELIVERED_WAIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR;
    self->queued_bytes += bytes;
}

static enum outcome produce(struct sink *port, const struct outgoing_record *record,
                            struct err *err)
{
    struct sink_kafka *self = (struct sink_kafka *)port;
    if (!self->initialised)
        return not_open(err);
    rd_kafka_topic_t *topic = kafka_topic_handle(&self->topics, self->producer, record->topic);
    if (topic == NULL)
        return err_set(err, OUTCOME_FATAL, "", "produce to topic %.*s: no handle for it",
                       TEXT_ARG(record->topic));

    make_room(self, record);
    rd_kafka_resp_err_t code = kafka_produce(self->producer, topic, record, NULL);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        rd_kafka_poll(self->producer, QUEUE_FULL_WAIT_MS);
        code = kafka_produce(self->producer, topic, record, NULL);
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? OUTCOME_OK
                                              : produce_failed(self, code, record, err);
}

/* What librdkafka says of the transaction, and what it means for the next one. */
static enum outcome transaction_fail(struct sink_kafka *self, rd_kafka_error_t *error,
                                     const char *action, struct err *err)
{
    if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        record_limit_refused(&self->limit);
    return kafka_transaction_fail(error, action, err);
}

static enum outcome send_offsets(struct sink *port, const struct position *positions, size_t count,
                                 struct err *err)
{
    struct sink_kafka *self = (struct sink_kafka *)port;
    if (!self->initialised)
        return not_open(err);
    const rd_kafka_consumer_group_metadata_t *membership = NULL;
    enum outcome outcome = source_kafka_membership(self->source, &membership, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new((int)count + 1);
    if (offsets == NULL)
        return err_no_memory(err, "send offsets");
    drop_offsets(self);
    for (size_t i = 0; i < count; i++) {
        char topic[256]; /* Kafka allows 249 characters */
        snprintf(topic, sizeof(topic), "%.*s", TEXT_ARG(positions[i].topic));
        rd_kafka_topic_partition_t *offset =
            rd_kafka_topic_partition_list_add(offsets, topic, positions[i].partition);
        offset->offset = positions[i].offset;
        if (!kafka_mark(offset))
            return err_no_memory(err, "send offsets");
    }

    send_queued(self, SENT_WAIT_MS);
    rd_kafka_error_t *error = rd_kafka_send_offsets_to_transaction(
        self->producer, offsets, membership, SEND_OFFSETS_TIMEOUT_MS);
    if (error == NULL) {
        self->offsets = TAKE(offsets);
        return OUTCOME_OK;
    }
    outcome = transaction_fail(self, error, "send offsets", err);
    /* Called again after its timeout, 2.16 may wait for ever. */
    if (outcome == OUTCOME_RETRY)
        outcome = err->outcome = OUTCOME_REJECT;
    return outcome;
}

static enum outcome commit(struct sink *port, struct err *err)
{
    struct sink_kafka *self = (struct sink_kafka *)port;
    if (!self->initialised)
        return not_open(err);

    rd_kafka_error_t *error = rd_kafka_commit_transaction(self->producer, COMMIT_TIMEOUT_MS);
    if (error == NULL) {
        if (self->committing)
            kafka_transaction_acknowledge(
                rd_kafka_commit_transaction(self->producer, COMMIT_TIMEOUT_MS));
        self->committing = false;
        if (self->offsets != NULL)
            source_kafka_committed(self->source, self->offsets);
        drop_offsets(self);
        record_limit_passed(&self->limit);
        return OUTCOME_OK;
    }
    enum outcome outcome = transaction_fail(self, error, "commit the Kafka transaction", err);
    self->committing = outcome == OUTCOME_RETRY;
    if (self->failed > 0 && outcome == OUTCOME_REJECT)
        err_set(err, OUTCOME_REJECT, rd_kafka_err2name(self->failure),
                "commit the Kafka transaction: %" PRIu64
                " records were not delivered, the first: %s",
                self->failed, rd_kafka_err2str(self->failure));
    return outcome;
}

/* --- the rest ----------------------------------------------------------------------------------
 */

static void serve(struct sink *port)
{
    struct sink_kafka *self = (struct sink_kafka *)port;
    if (self->producer != NULL)
        rd_kafka_poll(self->producer, 0);
}

/* A transaction that has failed may end before all its delivery reports are served. */
static struct sink_refusal last_refusal(struct sink *port)
{
    struct sink_kafka *self = (struct sink_kafka *)port;
    serve(port);
    return (struct sink_refusal){self->refused, text_of(self->refused_topic)};
}

static size_t record_bytes_max(struct sink *port)
{
    struct sink_kafka *self = (struct sink_kafka *)port;
    int64_t limit = record_limit_get(&self->limit);
    return limit > (int64_t)2 * RECORD_OVERHEAD_BYTES ? (size_t)limit - RECORD_OVERHEAD_BYTES
                                                      : RECORD_OVERHEAD_BYTES;
}

static const struct sink_ops ops = {
    .begin = begin,
    .produce = produce,
    .send_offsets = send_offsets,
    .commit = commit,
    .reopen = reopen,
    .refusal = last_refusal,
    .serve = serve,
    .record_bytes_max = record_bytes_max,
};

/* Also finds out whether librdkafka takes the configuration, before the first reopen(). */
static enum outcome set_up(struct sink_kafka *self, const struct config *config, struct err *err)
{
    size_t size = strlen(config->group_id) + strlen(config->instance_id) + 32;
    self->transactional_id = malloc(size);
    if (self->transactional_id == NULL)
        return err_no_memory(err, "producer");
    snprintf(self->transactional_id, size, "%s.%s.%d", config->group_id, config->instance_id,
             self->lane);

    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    return make_conf(self, &conf, err);
}

enum outcome sink_kafka_new(const struct config *config, int lane, struct source_kafka *source,
                            int64_t message_max_bytes, struct sink_kafka **ret_sink,
                            struct err *err)
{
    struct sink_kafka *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return err_no_memory(err, "producer");
    self->port.ops = &ops;
    self->config = config;
    self->source = source;
    self->lane = lane;
    self->limit = record_limit_new(config, message_max_bytes);

    enum outcome outcome = set_up(self, config, err);
    if (outcome != OUTCOME_OK) {
        sink_kafka_free(self);
        return outcome;
    }
    *ret_sink = self;
    return OUTCOME_OK;
}

void sink_kafka_free(struct sink_kafka *sink)
{
    close_producer(sink);
    free(sink->transactional_id);
    free(sink);
}

struct sink *sink_kafka_port(struct sink_kafka *sink)
{
    return &sink->port;
}
