#pragma once

#include "base/err.h"
#include "base/interval.h"
#include "base/log.h"

/* err.code of a failure that only another configuration can mend: exit 78. */
#define ERR_CONFIG "CONFIG"

/* The whole configuration. Settings are declared once, in settings.c: name in the environment,
 * place in the file, parser, range, default, description; --help, documentation and `check` are
 * made from that table.
 *
 * Precedence: command line, then environment, then file, then default. */

struct kafka_property {
    char *name; /* as librdkafka writes it: "bootstrap.servers" */
    char *value;
    char *where; /* as in config_problem, for what only librdkafka can judge */
};

/* A list of names in the file; count 0: it is not given, or "all". */
struct config_names {
    char **items;
    size_t count;
    char *where; /* as in config_problem; NULL: it is not given */
};

/* [topic NAME]: what a command topic takes. */
struct config_topic {
    char *name;
    struct config_names types;
    struct config_names sources;
};

struct config {
    char *database_url; /* conninfo or URI; "" for libpq's defaults and PG* variables */
    char *database_schema;
    int64_t audit_retention_ms; /* CONFIG_FOREVER: nothing is removed */
    enum interval audit_partition_interval;
    struct kafka_property *kafka; /* what the operator set; never one the guarantees rest on */
    size_t kafka_count;
    char **command_topics;
    size_t command_topic_count;
    struct config_topic *topics; /* only topics that the file gives a section */
    size_t topic_count;
    char *audit_topic;
    char *dlq_suffix;
    char *group_id;
    char *instance_id;
    size_t lanes;
    size_t batch_max_messages;
    size_t batch_max_bytes;
    int64_t startup_deadline_ms;
    char *http_listen; /* "address:port"; "" off */
    enum log_level log_level;
    enum log_format log_format;
};

/* One thing wrong with the configuration. */
struct config_problem {
    char *where; /* "worker.ini:12", "environment CATALYST_LANES", "--set worker.lanes" */
    char *what;  /* setting and rule, never a value */
};

struct config_problems {
    struct config_problem *items;
    size_t count;
};

struct config_override {
    const char *setting; /* "worker.lanes" or "kafka.<property>" */
    const char *value;
    const char *flag; /* as typed, for messages */
};

/* Reads everything and reports every problem at once.
 *
 * file         NULL: none
 * environment  NULL-terminated NAME=value, as environ
 * ret_config   filled as far as possible; release with config_release()
 * OK; REJECT when there are problems (exit 78); FULL  no memory */
enum outcome config_load(const char *file, char *const *environment,
                         const struct config_override *overrides, size_t override_count,
                         struct config *ret_config, struct config_problems *ret_problems,
                         struct err *err);
void config_release(struct config *config);
void config_problems_release(struct config_problems *problems);

/* Adds a problem that only a caller can see (a property that librdkafka does not know, ...). false:
 * no memory. */
bool config_problem_add(struct config_problems *problems, const char *where, const char *format,
                        ...) __attribute__((format(printf, 3, 4)));

/* The value of a librdkafka property, or NULL where the operator left it alone. */
const char *config_kafka_value(const struct config *config, const char *name);

/* What database.audit_retention may be, for a flag that stands for it. false: it is not. */
#define CONFIG_FOREVER INT64_C(0)
bool config_retention_parse(const char *value, int64_t *ret_ms);

#define SETTING_IN_FILE_ONLY "in the file only"

/* A setting as documentation shows it. */
struct setting_info {
    const char *section;
    const char *key;
    const char *variable;    /* "CATALYST_LANES"; SETTING_IN_FILE_ONLY: it has none */
    const char *fallback;    /* default, as a person reads it */
    const char *values;      /* what it may be */
    const char *description; /* one sentence */
    bool secret;             /* may be given as <variable>_FILE, or <key>_file in the file */
};

/* false: there is no setting at that position. The librdkafka properties are the row
 * [kafka] <property>, CATALYST_KAFKA_<PROPERTY>. */
bool config_setting_info(size_t index, struct setting_info *ret_info);

/* Properties that may not be set freely, for documentation: allowed NULL: never. */
struct kafka_rule_info {
    const char *name;
    const char *allowed;
    const char *reason;
};
bool config_kafka_rule_info(size_t index, struct kafka_rule_info *ret_info);
