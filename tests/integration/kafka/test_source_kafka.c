#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/integration/kafka/kafka_fixture.h"
#include "worker/kafka/source_kafka.h"

static const struct batch_limits MANY = {10000, 4 << 20};
static const struct batch_limits ONE = {1, 4 << 20};

static struct source_kafka *open_source(const struct config *config, int lane)
{
    struct source_kafka *source = NULL;
    struct err err = {0};
    if (source_kafka_new(config, lane, &source, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
    return source;
}

/* Polls both until the second has partitions, that is: until a rebalance took from the first. */
static void poll_until_generation_moves(struct source *first, struct source *second)
{
    uint64_t before = source_generation(first);
    for (int i = 0; i < 100 && source_generation(first) == before; i++) {
        const struct message *messages;
        size_t count;
        struct err err;
        (void)source_poll(first, 50, &ONE, &messages, &count, &err);
        (void)source_poll(second, 50, &ONE, &messages, &count, &err);
    }
    assert_int_not_equal(source_generation(first), before);
}

/* Takes everything there is, each value once: values are "<partition>-<n>". */
static void assert_drains(struct source *source, int partitions, int each, int taken_before)
{
    int next[16] = {0};
    int total = taken_before;
    const struct message *messages;
    size_t count;
    while (total < partitions * each && (count = rig_poll(source, &MANY, &messages)) > 0) {
        for (size_t i = 0; i < count; i++) {
            const struct message *message = &messages[i];
            if (next[message->partition] == 0)
                next[message->partition] = (int)message->offset;
            assert_int_equal(message->offset, next[message->partition]);
            next[message->partition]++;
            total++;
        }
        source_release(source);
    }
    assert_int_equal(total, partitions * each);
    for (int i = 0; i < partitions; i++)
        assert_int_equal(next[i], each);
}

static void test_poll__takes_what_is_there_up_to_the_limits(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    rig_fill(&rig, rig.commands, 0, "", 250);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);

    const struct message *messages;
    size_t sizes[8] = {0}, batches = 0, total = 0;
    while (total < 250) {
        sizes[batches] = rig_poll(source, &(struct batch_limits){100, 1 << 20}, &messages);
        for (size_t i = 0; i < sizes[batches]; i++)
            assert_int_equal(messages[i].offset, total + i);
        total += sizes[batches++];
        source_release(source);
    }

    for (size_t i = 0; i < batches; i++)
        assert_in_range(sizes[i], 1, 100);
    assert_true(batches <= 5);
    source_kafka_free(kafka);
    rig_teardown(&rig);
}

static void test_poll__limits_bytes_but_always_takes_one(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    rig_fill(&rig, rig.commands, 0, "ten-bytes-", 4);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);

    const struct message *messages;
    for (int64_t offset = 0; offset < 4; offset++) {
        assert_int_equal(rig_poll(source, &(struct batch_limits){100, 8}, &messages), 1);
        assert_int_equal(messages[0].offset, offset);
        source_release(source);
    }

    source_kafka_free(kafka);
    rig_teardown(&rig);
}

static void test_poll__gives_records_as_they_are(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    const struct header headers[] = {{TEXT("a"), slice_of_text(TEXT("x\0y"))},
                                     {TEXT("none"), {NULL, 0}},
                                     {TEXT("a"), slice_of_text(TEXT(""))}};
    const struct outgoing_record records[] = {
        {text_of(rig.commands), 1700000000123, slice_of_text(TEXT("k")), slice_of_text(TEXT("v")),
         headers, 3},
        {text_of(rig.commands), 1, {NULL, 0}, {NULL, 0}, NULL, 0},
        {text_of(rig.commands), 1, slice_of_text(TEXT("")), slice_of_text(TEXT("")), NULL, 0},
    };
    rig_publish(&rig, records, 3);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);

    const struct message *messages;
    assert_int_equal(rig_poll(source, &MANY, &messages), 3);

    assert_true(text_is(messages[0].topic, rig.commands));
    assert_int_equal(messages[0].timestamp_ms, 1700000000123);
    assert_true(text_is(text_of_slice(messages[0].key), "k"));
    assert_true(text_is(text_of_slice(messages[0].value), "v"));
    assert_int_equal(messages[0].header_count, 3);
    assert_true(text_is(messages[0].headers[0].name, "a"));
    assert_int_equal(messages[0].headers[0].value.length, 3);
    assert_memory_equal(messages[0].headers[0].value.data, "x\0y", 3);
    assert_null(messages[0].headers[1].value.data);
    assert_non_null(messages[0].headers[2].value.data);
    assert_int_equal(messages[0].headers[2].value.length, 0);
    assert_null(messages[1].key.data);
    assert_null(messages[1].value.data);
    assert_int_equal(messages[1].header_count, 0);
    assert_non_null(messages[2].key.data);
    assert_non_null(messages[2].value.data);
    assert_int_equal(messages[2].value.length, 0);
    source_kafka_free(kafka);
    rig_teardown(&rig);
}

