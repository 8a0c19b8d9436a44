#include "worker/kafka/kafka_admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "worker/kafka/kafka_client.h"

/* How long one attempt at a question takes that may have to be asked again. */
enum { ASK_SLICE_MS = 500 };

/* How often a topic must be missing, and how far apart. */
enum { MISSING_ASKS = 6, MISSING_PAUSE_MS = 500 };

struct kafka_admin {
    rd_kafka_t *handle;
    rd_kafka_queue_t *queue; /* of answers */
    /* Why brokers refuse the connection, as the client told last; NO_ERROR: they do not. librdkafka
     * tells it beside a question that it goes on trying to ask until the time is over. */
    rd_kafka_resp_err_t refusal;
    char refusal_reason[256];
};

DEFINE_CLEANUP(rd_kafka_AdminOptions_t *, rd_kafka_AdminOptions_destroy)
DEFINE_CLEANUP(rd_kafka_NewTopic_t *, rd_kafka_NewTopic_destroy)
DEFINE_CLEANUP(rd_kafka_ConfigResource_t *, rd_kafka_ConfigResource_destroy)
DEFINE_CLEANUP(rd_kafka_topic_t *, rd_kafka_topic_destroy)
DEFINE_CLEANUP(rd_kafka_message_t *, rd_kafka_message_destroy)

static void on_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
    struct kafka_admin *admin = opaque;

    kafka_log_error(handle, code, reason);
    if (!kafka_is_refusal((rd_kafka_resp_err_t)code))
        return;
    admin->refusal = (rd_kafka_resp_err_t)code;
    snprintf(admin->refusal_reason, sizeof(admin->refusal_reason), "%s", reason);
}

static enum outcome open_handle(struct kafka_admin *admin, const struct config *config,
                                struct err *err)
{
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    enum outcome outcome = kafka_conf_new(config, KAFKA_ADMIN, "admin", NULL, 0, &conf, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    rd_kafka_conf_set_opaque(conf, admin);
    rd_kafka_conf_set_error_cb(conf, on_error);
    outcome = kafka_new(RD_KAFKA_PRODUCER, &conf, &admin->handle, err);
    if (outcome == OUTCOME_OK)
        admin->queue = rd_kafka_queue_new(admin->handle);
    return outcome;
}

enum outcome kafka_admin_new(const struct config *config, struct kafka_admin **ret_admin,
                             struct err *err)
{
    struct kafka_admin *admin = calloc(1, sizeof(*admin));
    if (admin == NULL)
        return err_no_memory(err, "Kafka administration");

    enum outcome outcome = open_handle(admin, config, err);
    if (outcome != OUTCOME_OK) {
        kafka_admin_free(admin);
        return outcome;
    }
    *ret_admin = admin;
    return OUTCOME_OK;
}

void kafka_admin_free(struct kafka_admin *admin)
{
    if (admin->queue != NULL)
        rd_kafka_queue_destroy(admin->queue);
    if (admin->handle != NULL)
        rd_kafka_destroy(admin->handle);
    free(admin);
}

static enum outcome not_reached(struct kafka_admin *admin, rd_kafka_resp_err_t code,
                                struct err *err)
{
    /* Serves the error callback, which tells what stands in the way. */
    rd_kafka_poll(admin->handle, 0);
    if (admin->refusal == RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(code, err, "reach the Kafka cluster");
    return err_set(err, OUTCOME_RETRY, rd_kafka_err2name(admin->refusal),
                   "reach the Kafka cluster: %s", admin->refusal_reason);
}

enum outcome kafka_admin_reach(struct kafka_admin *admin, int timeout_ms, int *ret_brokers,
                               struct err *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    int64_t end_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    rd_kafka_resp_err_t code;

    /* A broker that is starting accepts connections and breaks them again. */
    for (;;) {
        int remaining_ms = (int)((end_us - clock_monotonic_us()) / 1000);
        if (remaining_ms < 1)
            remaining_ms = 1;
        code = rd_kafka_metadata(admin->handle, 0, NULL, &metadata, remaining_ms);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR || clock_monotonic_us() >= end_us)
            break;
        clock_sleep_us(50000);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return not_reached(admin, code, err);
    *ret_brokers = metadata->broker_cnt;
    rd_kafka_metadata_destroy(metadata);
    return OUTCOME_OK;
}

/* --- names -------------------------------------------------------------------------------------
 */

static bool names_add(struct kafka_topic_names *names, enum kafka_topic_use use, const char *name,
                      const char *suffix)
{
    size_t size = strlen(name) + strlen(suffix) + 1;
    char *whole = malloc(size);
    if (whole == NULL)
        return false;
    snprintf(whole, size, "%s%s", name, suffix);
    struct kafka_topic_name *item = &names->items[names->count++];
    item->name = whole;
    item->use = use;
    return true;
}

enum outcome kafka_topic_names(const struct config *config, struct kafka_topic_names *ret_names,
                               struct err *err)
{
    struct kafka_topic_names names = {
        calloc(2 * config->command_topic_count + 1, sizeof(struct kafka_topic_name)), 0};
    bool fits = names.items != NULL;

