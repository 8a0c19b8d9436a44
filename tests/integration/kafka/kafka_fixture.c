#include "tests/integration/kafka/kafka_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "worker/kafka/kafka_admin.h"
#include "worker/kafka/kafka_publisher.h"

enum { TIMEOUT_MS = 10000, OVERRIDES_MAX = 16 };

static char *bootstrap_variable(void)
{
    const char *servers = getenv("CATALYST_KAFKA_BOOTSTRAP_SERVERS");
    if (servers == NULL)
        fail_msg(
            "CATALYST_KAFKA_BOOTSTRAP_SERVERS is not set: eval \"$(deploy/local/stack.sh env)\"");
    static char variable[512];
    snprintf(variable, sizeof(variable), "CATALYST_KAFKA_BOOTSTRAP_SERVERS=%s", servers);
    return variable;
}

static void load(const struct rig *rig, const char *group, const char *instance,
                 const char *const *properties, struct config *ret_config)
{
    char *const environment[] = {bootstrap_variable(), NULL};
    struct config_override overrides[OVERRIDES_MAX] = {
        {"worker.command_topics", rig->commands, "test"},
        {"worker.audit_topic", rig->audit, "test"},
        {"worker.group_id", group, "test"},
        {"worker.instance_id", instance, "test"},
    };
    char settings[OVERRIDES_MAX][256];
    size_t count = 4;
    for (; properties != NULL && *properties != NULL; properties++, count++) {
        assert_true(count < OVERRIDES_MAX);
        const char *equals = strchr(*properties, '=');
        snprintf(settings[count], sizeof(settings[count]), "kafka.%.*s",
                 (int)(equals - *properties), *properties);
        overrides[count] = (struct config_override){settings[count], equals + 1, "test"};
    }

    struct config_problems problems = {0};
    struct err err = {0};
    if (config_load(NULL, environment, overrides, count, ret_config, &problems, &err) != OUTCOME_OK)
        fail_msg("configuration: %s", problems.count > 0 ? problems.items[0].what : err.text);
    config_problems_release(&problems);
}

/* A broker that was away for a moment needs some seconds until it takes part again. */
enum { PATIENCE_US = 40000000 };

static void create(struct kafka_admin *admin, const char *topic, int partitions)
{
    const struct kafka_new_topic wish = {topic, partitions, -1};
    struct err err = {0};
    bool created;
    enum outcome outcome;
    int64_t end_us = clock_monotonic_us() + PATIENCE_US;

    while ((outcome = kafka_admin_create(admin, &wish, TIMEOUT_MS, &created, &err)) ==
               OUTCOME_RETRY &&
           clock_monotonic_us() < end_us)
        clock_sleep_us(100000);
    if (outcome != OUTCOME_OK)
        fail_msg("%s", err.text);
}

void rig_setup(struct rig *rig, int partitions, const char *const *properties)
{
    static int nth;
    char group[64];
    *rig = (struct rig){0};
    log_configure(LOG_ERROR, LOG_LOGFMT);
    snprintf(group, sizeof(group), "test-%d-%lld-%d", getpid(), (long long)(clock_wall_us() / 1000),
             nth++);
    snprintf(rig->commands, sizeof(rig->commands), "%s.c", group);
    snprintf(rig->audit, sizeof(rig->audit), "%s.a", group);
    snprintf(rig->dead_letters, sizeof(rig->dead_letters), "%s.c.dlq", group);
    load(rig, group, "one", properties, &rig->config);

    struct err err = {0};
    CLEANUP(kafka_admin_freep) struct kafka_admin *admin = NULL;
    assert_int_equal(kafka_admin_new(&rig->config, &admin, &err), OUTCOME_OK);
    create(admin, rig->commands, partitions);
    create(admin, rig->audit, 1);
    create(admin, rig->dead_letters, 1);
}

void rig_replica(const struct rig *rig, const char *instance, const char *const *properties,
                 struct config *ret_config)
{
    load(rig, rig->config.group_id, instance, properties, ret_config);
}

