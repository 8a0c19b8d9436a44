#include "worker/kafka/kafka_group.h"

#include <stdio.h>

#include "worker/kafka/kafka_client.h"
#include "worker/kafka/kafka_mark.h"

/* isolation  read_committed: a transaction that is open makes the broker answer "unstable", and
 *            librdkafka asks again until the time is up */
static enum outcome asker_new(const struct config *config, const char *isolation,
                              rd_kafka_t **ret_consumer, struct err *err)
{
    const struct kafka_setting own[] = {{"group.id", config->group_id},
                                        {"isolation.level", isolation}};
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;

    enum outcome outcome = kafka_conf_new(config, KAFKA_READER, "group", own, 2, &conf, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return kafka_new(RD_KAFKA_CONSUMER, &conf, ret_consumer, err);
}

enum outcome kafka_group_position(const struct config *config, const char *topic, int32_t partition,
                                  int timeout_ms, struct kafka_group_position *ret_position,
                                  struct err *err)
{
    CLEANUP(rd_kafka_destroyp) rd_kafka_t *consumer = NULL;
    /* Stable offsets are not to be had while a lane's transaction is under way, or hangs. */
    enum outcome outcome = asker_new(config, "read_uncommitted", &consumer, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    if (list == NULL)
        return err_no_memory(err, "group position");
    rd_kafka_topic_partition_list_add(list, topic, partition);
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
        consumer, topic, partition, &ret_position->first, &ret_position->end, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = rd_kafka_committed(consumer, list, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = list->elems[0].err;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(code, err, "offsets of topic %s, partition %d", topic, (int)partition);
    ret_position->committed = list->elems[0].offset >= 0 ? list->elems[0].offset : -1;
    return OUTCOME_OK;
}

static void take_answer(const rd_kafka_topic_partition_t *answer, struct position *position)
{
    position->offset = answer->offset >= 0 ? answer->offset : -1;
    position->ours = answer->offset >= 0 && kafka_mark_is_ours(answer);
}

enum outcome kafka_group_committed(const struct config *config, struct position *positions,
                                   size_t count, int timeout_ms, struct err *err)
{
    CLEANUP(rd_kafka_destroyp) rd_kafka_t *consumer = NULL;
    enum outcome outcome = asker_new(config, "read_committed", &consumer, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count + 1);
    if (list == NULL)
        return err_no_memory(err, "committed offsets");
    for (size_t i = 0; i < count; i++) {
        char topic[256]; /* Kafka allows 249 characters */
        snprintf(topic, sizeof(topic), "%.*s", TEXT_ARG(positions[i].topic));
        rd_kafka_topic_partition_list_add(list, topic, positions[i].partition);
    }
    rd_kafka_resp_err_t code = rd_kafka_committed(consumer, list, timeout_ms);
    for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++)
        code = list->elems[i].err;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(code, err, "committed offsets of group %s", config->group_id);
    for (size_t i = 0; i < count; i++)
        take_answer(&list->elems[i], &positions[i]);
    return OUTCOME_OK;
}
