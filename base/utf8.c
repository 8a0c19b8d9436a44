#include "base/utf8.h"

static bool continues(const uint8_t *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return false;
    }
    return true;
}

/* Length of the well-formed sequence at `at`, 0 when there is none. */
static size_t sequence_length(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0];

    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return left >= 2 && continues(at + 1, 1) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (left < 3 || !continues(at + 1, 2))
            return 0;
        if ((lead == 0xE0 && at[1] < 0xA0) || (lead == 0xED && at[1] > 0x9F))
            return 0; /* overlong, surrogate */
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (left < 4 || !continues(at + 1, 3))
            return 0;
        if ((lead == 0xF0 && at[1] < 0x90) || (lead == 0xF4 && at[1] > 0x8F))
            return 0; /* overlong, past U+10FFFF */
        return 4;
    }
    return 0;
}

bool utf8_valid(struct text text)
{
    const uint8_t *at = (const uint8_t *)text.data;
    size_t left = text.length;

    while (left > 0) {
        /* eight ASCII bytes at a time: most texts are nothing else */
        while (left >= 8) {
            uint64_t word;
            memcpy(&word, at, sizeof(word));
            if ((word & UINT64_C(0x8080808080808080)) != 0)
                break;
            at += 8;
            left -= 8;
        }
        if (left == 0)
            break;
        size_t length = sequence_length(at, left);
        if (length == 0)
            return false;
        at += length;
        left -= length;
    }
    return true;
}

bool utf8_has_nul(struct text text)
{
    return text.length > 0 && memchr(text.data, '\0', text.length) != NULL;
}

/* Whether eight bytes are all ASCII without controls. Each byte's highest bit tells of it: set in
 * `word` for what is not ASCII, in the first difference for what is below 0x20, in the second for
 * 0x7F; a borrow from the byte below can only come where that one tells already. */
static bool is_printable_word(const uint8_t *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return ((word | (word - 0x20 * ones) | ((word ^ 0x7F * ones) - ones)) & 0x80 * ones) == 0;
}

bool utf8_has_control(struct text text)
{
    const uint8_t *bytes = (const uint8_t *)text.data;

    for (size_t i = 0; i < text.length; i++) {
        while (text.length - i >= 8 && is_printable_word(bytes + i))
            i += 8;
        if (i == text.length)
            break;
        if (bytes[i] < 0x20 || bytes[i] == 0x7F)
            return true;
        if (bytes[i] == 0xC2 && i + 1 < text.length && bytes[i + 1] < 0xA0)
            return true; /* U+0080 to U+009F */
    }
    return false;
}

/* What ECMAScript's trim() takes away: its WhiteSpace and LineTerminator, by code point. U+0085 is
 * not among them, U+FEFF is. */
static bool is_space(uint32_t point)
{
    return (point >= 0x09 && point <= 0x0D) || point == 0x20 || point == 0xA0 || point == 0x1680 ||
           (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 ||
           point == 0x202F || point == 0x205F || point == 0x3000 || point == 0xFEFF;
}

/* Bytes of the white space that begins at `at`; 0: something else. */
static size_t space_length(const uint8_t *at, size_t left)
{
    size_t length = sequence_length(at, left);
    uint32_t point = at[0];

    if (length == 2)
        point = ((uint32_t)(at[0] & 0x1F) << 6) | (at[1] & 0x3F);
    else if (length == 3)
        point = ((uint32_t)(at[0] & 0x0F) << 12) | ((uint32_t)(at[1] & 0x3F) << 6) | (at[2] & 0x3F);
    return length == 4 || !is_space(point) ? 0 : length;
}

struct text utf8_trim(struct text text)
{
    const uint8_t *bytes = (const uint8_t *)text.data;
    size_t end = 0; /* behind the last character that is no white space */
    size_t first = SIZE_MAX;

    for (size_t at = 0; at < text.length;) {
        size_t length = space_length(bytes + at, text.length - at);
        if (length > 0) {
            at += length;
            continue;
        }
        first = first == SIZE_MAX ? at : first;
        length = sequence_length(bytes + at, text.length - at);
        at += length > 0 ? length : 1;
        end = at;
    }
    if (first == SIZE_MAX)
        return (struct text){text.data, 0};
    return (struct text){text.data + first, end - first};
}

bool utf8_blank(struct text text)
{
    return utf8_trim(text).length == 0;
}
