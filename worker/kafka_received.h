#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

/* Messages in order of arrival; librdkafka owns their bytes until they are destroyed. */
struct received {
    rd_kafka_message_t **items;
    size_t count;
    size_t capacity;
};

/* Room for `needed` elements of `size` bytes in a growing array; false: no memory. */
bool array_reserve(void **items, size_t *capacity, size_t needed, size_t size);

/* Takes the message over. false: no memory, and the message is gone. */
bool received_push(struct received *received, rd_kafka_message_t *message);

/* Moves the first `count` of `from` over; `to` must be empty. false: no memory, nothing moved. */
bool received_move(struct received *from, size_t count, struct received *to);

void received_drop_partitions(struct received *received,
                              const rd_kafka_topic_partition_list_t *partitions);

/* Destroys the messages; release also frees the array. */
void received_clear(struct received *received);
void received_release(struct received *received);
