#include "config/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/secret_filter.h"
#include "config/ini_file.h"
#include "config/kafka_rules.h"
#include "config/nearest.h"
#include "config/settings.h"
#include "config/texts.h"
#include "config/topic_rules.h"

/* Everything is read in the order of precedence, lowest first, and later values replace earlier
 * ones; each is judged where it is found, so that a mistake is reported even where something else
 * overrides it. */

#define VARIABLE_PREFIX "CATALYST_"
#define KAFKA_PREFIX "CATALYST_KAFKA_"

enum { SECRET_FILE_MAX = 64 * 1024, SUGGESTION_DISTANCE_MAX = 3 };

struct loader {
    struct config *config;
    struct config_problems *problems;
    const char *source; /* what is being read: every `where` begins with it */
    char **wheres;      /* per setting: where its value came from; NULL: default */
    bool repeats;       /* a setting may come twice: the last one counts */
    bool no_memory;
};

/* --- problems ----------------------------------------------------------------------------------
 */

/* Takes `what`. */
static bool problem_append(struct config_problems *problems, const char *where, char *what)
{
    CLEANUP(textp) char *owned = what;
    CLEANUP(textp) char *place = text_copy(where, strlen(where));

    if (what == NULL || place == NULL)
        return false;
    struct config_problem *grown = realloc(problems->items, (problems->count + 1) * sizeof(*grown));
    if (grown == NULL)
        return false;
    problems->items = grown;
    problems->items[problems->count++] =
        (struct config_problem){.where = TAKE(place), .what = TAKE(owned)};
    return true;
}

bool config_problem_add(struct config_problems *problems, const char *where, const char *format,
                        ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *what = text_vprintf(format, arguments);
    va_end(arguments);
    return problem_append(problems, where, what);
}

static void complain(struct loader *loader, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(struct loader *loader, const char *where, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *what = text_vprintf(format, arguments);
    va_end(arguments);
    if (!problem_append(loader->problems, where, what))
        loader->no_memory = true;
}

void config_problems_release(struct config_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->items[i].where);
        free(problems->items[i].what);
    }
    free(problems->items);
    *problems = (struct config_problems){0};
}

/* --- suggestions -------------------------------------------------------------------------------
 */

static const char *nearest_variable(const char *asked)
{
    struct nearest nearest = {.typed = asked, .distance_max = SUGGESTION_DISTANCE_MAX};

    for (size_t i = 0; i < setting_count; i++)
        nearest_offer(&nearest, settings[i].variable);
    return nearest.name;
}

static const char *nearest_key(const char *section, const char *asked)
{
    struct nearest nearest = {.typed = asked, .distance_max = SUGGESTION_DISTANCE_MAX};

    for (size_t i = 0; i < setting_count; i++) {
        if (strcmp(settings[i].section, section) == 0)
            nearest_offer(&nearest, settings[i].key);
    }
    return nearest.name;
}

static void complain_unknown(struct loader *loader, const char *where, const char *kind,
                             const char *name, const char *nearest)
{
    if (nearest != NULL)
        complain(loader, where, "no such %s: %s; did you mean %s?", kind, name, nearest);
    else
        complain(loader, where, "no such %s: %s", kind, name);
}

/* --- one value ---------------------------------------------------------------------------------
 */

/* Whether that place belongs to what is being read now. */
static bool from_this_source(const struct loader *loader, const char *where)
{
    return where != NULL && strncmp(where, loader->source, strlen(loader->source)) == 0;
}

static void setting_take(struct loader *loader, const struct setting *setting, const char *value,
                         const char *where)
{
    char **slot = &loader->wheres[setting - settings];

    if (from_this_source(loader, *slot) && !loader->repeats)
        complain(loader, where, "%s.%s: given twice, also at %s", setting->section, setting->key,
                 *slot);
    free(*slot);
    *slot = strdup(where);
    if (*slot == NULL)
        loader->no_memory = true;

    if (setting->secret)
        secret_filter_add_conninfo(value);
    switch (setting_parse(setting, value, loader->config)) {
    case PARSED:
        return;
    case PARSED_BAD:
        complain(loader, where, "%s.%s: must be %s", setting->section, setting->key,
                 setting->values);
        return;
    case PARSED_NO_MEMORY:
        loader->no_memory = true;
        return;
    }
}

