#include "worker/kafka/kafka_group.h"

#include "worker/kafka/kafka_client.h"

/* Stable offsets are not to be had while a lane's transaction is under way, or hangs. */
static enum outcome asker_new(const struct config *config, rd_kafka_t **ret_consumer,
                              struct err *err)
{
    const struct kafka_setting own[] = {{"group.id", config->group_id},
                                        {"isolation.level", "read_uncommitted"}};
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
    enum outcome outcome = asker_new(config, &consumer, err);
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