/* A pause throws away what is prefetched. */
static void test_keep_alive__loses_nothing_of_partitions_not_taken_from_yet(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 4, NULL);
    for (int i = 0; i < 4; i++)
        rig_fill(&rig, rig.commands, i, "", 200);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);
    const struct message *messages;
    assert_int_equal(rig_poll(source, &ONE, &messages), 1);
    clock_sleep_us(300000); /* everything is prefetched */

    source_keep_alive(source, 100);
    source_release(source);

    assert_drains(source, 4, 200, 1);
    source_kafka_free(kafka);
    rig_teardown(&rig);
}

static void test_keep_alive__leaves_the_batch_in_hand_valid(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    rig_fill(&rig, rig.commands, 0, "value-", 10);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);
    const struct message *messages;
    size_t count = rig_poll(source, &(struct batch_limits){3, 1 << 20}, &messages);

    source_keep_alive(source, 200);

    assert_true(text_is(text_of_slice(messages[0].value), "value-0"));
    assert_int_equal(rig_poll(source, &MANY, &messages), 10 - count);
    assert_int_equal(messages[0].offset, count);
    source_kafka_free(kafka);
    rig_teardown(&rig);
}

static void test_rewind__the_next_poll_begins_at_the_committed_offsets(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 2, NULL);
    for (int i = 0; i < 2; i++)
        rig_fill(&rig, rig.commands, i, "", 50);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);
    assert_drains(source, 2, 50, 0);

    source_rewind(source);

    assert_drains(source, 2, 50, 0);
    source_kafka_free(kafka);
    rig_teardown(&rig);
}

static const char *const SHORT_POLLS[] = {"session.timeout.ms=2000", "max.poll.interval.ms=2500",
                                          "transaction.timeout.ms=1500",
                                          "heartbeat.interval.ms=200", NULL};

static void test_keep_alive__keeps_the_membership(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, SHORT_POLLS);
    rig_fill(&rig, rig.commands, 0, "", 1);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);
    const struct message *messages;
    assert_int_equal(rig_poll(source, &MANY, &messages), 1);
    uint64_t before = source_generation(source);

    for (int i = 0; i < 8; i++)
        source_keep_alive(source, 500);

    assert_int_equal(source_generation(source), before);
    const struct rd_kafka_consumer_group_metadata_s *membership;
    struct err err;
    assert_int_equal(source_kafka_membership(kafka, &membership, &err), OUTCOME_OK);
    source_kafka_free(kafka);
    rig_teardown(&rig);
}

static void test_generation__moves_when_a_lane_stalls_past_the_poll_interval(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, SHORT_POLLS);
    rig_fill(&rig, rig.commands, 0, "", 1);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);
    const struct message *messages;
    assert_int_equal(rig_poll(source, &MANY, &messages), 1);
    uint64_t before = source_generation(source);

    clock_sleep_us(4000000);
    const struct rd_kafka_consumer_group_metadata_s *membership;
    struct err err;
    assert_int_equal(source_kafka_membership(kafka, &membership, &err), OUTCOME_REJECT);
    for (int i = 0; i < 20 && source_generation(source) == before; i++)
        source_keep_alive(source, 100);

    assert_int_not_equal(source_generation(source), before);
    assert_int_equal(source_kafka_membership(kafka, &membership, &err), OUTCOME_REJECT);
    assert_int_equal(rig_poll(source, &MANY, &messages), 1); /* comes again */
    source_kafka_free(kafka);
    rig_teardown(&rig);
}

