#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Points in time: int64_t microseconds since 1970-01-01 00:00:00 UTC, years 0001 to 9999. */

#define TIMESTAMP_ABSENT INT64_MIN
#define TIMESTAMP_MIN_US (-62135596800000000) /* 0001-01-01T00:00:00Z */
#define TIMESTAMP_MAX_US 253402300799999999   /* 9999-12-31T23:59:59.999999Z */

enum { TIMESTAMP_TEXT_LENGTH = 27 }; /* 2026-01-31T23:59:59.123456Z */

/* RFC 3339 (T, t or a space between date and time; Z, z or an offset); digits finer than a
 * microsecond are truncated; second 60 is the next minute's first. false: not such a text, or
 * outside the range. */
bool timestamp_parse(struct text text, int64_t *ret_us);

/* Writes 27 bytes and a NUL: RFC 3339, UTC, six digits, Z. `us` must be in range. */
void timestamp_format(int64_t us, char ret_text[TIMESTAMP_TEXT_LENGTH + 1]);
