#pragma once

#include "config/config.h"
#include "worker/cli/findings.h"

/* Whether the database lacks commands that the group has committed. To be called once database and
 * brokers were found in order. */
void check_set_back(const struct config *config, struct findings *findings);
