#include "config/settings.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/utf8.h"

static bool compute_instance_id(struct config *config);
static bool compute_lanes(struct config *config);

/* Kafka's own bound on a topic name. */
enum { TOPIC_NAME_MAX = 249 };

/* Every setting but the librdkafka properties, in the order of deploy/catalyst-worker.ini. */
const struct setting settings[] = {
    {
        .section = "database",
        .key = "url",
        .variable = "CATALYST_DATABASE_URL",
        .kind = SETTING_TEXT,
        .offset = offsetof(struct config, database_url),
        .fallback = "",
        .max = 8192,
        .secret = true,
        .values = "URI or key=value connection string of libpq",
        .description = "Where PostgreSQL is. Empty: libpq's defaults and the standard PG* "
                       "variables, which also fill in what the string leaves out.",
    },
    {
        .section = "database",
        .key = "schema",
        .variable = "CATALYST_DATABASE_SCHEMA",
        .kind = SETTING_TEXT,
        .offset = offsetof(struct config, database_schema),
        .fallback = "public",
        .min = 1,
        .max = 63,
        .values = "1 to 63 bytes",
        .description = "Schema that holds the tables.",
    },
    {
        .section = "database",
        .key = "audit_retention",
        .variable = "CATALYST_AUDIT_RETENTION",
        .kind = SETTING_RETENTION,
        .offset = offsetof(struct config, audit_retention_ms),
        .fallback = "forever",
        .min = 1000,
        .max = 36500LL * 24 * 3600 * 1000,
        .values = "forever, or 1s to 36500d in d, h, m or s",
        .description = "How long the audit log remembers; what is older, retention run removes. "
                       "Never shorter than the command topics keep commands.",
    },
    {
        .section = "database",
        .key = "audit_partition_interval",
        .variable = "CATALYST_AUDIT_PARTITION_INTERVAL",
        .kind = SETTING_INTERVAL,
        .offset = offsetof(struct config, audit_partition_interval),
        .fallback = "month",
        .values = "day, week or month",
        .description = "How much time one partition of the audit log holds, once retention "
                       "partition has made them.",
    },
    {
        .section = "worker",
        .key = "command_topics",
        .variable = "CATALYST_COMMAND_TOPICS",
        .kind = SETTING_TOPICS,
        .offset = offsetof(struct config, command_topics),
        .fallback = "catalyst.identity.commands,catalyst.key.commands",
        .min = 1,
        .max = TOPIC_NAME_MAX,
        .values = "topic names with commas between them",
        .description = "Topics that commands are read from.",
    },
    {
        .section = "worker",
        .key = "audit_topic",
        .variable = "CATALYST_AUDIT_TOPIC",
        .kind = SETTING_WORD,
        .offset = offsetof(struct config, audit_topic),
        .fallback = "catalyst.audit.events",
        .min = 1,
        .max = TOPIC_NAME_MAX,
        .values = "topic name",
        .description = "Topic that audit events are published to.",
    },
    {
        .section = "worker",
        .key = "dlq_suffix",
        .variable = "CATALYST_DLQ_SUFFIX",
        .kind = SETTING_WORD,
        .offset = offsetof(struct config, dlq_suffix),
        .fallback = ".dlq",
        .min = 1,
        .max = 64,
        .values = "1 to 64 of a-z A-Z 0-9 . _ -",
        .description = "Dead letters of topic T go to the topic named T and this suffix.",
    },
    {
        .section = "worker",
        .key = "group_id",
        .variable = "CATALYST_GROUP_ID",
        .kind = SETTING_TEXT,
        .offset = offsetof(struct config, group_id),
        .fallback = "catalyst-worker",
        .min = 1,
        .max = 249,
        .values = "1 to 249 bytes",
        .description = "Consumer group that all replicas share.",
    },
    {
        .section = "worker",
        .key = "instance_id",
        .variable = "CATALYST_INSTANCE_ID",
        .kind = SETTING_WORD,
        .offset = offsetof(struct config, instance_id),
        .computed = compute_instance_id,
        .fallback = "host name",
        .min = 1,
        .max = 128,
        .values = "1 to 128 of a-z A-Z 0-9 . _ -",
        .description = "Name of this replica: the same after a restart, different in every "
                       "replica. Part of the transactional id.",
    },
    {
        .section = "worker",
        .key = "lanes",
        .variable = "CATALYST_LANES",
        .kind = SETTING_COUNT,
        .offset = offsetof(struct config, lanes),
        .computed = compute_lanes,
        .fallback = "number of CPUs, at most 4",
        .min = 1,
        .max = 64,
        .values = "1 to 64",
        .description = "Threads, each with a consumer, a producer and a database connection of "
                       "its own.",
    },
    {
        .section = "worker",
        .key = "batch_max_messages",
        .variable = "CATALYST_BATCH_MAX_MESSAGES",
        .kind = SETTING_COUNT,
        .offset = offsetof(struct config, batch_max_messages),
        .fallback = "2000",
        .min = 1,
        .max = 10000,
        .values = "1 to 10000",
        .description = "Most commands in one transaction.",
    },
    {
        .section = "worker",
        .key = "batch_max_bytes",
        .variable = "CATALYST_BATCH_MAX_BYTES",
        .kind = SETTING_BYTES,
        .offset = offsetof(struct config, batch_max_bytes),
        .fallback = "4MiB",
        .min = 65536,
        .max = 64LL * 1024 * 1024,
        .values = "64KiB to 64MiB; a number alone is bytes",
        .description = "Most bytes of commands in one transaction; memory grows with it.",
    },
    {
        .section = "worker",
        .key = "startup_deadline",
        .variable = "CATALYST_STARTUP_DEADLINE",
        .kind = SETTING_DURATION,
        .offset = offsetof(struct config, startup_deadline_ms),
        .fallback = "60s",
        .min = 1000,
        .max = 24LL * 3600 * 1000,
        .values = "1s to 1440m, also in ms; a number alone is seconds",
        .description = "How long run waits at start for broker and database, and publish, tail and "
                       "dlq for a broker, before they exit 69. Once running, run waits for ever.",
    },
    {
        .section = "http",
        .key = "listen",
        .variable = "CATALYST_HTTP_LISTEN",
        .kind = SETTING_LISTEN,
        .offset = offsetof(struct config, http_listen),
        .fallback = "127.0.0.1:9000",
        .max = 256,
        .values = "address:port, [IPv6 address]:port, or nothing",
        .description = "Where /health/started, /health/live, /health/ready, /metrics and /version "
                       "answer. Empty: off. Port 0: any free port, named in the log.",
    },
    {
        .section = "log",
        .key = "level",
        .variable = "CATALYST_LOG_LEVEL",
        .kind = SETTING_LEVEL,
        .offset = offsetof(struct config, log_level),
        .fallback = "info",
        .values = "debug, info, warn or error",
        .description = "Least severity that is logged.",
    },
    {
        .section = "log",
        .key = "format",
        .variable = "CATALYST_LOG_FORMAT",
        .kind = SETTING_FORMAT,
        .offset = offsetof(struct config, log_format),
        .fallback = "logfmt",
        .values = "logfmt or json",
        .description = "How a line of the log is written.",
    },
};
const size_t setting_count = sizeof(settings) / sizeof(settings[0]);

