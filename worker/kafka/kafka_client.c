#include "worker/kafka/kafka_client.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

/* --- logs --------------------------------------------------------------------------------------
 */

enum { LOG_GATES = 16, LOG_GATE_US = 5000000, LOG_GATE_LINES = 4 };

/* One gate for each kind of line, so that a broker that is away does not fill the log. It lets a
 * few through, since one mishap may take a line for each partition, and the second tells why. Kinds
 * that share a gate shut it for each other, which costs a line now and then. */
static struct {
    pthread_mutex_t lock;
    struct {
        uint32_t kind;
        int64_t opens_us; /* for as many lines again */
        int admitted;
        int64_t suppressed;
    } gates[LOG_GATES];
} limiter = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint32_t kind_of(const char *client, const char *facility)
{
    uint32_t hash = 2166136261U;
    for (; *client != '\0'; client++)
        hash = (hash ^ (unsigned char)*client) * 16777619U;
    for (; *facility != '\0'; facility++)
        hash = (hash ^ (unsigned char)*facility) * 16777619U;
    return hash;
}

/* -1: not now. Else how many such lines were left out since the last. */
static int64_t admit(uint32_t kind)
{
    int64_t now_us = clock_monotonic_us();
    int64_t answer = -1;

    pthread_mutex_lock(&limiter.lock);
    size_t i = kind % LOG_GATES;
    if (limiter.gates[i].kind != kind || now_us >= limiter.gates[i].opens_us) {
        answer = limiter.gates[i].kind == kind ? limiter.gates[i].suppressed : 0;
        limiter.gates[i].kind = kind;
        limiter.gates[i].opens_us = now_us + LOG_GATE_US;
        limiter.gates[i].admitted = 1;
        limiter.gates[i].suppressed = 0;
    } else if (limiter.gates[i].admitted < LOG_GATE_LINES) {
        answer = 0;
        limiter.gates[i].admitted++;
    } else {
        limiter.gates[i].suppressed++;
    }
    pthread_mutex_unlock(&limiter.lock);
    return answer;
}

/* syslog's severities. */
static enum log_level level_of(int severity)
{
    if (severity <= 2)
        return LOG_ERROR;
    if (severity <= 4)
        return LOG_WARN;
    return severity <= 6 ? LOG_INFO : LOG_DEBUG;
}

static void write_log(enum log_level level, const char *client, const char *facility,
                      const char *text)
{
    if (!log_enabled(level))
        return;
    int64_t suppressed = level == LOG_DEBUG ? 0 : admit(kind_of(client, facility));
    if (suppressed < 0)
        return;
    log_line(level, "librdkafka", LOG_STR("client", client), LOG_STR("facility", facility),
             LOG_STR("text", text), LOG_INT("suppressed", suppressed));
}

static void on_log(const rd_kafka_t *handle, int severity, const char *facility, const char *text)
{
    /* The operator's properties go to consumers and producers alike. */
    if (strcmp(facility, "CONFWARN") == 0 && strstr(text, "will be ignored by this") != NULL)
        return;
    write_log(level_of(severity), handle != NULL ? rd_kafka_name(handle) : "", facility, text);
}

void kafka_log_error(const rd_kafka_t *handle, int code, const char *reason)
{
    write_log(LOG_WARN, rd_kafka_name(handle), rd_kafka_err2name((rd_kafka_resp_err_t)code),
              reason);
}

static void on_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
    (void)opaque;
    kafka_log_error(handle, code, reason);
}

void kafka_conf_set_logs(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
}

/* --- handles -----------------------------------------------------------------------------------
 */

enum outcome kafka_new(rd_kafka_type_t type, rd_kafka_conf_t **conf, rd_kafka_t **ret_handle,
                       struct err *err)
{
    char mechanism[64] = "";
    size_t length = sizeof(mechanism);
    if (rd_kafka_conf_get(*conf, "sasl.mechanism", mechanism, &length) != RD_KAFKA_CONF_OK)
        mechanism[0] = '\0';

    char reason[256];
    rd_kafka_t *handle = rd_kafka_new(type, *conf, reason, sizeof(reason));
    if (handle == NULL)
        return err_set(err, OUTCOME_REJECT, rd_kafka_err2name(rd_kafka_last_error()),
                       "librdkafka refuses the configuration: %s", reason);
    *conf = NULL;

    if (strcmp(mechanism, "OAUTHBEARER") == 0) {
        CLEANUP(rd_kafka_error_destroyp)
        rd_kafka_error_t *error = rd_kafka_sasl_background_callbacks_enable(handle);
        if (error != NULL) {
            enum outcome outcome = kafka_fail(rd_kafka_error_code(error), err, "SASL OAUTHBEARER");
            rd_kafka_destroy(handle);
            return outcome;
        }
    }
    *ret_handle = handle;
    return OUTCOME_OK;
}

