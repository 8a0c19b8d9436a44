#pragma once

#include "base/err.h"
#include "events/topic_policy.h"
#include "worker/lane/metrics.h"
#include "worker/lane/sink.h"
#include "worker/lane/source.h"
#include "worker/lane/store.h"

/* A lane: one thread that turns commands into rows and audit events, exactly once.
 *
 *   poll -> decode -> find -> apply -> record and COMMIT -> publish with offsets
 *
 * It knows three ports and nothing of Kafka or PostgreSQL. See docs/architecture.md. */

struct lane_options {
    int index; /* for logs */
    struct text audit_topic;
    struct text dlq_suffix;
    struct text group_id;
    const struct text *command_topics;
    size_t command_topic_count;
    const struct topic_policy *policies; /* allow-lists of command topics that have one */
    size_t policy_count;
    struct batch_limits limits;
};

struct lane;

/* Ports and metrics are borrowed. FULL: no memory. */
enum outcome lane_new(const struct lane_options *options, struct source *source, struct sink *sink,
                      struct store *store, struct lane_metrics *metrics, struct lane **ret_lane,
                      struct err *err);
void lane_free(struct lane *lane);
DEFINE_CLEANUP(struct lane *, lane_free)

/* Works until lane_stop(): then the batch in hand is finished, the published offsets are recorded
 * and the group is left. A dependency that is away is waited for. FATAL  this lane cannot go on:
 * the consumer is broken. FULL  not even one message fits into memory */
enum outcome lane_run(struct lane *lane, struct err *err);

/* From any thread or a signal handler. */
void lane_stop(struct lane *lane);
