#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Points in time: int64_t microseconds since 1970-01-01 00:00:00 UTC, years 0001 to 9999. */

#define TIMESTAMP_ABSENT INT64_MIN
#define TIMESTAMP_MIN_US (-62135596800000000) /* 0001-01-01T00:00:00Z */
#define TIMESTAMP_MAX_US 253402300799999999   /* 9999-12-31T23:59:59.999999Z */

/* What other programs may have stored in a database. Times outside the years 1 to 9999 are values
 * as any other, negative in the years before Christ. */
#define TIMESTAMP_INFINITY INT64_MAX
#define TIMESTAMP_MINUS_INFINITY (INT64_MIN + 1)

enum { TIMESTAMP_TEXT_LENGTH = 27 }; /* 2026-01-31T23:59:59.123456Z */

enum timestamp_verdict {
    TIMESTAMP_OK,
    TIMESTAMP_NOT_RFC_3339,
    TIMESTAMP_OUT_OF_RANGE, /* RFC 3339, before the year 1 or after 9999 (UTC) */
};

/* RFC 3339 (T, t or a space between date and time; Z, z or an offset); digits finer than a
 * microsecond are truncated. Second 60 is the next minute's first, and only where a leap second can
 * be: 23:59:60 UTC. */
enum timestamp_verdict timestamp_read(struct text text, int64_t *ret_us);

/* The same, where the reason does not matter. */
static inline bool timestamp_parse(struct text text, int64_t *ret_us)
{
    return timestamp_read(text, ret_us) == TIMESTAMP_OK;
}

/* Writes 27 bytes and a NUL: RFC 3339, UTC, six digits, Z. `us` must be in range. */
void timestamp_format(int64_t us, char ret_text[TIMESTAMP_TEXT_LENGTH + 1]);

/* Any time but TIMESTAMP_ABSENT: as timestamp_format() where `us` is in range, else as PostgreSQL
 * writes it: infinity, -infinity, 12345-01-31 23:59:59.5+00, 0044-03-15 00:00:00+00 BC. Returns the
 * number of bytes before the NUL. */
enum { TIMESTAMP_ANY_LENGTH = 40 };
size_t timestamp_format_any(int64_t us, char ret_text[TIMESTAMP_ANY_LENGTH + 1]);
