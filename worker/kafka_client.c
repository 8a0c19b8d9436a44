#include "worker/kafka_client.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

/* Roles as bits, so that a row below serves several. */
#define OF(role) (1U << (role))
#define CONSUMERS (OF(KAFKA_LANE_CONSUMER) | OF(KAFKA_READER))
#define PRODUCERS (OF(KAFKA_LANE_PRODUCER) | OF(KAFKA_PUBLISHER))
#define EVERY (CONSUMERS | PRODUCERS | OF(KAFKA_ADMIN))

/* cooperative-sticky of older libraries asserts, hangs or loops (mended up to 2.6.1). */
enum { COOPERATIVE_SINCE = 0x020601FF };

struct role_setting {
    unsigned roles;
    const char *name;
    const char *value;
};

/* The operator may set these otherwise. */
static const struct role_setting defaults[] = {
    {EVERY, "bootstrap.servers", "localhost:9092"},
    {EVERY, "socket.keepalive.enable", "true"},
    /* Idle connections are closed by brokers all the time. */
    {EVERY, "log.connection.close", "false"},
    /* A broker that is back is found within two seconds, not ten. */
    {EVERY, "reconnect.backoff.max.ms", "2000"},
    {OF(KAFKA_LANE_CONSUMER), "partition.assignment.strategy", "range"},
    {OF(KAFKA_LANE_CONSUMER), "session.timeout.ms", "45000"},
    {CONSUMERS, "fetch.wait.max.ms", "50"},
    /* Prefetch: about a second of consumption in messages (with less the fetcher of 2.0 pauses up
     * to a second between refills), bounded in bytes so that a backlog of any size stays small in
     * memory; librdkafka adds about 500 bytes of its own to a message. Two lanes with these drain
     * 400,000 commands at 47,000/s within 87 MiB resident; with fetches of 8 MiB and 30,000
     * messages it was 43,000/s and 102 MiB. */
    {OF(KAFKA_LANE_CONSUMER), "queued.min.messages", "24000"},
    {OF(KAFKA_READER), "queued.min.messages", "10000"},
    {CONSUMERS, "queued.max.messages.kbytes", "8192"},
    {CONSUMERS, "fetch.max.bytes", "2097152"},
    {CONSUMERS, "max.partition.fetch.bytes", "524288"},
    {CONSUMERS, "check.crcs", "true"},
    {PRODUCERS, "socket.nagle.disable", "true"},
    {PRODUCERS, "partitioner", "murmur2_random"}, /* as Java clients place keys */
    {PRODUCERS, "queue.buffering.max.kbytes", "65536"},
    /* 100 ms, the default of 2.0, stands between the requests of each transaction. */
    {OF(KAFKA_LANE_PRODUCER), "retry.backoff.ms", "10"},
    {OF(KAFKA_LANE_PRODUCER), "linger.ms", "1"},
    {OF(KAFKA_PUBLISHER), "message.timeout.ms", "60000"}, /* somebody waits for the answer */
    {OF(KAFKA_LANE_PRODUCER), "transaction.timeout.ms", "20000"},
};

/* What the guarantees rest on. */
static const struct role_setting forced[] = {
    {CONSUMERS, "isolation.level", "read_committed"},
    {CONSUMERS, "enable.auto.commit", "false"},
    {CONSUMERS, "enable.auto.offset.store", "false"},
    {CONSUMERS, "auto.offset.reset", "earliest"},
    /* A mistyped name must be an error. Producers obey it too, though it is listed for consumers.
     */
    {EVERY, "allow.auto.create.topics", "false"},
    {OF(KAFKA_LANE_CONSUMER), "enable.partition.eof", "false"},
    {OF(KAFKA_READER), "enable.partition.eof", "true"},
    {PRODUCERS, "enable.idempotence", "true"},
    {PRODUCERS, "acks", "all"},
};

/* --- logs --------------------------------------------------------------------------------------
 */

enum { LOG_GATES = 16, LOG_GATE_US = 5000000 };

/* One gate for each kind of line, so that a broker that is away does not fill the log. Kinds that
 * share a gate shut it for each other, which costs a line now and then. */
