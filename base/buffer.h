#pragma once

#include "base/arena.h"
#include "base/slice.h"

/* A growing byte string in an arena, for one value at a time.
 *
 * A failed append sets `full` and later appends do nothing: callers append freely and look at
 * `full` once at the end. What is reserved first is taken as it is; growth doubles, in place while
 * the buffer is the arena's latest allocation; otherwise the old bytes stay behind in the arena. */
struct buffer {
    struct arena *arena;
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    bool full;
};

void buffer_init(struct buffer *buffer, struct arena *arena);

/* Makes room for `length` more bytes than there is; NULL when full. What buffer_reserve() is for.
 */
uint8_t *buffer_grow(struct buffer *buffer, size_t length);

/* Room for `length` more bytes at bytes + length, uninitialised, not yet counted; NULL when full.
 * For encoders that write in place and then add to `length`. */
static inline uint8_t *buffer_reserve(struct buffer *buffer, size_t length)
{
    if (!buffer->full && buffer->bytes != NULL && buffer->capacity - buffer->length >= length)
        return buffer->bytes + buffer->length;
    return buffer_grow(buffer, length);
}

/* Gives room that is not used back to the arena: for a value that is complete. */
void buffer_trim(struct buffer *buffer);

void buffer_append(struct buffer *buffer, const void *bytes, size_t length);
void buffer_append_text(struct buffer *buffer, struct text text);
void buffer_append_literal(struct buffer *buffer, const char *zero_terminated);

static inline void buffer_append_byte(struct buffer *buffer, uint8_t byte)
{
    uint8_t *room = buffer_reserve(buffer, 1);
    if (room == NULL)
        return;
    *room = byte;
    buffer->length++;
}

static inline struct text buffer_text(const struct buffer *buffer)
{
    return (struct text){(const char *)buffer->bytes, buffer->length};
}

static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return (struct slice){buffer->bytes, buffer->length};
}