void kafka_transaction_acknowledge(rd_kafka_error_t *answer)
{
    if (answer != NULL)
        rd_kafka_error_destroy(answer);
}

void kafka_transactional_destroy(rd_kafka_t *producer, int timeout_ms)
{
    if (producer == NULL)
        return;
    /* Nothing need come of the abort, but a producer that is destroyed while partitions are to be
     * added to its transaction fails an assertion and ends the process (librdkafka 2.0.2): the
     * request's callback is made before the request is counted. An abort stops that, whether it
     * succeeds or not; while a commit is under way it is refused and changes nothing. */
    rd_kafka_error_t *error = rd_kafka_abort_transaction(producer, timeout_ms);
    if (error != NULL)
        rd_kafka_error_destroy(error);
    /* Without this the destruction waits for messages that no transaction will ever hold. */
    rd_kafka_purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(producer);
}

int64_t kafka_conf_number(const rd_kafka_conf_t *conf, const char *name, int64_t otherwise)
{
    char text[32];
    size_t length = sizeof(text);
    if (rd_kafka_conf_get(conf, name, text, &length) != RD_KAFKA_CONF_OK)
        return otherwise;
    char *end;
    long long number = strtoll(text, &end, 10);
    return end != text && *end == '\0' ? number : otherwise;
}

/* --- errors ------------------------------------------------------------------------------------
 */

static const rd_kafka_resp_err_t retriable[] = {
    RD_KAFKA_RESP_ERR__TRANSPORT,
    RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
    RD_KAFKA_RESP_ERR__RESOLVE,
    RD_KAFKA_RESP_ERR__TIMED_OUT,
    RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
    RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
    RD_KAFKA_RESP_ERR__WAIT_COORD,
    RD_KAFKA_RESP_ERR__WAIT_CACHE,
    RD_KAFKA_RESP_ERR__QUEUE_FULL,
    RD_KAFKA_RESP_ERR__IN_PROGRESS,
    RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS,
    RD_KAFKA_RESP_ERR__RETRY,
    RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED, /* the group takes us back as soon as we poll */
    RD_KAFKA_RESP_ERR__AUTHENTICATION,    /* credentials may be mended on the brokers' side */
    RD_KAFKA_RESP_ERR__SSL,
    RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
    RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
    RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
    RD_KAFKA_RESP_ERR_MEMBER_ID_REQUIRED,
    RD_KAFKA_RESP_ERR_NOT_CONTROLLER,
    RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
    RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
    RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
    RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
    RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
};

static const rd_kafka_resp_err_t refused[] = {
    RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
    RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
    RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_INVALID_GROUP_ID,
    RD_KAFKA_RESP_ERR_INVALID_PARTITIONS,
    RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR,
    RD_KAFKA_RESP_ERR_INVALID_CONFIG,
    RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
    RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    RD_KAFKA_RESP_ERR_INVALID_RECORD,
    RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
};

static bool among(const rd_kafka_resp_err_t *codes, size_t count, rd_kafka_resp_err_t code)
{
    for (size_t i = 0; i < count; i++) {
        if (codes[i] == code)
            return true;
    }
    return false;
}

static enum outcome outcome_of(rd_kafka_resp_err_t code)
{
    if (among(retriable, sizeof(retriable) / sizeof(retriable[0]), code))
        return OUTCOME_RETRY;
    if (among(refused, sizeof(refused) / sizeof(refused[0]), code))
        return OUTCOME_REJECT;
    return OUTCOME_FATAL;
}

bool kafka_is_refusal(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL;
}

bool kafka_refuses_connection(const struct err *err)
{
    const struct text code = text_of(err->code);
    return text_is(code, "_AUTHENTICATION") || text_is(code, "_SSL");
}

enum outcome kafka_fail(rd_kafka_resp_err_t code, struct err *err, const char *format, ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    return err_set(err, outcome_of(code), rd_kafka_err2name(code), "%s: %s", what,
                   rd_kafka_err2str(code));
}

enum outcome kafka_transaction_fail(rd_kafka_error_t *error, const char *action, struct err *err)
{
    enum outcome outcome = OUTCOME_FATAL;
    if (rd_kafka_error_txn_requires_abort(error))
        outcome = OUTCOME_REJECT;
    else if (rd_kafka_error_is_retriable(error))
        outcome = OUTCOME_RETRY;

    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    err_set(err, outcome, rd_kafka_err2name(code), "%s: %s%s", action, rd_kafka_error_string(error),
            code == RD_KAFKA_RESP_ERR__FENCED
                ? " (another producer took this transactional.id; instance ids must be unique)"
                : "");
    rd_kafka_error_destroy(error);
    return outcome;
}
