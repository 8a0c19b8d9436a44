#pragma once

#include "config/config.h"

/* Adds a problem for each of the operator's properties that librdkafka refuses, and where the
 * session timeout does not exceed the transaction timeout. Connects to nothing. false: no memory.
 */
bool kafka_config_check(const struct config *config, struct config_problems *problems);
