#include "tests/bench/kafka_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/usage.h"
#include "worker/kafka/kafka_record.h"

enum { TRANSACTION_TIMEOUT_MS = 30000, HEADERS_MAX = 16 };

struct kafka_loop {
    struct kafka_loop_options options;
    rd_kafka_t *consumer;
    rd_kafka_t *producer;
    rd_kafka_topic_t *audit;
    rd_kafka_message_t **received;
    struct message *messages;
    struct header *headers;
    size_t count;
    bool in_transaction;
};

/* The same settings as the worker's: what is compared is how the work is done. But linger.ms: these
 * loops leave it to librdkafka when records go out. */
static const char *const consumer_settings[][2] = {
    {"isolation.level", "read_committed"}, {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"}, {"auto.offset.reset", "earliest"},
    {"queued.min.messages", "30000"},      {"queued.max.messages.kbytes", "8192"},
    {"fetch.wait.max.ms", "50"},
};
static const char *const producer_settings[][2] = {
    {"enable.idempotence", "true"},    {"socket.nagle.disable", "true"},
    {"retry.backoff.ms", "10"},        {"linger.ms", "1"},
    {"partitioner", "murmur2_random"},
};

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    (void)opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("delivery: %s", rd_kafka_err2str(message->err));
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char reason[256];

    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
        die("%s", reason);
}

static void set_all(rd_kafka_conf_t *conf, const char *const settings[][2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        set(conf, settings[i][0], settings[i][1]);
}

static void check(rd_kafka_error_t *error, const char *what)
{
    if (error != NULL)
        die("%s: %s", what, rd_kafka_error_string(error));
}

static void open_consumer(struct kafka_loop *loop)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char reason[256];

    set(conf, "bootstrap.servers", loop->options.brokers);
    set(conf, "group.id", loop->options.group);
    set_all(conf, consumer_settings, sizeof(consumer_settings) / sizeof(consumer_settings[0]));
    loop->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
    if (loop->consumer == NULL)
        die("consumer: %s", reason);
    rd_kafka_poll_set_consumer(loop->consumer);

    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, loop->options.command_topic, RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(loop->consumer, topics) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
}

static void open_producer(struct kafka_loop *loop)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const struct rd_kafka_metadata *metadata;
    char reason[256];

    set(conf, "bootstrap.servers", loop->options.brokers);
    set(conf, "transactional.id", loop->options.group);
    set_all(conf, producer_settings, sizeof(producer_settings) / sizeof(producer_settings[0]));
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    loop->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    if (loop->producer == NULL)
        die("producer: %s", reason);
    check(rd_kafka_init_transactions(loop->producer, TRANSACTION_TIMEOUT_MS), "init");

    loop->audit = rd_kafka_topic_new(loop->producer, loop->options.audit_topic, NULL);
    if (rd_kafka_metadata(loop->producer, 0, loop->audit, &metadata, TRANSACTION_TIMEOUT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        die("metadata");
    rd_kafka_metadata_destroy(metadata);
}

struct kafka_loop *kafka_loop_new(const struct kafka_loop_options *options)
{
    struct kafka_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        die("no memory");

    loop->options = *options;
    loop->received = calloc(options->batch_max, sizeof(rd_kafka_message_t *));
    loop->messages = calloc(options->batch_max, sizeof(*loop->messages));
    loop->headers = calloc(options->batch_max * HEADERS_MAX, sizeof(*loop->headers));
    if (loop->received == NULL || loop->messages == NULL || loop->headers == NULL)
        die("no memory");
    open_producer(loop);
    open_consumer(loop);
    return loop;
}

void kafka_loop_free(struct kafka_loop *loop)
{
    rd_kafka_consumer_close(loop->consumer);
    rd_kafka_destroy(loop->consumer);
    rd_kafka_topic_destroy(loop->audit);
    rd_kafka_destroy(loop->producer);
    free(loop->received);
    free(loop->messages);
    free(loop->headers);
    free(loop);
}

static void take(struct kafka_loop *loop, rd_kafka_message_t *received)
{
    if (kafka_header_count(received) > HEADERS_MAX)
        die("more headers than the benchmark's messages have");
    loop->messages[loop->count] =
        kafka_message_of(received, loop->headers + loop->count * HEADERS_MAX);
    loop->received[loop->count++] = received;
}

size_t kafka_loop_poll(struct kafka_loop *loop, int timeout_ms, const struct message **ret_messages)
{
    loop->count = 0;
    while (loop->count < loop->options.batch_max) {
        rd_kafka_message_t *received =
            rd_kafka_consumer_poll(loop->consumer, loop->count == 0 ? timeout_ms : 0);
        if (received == NULL)
            break;
        if (received->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            take(loop, received);
        else
            rd_kafka_message_destroy(received);
    }
    *ret_messages = loop->messages;
    return loop->count;
}

static void begin(struct kafka_loop *loop)
{
    if (!loop->in_transaction)
        check(rd_kafka_begin_transaction(loop->producer), "begin");
    loop->in_transaction = true;
}

void kafka_loop_produce(struct kafka_loop *loop, const struct outgoing_record *record)
{
    begin(loop);
    for (;;) {
        rd_kafka_resp_err_t code = kafka_produce(loop->producer, loop->audit, record, NULL);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            return;
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce: %s", rd_kafka_err2str(code));
        rd_kafka_poll(loop->producer, 100);
    }
}

/* A call of a transaction, again for as long as the error says that it may succeed. */
static void persist(struct kafka_loop *loop, const char *what,
                    rd_kafka_error_t *(*call)(struct kafka_loop *))
{
    for (;;) {
        rd_kafka_error_t *error = call(loop);
        if (error == NULL)
            return;
        if (!rd_kafka_error_is_retriable(error))
            die("%s: %s", what, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
}

static rd_kafka_error_t *send_offsets(struct kafka_loop *loop)
{
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(8);

    for (size_t i = 0; i < loop->count; i++) {
        const struct message *message = &loop->messages[i];
        rd_kafka_topic_partition_t *offset = rd_kafka_topic_partition_list_find(
            offsets, loop->options.command_topic, message->partition);
        if (offset == NULL)
            offset = rd_kafka_topic_partition_list_add(offsets, loop->options.command_topic,
                                                       message->partition);
        offset->offset = message->offset + 1;
    }
    rd_kafka_consumer_group_metadata_t *membership =
        rd_kafka_consumer_group_metadata(loop->consumer);
    rd_kafka_error_t *error = rd_kafka_send_offsets_to_transaction(
        loop->producer, offsets, membership, TRANSACTION_TIMEOUT_MS);
    rd_kafka_consumer_group_metadata_destroy(membership);
    rd_kafka_topic_partition_list_destroy(offsets);
    return error;
}

static rd_kafka_error_t *commit(struct kafka_loop *loop)
{
    return rd_kafka_commit_transaction(loop->producer, -1);
}

void kafka_loop_commit(struct kafka_loop *loop)
{
    begin(loop);
    persist(loop, "send offsets", send_offsets);
    persist(loop, "commit", commit);
    loop->in_transaction = false;
    for (size_t i = 0; i < loop->count; i++)
        rd_kafka_message_destroy(loop->received[i]);
    loop->count = 0;
}
