#include "worker/kafka_redriver.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "worker/kafka_client.h"
#include "worker/kafka_record.h"
#include "worker/kafka_topics.h"

enum { ASK_TIMEOUT_MS = 10000, SLICE_MS = 2000, QUEUE_FULL_WAIT_MS = 100 };

struct kafka_redriver {
    rd_kafka_t *producer;
    struct kafka_topic_handles topics;
    bool open;                   /* a transaction is */
    rd_kafka_resp_err_t failure; /* of the first delivery that failed */
};

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    struct kafka_redriver *redriver = opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
        redriver->failure == RD_KAFKA_RESP_ERR_NO_ERROR)
        redriver->failure = message->err;
}

static enum outcome open_producer(struct kafka_redriver *redriver, const struct config *config,
                                  struct err *err)
{
    char id[512];
    snprintf(id, sizeof(id), "%s.redrive", config->group_id);
    const struct kafka_setting own[] = {
        {"transactional.id", id},
        /* for kafka_redriver_end() */
        {"isolation.level", "read_uncommitted"},
    };
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    enum outcome outcome = kafka_conf_new(config, KAFKA_LANE_PRODUCER, "redrive", own,
                                          sizeof(own) / sizeof(own[0]), &conf, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    rd_kafka_conf_set_opaque(conf, redriver);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    return kafka_new(RD_KAFKA_PRODUCER, &conf, &redriver->producer, err);
}

/* The same call again as long as it may succeed. */
static enum outcome finish(struct kafka_redriver *redriver,
                           rd_kafka_error_t *(*call)(rd_kafka_t *, int), const char *action,
                           int timeout_ms, struct err *err)
{
    int64_t deadline_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    enum outcome outcome;
    bool again = false;
    do {
        rd_kafka_error_t *error = call(redriver->producer, SLICE_MS);
        outcome = error != NULL ? kafka_transaction_fail(error, action, err) : OUTCOME_OK;
        again |= outcome == OUTCOME_RETRY;
    } while (outcome == OUTCOME_RETRY && clock_monotonic_us() < deadline_us);
    /* librdkafka 2.0.2 may leave the success of a call that was taken up again unacknowledged;
     * where it did not, this is refused and changes nothing */
    if (outcome == OUTCOME_OK && again) {
        rd_kafka_error_t *error = call(redriver->producer, SLICE_MS);
        if (error != NULL)
            rd_kafka_error_destroy(error);
    }
    return outcome;
}

enum outcome kafka_redriver_new(const struct config *config, int timeout_ms,
                                struct kafka_redriver **ret_redriver, struct err *err)
{
    struct kafka_redriver *redriver = calloc(1, sizeof(*redriver));
    if (redriver == NULL)
        return err_no_memory(err, "redrive");
    enum outcome outcome = open_producer(redriver, config, err);
    if (outcome == OUTCOME_OK)
        outcome = finish(redriver, rd_kafka_init_transactions, "open the producer of redrives",
                         timeout_ms, err);
    if (outcome != OUTCOME_OK) {
        kafka_redriver_free(redriver);
        return outcome;
    }
    *ret_redriver = redriver;
    return OUTCOME_OK;
}

void kafka_redriver_free(struct kafka_redriver *redriver)
{
    if (redriver->open) {
        rd_kafka_error_t *error = rd_kafka_abort_transaction(redriver->producer, SLICE_MS);
        if (error != NULL)
            rd_kafka_error_destroy(error);
    }
    kafka_topic_handles_release(&redriver->topics);
    if (redriver->producer != NULL) {
        rd_kafka_purge(redriver->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_destroy(redriver->producer);
    }
    free(redriver);
}

enum outcome kafka_redriver_end(struct kafka_redriver *redriver, const char *topic,
                                int32_t partition, int64_t *ret_end, struct err *err)
{
    int64_t low;
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
        redriver->producer, topic, partition, &low, ret_end, ASK_TIMEOUT_MS);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? OUTCOME_OK
               : kafka_fail(code, err, "end of topic %s partition %d", topic, (int)partition);
}

enum outcome kafka_redriver_begin(struct kafka_redriver *redriver, struct err *err)
{
    rd_kafka_error_t *error = rd_kafka_begin_transaction(redriver->producer);
    if (error != NULL)
        return kafka_transaction_fail(error, "begin the redrive", err);
    redriver->open = true;
    return OUTCOME_OK;
}

enum outcome kafka_redriver_send(struct kafka_redriver *redriver, const struct outgoing *record,
                                 int32_t partition, struct err *err)
{
    rd_kafka_topic_t *topic =
        kafka_topic_handle(&redriver->topics, redriver->producer, record->topic);
    if (topic == NULL)
        return err_set(err, OUTCOME_FATAL, "", "redrive to topic %.*s: no handle for it",
                       TEXT_ARG(record->topic));
    rd_kafka_resp_err_t code;
    while ((code = kafka_produce_to(redriver->producer, topic, partition, record, NULL)) ==
           RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(redriver->producer, QUEUE_FULL_WAIT_MS);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? OUTCOME_OK
               : kafka_fail(code, err, "redrive to topic %.*s", TEXT_ARG(record->topic));
}

enum outcome kafka_redriver_commit(struct kafka_redriver *redriver, int timeout_ms, struct err *err)
{
    enum outcome outcome =
        finish(redriver, rd_kafka_commit_transaction, "commit the redrive", timeout_ms, err);
    /* A commit whose answer is not known must not be followed by an abort. */
    redriver->open = outcome == OUTCOME_REJECT;
    if (outcome == OUTCOME_REJECT && redriver->failure != RD_KAFKA_RESP_ERR_NO_ERROR)
        err_set(err, OUTCOME_REJECT, rd_kafka_err2name(redriver->failure),
                "commit the redrive: a record was not delivered: %s",
                rd_kafka_err2str(redriver->failure));
    return outcome;
}
