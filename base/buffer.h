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

/* Room for `length` more bytes at bytes + length, uninitialised, not yet counted; NULL when full.
 * For encoders that write in place and then add to `length`. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t length);

/* Gives room that is not used back to the arena: for a value that is complete. */
void buffer_trim(struct buffer *buffer);

void buffer_append(struct buffer *buffer, const void *bytes, size_t length);
void buffer_append_text(struct buffer *buffer, struct text text);
void buffer_append_literal(struct buffer *buffer, const char *zero_terminated);
void buffer_append_byte(struct buffer *buffer, uint8_t byte);

static inline struct text buffer_text(const struct buffer *buffer)
{
    return (struct text){(const char *)buffer->bytes, buffer->length};
}

static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return (struct slice){buffer->bytes, buffer->length};
}