static struct kafka_property *kafka_find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->kafka_count; i++) {
        if (strcmp(config->kafka[i].name, name) == 0)
            return &config->kafka[i];
    }
    return NULL;
}

const char *config_kafka_value(const struct config *config, const char *name)
{
    const struct kafka_property *property = kafka_find(config, name);
    return property != NULL ? property->value : NULL;
}

static void kafka_property_release(struct kafka_property *property)
{
    free(property->name);
    free(property->value);
    free(property->where);
    *property = (struct kafka_property){0};
}

/* Adds the property or replaces its value. false: no memory. */
static bool kafka_set(struct config *config, const char *name, const char *value, const char *where)
{
    struct kafka_property fresh = {strdup(name), strdup(value), strdup(where)};
    struct kafka_property *slot = kafka_find(config, name);

    if (fresh.name != NULL && fresh.value != NULL && fresh.where != NULL && slot == NULL) {
        struct kafka_property *grown =
            realloc(config->kafka, (config->kafka_count + 1) * sizeof(*grown));
        if (grown != NULL) {
            config->kafka = grown;
            slot = &grown[config->kafka_count++];
            *slot = (struct kafka_property){0};
        }
    }
    if (fresh.name == NULL || fresh.value == NULL || fresh.where == NULL || slot == NULL) {
        kafka_property_release(&fresh);
        return false;
    }
    kafka_property_release(slot);
    *slot = fresh;
    return true;
}

/* "a,b:9092,[::1]:9092". false: one of the ports is none. */
static bool broker_ports_valid(const char *brokers)
{
    for (const char *at = brokers; *at != '\0'; at += *at == ',') {
        const char *end = at + strcspn(at, ",");
        const char *port = end;
        char *rest = NULL;

        while (port > at && port[-1] != ':' && port[-1] != ']')
            port--;
        /* "PLAINTEXT://host" has a colon and no port; "host:" means the usual one */
        if (port > at && port[-1] == ':' && port < end && port[0] != '/') {
            unsigned long number = strtoul(port, &rest, 10);
            if (number < 1 || number > 65535 || rest + strspn(rest, " \t") < end)
                return false;
        }
        at = end;
    }
    return true;
}

/* What is wrong with a list of brokers, which librdkafka would take all the same; NULL: nothing. */
static const char *brokers_fault(const char *brokers)
{
    if (strchr(brokers, '@') != NULL)
        return "must not hold @; name and password are sasl.username and sasl.password";
    if (!broker_ports_valid(brokers)) /* librdkafka takes a port modulo 65536 */
        return "a port must be a number from 1 to 65535";
    return NULL;
}

static void kafka_take(struct loader *loader, const char *name, const char *value,
                       const char *where)
{
    const struct kafka_rule_info *broken = kafka_rule_broken(name, value);
    const struct kafka_property *earlier = kafka_find(loader->config, name);

    if (broken != NULL && broken->allowed != NULL) {
        complain(loader, where, "kafka.%s: may only be one of: %s; %s", name, broken->allowed,
                 broken->reason);
        return;
    }
    if (broken != NULL) {
        complain(loader, where, "kafka.%s: may not be set: %s", name, broken->reason);
        return;
    }
    if (earlier != NULL && from_this_source(loader, earlier->where) && !loader->repeats)
        complain(loader, where, "kafka.%s: given twice, also at %s", name, earlier->where);
    bool is_brokers =
        strcmp(name, "bootstrap.servers") == 0 || strcmp(name, "metadata.broker.list") == 0;
    const char *fault = is_brokers ? brokers_fault(value) : NULL;
    if (fault != NULL) {
        complain(loader, where, "kafka.%s: %s", name, fault);
        return;
    }
    if (kafka_property_secret(name))
        secret_filter_add_property(value);
    if (!kafka_set(loader->config, name, value, where))
        loader->no_memory = true;
}

