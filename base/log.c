#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret_filter.h"
#include "base/terminal.h"
#include "base/timestamp.h"

/* Written once at start, read by every thread after. */
static enum log_level minimum = LOG_INFO;
static enum log_format style = LOG_LOGFMT;

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const format_names[] = {"logfmt", "json"};

/* A line is built here and written with one write(2), so that lines of threads do not mix; a pair
 * that does not fit is left out. */
struct line {
    char bytes[4096];
    size_t length;
    bool cut; /* something did not fit */
};

static void put(struct line *line, const char *bytes, size_t length)
{
    size_t room = sizeof(line->bytes) - 2 - line->length; /* brace and newline always fit */
    if (length > room) {
        line->cut = true;
        return;
    }
    memcpy(line->bytes + line->length, bytes, length);
    line->length += length;
}

static void put_literal(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static bool needs_quotes(struct text text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte <= ' ' || byte == '"' || byte == '=' || byte == '\\')
            return true;
    }
    return text.length == 0 || terminal_safe_length(text) < text.length;
}

static void put_quoted(struct line *line, struct text text)
{
    put(line, "\"", 1);
    for (size_t i = 0; i < text.length;) {
        const struct text rest = {text.data + i, text.length - i};
        unsigned code;
        size_t unsafe = terminal_unsafe(rest, &code);
        if (unsafe > 0) {
            char escape[TERMINAL_ESCAPE_LENGTH + 1];
            terminal_escape(code, escape);
            put_literal(line, escape);
            i += unsafe;
            continue;
        }
        if (*rest.data == '"' || *rest.data == '\\')
            put(line, "\\", 1);
        put(line, rest.data, 1);
        for (i++; i < text.length && ((unsigned char)text.data[i] & 0xC0U) == 0x80; i++)
            put(line, text.data + i, 1);
    }
    put(line, "\"", 1);
}

static void put_pair(struct line *line, const char *key, struct text value, bool quote)
{
    const size_t before = line->length;

    if (style == LOG_JSON) {
        put_literal(line, line->length > 1 ? ",\"" : "\"");
        put_literal(line, key);
        put_literal(line, "\":");
    } else {
        if (line->length > 0)
            put(line, " ", 1);
        put_literal(line, key);
        put(line, "=", 1);
    }
    if (quote && (style == LOG_JSON || needs_quotes(value)))
        put_quoted(line, value);
    else
        put(line, value.data, value.length);
    if (line->cut) {
        line->length = before;
        line->cut = false;
    }
}

/* Texts of libraries may repeat what they were given. */
static void put_value(struct line *line, const char *key, struct text value)
{
    char hidden[sizeof(line->bytes)];

    if (!secret_filter_knows_any() || value.length >= sizeof(hidden)) {
        put_pair(line, key, value, true);
        return;
    }
    snprintf(hidden, sizeof(hidden), "%.*s", TEXT_ARG(value));
    secret_filter_hide(hidden);
    put_pair(line, key, text_of(hidden), true);
}

void log_configure(enum log_level level, enum log_format format)
{
    minimum = level;
    style = format;
}

bool log_enabled(enum log_level level)
{
    return level >= minimum;
}

void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t field_count)
{
    struct line line = {.length = 0};
    char now[TIMESTAMP_TEXT_LENGTH + 1];

    if (!log_enabled(level))
        return;
    timestamp_format(clock_wall_us(), now);
    if (style == LOG_JSON)
        put_literal(&line, "{");
    put_pair(&line, "ts", text_of(now), true);
    put_pair(&line, "level", text_of(level_names[level]), true);
    put_pair(&line, "msg", text_of(message), true);
    for (size_t i = 0; i < field_count; i++) {
        if (fields[i].kind == LOG_FIELD_INT) {
            char digits[24];
            snprintf(digits, sizeof(digits), "%" PRId64, fields[i].number);
            put_pair(&line, fields[i].key, text_of(digits), false);
        } else {
            put_value(&line, fields[i].key, fields[i].text);
        }
    }
    if (style == LOG_JSON)
        line.bytes[line.length++] = '}';
    line.bytes[line.length++] = '\n';

    /* A log that cannot be written has nobody left to tell. */
    ssize_t written = write(STDERR_FILENO, line.bytes, line.length);
    (void)written;
}

static bool find_name(struct text name, const char *const *names, size_t count, size_t *ret_index)
{
    for (size_t i = 0; i < count; i++) {
        if (text_is(name, names[i])) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

bool log_level_parse(struct text name, enum log_level *ret_level)
{
    size_t index;

    if (!find_name(name, level_names, sizeof(level_names) / sizeof(level_names[0]), &index))
        return false;
    *ret_level = (enum log_level)index;
    return true;
}

bool log_format_parse(struct text name, enum log_format *ret_format)
{
    size_t index;

    if (!find_name(name, format_names, sizeof(format_names) / sizeof(format_names[0]), &index))
        return false;
    *ret_format = (enum log_format)index;
    return true;
}
