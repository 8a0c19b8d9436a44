#include "events/topic_policy.h"

static bool allows(const struct text_list *list, struct text name)
{
    if (list->items == NULL)
        return true;
    for (size_t i = 0; i < list->count; i++) {
        if (text_equal(list->items[i], name))
            return true;
    }
    return false;
}

const struct topic_policy *topic_policy_find(const struct topic_policy *policies, size_t count,
                                             struct text topic)
{
    for (size_t i = 0; i < count; i++) {
        if (text_equal(policies[i].topic, topic))
            return &policies[i];
    }
    return NULL;
}

enum outcome topic_policy_check(const struct topic_policy *policy, const struct envelope *envelope,
                                struct err *err)
{
    if (policy == NULL)
        return OUTCOME_OK;
    if (!allows(&policy->types, envelope->type))
        return err_set(err, OUTCOME_REJECT, "policy",
                       "ce_type: this topic's allow-list does not hold it");
    if (!allows(&policy->sources, envelope->source))
        return err_set(err, OUTCOME_REJECT, "policy",
                       "ce_source: this topic's allow-list does not hold it");
    return OUTCOME_OK;
}

bool topic_policy_excludes_secrets(const struct topic_policy *policy)
{
    if (policy == NULL)
        return false;
    for (size_t i = 0; i < COMMAND_KIND_COUNT; i++) {
        if (command_types[i].refuses_secrets &&
            allows(&policy->types, text_of(command_types[i].name)))
            return false;
    }
    return true;
}
