#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A partition of this member. */
struct assigned {
    char *topic;
    int32_t partition;
    int64_t next_offset; /* behind the last message taken; RD_KAFKA_OFFSET_INVALID: not known;
                            RD_KAFKA_OFFSET_BEGINNING: the group has committed nothing */
    int64_t committed;   /* by the group, as far as this member has heard; -1: nothing */
    int64_t end_read;    /* the end of the log when everything below was read; -1: not yet */
    int64_t end_told_us; /* monotonic: when ends() told of it */
    int64_t end_asked;   /* the end of the log, asked for while nothing is fetched; -1: it is not */
    bool taken;          /* told by take_assigned() */
    bool out_of_range;   /* the broker says that the log does not hold next_offset */

    /* What stands there can not be read. */
    int64_t stuck_offset;   /* -1: it can */
    const char *stuck_code; /* librdkafka's, for good */
    int64_t stuck_since_us; /* monotonic */
    int64_t stuck_told_us;  /* monotonic: when it was last logged; 0: not yet */
};

struct assignment {
    struct assigned *items;
    size_t count;
    size_t capacity;
};

/* NULL: not assigned. */
struct assigned *assignment_find(struct assignment *assignment, const char *topic,
                                 int32_t partition);

/* Adds the partitions with their offsets. false: no memory, some may be missing. */
bool assignment_add(struct assignment *assignment,
                    const rd_kafka_topic_partition_list_t *partitions);
void assignment_remove(struct assignment *assignment,
                       const rd_kafka_topic_partition_list_t *partitions);

/* All of them with their positions as offsets, in order. NULL: no memory. */
rd_kafka_topic_partition_list_t *assignment_list(const struct assignment *assignment);

/* Empties it; release also frees the array. */
void assignment_clear(struct assignment *assignment);
void assignment_release(struct assignment *assignment);
