#pragma once

#include <stdbool.h>

#include "base/slice.h"

/* The forms of the headers of W3C Trace Context (https://www.w3.org/TR/trace-context/), which are
 * carried from a command to its audit event. */

/* version-traceid-parentid-flags in lower-case hexadecimal digits, neither id all zeros; a later
 * version may have more behind a dash. At most 256 bytes. */
bool traceparent_is_valid(struct text value);

/* 1 to 32 members key=value, separated by commas, at most 4096 bytes. */
bool tracestate_is_valid(struct text value);
