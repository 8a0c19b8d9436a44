#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/integration/kafka/kafka_fixture.h"
#include "worker/kafka/kafka_admin.h"
#include "worker/kafka/kafka_client.h"
#include "worker/kafka/kafka_config.h"

enum { TIMEOUT_MS = 10000 };

/* What the last failed call said. */
static struct err err;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if ((call) != OUTCOME_OK)                                                                  \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

static struct kafka_admin *open_admin(const struct config *config)
{
    struct kafka_admin *admin = NULL;
    assert_ok(kafka_admin_new(config, &admin, &err));
    return admin;
}

static void test_reach__counts_the_brokers(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    struct kafka_admin *admin = open_admin(&rig.config);

    int brokers = 0;
    assert_ok(kafka_admin_reach(admin, TIMEOUT_MS, &brokers, &err));

    assert_int_equal(brokers, 1);
    kafka_admin_free(admin);
    rig_teardown(&rig);
}

static void test_reach__gives_up_when_no_broker_answers(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    struct config other;
    rig_replica(&rig, "two", (const char *const[]){"bootstrap.servers=127.0.0.1:1", NULL}, &other);
    struct kafka_admin *admin = open_admin(&other);
    int64_t since_us = clock_monotonic_us();

    int brokers;
    enum outcome outcome = kafka_admin_reach(admin, 700, &brokers, &err);

    assert_int_equal(outcome, OUTCOME_RETRY);
    assert_in_range(clock_monotonic_us() - since_us, 600000, 3000000);
    kafka_admin_free(admin);
    config_release(&other);
    rig_teardown(&rig);
}

static void test_topic_names__are_all_topics_of_the_configuration(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);

    struct kafka_topic_names names;
    assert_ok(kafka_topic_names(&rig.config, &names, &err));

    assert_int_equal(names.count, 3);
    assert_string_equal(names.items[0].name, rig.commands);
    assert_int_equal(names.items[0].use, KAFKA_COMMAND_TOPIC);
    assert_string_equal(names.items[1].name, rig.dead_letters);
    assert_int_equal(names.items[1].use, KAFKA_DEAD_LETTER_TOPIC);
    assert_string_equal(names.items[2].name, rig.audit);
    assert_int_equal(names.items[2].use, KAFKA_AUDIT_TOPIC);
    kafka_topic_names_release(&names);
    rig_teardown(&rig);
}

static void test_describe__tells_what_is_there_and_what_is_not(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 3, NULL);
    struct kafka_admin *admin = open_admin(&rig.config);
    const char *names[] = {rig.commands, "no-such-topic"};
    struct kafka_topic topics[2];

    assert_ok(kafka_admin_describe(admin, names, 2, TIMEOUT_MS, topics, &err));

    assert_int_equal(topics[0].state, KAFKA_TOPIC_THERE);
    assert_int_equal(topics[0].partitions, 3);
    assert_int_equal(topics[0].replicas, 1);
    assert_int_equal(topics[0].max_message_bytes, 1048588);
    assert_int_not_equal(topics[0].retention_ms, KAFKA_NOT_TOLD);
    assert_false(topics[0].compacted);
    assert_int_equal(topics[1].state, KAFKA_TOPIC_MISSING);
    assert_int_equal(topics[1].retention_ms, KAFKA_NOT_TOLD);
    kafka_admin_free(admin);
    rig_teardown(&rig);
}

static void test_describe__of_a_missing_topic_makes_none(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    char name[100];
    snprintf(name, sizeof(name), "%s.absent", rig.commands);
    const char *names[] = {name};
    struct kafka_topic topic;

    for (int i = 0; i < 2; i++) {
        struct kafka_admin *admin = open_admin(&rig.config);
        assert_ok(kafka_admin_describe(admin, names, 1, TIMEOUT_MS, &topic, &err));
        assert_int_equal(topic.state, KAFKA_TOPIC_MISSING);
        kafka_admin_free(admin);
    }

    rig_teardown(&rig);
}

static void test_create__a_topic_that_is_there_is_fine(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 2, NULL);
    struct kafka_admin *admin = open_admin(&rig.config);
    const struct kafka_new_topic wish = {rig.commands, 5, -1};

    bool created = true;
    assert_ok(kafka_admin_create(admin, &wish, TIMEOUT_MS, &created, &err));

    assert_false(created);
    const char *names[] = {rig.commands};
    struct kafka_topic topic;
    assert_ok(kafka_admin_describe(admin, names, 1, TIMEOUT_MS, &topic, &err));
    assert_int_equal(topic.partitions, 2);
    kafka_admin_free(admin);
    rig_teardown(&rig);
}