    for (size_t i = 0; fits && i < config->command_topic_count; i++)
        fits = names_add(&names, KAFKA_COMMAND_TOPIC, config->command_topics[i], "") &&
               names_add(&names, KAFKA_DEAD_LETTER_TOPIC, config->command_topics[i],
                         config->dlq_suffix);
    if (!fits || !names_add(&names, KAFKA_AUDIT_TOPIC, config->audit_topic, "")) {
        kafka_topic_names_release(&names);
        return err_no_memory(err, "topic names");
    }
    *ret_names = names;
    return OUTCOME_OK;
}

void kafka_topic_names_release(struct kafka_topic_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i].name);
    free(names->items);
    *names = (struct kafka_topic_names){NULL, 0};
}

/* --- describe ----------------------------------------------------------------------------------
 */

static enum outcome describe_metadata(const struct rd_kafka_metadata_topic *topic, const char *name,
                                      struct kafka_topic *ret_topic, struct err *err)
{
    switch ((int)topic->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
        break;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        ret_topic->state = KAFKA_TOPIC_MISSING;
        return OUTCOME_OK;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        ret_topic->state = KAFKA_TOPIC_FORBIDDEN;
        return OUTCOME_OK;
    default:
        return kafka_fail(topic->err, err, "describe topic %s", name);
    }

    ret_topic->state = KAFKA_TOPIC_THERE;
    ret_topic->partitions = topic->partition_cnt;
    for (int i = 0; i < topic->partition_cnt; i++) {
        if (topic->partitions[i].leader < 0)
            ret_topic->state = KAFKA_TOPIC_LEADERLESS;
        if (i == 0 || topic->partitions[i].replica_cnt < ret_topic->replicas)
            ret_topic->replicas = topic->partitions[i].replica_cnt;
    }
    return OUTCOME_OK;
}

static enum outcome describe_topic(struct kafka_admin *admin, const char *name, int timeout_ms,
                                   struct kafka_topic *ret_topic, struct err *err)
{
    *ret_topic =
        (struct kafka_topic){.retention_ms = KAFKA_NOT_TOLD, .max_message_bytes = KAFKA_NOT_TOLD};
    CLEANUP(rd_kafka_topic_destroyp)
    rd_kafka_topic_t *handle = rd_kafka_topic_new(admin->handle, name, NULL);
    if (handle == NULL)
        return kafka_fail(rd_kafka_last_error(), err, "describe topic %s", name);

    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(admin->handle, 0, handle, &metadata, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__TIMED_OUT)
        return not_reached(admin, code, err);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(code, err, "describe topic %s", name);
    enum outcome outcome =
        metadata->topic_cnt == 1
            ? describe_metadata(&metadata->topics[0], name, ret_topic, err)
            : err_set(err, OUTCOME_RETRY, "", "describe topic %s: no answer about it", name);
    rd_kafka_metadata_destroy(metadata);
    return outcome;
}

static void read_setting(const rd_kafka_ConfigEntry_t *entry, struct kafka_topic *topic)
{
    const char *name = rd_kafka_ConfigEntry_name(entry);
    const char *value = rd_kafka_ConfigEntry_value(entry);
    if (value == NULL)
        return;
    if (strcmp(name, "retention.ms") == 0)
        topic->retention_ms = strtoll(value, NULL, 10);
    else if (strcmp(name, "max.message.bytes") == 0)
        topic->max_message_bytes = strtoll(value, NULL, 10);
    else if (strcmp(name, "cleanup.policy") == 0)
        topic->compacted = strstr(value, "compact") != NULL;
    else if (strcmp(name, "compression.type") == 0)
        topic->compressed = strcmp(value, "uncompressed") != 0;
}

static rd_kafka_AdminOptions_t *options_new(struct kafka_admin *admin, rd_kafka_admin_op_t op,
                                            int timeout_ms)
{
    char reason[128];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(admin->handle, op);
    rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, reason, sizeof(reason));
    return options;
}

