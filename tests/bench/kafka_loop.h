#pragma once

#include "base/err.h"
#include "events/message.h"

/* Consume, process, produce as services do it with librdkafka, the transactional way: one consumer,
 * one producer, one Kafka transaction a poll. For the services that the worker is compared with;
 * every call that fails ends the program. */

struct kafka_loop_options {
    const char *brokers;
    const char *command_topic;
    const char *audit_topic;
    const char *group;
    size_t batch_max; /* messages a poll */
};

struct kafka_loop;

struct kafka_loop *kafka_loop_new(const struct kafka_loop_options *options);
void kafka_loop_free(struct kafka_loop *loop);

/* Waits up to timeout_ms for a first message, then takes what is there. The messages are valid
 * until kafka_loop_commit(). */
size_t kafka_loop_poll(struct kafka_loop *loop, int timeout_ms,
                       const struct message **ret_messages);

/* Queues one audit event within the batch's transaction, which the first one begins. */
void kafka_loop_produce(struct kafka_loop *loop, const struct outgoing_record *record);

/* Sends the offsets of the batch and commits. */
void kafka_loop_commit(struct kafka_loop *loop);