/* librdkafka keeps a partition paused across assignments. */
static void test_keep_alive__partitions_lost_meanwhile_are_read_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, SHORT_POLLS);
    rig_fill(&rig, rig.commands, 0, "", 1);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);
    const struct message *messages;
    assert_int_equal(rig_poll(source, &MANY, &messages), 1);
    uint64_t before = source_generation(source);

    clock_sleep_us(4000000);
    for (int i = 0; i < 1000 && source_generation(source) == before; i++)
        source_keep_alive(source, 1); /* too short for the next assignment */

    assert_int_not_equal(source_generation(source), before);
    assert_int_equal(rig_poll(source, &MANY, &messages), 1);
    source_kafka_free(kafka);
    rig_teardown(&rig);
}

static void test_generation__moves_when_another_member_joins(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 2, NULL);
    rig_fill(&rig, rig.commands, 0, "", 10);
    rig_fill(&rig, rig.commands, 1, "", 10);
    struct source_kafka *first = open_source(&rig.config, 0);
    const struct message *messages;
    assert_true(rig_poll(source_kafka_port(first), &ONE, &messages) > 0);

    struct source_kafka *second = open_source(&rig.config, 1);
    poll_until_generation_moves(source_kafka_port(first), source_kafka_port(second));

    source_kafka_free(first);
    source_kafka_free(second);
    rig_teardown(&rig);
}

/* Nothing was committed, so whoever has a partition begins it anew: no message may be missing. */
static void test_rebalance__partitions_begin_again_from_their_committed_offsets(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 2, NULL);
    rig_fill(&rig, rig.commands, 0, "", 300);
    rig_fill(&rig, rig.commands, 1, "", 300);
    struct source_kafka *first = open_source(&rig.config, 0);
    const struct message *messages;
    assert_true(rig_poll(source_kafka_port(first), &ONE, &messages) > 0);
    struct source_kafka *second = open_source(&rig.config, 1);
    poll_until_generation_moves(source_kafka_port(first), source_kafka_port(second));
    source_kafka_free(second);
    uint64_t before = source_generation(source_kafka_port(first));
    for (int i = 0; i < 100 && source_generation(source_kafka_port(first)) == before; i++)
        source_keep_alive(source_kafka_port(first), 100);

    assert_drains(source_kafka_port(first), 2, 300, 0);
    source_kafka_free(first);
    rig_teardown(&rig);
}

/* How many messages come within the time, and that each partition's begin at offset 0. */
static int drain_from_the_beginning(struct source *source, struct source *other, int wanted)
{
    int64_t next[2] = {0};
    int total = 0;
    for (int i = 0; i < 200 && total < wanted; i++) {
        const struct message *messages;
        size_t count = 0;
        struct err err;
        (void)source_poll(source, 50, &MANY, &messages, &count, &err);
        for (size_t k = 0; k < count; k++) {
            assert_int_equal(messages[k].offset, next[messages[k].partition]++);
            total++;
        }
        source_release(source);
        source_keep_alive(other, 1);
    }
    return total;
}

