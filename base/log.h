#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* One line per fact on stderr, logfmt or JSON, whole lines only, from any thread.
 * Only worker/ logs; everything below returns errors. Never payloads, key hashes, e-mail
 * addresses, connection strings or PostgreSQL's DETAIL. */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_field {
    const char *key;
    enum { LOG_FIELD_TEXT, LOG_FIELD_INT } kind;
    struct text text;
    int64_t number;
};

#define LOG_TEXT(key_, value_) ((struct log_field){(key_), LOG_FIELD_TEXT, (value_), 0})
#define LOG_STR(key_, value_) ((struct log_field){(key_), LOG_FIELD_TEXT, text_of(value_), 0})
#define LOG_INT(key_, value_)                                                                      \
    ((struct log_field){(key_), LOG_FIELD_INT, {NULL, 0}, (int64_t)(value_)})

/* Before the first thread starts. */
void log_configure(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t field_count);

#define log_line(level, message, ...)                                                              \
    log_write((level), (message), (const struct log_field[]){__VA_ARGS__},                         \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
#define log_plain(level, message) log_write((level), (message), NULL, 0)

/* false: no such level or format. */
bool log_level_parse(struct text name, enum log_level *ret_level);
bool log_format_parse(struct text name, enum log_format *ret_format);
