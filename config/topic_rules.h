#pragma once

#include "config/config.h"

/* The sections [topic NAME] of the file. Private to config/. */

/* NAME of a section [topic NAME], or NULL: it is another one. */
const char *topic_section_name(const char *section);

enum topic_taken { TOPIC_TAKEN, TOPIC_NO_KEY, TOPIC_TWICE, TOPIC_BAD_LIST, TOPIC_NO_MEMORY };

/* Takes `key = value` of [topic NAME]. TWICE: the key is there already. */
enum topic_taken topic_rule_take(struct config *config, const char *topic, const char *key,
                                 const char *value, const char *where);

void topic_rules_release(struct config *config);

/* What a list may be, for messages and documentation. */
#define TOPIC_TYPES_VALUES "all, or ce_types of the contract with commas between them"
#define TOPIC_SOURCES_VALUES "all, or sources of 1 to 256 bytes with commas between them"
