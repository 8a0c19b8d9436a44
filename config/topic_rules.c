#include "config/topic_rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "config/texts.h"

enum { ITEM_MAX_BYTES = 256 };

const char *topic_section_name(const char *section)
{
    static const char prefix[] = "topic ";

    return strncmp(section, prefix, strlen(prefix)) == 0 ? section + strlen(prefix) : NULL;
}

static void names_release(struct config_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct config_names){0};
}

static bool names_hold(const struct config_names *names, struct text name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (text_is(name, names->items[i]))
            return true;
    }
    return false;
}

static enum topic_taken names_add(struct config_names *names, struct text name)
{
    if (name.length == 0 || name.length > ITEM_MAX_BYTES || !utf8_valid(name) ||
        utf8_has_control(name) || names_hold(names, name))
        return TOPIC_BAD_LIST;
    char *copy = text_copy(name.data, name.length);
    char **grown = realloc(names->items, (names->count + 1) * sizeof(*grown));
    if (grown != NULL)
        names->items = grown;
    if (copy == NULL || grown == NULL) {
        free(copy);
        return TOPIC_NO_MEMORY;
    }
    names->items[names->count++] = copy;
    return TOPIC_TAKEN;
}

/* "all" is no list: everything is taken. */
static enum topic_taken names_parse(const char *value, struct config_names *ret_names)
{
    enum topic_taken taken = TOPIC_TAKEN;

    *ret_names = (struct config_names){0};
    if (strcmp(value, "all") == 0)
        return TOPIC_TAKEN;
    while (taken == TOPIC_TAKEN) {
        value += strspn(value, " \t");
        size_t length = strcspn(value, ",");
        size_t trimmed = length;
        while (trimmed > 0 && strchr(" \t", value[trimmed - 1]) != NULL)
            trimmed--;
        taken = names_add(ret_names, (struct text){value, trimmed});
        if (value[length] == '\0')
            break;
        value += length + 1;
    }
    if (taken != TOPIC_TAKEN)
        names_release(ret_names);
    return taken;
}

static struct config_topic *rule_of(struct config *config, const char *topic)
{
    for (size_t i = 0; i < config->topic_count; i++) {
        if (strcmp(config->topics[i].name, topic) == 0)
            return &config->topics[i];
    }
    struct config_topic *grown =
        realloc(config->topics, (config->topic_count + 1) * sizeof(*grown));
    if (grown == NULL)
        return NULL;
    config->topics = grown;
    struct config_topic *rule = &grown[config->topic_count];
    *rule = (struct config_topic){.name = text_copy(topic, strlen(topic))};
    if (rule->name == NULL)
        return NULL;
    config->topic_count++;
    return rule;
}

enum topic_taken topic_rule_take(struct config *config, const char *topic, const char *key,
                                 const char *value, const char *where)
{
    bool types = strcmp(key, "types") == 0;

    if (!types && strcmp(key, "sources") != 0)
        return TOPIC_NO_KEY;
    struct config_topic *rule = rule_of(config, topic);
    if (rule == NULL)
        return TOPIC_NO_MEMORY;
    struct config_names *names = types ? &rule->types : &rule->sources;
    if (names->where != NULL)
        return TOPIC_TWICE;
    enum topic_taken taken = names_parse(value, names);
    if (taken != TOPIC_TAKEN)
        return taken;
    names->where = text_copy(where, strlen(where));
    return names->where != NULL ? TOPIC_TAKEN : TOPIC_NO_MEMORY;
}

void topic_rules_release(struct config *config)
{
    for (size_t i = 0; i < config->topic_count; i++) {
        struct config_topic *rule = &config->topics[i];
        free(rule->types.where);
        free(rule->sources.where);
        names_release(&rule->types);
        names_release(&rule->sources);
        free(rule->name);
    }
    free(config->topics);
    config->topics = NULL;
    config->topic_count = 0;
}
