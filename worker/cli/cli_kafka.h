#pragma once

#include "worker/cli/cli.h"
#include "worker/kafka/kafka_admin.h"

/* What the verbs that read and write topics share. */

/* Prints what a call of the Kafka adapters failed with: RETRY 69, REJECT 78 (permissions, topics,
 * properties), else 70. */
enum exit_code cli_kafka_fail(const struct arguments *arguments, const struct err *err);

/* Waits for the cluster, at most worker.startup_deadline, and describes the topics. All must be
 * there; otherwise prints which is not. configured: they are the configuration's, so `migrate`
 * makes them and a missing one is 78; else 66. */
enum exit_code cli_topics(const struct arguments *arguments, const struct config *config,
                          const char *const *names, size_t count, bool configured,
                          struct kafka_topic *ret_topics);
