#pragma once

#include "base/slice.h"

/* Hides the secrets that this process was given in texts that other libraries wrote: the log and
 * the error output of every verb pass through it. One list per process: written while the
 * configuration is read, before the first thread starts, read by every thread after. */

enum { SECRET_MIN_BYTES = 4 /* a shorter one would be "found" in every word */ };

/* Remembers a secret; one shorter than SECRET_MIN_BYTES is not remembered. Copies it. */
void secret_filter_add(struct text secret);

/* Remembers the passwords in a connection URI or conninfo, also in one that breaks the rules, as
 * written and percent-decoded: what stands between the first ':' of the user part and the last '@',
 * each part of that between the letters @ / ? # :, and the values of password and sslpassword. */
void secret_filter_add_conninfo(const char *conninfo);

/* Remembers the value of a property of librdkafka, and what stands behind each '=' in it: the value
 * of sasl.oauthbearer.config is a list of such pairs, and the library's message may quote the rest
 * of it. */
void secret_filter_add_property(const char *value);

/* Replaces every secret in the text by "***", in place; the text only gets shorter. Where a text is
 * so long that a buffer may have cut it, a beginning of a secret of SECRET_MIN_BYTES or more at its
 * very end is replaced too. */
void secret_filter_hide(char *text);

/* Whether any secret is known. */
bool secret_filter_knows_any(void);

/* For tests. */
void secret_filter_forget(void);
