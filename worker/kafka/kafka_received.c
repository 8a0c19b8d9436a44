#include "worker/kafka/kafka_received.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* Appends the bytes at *end. None at all stay none, which an empty key or value is not. */
static struct slice put(uint8_t **end, struct slice bytes)
{
    if (bytes.data == NULL)
        return bytes;
    const struct slice copy = {*end, bytes.length};
    if (bytes.length > 0)
        memcpy(*end, bytes.data, bytes.length);
    *end += bytes.length;
    return copy;
}

static struct header put_header(uint8_t **end, const struct header *header)
{
    const struct slice name = {(const uint8_t *)header->name.data, header->name.length};
    return (struct header){{(const char *)put(end, name).data, name.length},
                           put(end, header->value)};
}

/* The topic's name, once for neighbours that share it. */
static bool copy_topic(const struct received *received, struct text topic, struct text *ret_copy)
{
    if (received->count > 0 && text_equal(received->items[received->count - 1].topic, topic)) {
        *ret_copy = received->items[received->count - 1].topic;
        return true;
    }
    return arena_copy_text(received->arena, topic, ret_copy);
}

bool received_push(struct received *received, const struct message *message)
{
    size_t bytes = message_bytes(message);
    struct message copy = *message;

    if (received->arena == NULL)
        received->arena = arena_new(SIZE_MAX); /* the limits of a batch are the source's */
    if (received->arena == NULL ||
        !array_reserve(&received->items, &received->capacity, received->count + 1,
                       sizeof(struct message)) ||
        !copy_topic(received, message->topic, &copy.topic))
        return false;
    struct header *headers =
        arena_alloc(received->arena, message->header_count * sizeof(struct header) + bytes);
    if (headers == NULL)
        return false;

    uint8_t *end = (uint8_t *)(headers + message->header_count);
    for (size_t i = 0; i < message->header_count; i++)
        headers[i] = put_header(&end, &message->headers[i]);
    copy.headers = headers;
    copy.key = put(&end, message->key);
    copy.value = put(&end, message->value);
    received->items[received->count++] = copy;
    received->bytes += bytes;
    return true;
}

void received_clear(struct received *received)
{
    if (received->arena != NULL)
        arena_reset(received->arena);
    received->count = 0;
    received->bytes = 0;
}

void received_release(struct received *received)
{
    arena_free(received->arena);
    free(received->items);
}

bool received_move(struct received *from, size_t count, struct received *to)
{
    const struct received moved = *from;
    bool complete = true;

    *from = *to;
    *to = moved;
    for (size_t i = count; i < to->count; i++) {
        complete = complete && received_push(from, &to->items[i]);
        to->bytes -= message_bytes(&to->items[i]);
    }
    to->count = count;
    return complete;
}

void received_drop_partitions(struct received *received,
                              const rd_kafka_topic_partition_list_t *partitions)
{
    size_t kept = 0;
    for (size_t i = 0; i < received->count; i++) {
        const struct message *message = &received->items[i];
        /* the copy of the name is zero-terminated */
        if (rd_kafka_topic_partition_list_find(partitions, message->topic.data,
                                               message->partition) != NULL)
            received->bytes -= message_bytes(message);
        else
            received->items[kept++] = *message;
    }
    received->count = kept;
    if (kept == 0)
        received_clear(received);
}
