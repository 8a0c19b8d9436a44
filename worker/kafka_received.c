#include "worker/kafka_received.h"

#include <stdlib.h>
#include <string.h>

bool array_reserve(void **items, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return true;
    size_t larger = *capacity < 64 ? 64 : *capacity * 2;
    if (larger < needed)
        larger = needed;
    void *moved = realloc(*items, larger * size);
    if (moved == NULL)
        return false;
    *items = moved;
    *capacity = larger;
    return true;
}

bool received_push(struct received *received, rd_kafka_message_t *message)
{
    if (!array_reserve((void **)&received->items, &received->capacity, received->count + 1,
                       sizeof(rd_kafka_message_t *))) {
        rd_kafka_message_destroy(message);
        return false;
    }
    received->items[received->count++] = message;
    return true;
}

void received_clear(struct received *received)
{
    for (size_t i = 0; i < received->count; i++)
        rd_kafka_message_destroy(received->items[i]);
    received->count = 0;
}

void received_release(struct received *received)
{
    received_clear(received);
    free(received->items);
}

bool received_move(struct received *from, size_t count, struct received *to)
{
    if (!array_reserve((void **)&to->items, &to->capacity, count, sizeof(rd_kafka_message_t *)))
        return false;
    if (count > 0)
        memcpy(to->items, from->items, count * sizeof(rd_kafka_message_t *));
    to->count = count;
    memmove(from->items, from->items + count, (from->count - count) * sizeof(rd_kafka_message_t *));
    from->count -= count;
    return true;
}

void received_drop_partitions(struct received *received,
                              const rd_kafka_topic_partition_list_t *partitions)
{
    size_t kept = 0;
    for (size_t i = 0; i < received->count; i++) {
        rd_kafka_message_t *message = received->items[i];
        if (rd_kafka_topic_partition_list_find(partitions, rd_kafka_topic_name(message->rkt),
                                               message->partition) != NULL)
            rd_kafka_message_destroy(message);
        else
            received->items[kept++] = message;
    }
    received->count = kept;
}