/* A batch that falls because one partition goes held messages of the one that stays, too. */
static void test_cooperative__partitions_that_stay_begin_again_when_the_batch_falls(void **state)
{
    (void)state;
    if (rd_kafka_version() < 0x020601FF)
        skip(); /* the library in use is refused cooperative-sticky */
    struct rig rig;
    static const char *const cooperative[] = {"partition.assignment.strategy=cooperative-sticky",
                                              "heartbeat.interval.ms=200", NULL};
    rig_setup(&rig, 2, cooperative);
    rig_fill(&rig, rig.commands, 0, "", 50);
    rig_fill(&rig, rig.commands, 1, "", 50);
    struct source_kafka *first = open_source(&rig.config, 0);
    const struct message *messages;
    assert_int_equal(rig_poll(source_kafka_port(first), &ONE, &messages), 1);
    source_release(source_kafka_port(first));
    clock_sleep_us(300000); /* both are prefetched */
    assert_int_equal(rig_poll(source_kafka_port(first), &MANY, &messages), 99);
    struct source_kafka *second = open_source(&rig.config, 1);

    uint64_t before = source_generation(source_kafka_port(first));
    for (int i = 0; i < 200 && source_generation(source_kafka_port(first)) == before; i++) {
        source_keep_alive(source_kafka_port(first), 50);
        source_keep_alive(source_kafka_port(second), 1);
    }
    const struct rd_kafka_consumer_group_metadata_s *membership;
    struct err err;
    assert_int_equal(source_kafka_membership(first, &membership, &err), OUTCOME_REJECT);
    source_release(source_kafka_port(first));

    assert_int_equal(
        drain_from_the_beginning(source_kafka_port(first), source_kafka_port(second), 50), 50);
    assert_int_equal(
        drain_from_the_beginning(source_kafka_port(second), source_kafka_port(first), 50), 50);
    source_kafka_free(first);
    source_kafka_free(second);
    rig_teardown(&rig);
}

static void test_close__leaves_the_group_at_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    rig_fill(&rig, rig.commands, 0, "", 1);
    struct source_kafka *first = open_source(&rig.config, 0);
    const struct message *messages;
    assert_int_equal(rig_poll(source_kafka_port(first), &MANY, &messages), 1);
    int64_t since_us = clock_monotonic_us();

    source_kafka_port(first)->ops->close(source_kafka_port(first));
    struct source_kafka *second = open_source(&rig.config, 1);
    assert_int_equal(rig_poll(source_kafka_port(second), &MANY, &messages), 1);

    /* The session timeout is 45 s. */
    assert_true(clock_monotonic_us() - since_us < 10000000);
    source_kafka_free(first);
    source_kafka_free(second);
    rig_teardown(&rig);
}

/* Polls until the broker has told that the log does not hold the position: that ends a poll early,
 * without messages. */
static void poll_until_out_of_range(struct source *source)
{
    enum { TIMEOUT_MS = 5000 };
    const struct message *messages;
    int64_t took_us;

    do {
        struct err err;
        size_t count;
        int64_t since_us = clock_monotonic_us();
        assert_int_equal(source_poll(source, TIMEOUT_MS, &MANY, &messages, &count, &err),
                         OUTCOME_OK);
        assert_int_equal(count, 0);
        took_us = clock_monotonic_us() - since_us;
    } while (took_us > (int64_t)(TIMEOUT_MS - 500) * 1000);
}

static void test_take_resets__tells_a_log_that_has_grown_past_the_position_meanwhile(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    rig_fill(&rig, rig.commands, 0, "", 30);
    rig_commit(&rig, 0, 100);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);
    const struct log_reset *resets;
    size_t count;
    poll_until_out_of_range(source);
    rig_fill(&rig, rig.commands, 0, "", 200);

    assert_drains(source, 1, 230, 0);

    source_take_resets(source, &resets, &count);
    assert_int_equal(count, 1);
    assert_int_equal(resets[0].position, 100);
    assert_int_equal(resets[0].first, 0);
    assert_int_equal(resets[0].end, 230);
    source_kafka_free(kafka);
    rig_teardown(&rig);
}

static int64_t sum_of_lags(struct source *source)
{
    const struct partition_lag *lags;
    size_t count;
    int64_t sum = 0;

    if (!source_lags(source, &lags, &count))
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (lags[i].records < 0)
            return -1;
        sum += lags[i].records;
    }
    return sum;
}

