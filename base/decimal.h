#pragma once

#include <stdint.h>

#include "base/slice.h"

/* A decimal number of digits alone, 0 to `max`: no sign, no blank. false: it is none. */
bool decimal_parse(struct text text, int64_t max, int64_t *ret_number);
