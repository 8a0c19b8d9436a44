#pragma once

#include "base/cleanup.h"
#include "config/config.h"
#include "worker/lane/source.h"

/* The source on a real cluster: one member of the worker's consumer group, subscribed to the
 * command topics.
 *
 * Memory: the prefetch queue is bounded by queued.max.messages.kbytes (8 MiB unless configured) and
 * queued.min.messages; what is in hand comes on top of it. */
struct source_kafka;

/* Connects in the background; the first poll() joins the group.
 *
 * config  borrowed for the call only
 * lane    index, for client.id
 *
 * REJECT  librdkafka refuses the configuration
 * FULL    no memory */
enum outcome source_kafka_new(const struct config *config, int lane,
                              struct source_kafka **ret_source, struct err *err);

/* Leaves the group when close() has not been called yet. */
void source_kafka_free(struct source_kafka *source);
DEFINE_CLEANUP(struct source_kafka *, source_kafka_free)

struct source *source_kafka_port(struct source_kafka *source);

/* The membership under which the batch in hand was polled: what fences the offsets of that batch.
 * Borrowed until the next call of any function of the source.
 *
 * REJECT  the batch is not this member's any more, or the group does not count us as a member: an
 *         offset sent with such metadata would not be fenced by the broker. keep_alive() or poll()
 *         bring the generation up to date. */
struct rd_kafka_consumer_group_metadata_s;
enum outcome source_kafka_membership(struct source_kafka *source,
                                     const struct rd_kafka_consumer_group_metadata_s **ret_metadata,
                                     struct err *err);

/* A transaction has committed these offsets of the batch in hand. */
struct rd_kafka_topic_partition_list_s;
void source_kafka_committed(struct source_kafka *source,
                            const struct rd_kafka_topic_partition_list_s *offsets);