static rd_kafka_t *open_handle(const struct rig *rig, rd_kafka_type_t type, enum kafka_role role)
{
    const struct kafka_setting own[] = {{"group.id", rig->config.group_id}};
    struct err err = {0};
    rd_kafka_conf_t *conf = NULL;
    rd_kafka_t *handle = NULL;
    if (kafka_conf_new(&rig->config, role, "fixture", own, type == RD_KAFKA_CONSUMER ? 1 : 0, &conf,
                       &err) != OUTCOME_OK ||
        kafka_new(type, &conf, &handle, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
    return handle;
}

void rig_teardown(struct rig *rig)
{
    CLEANUP(rd_kafka_destroyp)
    rd_kafka_t *handle = open_handle(rig, RD_KAFKA_PRODUCER, KAFKA_ADMIN);
    CLEANUP(rd_kafka_queue_destroyp) rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
    rd_kafka_DeleteTopic_t *topics[] = {rd_kafka_DeleteTopic_new(rig->commands),
                                        rd_kafka_DeleteTopic_new(rig->audit),
                                        rd_kafka_DeleteTopic_new(rig->dead_letters)};
    rd_kafka_DeleteTopics(handle, topics, 3, NULL, queue);
    CLEANUP(rd_kafka_event_destroyp)
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    assert_non_null(event);
    rd_kafka_DeleteTopic_destroy_array(topics, 3);
    config_release(&rig->config);
}

void rig_limit_records(const struct rig *rig, const char *topic, int bytes)
{
    rd_kafka_t *handle = open_handle(rig, RD_KAFKA_PRODUCER, KAFKA_PUBLISHER);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    char value[32];

    snprintf(value, sizeof(value), "%d", bytes);
    rd_kafka_ConfigResource_set_config(resource, "max.message.bytes", value);
    rd_kafka_AlterConfigs(handle, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    assert_non_null(event);
    size_t count;
    const rd_kafka_ConfigResource_t **results =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
    assert_int_equal(count, 1);
    assert_int_equal(rd_kafka_ConfigResource_error(results[0]), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(handle);
}

void rig_fill(const struct rig *rig, const char *topic, int partition, const char *prefix,
              int count)
{
    CLEANUP(rd_kafka_destroyp)
    rd_kafka_t *producer = open_handle(rig, RD_KAFKA_PRODUCER, KAFKA_PUBLISHER);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(producer, topic, NULL);
    for (int i = 0; i < count; i++) {
        char value[64];
        int length = snprintf(value, sizeof(value), "%s%d", prefix, i);
        assert_int_equal(rd_kafka_produce(handle, partition, RD_KAFKA_MSG_F_COPY, value,
                                          (size_t)length, NULL, 0, NULL),
                         0);
    }
    assert_int_equal(rd_kafka_flush(producer, TIMEOUT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_destroy(handle);
}

void rig_commit(const struct rig *rig, int partition, int64_t offset)
{
    rd_kafka_t *member = open_handle(rig, RD_KAFKA_CONSUMER, KAFKA_LANE_CONSUMER);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, rig->commands, partition)->offset = offset;
    assert_int_equal(rd_kafka_commit(member, list, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(member);
}

static void count_delivered(void *context, uint64_t mark, enum outcome outcome,
                            const struct err *err)
{
    size_t *delivered = context;
    if (outcome != OUTCOME_OK)
        fail_msg("record %d: %s", (int)mark, err->text);
    (*delivered)++;
}

void rig_publish(const struct rig *rig, const struct outgoing_record *records, size_t count)
{
    struct err err = {0};
    size_t delivered = 0;
    CLEANUP(kafka_publisher_freep) struct kafka_publisher *publisher = NULL;
    assert_int_equal(
        kafka_publisher_new(&rig->config, count_delivered, &delivered, &publisher, &err), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(kafka_publisher_send(publisher, &records[i], i, &err), OUTCOME_OK);
    assert_int_equal(kafka_publisher_flush(publisher, TIMEOUT_MS), 0);
    assert_int_equal(delivered, count);
}

static int partition_count(rd_kafka_t *handle, const char *topic)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(handle, topic, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    assert_int_equal(rd_kafka_metadata(handle, 0, rkt, &metadata, TIMEOUT_MS),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    int count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(rkt);
    return count;
}

size_t rig_read(const struct rig *rig, const char *topic, struct record *ret_records,
                size_t capacity)
{
    CLEANUP(rd_kafka_destroyp)
    rd_kafka_t *consumer = open_handle(rig, RD_KAFKA_CONSUMER, KAFKA_READER);
    rd_kafka_poll_set_consumer(consumer);
    int partitions = partition_count(consumer, topic), ends = 0;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    assert_int_equal(rd_kafka_assign(consumer, list), RD_KAFKA_RESP_ERR_NO_ERROR);

    size_t count = 0;
    int64_t end_us = clock_monotonic_us() + (int64_t)TIMEOUT_MS * 1000;
    while (ends < partitions && count < capacity) {
        assert_true(clock_monotonic_us() < end_us);
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        if (message == NULL)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ends++;
        } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            struct record *record = &ret_records[count++];
            record->partition = message->partition;
            record->offset = message->offset;
            snprintf(record->value, sizeof(record->value), "%.*s", (int)message->len,
                     (const char *)message->payload);
        }
        rd_kafka_message_destroy(message);
    }
    return count;
}

size_t rig_poll(struct source *source, const struct batch_limits *limits,
                const struct message **ret_messages)
{
    int64_t end_us = clock_monotonic_us() + (int64_t)TIMEOUT_MS * 1000;
    size_t count = 0;
    struct err err = {0};
    while (count == 0 && clock_monotonic_us() < end_us) {
        if (source_poll(source, 100, limits, ret_messages, &count, &err) == OUTCOME_FATAL)
            fail_msg("%s", err.text);
    }
    return count;
}

int64_t rig_committed(struct source *source, const struct rig *rig, int partition)
{
    struct position position = {
        .topic = text_of(rig->commands), .partition = partition, .offset = 0};
    struct err err = {0};
    enum outcome outcome;
    int64_t end_us = clock_monotonic_us() + PATIENCE_US;

    while ((outcome = source_committed(source, &position, 1, &err)) == OUTCOME_RETRY &&
           clock_monotonic_us() < end_us)
        clock_sleep_us(100000);
    if (outcome != OUTCOME_OK)
        fail_msg("%s", err.text);
    return position.offset;
}
