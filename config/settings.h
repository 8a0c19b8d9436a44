#pragma once

#include "config/config.h"

/* The settings table and the parsers of its values. Private to config/. */

enum setting_kind {
    SETTING_TEXT,      /* min..max bytes without control characters */
    SETTING_WORD,      /* the same, of the letters that Kafka allows in names: a-z A-Z 0-9 . _ - */
    SETTING_TOPICS,    /* comma-separated words, each once */
    SETTING_COUNT,     /* whole number min..max */
    SETTING_BYTES,     /* number with KiB or MiB or without unit, min..max */
    SETTING_DURATION,  /* number with ms, s or m; without unit seconds; min..max milliseconds */
    SETTING_RETENTION, /* forever, or a number with d, h, m or s; min..max milliseconds */
    SETTING_INTERVAL,
    SETTING_LISTEN, /* address:port, [address]:port or nothing */
    SETTING_LEVEL,
    SETTING_FORMAT,
};

struct setting {
    const char *section;
    const char *key;
    const char *variable;
    enum setting_kind kind;
    size_t offset; /* in struct config */
    /* computed: where the default depends on the machine. fallback is then what a person reads. */
    bool (*computed)(struct config *config);
    const char *fallback;
    int64_t min, max;
    bool secret;
    const char *values;
    const char *description;
};

extern const struct setting settings[];
extern const size_t setting_count;

/* NULL: no such setting. */
const struct setting *setting_by_place(const char *section, const char *key);
const struct setting *setting_by_variable(const char *variable);

/* Sets every setting to its default. false: no memory. */
bool settings_default(struct config *config);

enum parsed { PARSED, PARSED_BAD, PARSED_NO_MEMORY };

/* PARSED_BAD: the value is not one of `setting->values`; the config stays as it was. */
enum parsed setting_parse(const struct setting *setting, const char *value, struct config *config);

void config_topics_release(struct config *config);
