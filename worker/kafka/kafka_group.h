#pragma once

#include <stdint.h>

#include "base/err.h"
#include "config/config.h"
#include "worker/lane/source.h"

/* What the consumer group of the configuration stands at, asked without joining it. */
struct kafka_group_position {
    int64_t committed; /* -1: nothing */
    int64_t first;     /* the first offset of the partition that can still be read */
    int64_t end;
};

/* RETRY   the brokers do not answer within timeout_ms
 * REJECT  they refuse: permission, or there is no such partition */
enum outcome kafka_group_position(const struct config *config, const char *topic, int32_t partition,
                                  int timeout_ms, struct kafka_group_position *ret_position,
                                  struct err *err);

/* The group's committed, stable offsets: fills offset and `ours` of the positions.
 * RETRY   no broker answers within timeout_ms, or a transaction is still open
 * REJECT  they refuse */
enum outcome kafka_group_committed(const struct config *config, struct position *positions,
                                   size_t count, int timeout_ms, struct err *err);
