#pragma once

#include "worker/kafka/kafka_admin.h"

/* How large a record the audit topic and the dead-letter topics take: the smallest of the
 * producer's own message.max.bytes and of the topics' max.message.bytes. The topics' may change at
 * any time. They are asked again once something was refused for its size, and every minute while
 * they are what limits, so that a limit which was raised counts without a restart.
 *
 * A topic that takes less than KAFKA_RECORD_BYTES_LEAST is somebody's mistake and does not limit:
 * the brokers refuse until it is mended, nothing is cut or buried for it. Where the brokers do not
 * tell (DescribeConfigs), each refusal halves the limit, down to KAFKA_RECORD_BYTES_LEAST; after a
 * minute it is tried in full again. */
struct record_limit {
    const struct config *config; /* borrowed */
    int64_t own;                 /* bytes, as all of these */
    int64_t now;
    int64_t learned_us; /* monotonic */
    int unexplained;    /* refusals in a row although the topics take that much, they say */
    bool refused;       /* not asked since */
};

/* topics  the smallest max.message.bytes as the start found it; 0: not known */
struct record_limit record_limit_new(const struct config *config, int64_t topics);

/* The brokers refused a record or a set of records for its size. */
void record_limit_refused(struct record_limit *limit);

/* A transaction went through. */
void record_limit_passed(struct record_limit *limit);

/* Bytes. May ask the brokers, which takes seconds when they are away. */
int64_t record_limit_get(struct record_limit *limit);

/* The smallest max.message.bytes among the topics that are produced to; 0: none tells.
 * topics  as kafka_admin_describe() answers for `names` */
int64_t record_limit_among(const struct kafka_topic_names *names, const struct kafka_topic *topics);
