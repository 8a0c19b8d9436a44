#pragma once

#include "base/cleanup.h"
#include "config/config.h"
#include "events/message.h"

/* Publishes to chosen partitions in transactions, one such producer in the cluster: opening a
 * second fences the first, whose open transaction is aborted. For `dlq redrive`. */
struct kafka_redriver;

/* Connects and takes the transactional id <group>.redrive over. Afterwards whatever an earlier
 * redrive began is committed or aborted.
 *
 * RETRY   no broker answers in time
 * REJECT  the brokers refuse us, or librdkafka the configuration
 * FULL    no memory */
enum outcome kafka_redriver_new(const struct config *config, int timeout_ms,
                                struct kafka_redriver **ret_redriver, struct err *err);

/* Aborts what is not committed. */
void kafka_redriver_free(struct kafka_redriver *redriver);
DEFINE_CLEANUP(struct kafka_redriver *, kafka_redriver_free)

/* Begins a transaction, unless one is open. RETRY, REJECT, FATAL as kafka_client.h says; after them
 * free(). */
enum outcome kafka_redriver_begin(struct kafka_redriver *redriver, struct err *err);

/* Queues a copy. After a failure nothing of it is queued, and the transaction goes on. One that
 * failed meanwhile takes nothing more: commit() says why.
 *
 * partition  -1: by the key */
enum outcome kafka_redriver_send(struct kafka_redriver *redriver,
                                 const struct outgoing_record *record, int32_t partition,
                                 struct err *err);

/* The open transaction has taken so long that it is to be committed before the brokers end it. */
bool kafka_redriver_is_due(const struct kafka_redriver *redriver);

/* Commits the open transaction. After a failure free(): librdkafka 2.0.2 counts wrongly after a
 * record that the brokers refused (the next transaction but one is out of sequence), so that
 * another producer must take over.
 *
 * RETRY   the brokers were away for too long, or it is not known within timeout_ms whether it
 *         committed: whoever opens next learns it from the topics
 * REJECT  a record or a topic is refused
 * FATAL   code _FENCED: another redrive took over, and the transaction is void */
enum outcome kafka_redriver_commit(struct kafka_redriver *redriver, int timeout_ms,
                                   struct err *err);

/* What send() or commit() failed with lies in a record (its size, its timestamp, its partition),
 * not in the brokers, the topics or the permissions: other records may pass. */
bool kafka_redriver_record_refused(const struct err *err);
