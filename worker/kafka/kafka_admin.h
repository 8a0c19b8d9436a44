#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "config/config.h"

/* Questions about the cluster and its topics, and the making of topics: for `migrate up --topics`,
 * the start of `run`, `check --online`, `publish` and `tail`.
 *
 * Outcomes of every function, unless it says otherwise:
 *   RETRY   no broker answers within timeout_ms
 *   REJECT  the brokers refuse us: permission, credentials, a policy
 *   FULL    no memory */
struct kafka_admin;

/* Connects in the background. config: borrowed for the call only.
 * REJECT: librdkafka refuses the configuration. */
enum outcome kafka_admin_new(const struct config *config, struct kafka_admin **ret_admin,
                             struct err *err);
void kafka_admin_free(struct kafka_admin *admin);
DEFINE_CLEANUP(struct kafka_admin *, kafka_admin_free)

/* Waits until the cluster answers. */
enum outcome kafka_admin_reach(struct kafka_admin *admin, int timeout_ms, int *ret_brokers,
                               struct err *err);

/* --- topics ------------------------------------------------------------------------------------
 */

/* What a topic of the configuration is for. */
enum kafka_topic_use { KAFKA_COMMAND_TOPIC, KAFKA_DEAD_LETTER_TOPIC, KAFKA_AUDIT_TOPIC };

struct kafka_topic_name {
    char *name;
    enum kafka_topic_use use;
};

/* All topics of the configuration: the command topics, their dead-letter topics, the audit topic.
 */
struct kafka_topic_names {
    struct kafka_topic_name *items;
    size_t count;
};

enum outcome kafka_topic_names(const struct config *config, struct kafka_topic_names *ret_names,
                               struct err *err);
void kafka_topic_names_release(struct kafka_topic_names *names);

enum kafka_topic_state {
    KAFKA_TOPIC_THERE,
    KAFKA_TOPIC_MISSING,
    KAFKA_TOPIC_FORBIDDEN,  /* we may not even describe it */
    KAFKA_TOPIC_LEADERLESS, /* a partition has no leader at the moment */
};

#define KAFKA_NOT_TOLD INT64_MIN

/* The least max.message.bytes that can be worked with: an ordinary audit event fits, and a dead
 * letter that was cut as far as it ever is. Less is somebody's mistake: nothing is refused or cut
 * for it, what does not fit waits until it is mended. (librdkafka itself wants 1,000 at least.) */
enum { KAFKA_RECORD_BYTES_LEAST = 8192 };

struct kafka_topic {
    enum kafka_topic_state state;
    int partitions;
    int replicas; /* of the partition that has fewest */
    /* Settings; KAFKA_NOT_TOLD where we may not ask (DescribeConfigs). */
    int64_t retention_ms; /* -1: for ever */
    int64_t max_message_bytes;
    bool compacted;  /* cleanup.policy has "compact" */
    bool compressed; /* compression.type is told, and is not "uncompressed" */
};

/* One answer per name, in the same order. A topic that is missing or forbidden is an answer, not a
 * failure. */
enum outcome kafka_admin_describe(struct kafka_admin *admin, const char *const *names, size_t count,
                                  int timeout_ms, struct kafka_topic *ret_topics, struct err *err);

/* The same for the topics of the configuration. */
enum outcome kafka_admin_describe_configured(struct kafka_admin *admin,
                                             const struct kafka_topic_names *names, int timeout_ms,
                                             struct kafka_topic *ret_topics, struct err *err);

/* The same, asked again where topics are missing: brokers tell for a moment that topics are missing
 * which were just made, or which are there when the broker has just come back. Only what they say
 * for some seconds counts.
 *
 * pause  sleeps; false: asks no more, the last answer stands */
enum outcome kafka_admin_describe_settled(struct kafka_admin *admin,
                                          const struct kafka_topic_names *names, int timeout_ms,
                                          bool (*pause)(void *context, int64_t pause_ms),
                                          void *context, struct kafka_topic *ret_topics,
                                          struct err *err);

/* The first offset of each partition that can still be read: what lies before is deleted.
 * ret_offsets  one per partition */
enum outcome kafka_admin_first_offsets(struct kafka_admin *admin, const char *name, int partitions,
                                       int timeout_ms, int64_t *ret_offsets, struct err *err);

/* Partitions of a topic that is made without a wish of the operator. A dead-letter topic has one:
 * each partition that a transaction touches costs it time. */
enum { KAFKA_PARTITIONS_DEFAULT = 8, KAFKA_DEAD_LETTER_PARTITIONS = 1 };

struct kafka_new_topic {
    const char *name;
    int partitions;
    int replicas; /* -1: as the brokers have it for new topics */
    /* The brokers unpack what is published (compression.type=uncompressed): no batch is larger for
     * its readers than max.message.bytes. */
    bool uncompressed;
};

/* Makes one topic. ret_created false: it was there before, which is fine.
 * REJECT also: the brokers refuse the wish (more replicas than brokers ...). */
enum outcome kafka_admin_create(struct kafka_admin *admin, const struct kafka_new_topic *topic,
                                int timeout_ms, bool *ret_created, struct err *err);

/* --- permissions -------------------------------------------------------------------------------
 */

/* Each asks with the very configuration of a lane and leaves nothing behind that anyone sees.
 * REJECT: the text names what is not allowed. (Whether a topic may be written cannot be found out
 * without writing.) */

/* Whether the consumer group may be used: reads its committed offset of one partition. */
enum outcome kafka_probe_group(const struct config *config, int timeout_ms, struct err *err);

/* Whether records of the topic may be read: fetches at the end of its first partition.
 * The topic must be there. */
enum outcome kafka_probe_read(const struct config *config, const char *topic, int timeout_ms,
                              struct err *err);

/* Whether transactions are allowed: registers the transactional id of a lane that does not exist,
 * so that no running lane is fenced. */
enum outcome kafka_probe_transactions(const struct config *config, int timeout_ms, struct err *err);
