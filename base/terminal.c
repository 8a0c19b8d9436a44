#include "base/terminal.h"

#include <stdio.h>

#include "base/utf8.h"

/* ALM, LRM and RLM, line and paragraph separator, LRE..RLO, LRI..PDI, deprecated format characters,
 * BOM. */
static bool is_invisible(unsigned code)
{
    return code == 0x061C || code == 0x200E || code == 0x200F ||
           (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x206F) ||
           code == 0xFEFF;
}

static size_t sequence_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

static unsigned decode(const unsigned char *bytes, size_t length)
{
    unsigned code = length == 1   ? bytes[0]
                    : length == 2 ? bytes[0] & 0x1FU
                    : length == 3 ? bytes[0] & 0x0FU
                                  : bytes[0] & 0x07U;

    for (size_t i = 1; i < length; i++)
        code = code << 6 | (bytes[i] & 0x3FU);
    return code;
}

size_t terminal_unsafe(struct text text, unsigned *ret_code)
{
    const unsigned char *bytes = (const unsigned char *)text.data;
    size_t length = sequence_length(bytes[0]);

    if (length > text.length || !utf8_valid((struct text){text.data, length})) {
        *ret_code = bytes[0];
        return 1;
    }
    unsigned code = decode(bytes, length);
    if (code >= 0x20 && !(code >= 0x7F && code < 0xA0) && !is_invisible(code))
        return 0;
    *ret_code = code;
    return length;
}

size_t terminal_safe_length(struct text text)
{
    size_t at = 0;
    unsigned code;

    while (at < text.length) {
        const struct text rest = {text.data + at, text.length - at};
        unsigned char first = (unsigned char)rest.data[0];
        if (first >= 0x20 && first < 0x7F)
            at++;
        else if (terminal_unsafe(rest, &code) == 0)
            at += sequence_length(first);
        else
            break;
    }
    return at;
}

void terminal_escape(unsigned code, char ret_escape[TERMINAL_ESCAPE_LENGTH + 1])
{
    snprintf(ret_escape, TERMINAL_ESCAPE_LENGTH + 1, "\\u%04x", code & 0xFFFFU);
}
