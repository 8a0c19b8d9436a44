#pragma once

#include <librdkafka/rdkafka.h>

#include "events/message.h"

/* Records between this program's form and librdkafka's. */

size_t kafka_header_count(const rd_kafka_message_t *received);

/* Everything in the result is borrowed from `received` and lives until it is destroyed.
 * ret_headers  room for kafka_header_count() of them */
struct message kafka_message_of(const rd_kafka_message_t *received, struct header *ret_headers);

/* Queues a copy of the record, to a partition by its key. `mark` comes back with the delivery. */
rd_kafka_resp_err_t kafka_produce(rd_kafka_t *producer, rd_kafka_topic_t *topic,
                                  const struct outgoing_record *record, void *mark);

/* The same to a chosen partition; RD_KAFKA_PARTITION_UA: by the key. */
rd_kafka_resp_err_t kafka_produce_to(rd_kafka_t *producer, rd_kafka_topic_t *topic,
                                     int32_t partition, const struct outgoing_record *record,
                                     void *mark);