/* --- secrets in files of their own -------------------------------------------------------------
 */

/* false: errno says why. */
static bool file_read(const char *path, char *content, size_t size, size_t *ret_length)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;

    *ret_length = fread(content, 1, size, file);
    bool failed = ferror(file) != 0;
    int reason = errno;
    fclose(file);
    errno = reason;
    return !failed;
}

/* The content without its last line end; NULL: *ret_rule says what is wrong. */
static char *secret_read(const char *path, const char **ret_rule)
{
    char content[SECRET_FILE_MAX + 1];
    size_t length = 0;

    *ret_rule = "the file cannot be read";
    if (!file_read(path, content, sizeof(content), &length))
        return NULL;
    *ret_rule = "the file holds more than 64 KiB or a NUL byte";
    if (length > SECRET_FILE_MAX || memchr(content, '\0', length) != NULL)
        return NULL;
    if (length > 0 && content[length - 1] == '\n')
        length--;
    if (length > 0 && content[length - 1] == '\r')
        length--;
    *ret_rule = "no memory";
    return text_copy(content, length);
}

static char *secret_take(struct loader *loader, const char *path, const char *where,
                         const char *name)
{
    const char *rule;
    errno = 0;
    char *secret = secret_read(path, &rule);

    if (secret == NULL && errno != 0)
        complain(loader, where, "%s: %s: %s", name, rule, strerror(errno));
    else if (secret == NULL)
        complain(loader, where, "%s: %s", name, rule);
    return secret;
}

/* `name` without `suffix`, or NULL when it does not end so. */
static char *without_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), less = strlen(suffix);

    if (length <= less || strcmp(name + length - less, suffix) != 0)
        return NULL;
    return text_copy(name, length - less);
}

/* --- the file ----------------------------------------------------------------------------------
 */

static bool section_known(const char *section)
{
    if (strcmp(section, "kafka") == 0)
        return true;
    for (size_t i = 0; i < setting_count; i++) {
        if (strcmp(settings[i].section, section) == 0)
            return true;
    }
    return false;
}

/* `key` of a section that is known, by its name or as the path of a secret's file. */
static void place_take(struct loader *loader, const char *section, const char *key,
                       const char *value, const char *where)
{
    bool kafka = strcmp(section, "kafka") == 0;
    CLEANUP(textp) char *secret_key = without_suffix(key, "_file");
    const struct setting *setting =
        setting_by_place(section, secret_key != NULL ? secret_key : key);
    bool by_file = secret_key != NULL &&
                   (kafka ? kafka_property_secret(secret_key) : setting != NULL && setting->secret);
    CLEANUP(textp) char *secret = NULL;

    if (by_file) {
        secret = secret_take(loader, value, where, key);
        if (secret == NULL)
            return;
        key = secret_key;
        value = secret;
    }
    if (kafka) {
        kafka_take(loader, key, value, where);
        return;
    }
    setting = setting_by_place(section, key);
    if (setting != NULL)
        setting_take(loader, setting, value, where);
    else
        complain_unknown(loader, where, "setting", key, nearest_key(section, key));
}

static void topic_take(struct loader *loader, const char *topic, const char *key, const char *value,
                       const char *where)
{
    switch (topic_rule_take(loader->config, topic, key, value, where)) {
    case TOPIC_TAKEN:
        return;
    case TOPIC_NO_KEY:
        complain(loader, where, "no such setting: %s; [topic NAME] has types and sources", key);
        return;
    case TOPIC_TWICE:
        complain(loader, where, "topic %s.%s: given twice", topic, key);
        return;
    case TOPIC_BAD_LIST:
        complain(loader, where, "topic %s.%s: must be %s", topic, key,
                 strcmp(key, "types") == 0 ? TOPIC_TYPES_VALUES : TOPIC_SOURCES_VALUES);
        return;
    case TOPIC_NO_MEMORY:
        loader->no_memory = true;
        return;
    }
}

