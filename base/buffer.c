#include "base/buffer.h"

enum { FIRST_CAPACITY = 128 };

void buffer_init(struct buffer *buffer, struct arena *arena)
{
    *buffer = (struct buffer){.arena = arena};
}

uint8_t *buffer_grow(struct buffer *buffer, size_t length)
{
    if (buffer->full)
        return NULL;
    size_t capacity = buffer->capacity;
    if (capacity == 0)
        capacity = length > FIRST_CAPACITY ? length : FIRST_CAPACITY;
    while (capacity - buffer->length < length) {
        if (capacity > SIZE_MAX / 2) {
            buffer->full = true;
            return NULL;
        }
        capacity *= 2;
    }
    uint8_t *bytes = buffer->bytes == NULL
                         ? NULL
                         : arena_extend(buffer->arena, buffer->bytes, buffer->capacity, capacity);
    if (bytes == NULL) {
        bytes = arena_alloc(buffer->arena, capacity);
        if (bytes == NULL) {
            buffer->full = true;
            return NULL;
        }
        if (buffer->bytes != NULL)
            memcpy(bytes, buffer->bytes, buffer->length);
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return bytes + buffer->length;
}

void buffer_trim(struct buffer *buffer)
{
    if (buffer->bytes != NULL &&
        arena_trim(buffer->arena, buffer->bytes, buffer->capacity, buffer->length))
        buffer->capacity = buffer->length;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
    uint8_t *room = buffer_reserve(buffer, length);
    if (room == NULL || length == 0)
        return;
    memcpy(room, bytes, length);
    buffer->length += length;
}

void buffer_append_text(struct buffer *buffer, struct text text)
{
    buffer_append(buffer, text.data, text.length);
}

void buffer_append_literal(struct buffer *buffer, const char *zero_terminated)
{
    buffer_append(buffer, zero_terminated, strlen(zero_terminated));
}
