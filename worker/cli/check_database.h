#pragma once

#include "config/config.h"
#include "worker/cli/findings.h"

/* Whether the connection string is one; asks nobody. */
void check_conninfo(const struct config *config, struct findings *findings);

/* Connects and looks: reachable, encoding, clock, durability, schema version, permissions. */
void check_database(const struct config *config, struct findings *findings);
