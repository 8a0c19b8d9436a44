#pragma once

#include <stdbool.h>

#include "base/slice.h"

/* Well-formed UTF-8 as Unicode defines it: no overlong forms, no surrogates, nothing past
 * U+10FFFF. What PostgreSQL accepts in a UTF8 database, except for U+0000. */
bool utf8_valid(struct text text);

/* Holds U+0000. PostgreSQL stores it neither as text nor as jsonb. */
bool utf8_has_nul(struct text text);

/* Holds a C0 control, DEL or a C1 control. The text must be valid. */
bool utf8_has_control(struct text text);

/* Without the white space at its ends, as ECMAScript's trim() sees it. The text must be valid. */
struct text utf8_trim(struct text text);

/* Nothing but such white space, or nothing at all. The text must be valid. */
bool utf8_blank(struct text text);