static void test_create__a_topic_that_keeps_nothing_compressed(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    struct kafka_admin *admin = open_admin(&rig.config);
    char name[300];
    snprintf(name, sizeof(name), "%s-plain", rig.commands);
    const struct kafka_new_topic wish = {
        .name = name, .partitions = 1, .replicas = -1, .uncompressed = true};
    const char *names[] = {rig.commands, name};
    struct kafka_topic topics[2];
    bool created = false;

    assert_ok(kafka_admin_create(admin, &wish, TIMEOUT_MS, &created, &err));
    assert_ok(kafka_admin_describe(admin, names, 2, TIMEOUT_MS, topics, &err));

    assert_true(created);
    assert_true(topics[0].compressed); /* the brokers' default: as the producer sends it */
    assert_false(topics[1].compressed);
    kafka_admin_free(admin);
    rig_teardown(&rig);
}

static void test_create__says_what_the_brokers_refuse(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    struct kafka_admin *admin = open_admin(&rig.config);
    const struct kafka_new_topic wishes[] = {{"test-replicas", 1, 3}, {"not a name", 1, -1}};

    for (size_t i = 0; i < 2; i++) {
        bool created;
        assert_int_equal(kafka_admin_create(admin, &wishes[i], TIMEOUT_MS, &created, &err),
                         OUTCOME_REJECT);
        assert_non_null(strstr(err.text, wishes[i].name));
    }

    kafka_admin_free(admin);
    rig_teardown(&rig);
}

static void test_probes__pass_where_everything_is_allowed(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);

    assert_ok(kafka_probe_group(&rig.config, TIMEOUT_MS, &err));
    assert_ok(kafka_probe_read(&rig.config, rig.commands, TIMEOUT_MS, &err));
    assert_ok(kafka_probe_transactions(&rig.config, TIMEOUT_MS, &err));

    rig_fill(&rig, rig.commands, 0, "", 3);
    assert_ok(kafka_probe_read(&rig.config, rig.commands, TIMEOUT_MS, &err));
    rig_teardown(&rig);
}

/* The group's offsets are unstable for as long as the transaction that moves them is open. */
static void test_probes__do_not_wait_for_a_transaction(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    const struct kafka_setting own[] = {{"transactional.id", "test-under-way"}};
    rd_kafka_conf_t *conf;
    rd_kafka_t *producer;
    assert_ok(kafka_conf_new(&rig.config, KAFKA_LANE_PRODUCER, "under-way", own, 1, &conf, &err));
    assert_ok(kafka_new(RD_KAFKA_PRODUCER, &conf, &producer, &err));
    assert_null(rd_kafka_init_transactions(producer, TIMEOUT_MS));
    assert_null(rd_kafka_begin_transaction(producer));
    rd_kafka_consumer_group_metadata_t *group =
        rd_kafka_consumer_group_metadata_new(rig.config.group_id);
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(offsets, rig.commands, 0)->offset = 5;
    assert_null(rd_kafka_send_offsets_to_transaction(producer, offsets, group, TIMEOUT_MS));

    assert_ok(kafka_probe_group(&rig.config, 2000, &err));

    assert_null(rd_kafka_abort_transaction(producer, TIMEOUT_MS));
    rd_kafka_topic_partition_list_destroy(offsets);
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_destroy(producer);
    rig_teardown(&rig);
}

static void test_config_check__names_what_librdkafka_refuses(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    struct config other;
    rig_replica(&rig, "two",
                (const char *const[]){"no.such.property=secret-1", "linger.ms=secret-2",
                                      "session.timeout.ms=10000", NULL},
                &other);
    struct config_problems problems = {0};

    assert_true(kafka_config_check(&other, &problems));

    assert_int_equal(problems.count, 3);
    assert_non_null(strstr(problems.items[0].what, "kafka.no.such.property"));
    assert_non_null(strstr(problems.items[1].what, "kafka.linger.ms"));
    assert_non_null(strstr(problems.items[2].what, "kafka.session.timeout.ms must exceed"));
    for (size_t i = 0; i < problems.count; i++)
        assert_null(strstr(problems.items[i].what, "secret"));
    struct kafka_admin *admin;
    assert_int_equal(kafka_admin_new(&other, &admin, &err), OUTCOME_REJECT);
    assert_null(strstr(err.text, "secret"));
    config_problems_release(&problems);
    config_release(&other);
    rig_teardown(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reach__counts_the_brokers),
        cmocka_unit_test(test_reach__gives_up_when_no_broker_answers),
        cmocka_unit_test(test_topic_names__are_all_topics_of_the_configuration),
        cmocka_unit_test(test_describe__tells_what_is_there_and_what_is_not),
        cmocka_unit_test(test_describe__of_a_missing_topic_makes_none),
        cmocka_unit_test(test_create__a_topic_that_is_there_is_fine),
        cmocka_unit_test(test_create__a_topic_that_keeps_nothing_compressed),
        cmocka_unit_test(test_create__says_what_the_brokers_refuse),
        cmocka_unit_test(test_probes__pass_where_everything_is_allowed),
        cmocka_unit_test(test_probes__do_not_wait_for_a_transaction),
        cmocka_unit_test(test_config_check__names_what_librdkafka_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
