#pragma once

#include <librdkafka/rdkafka.h>

#include "events/message.h"

/* Queues a copy of the record. An error leaves nothing behind. */
rd_kafka_resp_err_t record_produce(rd_kafka_t *producer, rd_kafka_topic_t *topic,
                                   const struct outgoing *record);
