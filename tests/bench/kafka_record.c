#include "tests/bench/kafka_record.h"

rd_kafka_resp_err_t record_produce(rd_kafka_t *producer, rd_kafka_topic_t *topic,
                                   const struct outgoing *record)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);

    for (size_t i = 0; i < record->header_count; i++)
        rd_kafka_header_add(headers, record->headers[i].name.data,
                            (ssize_t)record->headers[i].name.length, record->headers[i].value.data,
                            (ssize_t)record->headers[i].value.length);
    /* librdkafka's API lacks a const: with F_COPY it only reads. */
    void *value = (void *)(uintptr_t)record->value.data;
    rd_kafka_resp_err_t code = rd_kafka_producev(
        producer, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_KEY(record->key.data, record->key.length),
        RD_KAFKA_V_VALUE(value, record->value.length), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(headers);
    return code;
}
