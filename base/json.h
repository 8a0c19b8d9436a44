#pragma once

#include "base/buffer.h"

/* JSON text, written: strings escaped as RFC 8259 asks and no further, so that the same value is
 * always the same bytes. */

void json_append_string(struct buffer *buffer, struct text text);
void json_append_int(struct buffer *buffer, int64_t value);

/* The shortest decimal that reads back as the same double; always with a fraction or an exponent,
 * so that a float stays a float. `value` must be finite. */
void json_append_double(struct buffer *buffer, double value);

/* A quoted RFC 3339 time, see base/timestamp.h. */
void json_append_time(struct buffer *buffer, int64_t us);
