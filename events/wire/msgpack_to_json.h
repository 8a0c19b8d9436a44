#pragma once

#include "base/buffer.h"

/* A MessagePack value as JSON text: one line without spaces, maps in the order they have.
 *
 * STORED is what a json column takes and what every JSON reader gives back: binary, extensions,
 * NaN, infinities and integers past INT64_MAX are refused.
 * SHOWN is for people: a timestamp becomes its RFC 3339 text, binary {"base64": "..."}, another
 * extension {"ext": type, "base64": "..."}, NaN and infinities the texts "NaN", "Infinity",
 * "-Infinity". */
enum msgpack_to_json_mode { JSON_STORED, JSON_SHOWN };

/* `value` is one value that passed msgpack_check(). Room shows in buffer->full.
 *
 * Returns NULL, or the rule that the value breaks ("must not hold binary values"); SHOWN breaks
 * none. */
const char *msgpack_to_json(struct buffer *buffer, struct slice value,
                            enum msgpack_to_json_mode mode);

/* The bytes in base 64, quoted. */
void json_append_base64(struct buffer *buffer, struct slice bytes);
