#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "events/message.h"

/* Messages in order of arrival, copied: a message of librdkafka's is a handful of allocations that
 * another thread made, and keeps the whole response alive that it came with. Copied at once and
 * destroyed, it costs less than kept for the length of a batch. */
struct received {
    struct arena *arena; /* NULL: nothing came yet */
    struct message *items;
    size_t count;
    size_t capacity;
    size_t bytes; /* of keys, values and headers */
};

/* Adds a copy. false: no memory. */
bool received_push(struct received *received, const struct message *message);

/* Moves the first `count` of `from` over; `to` must be empty. false: no memory, and what was beyond
 * them is lost. */
bool received_move(struct received *from, size_t count, struct received *to);

void received_drop_partitions(struct received *received,
                              const rd_kafka_topic_partition_list_t *partitions);

/* Empties it; release also frees its memory. */
void received_clear(struct received *received);
void received_release(struct received *received);
