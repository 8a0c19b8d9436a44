#pragma once

#include "config/config.h"

/* Which librdkafka properties an operator may set. Private to config/. */

/* The rule that setting `name` to `value` breaks, or NULL. */
const struct kafka_rule_info *kafka_rule_broken(const char *name, const char *value);

/* Its value is never shown, and it may be given as a path to a file. */
bool kafka_property_secret(const char *name);
