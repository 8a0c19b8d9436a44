#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/timestamp.h"

static void append_escaped(struct buffer *buffer, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 0x0F]};
    const char *short_forms = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (const char *pair = short_forms; *pair != '\0'; pair += 2) {
        if ((uint8_t)pair[0] == byte) {
            escape[1] = pair[1];
            buffer_append(buffer, escape, 2);
            return;
        }
    }
    buffer_append(buffer, escape, sizeof(escape));
}

void json_append_string(struct buffer *buffer, struct text text)
{
    size_t from = 0;

    buffer_append_byte(buffer, '"');
    for (size_t i = 0; i < text.length; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        buffer_append(buffer, text.data + from, i - from);
        append_escaped(buffer, byte);
        from = i + 1;
    }
    if (text.length > from)
        buffer_append(buffer, text.data + from, text.length - from);
    buffer_append_byte(buffer, '"');
}

void json_append_int(struct buffer *buffer, int64_t value)
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRId64, value);
    buffer_append(buffer, digits, (size_t)length);
}

/* Bits, not values: -0.0 must come back as -0.0. */
static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

void json_append_double(struct buffer *buffer, double value)
{
    char digits[32];
    int length = 0;

    assert(isfinite(value));
    for (int precision = 15; precision <= 17; precision++) {
        length = snprintf(digits, sizeof(digits), "%.*g", precision, value);
        if (bits_of(strtod(digits, NULL)) == bits_of(value))
            break;
    }
    buffer_append(buffer, digits, (size_t)length);
    if (strpbrk(digits, ".e") == NULL)
        buffer_append_literal(buffer, ".0");
}

void json_append_time(struct buffer *buffer, int64_t us)
{
    char text[TIMESTAMP_ANY_LENGTH + 1];

    size_t length = timestamp_format_any(us, text);
    buffer_append_byte(buffer, '"');
    buffer_append(buffer, text, length);
    buffer_append_byte(buffer, '"');
}
