#include "events/trace_context.h"

#include <string.h>

enum {
    TRACEPARENT_BYTES = 55, /* of version 00 */
    TRACEPARENT_MAX_BYTES = 256,
    TRACESTATE_MAX_BYTES = 4096,
    TRACESTATE_MEMBERS_MAX = 32,
    TRACESTATE_PART_MAX_BYTES = 256,
};

/* `length` digits from `at` on; ret_zero: whether all of them are 0. No branch within the loop:
 * every command with a trace passes here. */
static bool are_digits(const char *at, size_t length, bool *ret_zero)
{
    unsigned wrong = 0;
    unsigned set = 0;

    for (size_t i = 0; i < length; i++) {
        unsigned c = (unsigned char)at[i];
        wrong |= (c - '0' > 9U) & (c - 'a' > 5U);
        set |= c ^ '0';
    }
    *ret_zero = set == 0;
    return wrong == 0;
}

bool traceparent_is_valid(struct text value)
{
    const char *at = value.data;
    bool version_zero, trace_zero, parent_zero, flags_zero;

    if (value.length < TRACEPARENT_BYTES || value.length > TRACEPARENT_MAX_BYTES)
        return false;
    if (!are_digits(at, 2, &version_zero) || memcmp(at, "ff", 2) == 0 || at[2] != '-' ||
        !are_digits(at + 3, 32, &trace_zero) || trace_zero || at[35] != '-' ||
        !are_digits(at + 36, 16, &parent_zero) || parent_zero || at[52] != '-' ||
        !are_digits(at + 53, 2, &flags_zero))
        return false;
    if (value.length == TRACEPARENT_BYTES)
        return true;
    return !version_zero && at[TRACEPARENT_BYTES] == '-';
}

static bool is_key_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("_-*/@", c) != NULL;
}

static bool is_key(const char *at, size_t length)
{
    if (length == 0 || length > TRACESTATE_PART_MAX_BYTES || at[0] == '_' || at[0] == '-' ||
        at[0] == '*' || at[0] == '/' || at[0] == '@')
        return false;
    for (size_t i = 0; i < length; i++) {
        if (at[i] == '\0' || !is_key_byte(at[i]))
            return false;
    }
    return true;
}

static bool is_value(const char *at, size_t length)
{
    if (length == 0 || length > TRACESTATE_PART_MAX_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (at[i] < 0x20 || at[i] > 0x7e || at[i] == '=')
            return false;
    }
    return true;
}

static struct text trimmed(struct text text)
{
    while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.length--;
    }
    while (text.length > 0 &&
           (text.data[text.length - 1] == ' ' || text.data[text.length - 1] == '\t'))
        text.length--;
    return text;
}

static bool is_member(struct text member)
{
    const char *equals = memchr(member.data, '=', member.length);

    if (equals == NULL)
        return false;
    size_t key = (size_t)(equals - member.data);
    return is_key(member.data, key) && is_value(equals + 1, member.length - key - 1);
}

bool tracestate_is_valid(struct text value)
{
    size_t members = 0;

    if (value.length > TRACESTATE_MAX_BYTES)
        return false;
    while (value.length > 0) {
        const char *comma = memchr(value.data, ',', value.length);
        size_t length = comma != NULL ? (size_t)(comma - value.data) : value.length;
        struct text member = trimmed((struct text){value.data, length});
        size_t skipped = comma != NULL ? length + 1 : length;
        value = (struct text){value.data + skipped, value.length - skipped};
        if (member.length == 0)
            continue; /* an empty member is allowed */
        if (!is_member(member) || ++members > TRACESTATE_MEMBERS_MAX)
            return false;
    }
    return members > 0;
}