static void test_lags__count_what_the_group_has_not_committed(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 3, NULL);
    rig_fill(&rig, rig.commands, 1, "", 50);
    rig_commit(&rig, 1, 20);
    struct source_kafka *kafka = open_source(&rig.config, 0);
    struct source *source = source_kafka_port(kafka);
    const struct position *positions;
    const struct message *messages;
    size_t count;
    struct err err;
    assert_int_equal(sum_of_lags(source), -1);

    assert_true(rig_poll(source, &(struct batch_limits){20, 1 << 20}, &messages) > 0);
    assert_int_equal(sum_of_lags(source), -1);
    assert_int_equal(source->ops->take_assigned(source, &positions, &count, &err), OUTCOME_OK);
    int64_t lag = -1;
    for (int i = 0; i < 50 && lag < 0; i++) { /* empty partitions tell their end a little later */
        lag = sum_of_lags(source);
        clock_sleep_us(20000);
    }

    assert_int_equal(lag, 30);
    rig_fill(&rig, rig.commands, 2, "", 7);
    source_keep_alive(source, 2000); /* as a lane that waits: nothing is fetched */
    assert_int_equal(sum_of_lags(source), 37);
    source_kafka_free(kafka);
    rig_teardown(&rig);
}

static void test_poll__names_a_topic_that_is_missing(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    struct config other;
    rig_replica(&rig, "two", NULL, &other);
    free(other.command_topics[0]);
    other.command_topics[0] = strdup("no-such-topic");
    struct source_kafka *kafka = open_source(&other, 0);
    struct source *source = source_kafka_port(kafka);

    enum outcome outcome = OUTCOME_OK;
    struct err err = {0};
    for (int i = 0; i < 100 && outcome != OUTCOME_REJECT; i++) {
        const struct message *messages;
        size_t count;
        outcome = source_poll(source, 100, &MANY, &messages, &count, &err);
    }

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_non_null(strstr(err.text, "no-such-topic"));
    assert_string_equal(err.code, "UNKNOWN_TOPIC_OR_PART");
    source_kafka_free(kafka);
    config_release(&other);
    rig_teardown(&rig);
}

static void test_poll__asks_to_wait_while_no_broker_answers(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    struct config other;
    rig_replica(&rig, "two", (const char *const[]){"bootstrap.servers=127.0.0.1:1", NULL}, &other);
    struct source_kafka *kafka = open_source(&other, 0);
    struct source *source = source_kafka_port(kafka);

    enum outcome outcome = OUTCOME_OK;
    for (int i = 0; i < 50 && outcome == OUTCOME_OK; i++) {
        const struct message *messages;
        size_t count;
        struct err err;
        outcome = source_poll(source, 100, &MANY, &messages, &count, &err);
    }

    assert_int_equal(outcome, OUTCOME_RETRY);
    assert_false(source->ops->connected(source));
    int64_t since_us = clock_monotonic_us();
    source_kafka_free(kafka);
    assert_true(clock_monotonic_us() - since_us < 15000000);
    config_release(&other);
    rig_teardown(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_poll__takes_what_is_there_up_to_the_limits),
        cmocka_unit_test(test_poll__limits_bytes_but_always_takes_one),
        cmocka_unit_test(test_poll__gives_records_as_they_are),
        cmocka_unit_test(test_keep_alive__loses_nothing_of_partitions_not_taken_from_yet),
        cmocka_unit_test(test_keep_alive__leaves_the_batch_in_hand_valid),
        cmocka_unit_test(test_rewind__the_next_poll_begins_at_the_committed_offsets),
        cmocka_unit_test(test_keep_alive__keeps_the_membership),
        cmocka_unit_test(test_generation__moves_when_a_lane_stalls_past_the_poll_interval),
        cmocka_unit_test(test_keep_alive__partitions_lost_meanwhile_are_read_again),
        cmocka_unit_test(test_generation__moves_when_another_member_joins),
        cmocka_unit_test(test_rebalance__partitions_begin_again_from_their_committed_offsets),
        cmocka_unit_test(test_cooperative__partitions_that_stay_begin_again_when_the_batch_falls),
        cmocka_unit_test(test_close__leaves_the_group_at_once),
        cmocka_unit_test(test_take_resets__tells_a_log_that_has_grown_past_the_position_meanwhile),
        cmocka_unit_test(test_lags__count_what_the_group_has_not_committed),
        cmocka_unit_test(test_poll__names_a_topic_that_is_missing),
        cmocka_unit_test(test_poll__asks_to_wait_while_no_broker_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
