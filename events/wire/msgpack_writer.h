#pragma once

#include "base/buffer.h"
#include "events/wire/msgpack_reader.h"

/* MessagePack in canonical form: every item in its shortest encoding, floats as float 64. What does
 * not fit into the arena shows in buffer->full. */

void msgpack_write_nil(struct buffer *buffer);
void msgpack_write_bool(struct buffer *buffer, bool value);
void msgpack_write_int(struct buffer *buffer, int64_t value);
void msgpack_write_double(struct buffer *buffer, double value);
void msgpack_write_text(struct buffer *buffer, struct text text);

/* An extension of this type, with one byte of data. */
void msgpack_write_ext(struct buffer *buffer, int8_t type);

/* The items, or the pairs, follow. */
void msgpack_write_array(struct buffer *buffer, uint32_t count);
void msgpack_write_map(struct buffer *buffer, uint32_t count);

/* RFC 3339 text, as times stand in audit events. */
void msgpack_write_time(struct buffer *buffer, int64_t us);

/* The value in canonical form, its maps in the order they have. It must have passed
 * msgpack_check() and msgpack_to_json(): extensions and binary are none of its kinds. */
void msgpack_write_canonical(struct buffer *buffer, struct slice value);
