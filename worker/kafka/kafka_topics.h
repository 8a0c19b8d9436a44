#pragma once

#include <librdkafka/rdkafka.h>

#include "base/slice.h"

/* Handles of the topics that a producer writes to, made once each: the first record through a fresh
 * name waits up to a second until librdkafka has asked who leads it. */
struct kafka_topic_handles {
    struct kafka_topic_handle *items;
    size_t count;
};

/* The handle, with its leaders known where the brokers answer. NULL: no memory, or a name that
 * Kafka does not allow. */
rd_kafka_topic_t *kafka_topic_handle(struct kafka_topic_handles *handles, rd_kafka_t *producer,
                                     struct text name);

/* Before the producer is destroyed. */
void kafka_topic_handles_release(struct kafka_topic_handles *handles);
