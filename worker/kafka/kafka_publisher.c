#include "worker/kafka/kafka_publisher.h"

#include <stdlib.h>

#include "worker/kafka/kafka_client.h"
#include "worker/kafka/kafka_record.h"
#include "worker/kafka/kafka_topics.h"

struct kafka_publisher {
    rd_kafka_t *producer;
    struct kafka_topic_handles topics;
    kafka_delivered *delivered;
    void *context;
};

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    const struct kafka_publisher *publisher = opaque;
    uint64_t mark = (uint64_t)(uintptr_t)message->_private;
    struct err err = {0};
    enum outcome outcome = message->err == RD_KAFKA_RESP_ERR_NO_ERROR
                               ? OUTCOME_OK
                               : kafka_fail(message->err, &err, "publish to topic %s",
                                            rd_kafka_topic_name(message->rkt));
    publisher->delivered(publisher->context, mark, outcome, &err);
}

static enum outcome open_producer(struct kafka_publisher *publisher, const struct config *config,
                                  struct err *err)
{
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    enum outcome outcome = kafka_conf_new(config, KAFKA_PUBLISHER, "publish", NULL, 0, &conf, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    rd_kafka_conf_set_opaque(conf, publisher);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    return kafka_new(RD_KAFKA_PRODUCER, &conf, &publisher->producer, err);
}

enum outcome kafka_publisher_new(const struct config *config, kafka_delivered *delivered,
                                 void *context, struct kafka_publisher **ret_publisher,
                                 struct err *err)
{
    struct kafka_publisher *publisher = calloc(1, sizeof(*publisher));
    if (publisher == NULL)
        return err_no_memory(err, "publisher");
    publisher->delivered = delivered;
    publisher->context = context;

    enum outcome outcome = open_producer(publisher, config, err);
    if (outcome != OUTCOME_OK) {
        kafka_publisher_free(publisher);
        return outcome;
    }
    *ret_publisher = publisher;
    return OUTCOME_OK;
}

void kafka_publisher_free(struct kafka_publisher *publisher)
{
    kafka_topic_handles_release(&publisher->topics);
    if (publisher->producer != NULL)
        rd_kafka_destroy(publisher->producer);
    free(publisher);
}

enum outcome kafka_publisher_send(struct kafka_publisher *publisher,
                                  const struct outgoing_record *record, uint64_t mark,
                                  struct err *err)
{
    rd_kafka_topic_t *topic =
        kafka_topic_handle(&publisher->topics, publisher->producer, record->topic);
    if (topic == NULL)
        return err_set(err, OUTCOME_FATAL, "", "publish to topic %.*s: no handle for it",
                       TEXT_ARG(record->topic));

    rd_kafka_resp_err_t code =
        kafka_produce(publisher->producer, topic, record, (void *)(uintptr_t)mark);
    rd_kafka_poll(publisher->producer, 0);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? OUTCOME_OK
               : kafka_fail(code, err, "publish to topic %.*s", TEXT_ARG(record->topic));
}

static size_t under_way(const struct kafka_publisher *publisher)
{
    int count = rd_kafka_outq_len(publisher->producer);
    return count > 0 ? (size_t)count : 0;
}

size_t kafka_publisher_serve(struct kafka_publisher *publisher, int timeout_ms)
{
    rd_kafka_poll(publisher->producer, timeout_ms);
    return under_way(publisher);
}

size_t kafka_publisher_flush(struct kafka_publisher *publisher, int timeout_ms)
{
    rd_kafka_flush(publisher->producer, timeout_ms);
    return under_way(publisher);
}