/* Names of other programs that begin like ours never reach a lookup: see config.c. */
const struct setting *setting_by_variable(const char *variable)
{
    for (size_t i = 0; i < setting_count; i++) {
        if (strcmp(settings[i].variable, variable) == 0)
            return &settings[i];
    }
    return NULL;
}

const struct setting *setting_by_place(const char *section, const char *key)
{
    for (size_t i = 0; i < setting_count; i++) {
        if (strcmp(settings[i].section, section) == 0 && strcmp(settings[i].key, key) == 0)
            return &settings[i];
    }
    return NULL;
}

static bool is_word(const char *value, size_t length)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    return strspn(value, letters) >= length;
}

/* Kafka refuses these two, whatever their letters. */
static bool is_dots(const char *value, size_t length)
{
    return length <= 2 && strspn(value, ".") >= length;
}

static enum parsed parse_text(const struct setting *setting, const char *value, char **field)
{
    struct text text = text_of(value);

    if (text.length < (size_t)setting->min || text.length > (size_t)setting->max ||
        !utf8_valid(text) || utf8_has_control(text))
        return PARSED_BAD;
    if (setting->kind == SETTING_WORD &&
        (!is_word(value, text.length) || is_dots(value, text.length)))
        return PARSED_BAD;

    char *copy = strdup(value);
    if (copy == NULL)
        return PARSED_NO_MEMORY;
    free(*field);
    *field = copy;
    return PARSED;
}