static void file_entry(void *context, const char *section, const char *key, const char *value,
                       int line)
{
    struct loader *loader = context;
    CLEANUP(textp) char *where = text_printf("%s:%d", loader->source, line);

    if (where == NULL)
        loader->no_memory = true;
    else if (section[0] == '\0')
        complain(loader, where, "%s: stands before the first [section]", key);
    else if (topic_section_name(section) != NULL)
        topic_take(loader, topic_section_name(section), key, value, where);
    else if (!section_known(section))
        complain(loader, where,
                 "no such section: [%s]; there are database, kafka, worker, topic NAME, http "
                 "and log",
                 section);
    else
        place_take(loader, section, key, value, where);
}

static void file_broken(void *context, int line, const char *rule)
{
    struct loader *loader = context;
    CLEANUP(textp) char *where = text_printf("%s:%d", loader->source, line);

    if (where == NULL)
        loader->no_memory = true;
    else
        complain(loader, where, "%s", rule);
}

static void load_file(struct loader *loader, const char *path)
{
    const struct ini_visitor visitor = {loader, file_entry, file_broken};

    loader->source = path;
    errno = 0;
    if (!ini_file_read(path, &visitor))
        complain(loader, path, "cannot be read: %s", strerror(errno));
}

/* --- the environment ---------------------------------------------------------------------------
 */

/* Kubernetes gives every container variables about the services of its namespace; those of a
 * service called catalyst-something begin like ours. */
static bool is_service_link(const char *name)
{
    size_t length = strlen(name);

    if (strstr(name, "_SERVICE_HOST") != NULL || strstr(name, "_SERVICE_PORT") != NULL)
        return true;
    if (length > 5 && strcmp(name + length - 5, "_PORT") == 0)
        return true;
    const char *port = strstr(name, "_PORT_");
    return port != NULL && isdigit((unsigned char)port[6]);
}

/* Read by the scripts of deploy/local, not by the worker. */
static bool is_of_the_scripts(const char *name)
{
    return strcmp(name, "CATALYST_CACHE") == 0;
}

/* CATALYST_KAFKA_BOOTSTRAP_SERVERS -> bootstrap.servers. librdkafka's names have no underscores but
 * those of callbacks, which may not be set anyway. */
static char *kafka_name_of(const char *variable)
{
    const char *property = variable + strlen(KAFKA_PREFIX);
    char *name = text_copy(property, strlen(property));

    for (char *c = name; c != NULL && *c != '\0'; c++)
        *c = *c == '_' ? '.' : (char)tolower((unsigned char)*c);
    return name;
}

static void kafka_variable(struct loader *loader, const char *variable, const char *value,
                           const char *where)
{
    CLEANUP(textp) char *name = kafka_name_of(variable);
    if (name == NULL) {
        loader->no_memory = true;
        return;
    }
    CLEANUP(textp) char *secret_name = without_suffix(name, ".file");
    if (secret_name == NULL || !kafka_property_secret(secret_name)) {
        kafka_take(loader, name, value, where);
        return;
    }
    CLEANUP(textp) char *secret = secret_take(loader, value, where, variable);
    if (secret != NULL)
        kafka_take(loader, secret_name, secret, where);
}

static void plain_variable(struct loader *loader, const char *variable, const char *value,
                           const char *where)
{
    const struct setting *setting = setting_by_variable(variable);
    if (setting != NULL) {
        setting_take(loader, setting, value, where);
        return;
    }

    CLEANUP(textp) char *secret_variable = without_suffix(variable, "_FILE");
    setting = secret_variable != NULL ? setting_by_variable(secret_variable) : NULL;
    if (setting == NULL || !setting->secret) {
        complain_unknown(loader, where, "setting", variable,
                         setting != NULL ? secret_variable : nearest_variable(variable));
        return;
    }
    CLEANUP(textp) char *secret = secret_take(loader, value, where, variable);
    if (secret != NULL)
        setting_take(loader, setting, secret, where);
}

