#pragma once

#include "config/config.h"
#include "worker/kafka/kafka_client.h"
#include "worker/lane/source.h"

/* Topics, a consumer group and an instance name of one test's own, on the broker that
 * CATALYST_KAFKA_BOOTSTRAP_SERVERS names. The topics are deleted at the end.
 *
 * A failure inside any of these functions fails the test. */
struct rig {
    struct config config;
    char commands[80];
    char audit[80];
    char dead_letters[80];
};

/* properties: librdkafka's, "name=value", NULL-terminated; NULL: none. */
void rig_setup(struct rig *rig, int partitions, const char *const *properties);
void rig_teardown(struct rig *rig);

/* The same topics and group under another instance name and other properties: another replica. */
void rig_replica(const struct rig *rig, const char *instance, const char *const *properties,
                 struct config *ret_config);

/* Puts `count` records with the values "<prefix>0", "<prefix>1" ... on the partition. */
void rig_fill(const struct rig *rig, const char *topic, int partition, const char *prefix,
              int count);

/* Publishes the records as they are, in this order. */
void rig_publish(const struct rig *rig, const struct outgoing_record *records, size_t count);

struct record {
    int32_t partition;
    int64_t offset;
    char value[64];
};

/* The topic's max.message.bytes from now on. */
void rig_limit_records(const struct rig *rig, const char *topic, int bytes);

/* What a read_committed consumer sees of the topic, up to its end, at most `capacity`. */
size_t rig_read(const struct rig *rig, const char *topic, struct record *ret_records,
                size_t capacity);

/* Polls until a batch comes, at most ten seconds. */
size_t rig_poll(struct source *source, const struct batch_limits *limits,
                const struct message **ret_messages);

/* Sets the group's offset of a partition of the command topic. The group has no members. */
void rig_commit(const struct rig *rig, int partition, int64_t offset);

/* The group's committed offset of a partition of the command topic; -1: none. */
int64_t rig_committed(struct source *source, const struct rig *rig, int partition);
