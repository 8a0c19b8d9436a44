#include "events/wire/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_append(struct buffer *buffer, struct slice bytes)
{
    for (size_t i = 0; i < bytes.length; i += 3) {
        const size_t left = bytes.length - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        if (left >= 2)
            group |= (uint32_t)bytes.data[i + 1] << 8;
        if (left >= 3)
            group |= bytes.data[i + 2];
        const char four[4] = {digits[group >> 18], digits[group >> 12 & 63],
                              left >= 2 ? digits[group >> 6 & 63] : '=',
                              left >= 3 ? digits[group & 63] : '='};
        buffer_append(buffer, four, sizeof(four));
    }
}

static int value_of(char digit)
{
    const char *found = digit != '\0' ? strchr(digits, digit) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

/* Three bytes at most; how many, or 0 when the four characters are none. Only the last four of a
 * text may be padded. */
static size_t decode_group(const char *four, bool last, uint8_t *ret_bytes)
{
    size_t padding = !last || four[3] != '=' ? 0 : four[2] != '=' ? 1 : 2;
    uint32_t group = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - padding ? value_of(four[i]) : 0;
        if (value < 0)
            return 0;
        group = group << 6 | (uint32_t)value;
    }
    ret_bytes[0] = (uint8_t)(group >> 16);
    ret_bytes[1] = (uint8_t)(group >> 8);
    ret_bytes[2] = (uint8_t)group;
    return 3 - padding;
}

enum outcome base64_decode(struct text text, struct arena *arena, struct slice *ret_bytes,
                           struct err *err)
{
    uint8_t *bytes = arena_alloc(arena, text.length / 4 * 3 + 3);
    size_t length = 0;

    if (bytes == NULL)
        return err_no_memory(err, "batch arena");
    if (text.length % 4 != 0)
        return err_set(err, OUTCOME_REJECT, "envelope", "must be padded base 64");
    for (size_t i = 0; i < text.length; i += 4) {
        size_t count = decode_group(text.data + i, i + 4 == text.length, bytes + length);
        if (count == 0)
            return err_set(err, OUTCOME_REJECT, "envelope", "must be base 64");
        length += count;
    }
    *ret_bytes = (struct slice){bytes, length};
    return OUTCOME_OK;
}
