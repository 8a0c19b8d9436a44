#include "worker/kafka/kafka_config.h"

#include <stdio.h>

#include "worker/kafka/kafka_client.h"

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
    /* A broker that hangs keeps its connections. Who leads its partitions now is asked only when a
     * connection is lost, else every five minutes by default; a consumer's request waits for 60 s
     * by default, a transactional producer's for what is left of its transaction. */
    {EVERY, "topic.metadata.refresh.interval.ms", "10000"},
    {CONSUMERS, "socket.timeout.ms", "15000"},
    {OF(KAFKA_LANE_CONSUMER), "partition.assignment.strategy", "range"},
    {OF(KAFKA_LANE_CONSUMER), "session.timeout.ms", "45000"},
    /* A member learns from the answer to a heartbeat that another one has joined, and all stand
     * until the last of them has: up to 3 s with librdkafka's default. */
    {OF(KAFKA_LANE_CONSUMER), "heartbeat.interval.ms", "1000"},
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
    /* Longer than a batch takes to be produced: the sink says when it is to go out. */
    {OF(KAFKA_LANE_PRODUCER), "linger.ms", "20"},
    {OF(KAFKA_PUBLISHER), "message.timeout.ms", "60000"}, /* somebody waits for the answer */
    {OF(KAFKA_LANE_PRODUCER), "transaction.timeout.ms", "20000"},
};

/* In place of those, for libraries that know the property named first. */
static const struct {
    const char *known;
    struct role_setting row;
} newer_defaults[] = {
    /* When no broker answers for a moment, 2.16 begins anew from bootstrap.servers; after that
     * consumers keep their partitions and fetch nothing, and cannot be closed. Producers need it: a
     * broker that shuts down may tell of no broker at all, and they forget the only one they know.
     */
    {"metadata.recovery.strategy", {CONSUMERS, "metadata.recovery.strategy", "none"}},
    /* The fetcher looks again soon, so that little need be there: four batches of 2,000. */
    {"fetch.queue.backoff.ms", {CONSUMERS, "fetch.queue.backoff.ms", "20"}},
    {"fetch.queue.backoff.ms", {CONSUMERS, "queued.min.messages", "8000"}},
    {"fetch.queue.backoff.ms", {CONSUMERS, "queued.max.messages.kbytes", "4096"}},
};

/* What the guarantees rest on. */
static const struct role_setting forced[] = {
    {CONSUMERS, "isolation.level", "read_committed"},
    {CONSUMERS, "enable.auto.commit", "false"},
    {CONSUMERS, "enable.auto.offset.store", "false"},
    /* A lane decides itself what follows when the log does not hold its position. */
    {OF(KAFKA_LANE_CONSUMER), "auto.offset.reset", "error"},
    {OF(KAFKA_READER), "auto.offset.reset", "earliest"},
    /* A mistyped name must be an error. Producers obey it too, though it is listed for consumers.
     */
    {EVERY, "allow.auto.create.topics", "false"},
    /* A lane commits past the control records at the end of a partition. */
    {CONSUMERS, "enable.partition.eof", "true"},
    {PRODUCERS, "enable.idempotence", "true"},
    {PRODUCERS, "acks", "all"},
};

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

static bool is_known(const rd_kafka_conf_t *conf, const char *name)
{
    size_t size = 0;
    return rd_kafka_conf_get(conf, name, NULL, &size) != RD_KAFKA_CONF_UNKNOWN;
}

static enum outcome set_newer_defaults(rd_kafka_conf_t *conf, enum kafka_role role, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    for (size_t i = 0; i < sizeof(newer_defaults) / sizeof(newer_defaults[0]); i++) {
        if (outcome == OUTCOME_OK && is_known(conf, newer_defaults[i].known))
            outcome = set_rows(conf, &newer_defaults[i].row, 1, role, err);
    }
    return outcome;
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
        outcome = set_newer_defaults(conf, role, err);
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

    kafka_conf_set_logs(conf);
    /* Tokens are fetched by a thread of librdkafka: a lane that waits for PostgreSQL must not let
     * them expire. */
    rd_kafka_conf_enable_sasl_queue(conf, 1);

    *ret_conf = TAKE(conf);
    return OUTCOME_OK;
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
    int64_t session = kafka_conf_number(conf, "session.timeout.ms", 0);
    int64_t transaction = kafka_conf_number(conf, "transaction.timeout.ms", 0);
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