static void load_variable(struct loader *loader, const char *pair)
{
    const char *equals = strchr(pair, '=');
    if (equals == NULL || strncmp(pair, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) != 0)
        return;

    CLEANUP(textp) char *name = text_copy(pair, (size_t)(equals - pair));
    if (name == NULL) {
        loader->no_memory = true;
        return;
    }
    if (is_service_link(name) || is_of_the_scripts(name))
        return;
    CLEANUP(textp) char *where = text_printf("environment %s", name);
    if (where == NULL)
        loader->no_memory = true;
    else if (strncmp(name, KAFKA_PREFIX, strlen(KAFKA_PREFIX)) == 0)
        kafka_variable(loader, name, equals + 1, where);
    else
        plain_variable(loader, name, equals + 1, where);
}

static void load_environment(struct loader *loader, char *const *environment)
{
    static const char password[] = "PGPASSWORD="; /* libpq's own */

    loader->source = "environment ";
    for (; environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, password, strlen(password)) == 0)
            secret_filter_add(text_of(*environment + strlen(password)));
        load_variable(loader, *environment);
    }
}

/* --- the command line --------------------------------------------------------------------------
 */

static void load_override(struct loader *loader, const struct config_override *override)
{
    const char *dot = strchr(override->setting, '.');
    if (dot == NULL) {
        complain(loader, override->flag, "must be SECTION.KEY=VALUE");
        return;
    }

    CLEANUP(textp) char *section = text_copy(override->setting, (size_t)(dot - override->setting));
    if (section == NULL)
        loader->no_memory = true;
    else if (!section_known(section))
        complain(loader, override->flag, "no such section: %s", section);
    else
        place_take(loader, section, dot + 1, override->value, override->flag);
}

/* --- what only the whole shows -----------------------------------------------------------------
 */

static bool is_command_topic(const struct config *config, const char *name, size_t length)
{
    for (size_t i = 0; i < config->command_topic_count; i++) {
        if (text_equal(text_of(config->command_topics[i]), (struct text){name, length}))
            return true;
    }
    return false;
}

static void check_topics(struct loader *loader)
{
    enum { TOPIC_NAME_MAX = 249 };
    const struct config *config = loader->config;
    size_t suffix_length = strlen(config->dlq_suffix);

    if (is_command_topic(config, config->audit_topic, strlen(config->audit_topic)))
        complain(loader, "configuration",
                 "worker.audit_topic: must not be one of worker.command_topics");
    for (size_t i = 0; i < config->command_topic_count; i++) {
        size_t length = strlen(config->command_topics[i]);
        if (length + suffix_length > TOPIC_NAME_MAX) {
            complain(loader, "configuration",
                     "worker.dlq_suffix: a dead-letter topic's name is longer than 249");
            continue;
        }
        char dead_letters[TOPIC_NAME_MAX + 1];
        snprintf(dead_letters, sizeof(dead_letters), "%s%s", config->command_topics[i],
                 config->dlq_suffix);
        if (is_command_topic(config, dead_letters, length + suffix_length) ||
            strcmp(dead_letters, config->audit_topic) == 0)
            complain(loader, "configuration",
                     "worker.dlq_suffix: a dead-letter topic is also a command or audit topic");
    }
}

static void check_topic_rules(struct loader *loader)
{
    const struct config *config = loader->config;

    for (size_t i = 0; i < config->topic_count; i++) {
        const struct config_topic *rule = &config->topics[i];
        const char *where = rule->types.where != NULL ? rule->types.where : rule->sources.where;
        if (!is_command_topic(config, rule->name, strlen(rule->name)))
            complain(loader, where != NULL ? where : "configuration",
                     "[topic %s]: is not one of worker.command_topics", rule->name);
    }
}

