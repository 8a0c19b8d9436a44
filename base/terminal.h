#pragma once

#include "base/slice.h"

/* What a terminal would act upon instead of showing it: C0 controls, DEL, C1 controls, and the
 * Unicode characters that change the direction or the order of text (bidi) or end lines. Names in
 * messages are chosen by senders. Such a name must neither move the cursor of the operator's
 * terminal nor be shown as another name. */

/* Bytes of the character that begins the text and that a terminal must not get; 0: it may get it.
 * Bytes that are no UTF-8 count one by one. ret_code  what to show: the code point, or the byte.
 * The text must not be empty. */
size_t terminal_unsafe(struct text text, unsigned *ret_code);

/* How many bytes at the beginning of the text a terminal may get as they are. */
size_t terminal_safe_length(struct text text);

enum { TERMINAL_ESCAPE_LENGTH = 6 };

/* "\u202e" with a NUL behind it, as JSON writes it. */
void terminal_escape(unsigned code, char ret_escape[TERMINAL_ESCAPE_LENGTH + 1]);
