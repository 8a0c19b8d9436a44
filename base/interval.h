#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Days, weeks (from Monday) and months of the calendar, in UTC. Times: base/timestamp.h, from
 * 1970-01-01 on. */
enum interval { INTERVAL_DAY, INTERVAL_WEEK, INTERVAL_MONTH };

/* "day", "week" or "month". false: none of these. */
bool interval_parse(struct text name, enum interval *ret_interval);
const char *interval_name(enum interval interval);

/* The boundary at or before `us`, and the first one behind it. */
int64_t interval_begin_us(enum interval interval, int64_t us);
int64_t interval_end_us(enum interval interval, int64_t us);