static void check_whole(struct loader *loader)
{
    const struct config *config = loader->config;

    if (config->instance_id == NULL)
        complain(loader, "configuration",
                 "worker.instance_id: must be set: the host name is not %s",
                 setting_by_place("worker", "instance_id")->values);
    check_topics(loader);
    check_topic_rules(loader);
}

/* --- all of it ---------------------------------------------------------------------------------
 */

static void kafka_default(struct loader *loader)
{
    if (kafka_find(loader->config, "bootstrap.servers") == NULL &&
        kafka_find(loader->config, "metadata.broker.list") == NULL &&
        !kafka_set(loader->config, "bootstrap.servers", "localhost:9092", "default"))
        loader->no_memory = true;
}

static void load_all(struct loader *loader, const char *file, char *const *environment,
                     const struct config_override *overrides, size_t override_count)
{
    if (!settings_default(loader->config)) {
        loader->no_memory = true;
        return;
    }
    if (file != NULL)
        load_file(loader, file);
    load_environment(loader, environment);
    loader->source = "--";
    loader->repeats = true;
    for (size_t i = 0; i < override_count; i++)
        load_override(loader, &overrides[i]);
    kafka_default(loader);
    if (!loader->no_memory)
        check_whole(loader);
}

enum outcome config_load(const char *file, char *const *environment,
                         const struct config_override *overrides, size_t override_count,
                         struct config *ret_config, struct config_problems *ret_problems,
                         struct err *err)
{
    struct loader loader = {.config = ret_config, .problems = ret_problems};

    *ret_config = (struct config){0};
    *ret_problems = (struct config_problems){0};
    loader.wheres = calloc(setting_count, sizeof(*loader.wheres));
    if (loader.wheres == NULL)
        return err_no_memory(err, "configuration");

    load_all(&loader, file, environment, overrides, override_count);

    for (size_t i = 0; i < setting_count; i++)
        free(loader.wheres[i]);
    free(loader.wheres);
    if (loader.no_memory)
        return err_no_memory(err, "configuration");
    if (ret_problems->count > 0)
        return err_set(err, OUTCOME_REJECT, "", "configuration: %zu problems", ret_problems->count);
    return OUTCOME_OK;
}

void config_release(struct config *config)
{
    for (size_t i = 0; i < config->kafka_count; i++)
        kafka_property_release(&config->kafka[i]);
    free(config->kafka);
    config_topics_release(config);
    topic_rules_release(config);
    free(config->database_url);
    free(config->database_schema);
    free(config->audit_topic);
    free(config->dlq_suffix);
    free(config->group_id);
    free(config->instance_id);
    free(config->http_listen);
    *config = (struct config){0};
}

/* The sections that there may be one of for each topic. */
static const struct setting_info topic_settings[] = {
    {.section = "topic NAME",
     .key = "types",
     .variable = SETTING_IN_FILE_ONLY,
     .fallback = "all",
     .values = TOPIC_TYPES_VALUES,
     .description =
         "Types of commands that the command topic NAME takes; others are dead letters."},
    {.section = "topic NAME",
     .key = "sources",
     .variable = SETTING_IN_FILE_ONLY,
     .fallback = "all",
     .values = TOPIC_SOURCES_VALUES,
     .description = "Sources (ce_source) whose commands the command topic NAME takes; others are "
                    "dead letters."},
};

bool config_setting_info(size_t index, struct setting_info *ret_info)
{
    if (index >= setting_count + sizeof(topic_settings) / sizeof(topic_settings[0]))
        return false;
    if (index >= setting_count) {
        *ret_info = topic_settings[index - setting_count];
        return true;
    }
    const struct setting *setting = &settings[index];
    *ret_info = (struct setting_info){
        .section = setting->section,
        .key = setting->key,
        .variable = setting->variable,
        .fallback = setting->fallback,
        .values = setting->values,
        .description = setting->description,
        .secret = setting->secret,
    };
    return true;
}
