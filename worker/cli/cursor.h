#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/uuid.h"

/* Where a page of the audit log ended, as one opaque word for --after. */
enum { CURSOR_LENGTH = 48 };

void cursor_format(int64_t occurred_at_us, const struct uuid *id, char ret_text[CURSOR_LENGTH + 1]);

/* false: not a cursor. */
bool cursor_parse(struct text text, int64_t *ret_occurred_at_us, struct uuid *ret_id);
