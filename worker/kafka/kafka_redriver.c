#include "worker/kafka/kafka_redriver.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "worker/kafka/kafka_client.h"
#include "worker/kafka/kafka_record.h"
#include "worker/kafka/kafka_topics.h"

enum {
    SLICE_MS = 2000,
    QUEUE_FULL_WAIT_MS = 100,
    TRANSACTION_TIMEOUT_MS = 60000, /* librdkafka's default of transaction.timeout.ms */
};

struct kafka_redriver {
    rd_kafka_t *producer;
    struct kafka_topic_handles topics;
    bool open;                   /* a transaction is */
    int64_t due_us;              /* it is to be committed */
    int64_t age_max_us;          /* of a transaction */
    rd_kafka_resp_err_t failure; /* of the first delivery in it that failed */
};

static const rd_kafka_resp_err_t record_refused[] = {
    RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_MSG,
    RD_KAFKA_RESP_ERR_INVALID_RECORD,     RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
    RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
};

bool kafka_redriver_record_refused(const struct err *err)
{
    for (size_t i = 0; i < sizeof(record_refused) / sizeof(record_refused[0]); i++) {
        if (strcmp(err->code, rd_kafka_err2name(record_refused[i])) == 0)
            return true;
    }
    return false;
}

/* --- the producer ------------------------------------------------------------------------------
 */

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    struct kafka_redriver *redriver = opaque;
    /* An abort purges what is behind the record that failed. */
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
        message->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
        message->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT &&
        redriver->failure == RD_KAFKA_RESP_ERR_NO_ERROR)
        redriver->failure = message->err;
}

static enum outcome open_producer(struct kafka_redriver *redriver, const struct config *config,
                                  struct err *err)
{
    char id[512];
    snprintf(id, sizeof(id), "%s.redrive", config->group_id);
    const struct kafka_setting own[] = {{"transactional.id", id}};
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    enum outcome outcome =
        kafka_conf_new(config, KAFKA_LANE_PRODUCER, "redrive", own, 1, &conf, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    /* The brokers' clock begins with the first record, and they look at it now and then. */
    redriver->age_max_us =
        kafka_conf_number(conf, "transaction.timeout.ms", TRANSACTION_TIMEOUT_MS) * 1000 / 4;
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
    if (outcome == OUTCOME_OK && again)
        kafka_transaction_acknowledge(call(redriver->producer, SLICE_MS));
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
    kafka_topic_handles_release(&redriver->topics);
    kafka_transactional_destroy(redriver->producer, SLICE_MS);
    free(redriver);
}

/* --- transactions ------------------------------------------------------------------------------
 */

enum outcome kafka_redriver_begin(struct kafka_redriver *redriver, struct err *err)
{
    if (redriver->open)
        return OUTCOME_OK;
    redriver->failure = RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_error_t *error = rd_kafka_begin_transaction(redriver->producer);
    if (error != NULL)
        return kafka_transaction_fail(error, "begin the redrive", err);
    redriver->open = true;
    redriver->due_us = clock_monotonic_us() + redriver->age_max_us;
    CRASH_POINT(after_begin);
    return OUTCOME_OK;
}

enum outcome kafka_redriver_send(struct kafka_redriver *redriver,
                                 const struct outgoing_record *record, int32_t partition,
                                 struct err *err)
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
    /* what librdkafka answers once the transaction failed, or the producer is fenced */
    if (code == RD_KAFKA_RESP_ERR__STATE || code == RD_KAFKA_RESP_ERR__FATAL)
        return OUTCOME_OK;
    rd_kafka_poll(redriver->producer, 0);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? OUTCOME_OK
               : kafka_fail(code, err, "redrive to topic %.*s", TEXT_ARG(record->topic));
}

bool kafka_redriver_is_due(const struct kafka_redriver *redriver)
{
    return redriver->open && clock_monotonic_us() >= redriver->due_us;
}

/* What ends one producer, as a transaction that the brokers ended overlap, does not end the next;
 * only that another one is at work does. */
static enum outcome judge_fatal(struct err *err)
{
    err->outcome = strcmp(err->code, rd_kafka_err2name(RD_KAFKA_RESP_ERR__FENCED)) == 0
                       ? OUTCOME_FATAL
                       : OUTCOME_RETRY;
    return err->outcome;
}

/* After the commit asked for an abort; *err holds what it said. */
static enum outcome abort_failed(struct kafka_redriver *redriver, int timeout_ms, struct err *err)
{
    struct err aborting;
    enum outcome outcome =
        finish(redriver, rd_kafka_abort_transaction, "abort the redrive", timeout_ms, &aborting);
    redriver->open = false;
    /* The brokers know of no transaction when they let none of its topics in; 2.16 asks them to end
     * it all the same. */
    bool ended = outcome == OUTCOME_OK ||
                 strcmp(aborting.code, rd_kafka_err2name(RD_KAFKA_RESP_ERR_INVALID_TXN_STATE)) == 0;
    if (!ended) {
        *err = aborting;
        return judge_fatal(err);
    }
    /* librdkafka's own words are about the transaction, these about the cause. */
    if (redriver->failure != RD_KAFKA_RESP_ERR_NO_ERROR)
        kafka_fail(redriver->failure, err, "commit the redrive: a record was not delivered");
    else if (strstr(err->code, "AUTHORIZATION_FAILED") == NULL)
        err->outcome = OUTCOME_RETRY;
    if (kafka_redriver_record_refused(err))
        err->outcome = OUTCOME_REJECT;
    /* whatever else a delivery failed with: the same call again begins anew */
    return err->outcome == OUTCOME_REJECT ? OUTCOME_REJECT : (err->outcome = OUTCOME_RETRY);
}

enum outcome kafka_redriver_commit(struct kafka_redriver *redriver, int timeout_ms, struct err *err)
{
    /* The commit would wait for it too; what is refused is known before. */
    rd_kafka_flush(redriver->producer, SLICE_MS);
    CRASH_POINT(after_produced);
    CRASH_POINT(during_kafka_commit);
    enum outcome outcome =
        finish(redriver, rd_kafka_commit_transaction, "commit the redrive", timeout_ms, err);
    if (outcome == OUTCOME_REJECT)
        return abort_failed(redriver, timeout_ms, err);
    /* A commit whose answer is not known must not be followed by an abort. */
    redriver->open = false;
    if (outcome == OUTCOME_OK)
        CRASH_POINT(after_kafka_commit);
    return outcome == OUTCOME_FATAL ? judge_fatal(err) : outcome;
}
