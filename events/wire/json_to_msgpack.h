#pragma once

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/err.h"

/* JSON text as canonical MessagePack: the way back from events/wire/msgpack_to_json.h, and the way
 * in for JSON bodies.
 *
 * Integers must fit int64, numbers with a fraction or an exponent become float 64, a key may stand
 * in an object once, U+0000 and NUL bytes are refused, arrays and objects nest as msgpack_check()
 * allows. */

/* ret_packed  in the arena; it has passed msgpack_check()
 *
 * REJECT  not such JSON; code "body", err->text is the rule and where it is broken, without values
 * FULL    no memory, or the arena is full */
enum outcome json_to_msgpack(struct text json, struct arena *arena, struct slice *ret_packed,
                             struct err *err);

/* For callers that look into the JSON first: a jansson value, released with json_release(). A
 * number that neither int64 nor float 64 holds is no mistake here. json_pack_value() makes an
 * extension of it, which is refused where it would be stored and does not matter in a field that is
 * ignored. */
enum { JSON_EXT_OUT_OF_RANGE = 1 };
struct json_t;

enum outcome json_parse(struct text json, struct json_t **ret_value, struct err *err);
void json_release(struct json_t *value);
DEFINE_CLEANUP(struct json_t *, json_release)

/* Appends the value, not checked for depth. */
void json_pack_value(struct buffer *buffer, struct json_t *value);
