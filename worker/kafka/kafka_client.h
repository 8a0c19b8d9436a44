#pragma once

#include <librdkafka/rdkafka.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "config/config.h"

/* What every use of librdkafka in this program shares: configuration objects, error mapping, logs.
 * Included by the adapters
 * only: source_kafka, sink_kafka and the other kafka_*. */

DEFINE_CLEANUP(rd_kafka_conf_t *, rd_kafka_conf_destroy)
DEFINE_CLEANUP(rd_kafka_t *, rd_kafka_destroy)
DEFINE_CLEANUP(rd_kafka_error_t *, rd_kafka_error_destroy)
DEFINE_CLEANUP(rd_kafka_topic_partition_list_t *, rd_kafka_topic_partition_list_destroy)
DEFINE_CLEANUP(rd_kafka_queue_t *, rd_kafka_queue_destroy)
DEFINE_CLEANUP(rd_kafka_event_t *, rd_kafka_event_destroy)

/* A handle's purpose: it decides which settings it gets. */
enum kafka_role {
    KAFKA_LANE_CONSUMER, /* a member of the worker's group */
    KAFKA_LANE_PRODUCER, /* transactional */
    KAFKA_PUBLISHER,     /* idempotent */
    KAFKA_READER,        /* read_committed, no group membership, tells the ends of partitions */
    KAFKA_ADMIN,
};

/* What belongs to one handle: set last, wins over everything. */
struct kafka_setting {
    const char *name;
    const char *value;
};

/* A configuration object: the role's defaults, then the operator's properties, then what the
 * guarantees rest on, then `own`. Logs go to base/log, repeated lines at most every few seconds.
 * client.id is catalyst-worker-<instance>-<suffix> unless the operator chose one.
 *
 * REJECT  librdkafka does not know a property or refuses its value; the text names the property and
 *         where it was set, never the value
 * FULL    no memory */
enum outcome kafka_conf_new(const struct config *config, enum kafka_role role,
                            const char *client_suffix, const struct kafka_setting *own,
                            size_t own_count, rd_kafka_conf_t **ret_conf, struct err *err);

/* A handle from `*conf`, which is taken over on success.
 * REJECT: librdkafka refuses the combination (missing file of a certificate ...). */
enum outcome kafka_new(rd_kafka_type_t type, rd_kafka_conf_t **conf, rd_kafka_t **ret_handle,
                       struct err *err);

/* The brokers refuse the connection itself: credentials or certificates. It is tried again, since
 * that may be mended on their side, but waiting alone does not help. The second: as kafka_fail()
 * and others have told it. */
bool kafka_is_refusal(rd_kafka_resp_err_t code);
bool kafka_refuses_connection(const struct err *err);

/* Fails with what an error code asks for: RETRY away or busy, REJECT a topic, group or id that is
 * unknown or forbidden, FATAL the rest. err->code is librdkafka's name of it. */
enum outcome kafka_fail(rd_kafka_resp_err_t code, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fails as a transactional call asks: must abort -> REJECT; the same call again -> RETRY; else
 * FATAL (fenced, or not to be recovered on this handle). In this order, since one error may carry
 * several marks. Destroys `error`. */
enum outcome kafka_transaction_fail(rd_kafka_error_t *error, const char *action, struct err *err);

/* Ends a transactional call that was taken up again and has succeeded: `answer` is that of making
 * it once more. librdkafka 2.0.2 can take one answer for two: the call succeeds but stays
 * unacknowledged, and no transaction begins any more. Where it was acknowledged, the further call
 * is refused and changes nothing. */
void kafka_transaction_acknowledge(rd_kafka_error_t *answer);

/* Destroys a transactional producer, whatever it is at. What it has open is aborted within
 * timeout_ms, or else by the brokers when the transactional.id is taken over or the transaction
 * times out. NULL: nothing. */
void kafka_transactional_destroy(rd_kafka_t *producer, int timeout_ms);

/* The value of a property as a number. */
int64_t kafka_conf_number(const rd_kafka_conf_t *conf, const char *name, int64_t otherwise);

/* Sends librdkafka's log lines and errors to base/log. */
void kafka_conf_set_logs(rd_kafka_conf_t *conf);

/* For error callbacks: one log line, repeated ones at most every few seconds. */
void kafka_log_error(const rd_kafka_t *handle, int code, const char *reason);
