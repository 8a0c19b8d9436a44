#pragma once

#include "base/slice.h"

/* Finds where bytes speak of a secret: the names secret, token, plaintext and, because its text
 * may hold any of them, data_base64. Letters of either case. Private to redaction. */

/* Whether the name of a field or header holds one of the three names: "Secret", "clientToken". */
bool secret_named(struct text name);

/* Whether it is one of the three names. */
bool secret_name(struct text text);

/* Whether a name that holds one of the three goes on behind it: it may have swallowed the beginning
 * of the value. */
bool secret_name_swallows(struct text name);

/* Whether it holds "data_base64". */
bool secret_named_base64(struct text name);

/* Where the first of the four names begins in bytes that cannot be read as what they should be;
 * bytes.length: nowhere. JSON escapes count as the letters that they stand for, backslashes
 * and NUL bytes (UTF-16) between the letters do not count. Also where a run of
 * base 64 begins that holds one of the first three. */
size_t secret_find(struct slice bytes);

/* Where the first of the three names at or behind `from` begins, and what it ends before; escapes
 * and NUL bytes as above. */
size_t secret_find_name(struct slice bytes, size_t from, size_t *ret_end);

/* Where the first run of base 64, either alphabet, that holds one of the three names begins;
 * bytes.length: nowhere. */
size_t secret_encoded(struct slice bytes);

/* Whether one of the three names stands where a value is likely to follow it: with '=' or a quote
 * and ':' behind it, or in a text that is not valid UTF-8 or holds control characters. `quoted`
 * false: the quote may be missing ("token: abc"). */
bool secret_told(struct text text, bool quoted);