/* Settings are an extra that needs a permission of its own: what cannot be had stays not told. */
static void describe_settings(struct kafka_admin *admin, const char *name, int timeout_ms,
                              struct kafka_topic *topic)
{
    CLEANUP(rd_kafka_AdminOptions_destroyp)
    rd_kafka_AdminOptions_t *options =
        options_new(admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
    CLEANUP(rd_kafka_ConfigResource_destroyp)
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_DescribeConfigs(admin->handle, &resource, 1, options, admin->queue);

    CLEANUP(rd_kafka_event_destroyp)
    rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, timeout_ms + 1000);
    const rd_kafka_DescribeConfigs_result_t *result =
        event != NULL ? rd_kafka_event_DescribeConfigs_result(event) : NULL;
    if (result == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    size_t resource_count;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(result, &resource_count);
    if (resource_count != 1 ||
        rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    size_t entry_count;
    const rd_kafka_ConfigEntry_t **entries =
        rd_kafka_ConfigResource_configs(resources[0], &entry_count);
    for (size_t i = 0; i < entry_count; i++)
        read_setting(entries[i], topic);
}

static enum outcome describe(struct kafka_admin *admin, const char *name, int timeout_ms,
                             struct kafka_topic *ret_topic, struct err *err)
{
    enum outcome outcome = describe_topic(admin, name, timeout_ms, ret_topic, err);
    if (outcome == OUTCOME_OK &&
        (ret_topic->state == KAFKA_TOPIC_THERE || ret_topic->state == KAFKA_TOPIC_LEADERLESS))
        describe_settings(admin, name, timeout_ms, ret_topic);
    return outcome;
}

enum outcome kafka_admin_describe(struct kafka_admin *admin, const char *const *names, size_t count,
                                  int timeout_ms, struct kafka_topic *ret_topics, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;
    for (size_t i = 0; i < count && outcome == OUTCOME_OK; i++)
        outcome = describe(admin, names[i], timeout_ms, &ret_topics[i], err);
    return outcome;
}

enum outcome kafka_admin_describe_configured(struct kafka_admin *admin,
                                             const struct kafka_topic_names *names, int timeout_ms,
                                             struct kafka_topic *ret_topics, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;
    for (size_t i = 0; i < names->count && outcome == OUTCOME_OK; i++)
        outcome = describe(admin, names->items[i].name, timeout_ms, &ret_topics[i], err);
    return outcome;
}

static bool some_are_missing(const struct kafka_topic *topics, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (topics[i].state == KAFKA_TOPIC_MISSING)
            return true;
    }
    return false;
}

enum outcome kafka_admin_describe_settled(struct kafka_admin *admin,
                                          const struct kafka_topic_names *names, int timeout_ms,
                                          bool (*pause)(void *context, int64_t pause_ms),
                                          void *context, struct kafka_topic *ret_topics,
                                          struct err *err)
{
    for (int asked = 1;; asked++) {
        enum outcome outcome =
            kafka_admin_describe_configured(admin, names, timeout_ms, ret_topics, err);
        if (outcome != OUTCOME_OK || asked == MISSING_ASKS ||
            !some_are_missing(ret_topics, names->count) || !pause(context, MISSING_PAUSE_MS))
            return outcome;
    }
}

enum outcome kafka_admin_first_offsets(struct kafka_admin *admin, const char *name, int partitions,
                                       int timeout_ms, int64_t *ret_offsets, struct err *err)
{
    for (int i = 0; i < partitions; i++) {
        int64_t end;
        rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
            admin->handle, name, i, &ret_offsets[i], &end, timeout_ms);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return kafka_fail(code, err, "first offset of %s partition %d", name, i);
    }
    return OUTCOME_OK;
}

/* --- create ------------------------------------------------------------------------------------
 */

static enum outcome created(rd_kafka_event_t *event, const char *name, bool *ret_created,
                            struct err *err)
{
    if (event == NULL)
        return kafka_fail(RD_KAFKA_RESP_ERR__TIMED_OUT, err, "create topic %s", name);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(rd_kafka_event_error(event), err, "create topic %s", name);

    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    rd_kafka_resp_err_t code =
        count == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
    *ret_created = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return OUTCOME_OK;
    enum outcome outcome = kafka_fail(code, err, "create topic %s", name);
    const char *reason = count == 1 ? rd_kafka_topic_result_error_string(results[0]) : NULL;
    if (reason != NULL)
        err_set(err, outcome, rd_kafka_err2name(code), "create topic %s: %s", name, reason);
    return outcome;
}