static struct {
    pthread_mutex_t lock;
    struct {
        uint32_t kind;
        int64_t opens_us;
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
        limiter.gates[i].suppressed = 0;
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

/* --- configuration -----------------------------------------------------------------------------
 */

static enum outcome set_own(rd_kafka_conf_t *conf, const char *name, const char *value,
                            struct err *err)
{
    char reason[256];
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
        return err_set(err, OUTCOME_FATAL, "", "librdkafka refuses the worker's own %s", name);
    return OUTCOME_OK;
}

static enum outcome set_rows(rd_kafka_conf_t *conf, const struct role_setting *rows, size_t count,
                             enum kafka_role role, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if ((rows[i].roles & OF(role)) == 0)
            continue;
        enum outcome outcome = set_own(conf, rows[i].name, rows[i].value, err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}

/* What is wrong with the property, or NULL. librdkafka's own text would quote the value. */
static const char *property_fault(rd_kafka_conf_t *conf, const struct kafka_property *property)
{
    char reason[256];
    switch (rd_kafka_conf_set(conf, property->name, property->value, reason, sizeof(reason))) {
    case RD_KAFKA_CONF_UNKNOWN:
        return "librdkafka knows no such property";
    case RD_KAFKA_CONF_INVALID:
        return "librdkafka refuses the value";
    case RD_KAFKA_CONF_OK:
        break;
    }
    if (strcmp(property->name, "partition.assignment.strategy") == 0 &&
        strstr(property->value, "cooperative") != NULL && rd_kafka_version() < COOPERATIVE_SINCE)
        return "cooperative-sticky needs librdkafka 2.6.1 or newer";
    return NULL;
}

static enum outcome set_properties(rd_kafka_conf_t *conf, const struct config *config,
                                   struct err *err)
{
    for (size_t i = 0; i < config->kafka_count; i++) {
        const struct kafka_property *property = &config->kafka[i];
        const char *fault = property_fault(conf, property);
        if (fault != NULL)
            return err_set(err, OUTCOME_REJECT, "", "%s: kafka.%s: %s (this is librdkafka %s)",
                           property->where != NULL ? property->where : "configuration",
                           property->name, fault, rd_kafka_version_str());
    }
    return OUTCOME_OK;
}

static enum outcome fill(rd_kafka_conf_t *conf, const struct config *config, enum kafka_role role,
                         const char *client_suffix, struct err *err)
{
    char client[256];
    snprintf(client, sizeof(client), "catalyst-worker-%s-%s", config->instance_id, client_suffix);

    enum outcome outcome = set_own(conf, "client.id", client, err);
    if (outcome == OUTCOME_OK)
        outcome = set_rows(conf, defaults, sizeof(defaults) / sizeof(defaults[0]), role, err);
    if (outcome == OUTCOME_OK)
        outcome = set_properties(conf, config, err);
    if (outcome == OUTCOME_OK)
        outcome = set_rows(conf, forced, sizeof(forced) / sizeof(forced[0]), role, err);
    return outcome;
}

enum outcome kafka_conf_new(const struct config *config, enum kafka_role role,
                            const char *client_suffix, const struct kafka_setting *own,
                            size_t own_count, rd_kafka_conf_t **ret_conf, struct err *err)
{
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (conf == NULL)
        return err_no_memory(err, "Kafka configuration");

    enum outcome outcome = fill(conf, config, role, client_suffix, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < own_count; i++)
        outcome = set_own(conf, own[i].name, own[i].value, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    /* Tokens are fetched by a thread of librdkafka: a lane that waits for PostgreSQL must not let
     * them expire. */
    rd_kafka_conf_enable_sasl_queue(conf, 1);

    *ret_conf = TAKE(conf);
    return OUTCOME_OK;
}

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

static int64_t number_in(const rd_kafka_conf_t *conf, const char *name, int64_t otherwise)
{
    char text[32];
    size_t length = sizeof(text);
    if (rd_kafka_conf_get(conf, name, text, &length) != RD_KAFKA_CONF_OK)
        return otherwise;
    char *end;
    long long number = strtoll(text, &end, 10);
    return end != text && *end == '\0' ? number : otherwise;
}

int64_t kafka_conf_number(rd_kafka_t *handle, const char *name, int64_t otherwise)
{
    return number_in(rd_kafka_conf(handle), name, otherwise);
}

static const char *where_set(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->kafka_count; i++) {
        if (strcmp(config->kafka[i].name, name) == 0 && config->kafka[i].where != NULL)
            return config->kafka[i].where;
    }
    return NULL;
}

static bool check_timeouts(const struct config *config, const rd_kafka_conf_t *conf,
                           struct config_problems *problems)
{
    int64_t session = number_in(conf, "session.timeout.ms", 0);
    int64_t transaction = number_in(conf, "transaction.timeout.ms", 0);
    if (session > transaction)
        return true;

    const char *where = where_set(config, "session.timeout.ms");
    if (where == NULL)
        where = where_set(config, "transaction.timeout.ms");
    return config_problem_add(
        problems, where != NULL ? where : "configuration",
        "kafka.session.timeout.ms must exceed kafka.transaction.timeout.ms: a "
        "consumer that was thrown out could still commit a transaction");
}

bool kafka_config_check(const struct config *config, struct config_problems *problems)
{
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct err ignored;
    if (conf == NULL ||
        set_rows(conf, defaults, sizeof(defaults) / sizeof(defaults[0]), KAFKA_LANE_CONSUMER,
                 &ignored) != OUTCOME_OK ||
        set_rows(conf, defaults, sizeof(defaults) / sizeof(defaults[0]), KAFKA_LANE_PRODUCER,
                 &ignored) != OUTCOME_OK)
        return false;

    for (size_t i = 0; i < config->kafka_count; i++) {
        const struct kafka_property *property = &config->kafka[i];
        const char *fault = property_fault(conf, property);
        if (fault != NULL &&
            !config_problem_add(problems,
                                property->where != NULL ? property->where : "configuration",
                                "kafka.%s: %s (this is librdkafka %s)", property->name, fault,
                                rd_kafka_version_str()))
            return false;
    }
    return check_timeouts(config, conf, problems);
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
