#pragma once

#include "base/cleanup.h"
#include "config/config.h"
#include "worker/kafka/source_kafka.h"
#include "worker/lane/sink.h"

/* The sink on a real cluster: a transactional producer whose id is <group>.<instance>.<lane>: the
 * same after a restart, so that what a crashed predecessor left open ends with the first reopen().
 *
 * Nothing is open before the first reopen(): begin() answers FATAL till then. */
struct sink_kafka;

/* config            borrowed for as long as the sink lives
 * source            whose membership fences the offsets; borrowed likewise
 * message_max_bytes the smallest max.message.bytes of the topics it will produce to, as the brokers
 *                   say; 0: not known. What becomes of it: worker/kafka/record_limit.h
 *
 * REJECT  librdkafka refuses the configuration
 * FULL    no memory */
enum outcome sink_kafka_new(const struct config *config, int lane, struct source_kafka *source,
                            int64_t message_max_bytes, struct sink_kafka **ret_sink,
                            struct err *err);

/* What is in a transaction still open is aborted by the brokers, at the latest when the next
 * producer of the same id opens. */
void sink_kafka_free(struct sink_kafka *sink);
DEFINE_CLEANUP(struct sink_kafka *, sink_kafka_free)

struct sink *sink_kafka_port(struct sink_kafka *sink);
