#pragma once

#include "base/err.h"
#include "events/commands.h"

/* What a command topic takes: the operator's allow-list. What it refuses is a dead letter of class
 * "policy"; nothing of it is recorded. */
struct topic_policy {
    struct text topic;
    struct text_list types;   /* ce_types; items NULL: every one */
    struct text_list sources; /* ce_sources; items NULL: every one */
};

/* The topic's policy, or NULL: it takes everything. */
const struct topic_policy *topic_policy_find(const struct topic_policy *policies, size_t count,
                                             struct text topic);

/* Whether the topic takes the command. NULL policy: yes.
 *
 * REJECT  no: code "policy", err->text names the attribute and the rule, never a value */
enum outcome topic_policy_check(const struct topic_policy *policy, const struct envelope *envelope,
                                struct err *err);

/* Whether the policy excludes every command that refuses secrets (key.issue): then no secret of a
 * key is expected on the topic, and its dead letters are not searched. */
bool topic_policy_excludes_secrets(const struct topic_policy *policy);
