#pragma once

#include "config/config.h"
#include "worker/cli/findings.h"

/* Connects and looks: brokers, topics and their partitions, retention, permissions. */
void check_kafka(const struct config *config, struct findings *findings);
