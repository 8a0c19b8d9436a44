#include "events/secret_search.h"

#include <strings.h>

#include "base/utf8.h"

static const char *const names[] = {"secret", "token", "plaintext", "data_base64"};
enum { BASE64_NAME = 3, NAME_COUNT = sizeof(names) / sizeof(names[0]) };

static int lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    int letter = lower(c);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Moves over NUL bytes: UTF-16 and UTF-32 put them between the letters. false: the end. */
static bool take_byte(struct slice bytes, size_t *at, uint8_t *ret_byte)
{
    while (*at < bytes.length && bytes.data[*at] == '\0')
        (*at)++;
    if (*at == bytes.length)
        return false;
    *ret_byte = bytes.data[(*at)++];
    return true;
}

/* The four digits behind "\u". -1: they are none. */
static int take_escape(struct slice bytes, size_t *at)
{
    int code = 0;

    for (int i = 0; i < 4; i++) {
        uint8_t byte;
        if (!take_byte(bytes, at, &byte) || hex_value(byte) < 0)
            return -1;
        code = code * 16 + hex_value(byte);
    }
    return code;
}

/* One letter, its escape undone: "s", "\u0073", "\\u0073" (JSON in JSON), and "\s", which lenient
 * readers take for "s". -1: none. */
static int take_letter(struct slice bytes, size_t *at)
{
    bool escaped = false;
    uint8_t byte;

    do {
        if (!take_byte(bytes, at, &byte))
            return -1;
        escaped = escaped || byte == '\\';
    } while (byte == '\\');
    if (escaped && byte == 'u') {
        size_t digits = *at;
        int code = take_escape(bytes, &digits);
        if (code >= 0) {
            *at = digits;
            return lower(code);
        }
    }
    return lower(byte);
}

/* 0: the name does not begin at `from`. */
static size_t name_end(struct slice bytes, size_t from, const char *name)
{
    size_t at = from;

    for (const char *letter = name; *letter != '\0'; letter++) {
        if (take_letter(bytes, &at) != *letter)
            return 0;
    }
    return at;
}

/* The first of names[0..count) at or behind `from`. */
static size_t find(struct slice bytes, size_t from, size_t count, size_t *ret_end)
{
    for (size_t at = from; at < bytes.length; at++) {
        int first = lower(bytes.data[at]);
        if (first != 's' && first != 't' && first != 'p' && first != 'd' && first != '\\')
            continue;
        for (size_t i = 0; i < count; i++) {
            size_t end = name_end(bytes, at, names[i]);
            if (end > 0) {
                *ret_end = end;
                return at;
            }
        }
    }
    return bytes.length;
}

bool secret_named(struct text name)
{
    struct slice bytes = slice_of_text(name);
    size_t end;

    return find(bytes, 0, BASE64_NAME, &end) < bytes.length;
}

static bool ends_in(struct text text, const char *name)
{
    size_t length = strlen(name);

    return text.length >= length &&
           strncasecmp(text.data + text.length - length, name, length) == 0;
}

bool secret_name(struct text text)
{
    for (size_t i = 0; i < BASE64_NAME; i++) {
        if (text.length == strlen(names[i]) && ends_in(text, names[i]))
            return true;
    }
    return false;
}

bool secret_name_swallows(struct text name)
{
    for (size_t i = 0; i < BASE64_NAME; i++) {
        if (ends_in(name, names[i]))
            return false;
    }
    return true;
}

bool secret_named_base64(struct text name)
{
    struct slice bytes = slice_of_text(name);

    for (size_t at = 0; at < bytes.length; at++) {
        if (name_end(bytes, at, names[BASE64_NAME]) > 0)
            return true;
    }
    return false;
}

size_t secret_find_name(struct slice bytes, size_t from, size_t *ret_end)
{
    return find(bytes, from, BASE64_NAME, ret_end);
}

/* --- base 64 -----------------------------------------------------------------------------------
 */

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/* The last letters decoded. */
struct window {
    char letters[16];
    size_t count;
};

static bool window_ends_in_name(const struct window *window)
{
    for (size_t i = 0; i < BASE64_NAME; i++) {
        size_t length = strlen(names[i]);
        if (window->count >= length &&
            memcmp(window->letters + sizeof(window->letters) - length, names[i], length) == 0)
            return true;
    }
    return false;
}

static void window_add(struct window *window, int byte)
{
    memmove(window->letters, window->letters + 1, sizeof(window->letters) - 1);
    window->letters[sizeof(window->letters) - 1] = (char)lower(byte);
    window->count++;
}

/* Decodes the run as if it began at its first digit, which damage may have made untrue. */
static bool run_holds_name(struct slice run)
{
    struct window window = {.count = 0};
    unsigned bits = 0;

    for (size_t i = 0; i < run.length; i++) {
        bits = (bits << 6 | (unsigned)base64_value(run.data[i])) & 0xFFFFU;
        if (i % 4 == 0)
            continue;
        window_add(&window, (int)(bits >> (6 - 2 * (i % 4)) & 0xFFU));
        if (window_ends_in_name(&window))
            return true;
    }
    return false;
}

size_t secret_encoded(struct slice bytes)
{
    enum { PHASES = 4, SHORTEST_RUN = 7 /* digits of "token" */ };
    size_t at = 0;

    while (at < bytes.length) {
        size_t end = at;
        while (end < bytes.length && base64_value(bytes.data[end]) >= 0)
            end++;
        for (size_t phase = 0; end - at >= SHORTEST_RUN && phase < PHASES; phase++) {
            if (run_holds_name((struct slice){bytes.data + at + phase, end - at - phase}))
                return at;
        }
        at = end + 1;
    }
    return bytes.length;
}

/* --- all of it ---------------------------------------------------------------------------------
 */

size_t secret_find(struct slice bytes)
{
    size_t end;
    size_t plain = find(bytes, 0, NAME_COUNT, &end);

    return secret_encoded((struct slice){bytes.data, plain}) < plain
               ? secret_encoded((struct slice){bytes.data, plain})
               : plain;
}

/* What stands behind a name that ends at `at`. */
static bool value_follows(struct text text, size_t at, bool quoted)
{
    bool seen_quote = false;

    for (; at < text.length && strchr("\\\"' \t\r\n", text.data[at]) != NULL; at++)
        seen_quote = seen_quote || text.data[at] == '"' || text.data[at] == '\'';
    return at < text.length &&
           (text.data[at] == '=' || (text.data[at] == ':' && (seen_quote || !quoted)));
}

bool secret_told(struct text text, bool quoted)
{
    struct slice bytes = slice_of_text(text);
    size_t end = 0;

    if (find(bytes, 0, BASE64_NAME, &end) == bytes.length)
        return false;
    if (!utf8_valid(text) || utf8_has_control(text))
        return true;
    for (size_t at = find(bytes, 0, BASE64_NAME, &end); at < bytes.length;
         at = find(bytes, at + 1, BASE64_NAME, &end)) {
        if (value_follows(text, end, quoted))
            return true;
    }
    return false;
}
