#include "worker/cli/cursor.h"

#include "base/timestamp.h"

/* Hexadecimal: eight bytes of microseconds, sixteen of the id, big-endian. */
enum { TIME_BYTES = 8, ID_BYTES = 16 };

static const char digits[] = "0123456789abcdef";

void cursor_format(int64_t occurred_at_us, const struct uuid *id, char ret_text[CURSOR_LENGTH + 1])
{
    uint8_t bytes[TIME_BYTES + ID_BYTES];
    uint64_t time_us = (uint64_t)occurred_at_us;

    for (int i = TIME_BYTES - 1; i >= 0; i--, time_us >>= 8)
        bytes[i] = (uint8_t)(time_us & 0xFF);
    memcpy(bytes + TIME_BYTES, id->bytes, ID_BYTES);
    for (size_t i = 0; i < TIME_BYTES + ID_BYTES; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[CURSOR_LENGTH] = '\0';
}

static int digit_value(char digit)
{
    const char *found = digit != '\0' ? strchr(digits, digit) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

bool cursor_parse(struct text text, int64_t *ret_occurred_at_us, struct uuid *ret_id)
{
    uint64_t time_us = 0;
    struct uuid id;

    if (text.length != CURSOR_LENGTH)
        return false;
    for (size_t i = 0; i < TIME_BYTES + ID_BYTES; i++) {
        int high = digit_value(text.data[2 * i]), low = digit_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        uint8_t byte = (uint8_t)(high << 4 | low);
        if (i < TIME_BYTES)
            time_us = time_us << 8 | byte;
        else
            id.bytes[i - TIME_BYTES] = byte;
    }
    int64_t occurred_at_us = (int64_t)time_us;
    if (occurred_at_us == TIMESTAMP_ABSENT)
        return false;
    *ret_occurred_at_us = occurred_at_us;
    *ret_id = id;
    return true;
}
