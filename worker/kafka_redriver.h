#pragma once

#include "base/cleanup.h"
#include "config/config.h"
#include "events/message.h"

/* Publishes to chosen partitions in transactions, one such producer in the cluster: opening a
 * second fences the first, whose open transaction is aborted. For `dlq redrive`. */
struct kafka_redriver;

/* Connects and takes the transactional id <group>.redrive over.
 *
 * RETRY   no broker answers in time
 * REJECT  the brokers refuse us, or librdkafka the configuration
 * FATAL   no memory */
enum outcome kafka_redriver_new(const struct config *config, int timeout_ms,
                                struct kafka_redriver **ret_redriver, struct err *err);

/* Aborts what is not committed. */
void kafka_redriver_free(struct kafka_redriver *redriver);
DEFINE_CLEANUP(struct kafka_redriver *, kafka_redriver_free)

/* What stands behind the last record of a partition, open transactions included: a reader of
 * committed records that has come so far has seen all that redrives before this one committed. */
enum outcome kafka_redriver_end(struct kafka_redriver *redriver, const char *topic,
                                int32_t partition, int64_t *ret_end, struct err *err);

/* Begins a transaction. RETRY, REJECT, FATAL as kafka_client.h says; after them free(). */
enum outcome kafka_redriver_begin(struct kafka_redriver *redriver, struct err *err);

/* Queues a copy. partition  -1: by the key */
enum outcome kafka_redriver_send(struct kafka_redriver *redriver, const struct outgoing *record,
                                 int32_t partition, struct err *err);

/* FATAL with code _FENCED: another redrive took over, and the transaction is void. RETRY: not known
 * within timeout_ms; whoever opens next learns it from the topics. */
enum outcome kafka_redriver_commit(struct kafka_redriver *redriver, int timeout_ms,
                                   struct err *err);