/* A number, then what follows it. false: no number, or one below 0 or too large. */
static bool parse_number(const char *value, int64_t *ret_number, const char **ret_unit)
{
    size_t digits = strspn(value, "0123456789");

    *ret_unit = value + digits + strspn(value + digits, " ");
    return decimal_parse((struct text){value, digits}, INT64_MAX, ret_number);
}

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit byte_units[] = {
    {"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1024LL * 1024}, {NULL, 0}};
static const struct unit time_units[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {NULL, 0}};

static bool parse_amount(const struct setting *setting, const char *value, const struct unit *units,
                         int64_t *ret_amount)
{
    const char *unit;
    int64_t amount;

    if (!parse_number(value, &amount, &unit))
        return false;
    for (; units->name != NULL; units++) {
        if (strcmp(units->name, unit) != 0)
            continue;
        if (__builtin_mul_overflow(amount, units->factor, &amount))
            return false;
        *ret_amount = amount;
        return amount >= setting->min && amount <= setting->max;
    }
    return false;
}

static enum parsed parse_size(const struct setting *setting, const char *value,
                              const struct unit *units, size_t *field)
{
    int64_t amount;

    if (!parse_amount(setting, value, units, &amount))
        return PARSED_BAD;
    *field = (size_t)amount;
    return PARSED;
}

static const struct unit retention_units[] = {{"d", INT64_C(24) * 3600 * 1000},
                                              {"h", INT64_C(3600) * 1000},
                                              {"m", 60000},
                                              {"s", 1000},
                                              {NULL, 0}};

/* A number alone is refused: seconds would be a dangerous thing to mean. */
static bool parse_retention(const struct setting *setting, const char *value, int64_t *ret_ms)
{
    if (strcmp(value, "forever") == 0) {
        *ret_ms = CONFIG_FOREVER;
        return true;
    }
    return parse_amount(setting, value, retention_units, ret_ms);
}

bool config_retention_parse(const char *value, int64_t *ret_ms)
{
    return parse_retention(setting_by_place("database", "audit_retention"), value, ret_ms);
}

static enum parsed parse_listen(const struct setting *setting, const char *value, char **field)
{
    const char *colon = strrchr(value, ':');
    const char *rest;
    int64_t port;

    if (*value == '\0')
        return parse_text(setting, value, field);
    if (colon == NULL || colon == value || !parse_number(colon + 1, &port, &rest) ||
        *rest != '\0' || port > 65535)
        return PARSED_BAD;
    bool bracketed = value[0] == '[' && colon[-1] == ']' && colon - value > 2;
    bool second_colon = memchr(value, ':', (size_t)(colon - value)) != NULL;
    if (second_colon && !bracketed)
        return PARSED_BAD;
    return parse_text(setting, value, field);
}

void config_topics_release(struct config *config)
{
    for (size_t i = 0; i < config->command_topic_count; i++)
        free(config->command_topics[i]);
    free(config->command_topics);
    config->command_topics = NULL;
    config->command_topic_count = 0;
}

static enum parsed topics_add(const struct setting *setting, const char *name, size_t length,
                              struct config *config)
{
    if (length < (size_t)setting->min || length > (size_t)setting->max || !is_word(name, length) ||
        is_dots(name, length))
        return PARSED_BAD;
    for (size_t i = 0; i < config->command_topic_count; i++) {
        if (text_equal(text_of(config->command_topics[i]), (struct text){name, length}))
            return PARSED_BAD;
    }
    char *copy = strndup(name, length);
    if (copy == NULL)
        return PARSED_NO_MEMORY;
    char **grown =
        realloc(config->command_topics, (config->command_topic_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        free(copy);
        return PARSED_NO_MEMORY;
    }
    config->command_topics = grown;
    config->command_topics[config->command_topic_count++] = copy;
    return PARSED;
}

static enum parsed parse_topics(const struct setting *setting, const char *value,
                                struct config *config)
{
    struct config fresh = {0};
    enum parsed parsed = PARSED;

    while (parsed == PARSED) {
        value += strspn(value, " \t");
        size_t length = strcspn(value, ",");
        size_t trimmed = length;
        while (trimmed > 0 && strchr(" \t", value[trimmed - 1]) != NULL)
            trimmed--;
        parsed = topics_add(setting, value, trimmed, &fresh);
        if (value[length] == '\0')
            break;
        value += length + 1;
    }
    if (parsed != PARSED) {
        config_topics_release(&fresh);
        return parsed;
    }
    config_topics_release(config);
    config->command_topics = fresh.command_topics;
    config->command_topic_count = fresh.command_topic_count;
    return PARSED;
}

enum parsed setting_parse(const struct setting *setting, const char *value, struct config *config)
{
    void *field = (char *)config + setting->offset;

    switch (setting->kind) {
    case SETTING_TEXT:
    case SETTING_WORD:
        return parse_text(setting, value, field);
    case SETTING_TOPICS:
        return parse_topics(setting, value, config);
    case SETTING_COUNT:
        return parse_size(setting, value, no_units, field);
    case SETTING_BYTES:
        return parse_size(setting, value, byte_units, field);
    case SETTING_DURATION:
        return parse_amount(setting, value, time_units, field) ? PARSED : PARSED_BAD;
    case SETTING_RETENTION:
        return parse_retention(setting, value, field) ? PARSED : PARSED_BAD;
    case SETTING_INTERVAL:
        return interval_parse(text_of(value), field) ? PARSED : PARSED_BAD;
    case SETTING_LISTEN:
        return parse_listen(setting, value, field);
    case SETTING_LEVEL:
        return log_level_parse(text_of(value), field) ? PARSED : PARSED_BAD;
    case SETTING_FORMAT:
        return log_format_parse(text_of(value), field) ? PARSED : PARSED_BAD;
    }
    return PARSED_BAD;
}

static bool compute_instance_id(struct config *config)
{
    char name[256] = "";

    /* A host name that Kafka's letters cannot write is left to the operator: config.c reports that
     * the setting is missing. */
    if (gethostname(name, sizeof(name) - 1) != 0)
        name[0] = '\0';
    const struct setting *setting = setting_by_place("worker", "instance_id");
    return setting_parse(setting, name, config) != PARSED_NO_MEMORY;
}

static bool compute_lanes(struct config *config)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    config->lanes = cpus < 1 ? 1 : cpus > 4 ? 4 : (size_t)cpus;
    return true;
}

bool settings_default(struct config *config)
{
    for (size_t i = 0; i < setting_count; i++) {
        bool done = settings[i].computed != NULL
                        ? settings[i].computed(config)
                        : setting_parse(&settings[i], settings[i].fallback, config) == PARSED;
        if (!done)
            return false;
    }
    return true;
}