enum outcome kafka_admin_create(struct kafka_admin *admin, const struct kafka_new_topic *topic,
                                int timeout_ms, bool *ret_created, struct err *err)
{
    char reason[256];
    CLEANUP(rd_kafka_NewTopic_destroyp)
    rd_kafka_NewTopic_t *wish = rd_kafka_NewTopic_new(topic->name, topic->partitions,
                                                      topic->replicas, reason, sizeof(reason));
    if (wish == NULL)
        return err_set(err, OUTCOME_REJECT, "", "create topic %s: %s", topic->name, reason);
    if (topic->uncompressed)
        rd_kafka_NewTopic_set_config(wish, "compression.type", "uncompressed");

    CLEANUP(rd_kafka_AdminOptions_destroyp)
    rd_kafka_AdminOptions_t *options =
        options_new(admin, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
    /* Waits until all brokers know the topic, or the first use of it could fail. */
    rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, reason, sizeof(reason));
    rd_kafka_CreateTopics(admin->handle, &wish, 1, options, admin->queue);

    CLEANUP(rd_kafka_event_destroyp)
    rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, 2 * timeout_ms + 1000);
    return created(event, topic->name, ret_created, err);
}

/* --- permissions -------------------------------------------------------------------------------
 */

static enum outcome reader_new(const struct config *config, enum kafka_role role,
                               rd_kafka_t **ret_consumer, struct err *err)
{
    /* Stable offsets are not to be had while a lane's transaction is under way, or hangs. */
    const struct kafka_setting own[] = {{"group.id", config->group_id},
                                        {"isolation.level", "read_uncommitted"}};
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    enum outcome outcome = kafka_conf_new(config, role, "check", own, 2, &conf, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    outcome = kafka_new(RD_KAFKA_CONSUMER, &conf, ret_consumer, err);
    if (outcome == OUTCOME_OK)
        rd_kafka_poll_set_consumer(*ret_consumer);
    return outcome;
}

/* Who may not ask for the coordinator is told so by the consumer's queue; the question itself waits
 * for a coordinator until it times out. */
static rd_kafka_resp_err_t refusal_of_group(rd_kafka_t *consumer)
{
    CLEANUP(rd_kafka_message_destroyp)
    rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 0);

    return message != NULL && message->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
               ? message->err
               : RD_KAFKA_RESP_ERR__TIMED_OUT;
}

enum outcome kafka_probe_group(const struct config *config, int timeout_ms, struct err *err)
{
    CLEANUP(rd_kafka_destroyp) rd_kafka_t *consumer = NULL;
    enum outcome outcome = reader_new(config, KAFKA_LANE_CONSUMER, &consumer, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, config->command_topics[0], 0);
    int64_t end_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    rd_kafka_resp_err_t code;
    do {
        code = rd_kafka_committed(consumer, list, ASK_SLICE_MS);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            code = list->elems[0].err;
        else if (code == RD_KAFKA_RESP_ERR__TIMED_OUT)
            code = refusal_of_group(consumer);
    } while (code == RD_KAFKA_RESP_ERR__TIMED_OUT && clock_monotonic_us() < end_us);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? OUTCOME_OK
               : kafka_fail(code, err, "consumer group %s", config->group_id);
}

enum outcome kafka_probe_read(const struct config *config, const char *topic, int timeout_ms,
                              struct err *err)
{
    CLEANUP(rd_kafka_destroyp) rd_kafka_t *consumer = NULL;
    enum outcome outcome = reader_new(config, KAFKA_READER, &consumer, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = RD_KAFKA_OFFSET_END;
    rd_kafka_resp_err_t code = rd_kafka_assign(consumer, list);
    int64_t end_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    while (code == RD_KAFKA_RESP_ERR_NO_ERROR && clock_monotonic_us() < end_us) {
        CLEANUP(rd_kafka_message_destroyp)
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        if (message == NULL)
            continue;
        /* A record, or the end of the partition: it may be read. */
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
            message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            return OUTCOME_OK;
        if (message->rkt != NULL)
            code = message->err;
    }
    return kafka_fail(code != RD_KAFKA_RESP_ERR_NO_ERROR ? code : RD_KAFKA_RESP_ERR__TIMED_OUT, err,
                      "read topic %s", topic);
}

enum outcome kafka_probe_transactions(const struct config *config, int timeout_ms, struct err *err)
{
    char id[512];
    snprintf(id, sizeof(id), "%s.%s.check", config->group_id, config->instance_id);
    const struct kafka_setting own[] = {{"transactional.id", id}};
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    CLEANUP(rd_kafka_destroyp) rd_kafka_t *producer = NULL;
    enum outcome outcome = kafka_conf_new(config, KAFKA_LANE_PRODUCER, "check", own, 1, &conf, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_new(RD_KAFKA_PRODUCER, &conf, &producer, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    CLEANUP(rd_kafka_error_destroyp)
    rd_kafka_error_t *error = rd_kafka_init_transactions(producer, timeout_ms);
    return error == NULL ? OUTCOME_OK
                         : kafka_fail(rd_kafka_error_code(error), err, "transactional ids %s.%s.*",
                                      config->group_id, config->instance_id);
}
