#include "worker/kafka/kafka_record.h"

/* The next header, or false. */
static bool header_at(rd_kafka_headers_t *headers, size_t index, struct header *ret_header)
{
    const char *name;
    const void *value;
    size_t length;
    if (rd_kafka_header_get_all(headers, index, &name, &value, &length) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    *ret_header = (struct header){text_of(name), {value, length}};
    return true;
}

/* NULL: the record has none, or they cannot be read. */
static rd_kafka_headers_t *headers_of(const rd_kafka_message_t *received, bool *ret_unreadable)
{
    rd_kafka_headers_t *headers;
    rd_kafka_resp_err_t code = rd_kafka_message_headers(received, &headers);

    *ret_unreadable = code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__NOENT;
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? headers : NULL;
}

size_t kafka_header_count(const rd_kafka_message_t *received)
{
    bool unreadable;
    rd_kafka_headers_t *headers = headers_of(received, &unreadable);
    return headers != NULL ? rd_kafka_header_cnt(headers) : 0;
}

struct message kafka_message_of(const rd_kafka_message_t *received, struct header *ret_headers)
{
    bool unreadable;
    rd_kafka_headers_t *headers = headers_of(received, &unreadable);
    size_t count = 0;
    while (headers != NULL && header_at(headers, count, &ret_headers[count]))
        count++;

    rd_kafka_timestamp_type_t type;
    int64_t timestamp_ms = rd_kafka_message_timestamp(received, &type);
    return (struct message){
        .topic = text_of(rd_kafka_topic_name(received->rkt)),
        .partition = received->partition,
        .offset = received->offset,
        .timestamp_ms = type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? timestamp_ms : -1,
        .broker_time = type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME,
        /* a key or value of length 0 is not the same as none */
        .key = {received->key, received->key_len},
        .value = {received->payload, received->len},
        .headers = ret_headers,
        .header_count = count,
        .headers_unreadable = unreadable,
    };
}

static rd_kafka_headers_t *headers_from(const struct outgoing_record *record)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);
    for (size_t i = 0; headers != NULL && i < record->header_count; i++) {
        const struct header *header = &record->headers[i];
        if (rd_kafka_header_add(headers, header->name.data, (ssize_t)header->name.length,
                                header->value.data,
                                (ssize_t)header->value.length) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_headers_destroy(headers);
            headers = NULL;
        }
    }
    return headers;
}

/* librdkafka takes pointers to what it only copies without const. */
static void *bytes_of(struct slice slice)
{
    return (void *)(uintptr_t)slice.data;
}

rd_kafka_resp_err_t kafka_produce(rd_kafka_t *producer, rd_kafka_topic_t *topic,
                                  const struct outgoing_record *record, void *mark)
{
    return kafka_produce_to(producer, topic, RD_KAFKA_PARTITION_UA, record, mark);
}

rd_kafka_resp_err_t kafka_produce_to(rd_kafka_t *producer, rd_kafka_topic_t *topic,
                                     int32_t partition, const struct outgoing_record *record,
                                     void *mark)
{
    rd_kafka_headers_t *headers = headers_from(record);
    if (headers == NULL)
        return RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;

    /* librdkafka reads 0 as "now"; the epoch itself is not a time that a record carries. */
    int64_t timestamp_ms = record->timestamp_ms > 0 ? record->timestamp_ms : 0;
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {bytes_of(record->key), record->key.length}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {bytes_of(record->value), record->value.length}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = timestamp_ms},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = mark},
    };
    rd_kafka_error_t *error = rd_kafka_produceva(producer, parts, sizeof(parts) / sizeof(parts[0]));
    if (error == NULL)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    /* only what was queued owns its headers */
    rd_kafka_headers_destroy(headers);
    return code;
}
