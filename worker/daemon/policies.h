#pragma once

#include "config/config.h"
#include "events/topic_policy.h"

/* The allow-lists of the configuration, as the lanes and the verbs ask them. */
struct policies {
    struct topic_policy *items;
    size_t count;
    struct text *names; /* what the lists are made of */
};

/* Borrows the texts of the configuration. false: no memory. Release in any case. */
bool policies_init(struct policies *policies, const struct config *config);
void policies_release(struct policies *policies);

/* The first command topic that takes an audit.append of this source, for events that a verb
 * publishes itself; NULL: none does. */
const char *policies_own_topic(const struct policies *policies, const struct config *config,
                               struct text source);
