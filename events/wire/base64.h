#pragma once

#include "base/arena.h"
#include "base/buffer.h"
#include "base/err.h"

/* Base 64 as RFC 4648 has it: the standard alphabet, padded, no line breaks. */

/* ret_bytes  in the arena; data is not NULL
 *
 * REJECT  not such text; code "envelope", err->text is the rule
 * FULL    the arena is full */
enum outcome base64_decode(struct text text, struct arena *arena, struct slice *ret_bytes,
                           struct err *err);

void base64_append(struct buffer *buffer, struct slice bytes);
