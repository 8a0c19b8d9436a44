#include "worker/daemon/policies.h"

#include <stdlib.h>

static struct text_list list_of(const struct config_names *names, struct text **next)
{
    struct text_list list = {NULL, names->count};

    if (names->count == 0)
        return list;
    list.items = *next;
    for (size_t i = 0; i < names->count; i++)
        *(*next)++ = text_of(names->items[i]);
    return list;
}

bool policies_init(struct policies *policies, const struct config *config)
{
    size_t names = 0;

    *policies = (struct policies){.count = config->topic_count};
    for (size_t i = 0; i < config->topic_count; i++)
        names += config->topics[i].types.count + config->topics[i].sources.count;
    policies->items = calloc(config->topic_count + 1, sizeof(*policies->items));
    policies->names = calloc(names + 1, sizeof(*policies->names));
    if (policies->items == NULL || policies->names == NULL)
        return false;
    struct text *next = policies->names;
    for (size_t i = 0; i < config->topic_count; i++) {
        const struct config_topic *topic = &config->topics[i];
        policies->items[i].topic = text_of(topic->name);
        policies->items[i].types = list_of(&topic->types, &next);
        policies->items[i].sources = list_of(&topic->sources, &next);
    }
    return true;
}

void policies_release(struct policies *policies)
{
    free(policies->items);
    free(policies->names);
    *policies = (struct policies){0};
}

const char *policies_own_topic(const struct policies *policies, const struct config *config,
                               struct text source)
{
    const struct envelope envelope = {
        .type = text_of(command_types[AUDIT_APPEND_COMMAND].name),
        .source = source,
    };
    struct err err;

    for (size_t i = 0; i < config->command_topic_count; i++) {
        const struct topic_policy *policy =
            topic_policy_find(policies->items, policies->count, text_of(config->command_topics[i]));
        if (topic_policy_check(policy, &envelope, &err) == OUTCOME_OK)
            return config->command_topics[i];
    }
    return NULL;
}
