#pragma once

#include "base/cleanup.h"
#include "config/config.h"
#include "events/message.h"

/* Publishes records one by one: an idempotent producer that waits for all replicas, outside of
 * transactions. For `publish`. */
struct kafka_publisher;

/* What happened to a record: OK, or why it was not delivered. Called from send(), serve() and
 * free() on the caller's thread. */
typedef void kafka_delivered(void *context, uint64_t mark, enum outcome outcome,
                             const struct err *err);

/* REJECT  librdkafka refuses the configuration
 * FULL    no memory */
enum outcome kafka_publisher_new(const struct config *config, kafka_delivered *delivered,
                                 void *context, struct kafka_publisher **ret_publisher,
                                 struct err *err);

/* Records that are still under way are given up. */
void kafka_publisher_free(struct kafka_publisher *publisher);
DEFINE_CLEANUP(struct kafka_publisher *, kafka_publisher_free)

/* Queues a record; `mark` comes back with its delivery.
 *
 * RETRY   the queue is full: serve() and send again
 * REJECT  the record is too large (code MSG_SIZE_TOO_LARGE), or the brokers refuse us
 * FATAL   the producer is broken */
enum outcome kafka_publisher_send(struct kafka_publisher *publisher,
                                  const struct outgoing_record *record, uint64_t mark,
                                  struct err *err);

/* Waits up to timeout_ms for deliveries. Answers how many records are under way. */
size_t kafka_publisher_serve(struct kafka_publisher *publisher, int timeout_ms);

/* The same, and sends at once what is waiting for company. */
size_t kafka_publisher_flush(struct kafka_publisher *publisher, int timeout_ms);
