#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/integration/kafka/kafka_fixture.h"
#include "worker/kafka/sink_kafka.h"

static const struct batch_limits MANY = {10000, 4 << 20};

/* A lane's two ends, opened. */
struct ends {
    struct source_kafka *source;
    struct sink_kafka *sink;
};

static struct source *source_of(const struct ends *ends)
{
    return source_kafka_port(ends->source);
}

static struct sink *sink_of(const struct ends *ends)
{
    return sink_kafka_port(ends->sink);
}

/* What the last failed call said. */
static struct err err;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if ((call) != OUTCOME_OK)                                                                  \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

static struct ends open_ends(const struct config *config, int lane)
{
    struct ends ends = {0};
    assert_ok(source_kafka_new(config, lane, &ends.source, &err));
    assert_ok(sink_kafka_new(config, lane, ends.source, 0, &ends.sink, &err));
    assert_ok(sink_of(&ends)->ops->reopen(sink_of(&ends), &err));
    return ends;
}

static void close_ends(struct ends *ends)
{
    sink_kafka_free(ends->sink);
    source_kafka_free(ends->source);
}

static struct outgoing_record outgoing(const struct rig *rig, const char *value)
{
    return (struct outgoing_record){.topic = text_of(rig->audit),
                                    .timestamp_ms = -1,
                                    .key = slice_of_text(TEXT("key")),
                                    .value = slice_of_text(text_of(value))};
}

static void begin_with(const struct ends *ends, const struct rig *rig, const char *value)
{
    struct outgoing_record record = outgoing(rig, value);
    struct sink *sink = sink_of(ends);
    assert_ok(sink->ops->begin(sink, &err));
    assert_ok(sink->ops->produce(sink, &record, &err));
}

static enum outcome send_offset(const struct ends *ends, const struct rig *rig, int64_t offset)
{
    struct position position = {.topic = text_of(rig->commands), .partition = 0, .offset = offset};
    return sink_of(ends)->ops->send_offsets(sink_of(ends), &position, 1, &err);
}

static void commit(const struct ends *ends)
{
    assert_ok(sink_of(ends)->ops->commit(sink_of(ends), &err));
}

/* Values in the audit topic, separated by blanks. */
static const char *audit_values(const struct rig *rig)
{
    static char all[1024];
    struct record records[16];
    size_t count = rig_read(rig, rig->audit, records, 16);
    all[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strncat(all, i > 0 ? " " : "", sizeof(all) - strlen(all) - 1);
        strncat(all, records[i].value, sizeof(all) - strlen(all) - 1);
    }
    return all;
}

/* A lane with one partition of five commands, all in hand. */
static struct ends start(struct rig *rig, const char *const *properties)
{
    rig_setup(rig, 1, properties);
    rig_fill(rig, rig->commands, 0, "", 5);
    struct ends ends = open_ends(&rig->config, 0);
    const struct message *messages;
    assert_int_equal(rig_poll(source_of(&ends), &MANY, &messages), 5);
    return ends;
}

static void finish(struct rig *rig, struct ends *ends)
{
    close_ends(ends);
    rig_teardown(rig);
}

static void test_commit__shows_records_and_moves_offsets_together(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);
    begin_with(&ends, &rig, "one");
    assert_ok(send_offset(&ends, &rig, 5));
    struct sink *sink = sink_of(&ends);
    sink->ops->serve(sink);
    clock_sleep_us(200000);
    assert_string_equal(audit_values(&rig), "");

    commit(&ends);

    assert_string_equal(audit_values(&rig), "one");
    assert_int_equal(rig_committed(source_of(&ends), &rig, 0), 5);
    finish(&rig, &ends);
}

static void test_commit__many_transactions_in_a_row(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);

    for (int i = 1; i <= 5; i++) {
        char value[8];
        snprintf(value, sizeof(value), "%d", i);
        begin_with(&ends, &rig, value);
        assert_ok(send_offset(&ends, &rig, i));
        commit(&ends);
    }

    assert_string_equal(audit_values(&rig), "1 2 3 4 5");
    assert_int_equal(rig_committed(source_of(&ends), &rig, 0), 5);
    finish(&rig, &ends);
}

static void test_produce__carries_the_record_byte_for_byte(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);
    const struct header headers[] = {
        {TEXT("ce_id"), slice_of_text(TEXT("a\0b"))},
        {TEXT("none"), {NULL, 0}},
        {TEXT("empty"), slice_of_text(TEXT(""))},
    };
    const struct outgoing_record records[] = {
        {text_of(rig.commands), 1234567890123, slice_of_text(TEXT("k")),
         slice_of_text(TEXT("v\0w")), headers, 3},
        {text_of(rig.commands), 1, {NULL, 0}, {NULL, 0}, NULL, 0},
        {text_of(rig.commands), 1, slice_of_text(TEXT("")), slice_of_text(TEXT("")), NULL, 0},
    };
    struct sink *sink = sink_of(&ends);

    assert_ok(sink->ops->begin(sink, &err));
    for (size_t i = 0; i < 3; i++)
        assert_ok(sink->ops->produce(sink, &records[i], &err));
    commit(&ends);

    const struct message *messages;
    source_release(source_of(&ends));
    assert_int_equal(rig_poll(source_of(&ends), &MANY, &messages), 3);
    assert_int_equal(messages[0].timestamp_ms, 1234567890123);
    assert_int_equal(messages[0].value.length, 3);
    assert_memory_equal(messages[0].value.data, "v\0w", 3);
    assert_int_equal(messages[0].header_count, 3);
    assert_memory_equal(messages[0].headers[0].value.data, "a\0b", 3);
    assert_null(messages[0].headers[1].value.data);
    assert_non_null(messages[0].headers[2].value.data);
    assert_int_equal(messages[1].timestamp_ms, 1);
    assert_null(messages[1].key.data);
    assert_null(messages[1].value.data);
    assert_non_null(messages[2].key.data);
    assert_non_null(messages[2].value.data);
    finish(&rig, &ends);
}

static void test_reopen__hides_records_and_leaves_offsets(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);
    begin_with(&ends, &rig, "aborted");
    assert_ok(send_offset(&ends, &rig, 5));
    clock_sleep_us(100000);

    assert_ok(sink_of(&ends)->ops->reopen(sink_of(&ends), &err));

    assert_int_equal(rig_committed(source_of(&ends), &rig, 0), -1);
    begin_with(&ends, &rig, "after");
    assert_ok(send_offset(&ends, &rig, 3));
    commit(&ends);
    assert_string_equal(audit_values(&rig), "after");
    assert_int_equal(rig_committed(source_of(&ends), &rig, 0), 3);
    finish(&rig, &ends);
}

static void test_begin__before_the_first_reopen_is_fatal(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    struct ends ends = {0};
    assert_ok(source_kafka_new(&rig.config, 0, &ends.source, &err));
    assert_ok(sink_kafka_new(&rig.config, 0, ends.source, 0, &ends.sink, &err));

    assert_int_equal(sink_of(&ends)->ops->begin(sink_of(&ends), &err), OUTCOME_FATAL);

    finish(&rig, &ends);
}

/* The successor of a crashed lane: what the old producer left open ends at once. */
static void test_reopen__ends_what_a_predecessor_left_open_and_fences_it(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);
    begin_with(&ends, &rig, "zombie");
    assert_ok(send_offset(&ends, &rig, 5));
    clock_sleep_us(100000);
    struct sink_kafka *successor;
    assert_ok(sink_kafka_new(&rig.config, 0, ends.source, 0, &successor, &err));
    struct sink *next = sink_kafka_port(successor);

    int64_t since_us = clock_monotonic_us();
    assert_ok(next->ops->reopen(next, &err));

    assert_true(clock_monotonic_us() - since_us < 5000000);
    assert_int_equal(rig_committed(source_of(&ends), &rig, 0), -1);
    assert_int_equal(sink_of(&ends)->ops->commit(sink_of(&ends), &err), OUTCOME_FATAL);
    assert_string_equal(err.code, "_FENCED");
    assert_non_null(strstr(err.text, "instance ids must be unique"));
    assert_string_equal(audit_values(&rig), "");
    sink_kafka_free(successor);
    finish(&rig, &ends);
}

static void test_reopen__after_fencing_works_again(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);
    struct sink_kafka *successor;
    assert_ok(sink_kafka_new(&rig.config, 0, ends.source, 0, &successor, &err));
    assert_ok(sink_kafka_port(successor)->ops->reopen(sink_kafka_port(successor), &err));
    begin_with(&ends, &rig, "fenced");
    assert_int_equal(sink_of(&ends)->ops->commit(sink_of(&ends), &err), OUTCOME_FATAL);

    assert_ok(sink_of(&ends)->ops->reopen(sink_of(&ends), &err));

    begin_with(&ends, &rig, "again");
    assert_ok(send_offset(&ends, &rig, 5));
    commit(&ends);
    assert_string_equal(audit_values(&rig), "again");
    sink_kafka_free(successor);
    finish(&rig, &ends);
}

static void test_committed__tells_whether_an_ambiguous_commit_happened(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);
    begin_with(&ends, &rig, "one");
    assert_ok(send_offset(&ends, &rig, 3));
    commit(&ends);
    begin_with(&ends, &rig, "never committed");
    assert_ok(send_offset(&ends, &rig, 5));

    assert_ok(sink_of(&ends)->ops->reopen(sink_of(&ends), &err));

    assert_int_equal(rig_committed(source_of(&ends), &rig, 0), 3);
    assert_string_equal(audit_values(&rig), "one");
    finish(&rig, &ends);
}

static void test_take_assigned__tells_once_where_each_partition_begins(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);
    begin_with(&ends, &rig, "one");
    assert_ok(send_offset(&ends, &rig, 3));
    commit(&ends);
    source_kafka_free(ends.source);
    assert_ok(source_kafka_new(&rig.config, 0, &ends.source, &err));
    const struct message *messages;
    assert_int_equal(rig_poll(source_of(&ends), &MANY, &messages), 2);

    const struct position *positions;
    size_t count;
    assert_ok(source_take_assigned(source_of(&ends), &positions, &count, &err));

    assert_int_equal(count, 1);
    assert_true(text_is(positions[0].topic, rig.commands));
    assert_int_equal(positions[0].partition, 0);
    assert_int_equal(positions[0].offset, 3);
    assert_ok(source_take_assigned(source_of(&ends), &positions, &count, &err));
    assert_int_equal(count, 0);
    finish(&rig, &ends);
}

/* The coordinator does not tell where a partition begins before the open transaction ends, which is
 * longer than the assignment waits: nothing is read till then, and then from there. */
static void test_poll__waits_for_committed_offsets_that_are_told_late(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);
    begin_with(&ends, &rig, "one");
    assert_ok(send_offset(&ends, &rig, 3));
    source_of(&ends)->ops->close(source_of(&ends));
    struct source_kafka *successor;
    assert_ok(source_kafka_new(&rig.config, 1, &successor, &err));
    struct source *source = source_kafka_port(successor);

    const struct message *messages;
    size_t count;
    int waited = 0;
    for (int i = 0; i < 100 && waited < 2; i++) {
        waited += source_poll(source, 100, &MANY, &messages, &count, &err) == OUTCOME_RETRY;
        assert_int_equal(count, 0);
    }
    assert_int_equal(waited, 2);
    const struct partition_lag *lags;
    assert_true(source_lags(source, &lags, &count));
    assert_int_equal(count, 1);
    assert_int_equal(lags[0].records, -1);
    source_keep_alive(source, 300); /* as a lane does between */

    commit(&ends);

    assert_int_equal(rig_poll(source, &MANY, &messages), 2);
    assert_int_equal(messages[0].offset, 3);
    source_kafka_free(successor);
    finish(&rig, &ends);
}

static const char *const SHORT_POLLS[] = {"session.timeout.ms=2000", "max.poll.interval.ms=2500",
                                          "transaction.timeout.ms=1500",
                                          "heartbeat.interval.ms=200", NULL};

/* A lane that stalled while it held a batch; its partition went to another member, which took the
 * batch too. */
static void test_send_offsets__of_a_zombie_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    struct ends zombie = start(&rig, SHORT_POLLS);
    const struct rd_kafka_consumer_group_metadata_s *stale;
    assert_ok(source_kafka_membership(zombie.source, &stale, &err));
    struct ends owner = open_ends(&rig.config, 1);
    const struct message *messages;
    assert_int_equal(rig_poll(source_of(&owner), &MANY, &messages), 5);
    begin_with(&owner, &rig, "owner");
    assert_ok(send_offset(&owner, &rig, 5));
    commit(&owner);
    /* the stall outlasted the transaction timeout too */
    begin_with(&zombie, &rig, "zombie");

    enum outcome outcome = send_offset(&zombie, &rig, 2);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_ok(sink_of(&zombie)->ops->reopen(sink_of(&zombie), &err));
    assert_string_equal(audit_values(&rig), "owner");
    assert_int_equal(rig_committed(source_of(&owner), &rig, 0), 5);
    close_ends(&owner);
    finish(&rig, &zombie);
}

/* The same without the source's own judgement: the broker refuses what the membership of the batch
 * says, so a lane that does not know yet that it lost the group cannot do harm. */
static void test_send_offsets__the_broker_fences_an_old_generation(void **state)
{
    (void)state;
    struct rig rig;
    struct ends first = start(&rig, NULL);
    const struct rd_kafka_consumer_group_metadata_s *borrowed;
    assert_ok(source_kafka_membership(first.source, &borrowed, &err));
    void *bytes;
    size_t size;
    assert_null(rd_kafka_consumer_group_metadata_write(borrowed, &bytes, &size));
    rd_kafka_consumer_group_metadata_t *stale;
    assert_null(rd_kafka_consumer_group_metadata_read(&stale, bytes, size));
    struct ends second = open_ends(&rig.config, 1);
    uint64_t before = source_generation(source_of(&first));
    for (int i = 0; i < 100 && source_generation(source_of(&first)) == before; i++) {
        source_keep_alive(source_of(&first), 50);
        source_keep_alive(source_of(&second), 50);
    }
    for (int i = 0; i < 10; i++) { /* both have joined the next generation */
        source_keep_alive(source_of(&first), 50);
        source_keep_alive(source_of(&second), 50);
    }
    const struct kafka_setting own[] = {{"transactional.id", "test-stale"}};
    rd_kafka_conf_t *conf;
    rd_kafka_t *producer;
    assert_ok(kafka_conf_new(&rig.config, KAFKA_LANE_PRODUCER, "stale", own, 1, &conf, &err));
    assert_ok(kafka_new(RD_KAFKA_PRODUCER, &conf, &producer, &err));
    assert_null(rd_kafka_init_transactions(producer, 10000));
    assert_null(rd_kafka_begin_transaction(producer));
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(offsets, rig.commands, 0)->offset = 5;

    rd_kafka_error_t *error = rd_kafka_send_offsets_to_transaction(producer, offsets, stale, 10000);

    assert_non_null(error);
    assert_int_equal(rd_kafka_error_code(error), RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    assert_int_equal(kafka_transaction_fail(error, "test", &err), OUTCOME_REJECT);
    rd_kafka_topic_partition_list_destroy(offsets);
    rd_kafka_consumer_group_metadata_destroy(stale);
    rd_kafka_mem_free(NULL, bytes);
    rd_kafka_destroy(producer);
    close_ends(&second);
    finish(&rig, &first);
}

static void test_produce__asks_to_wait_while_the_queue_is_full(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    struct config small;
    rig_replica(&rig, "two",
                (const char *const[]){"queue.buffering.max.messages=2", "linger.ms=2000", NULL},
                &small);
    struct ends ends = open_ends(&small, 0);
    struct sink *sink = sink_of(&ends);
    struct outgoing_record record = outgoing(&rig, "value");
    begin_with(&ends, &rig, "value");
    assert_ok(sink->ops->produce(sink, &record, &err));

    enum outcome outcome = sink->ops->produce(sink, &record, &err);

    assert_int_equal(outcome, OUTCOME_RETRY);
    assert_string_equal(err.code, "_QUEUE_FULL");
    for (int i = 0; i < 100 && outcome == OUTCOME_RETRY; i++)
        outcome = sink->ops->produce(sink, &record, &err);
    assert_int_equal(outcome, OUTCOME_OK);
    commit(&ends);
    assert_string_equal(audit_values(&rig), "value value value");
    finish(&rig, &ends);
    config_release(&small);
}

/* Each record fills a set of records, so that the next one waits for its delivery. */
static void test_produce__more_than_a_set_of_records_goes_out_in_order(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, (const char *const[]){"batch.size=100", NULL});
    begin_with(&ends, &rig, "0");
    for (int i = 1; i < 10; i++) {
        char value[8];
        snprintf(value, sizeof(value), "%d", i);
        struct outgoing_record record = outgoing(&rig, value);
        assert_ok(sink_of(&ends)->ops->produce(sink_of(&ends), &record, &err));
    }

    assert_ok(send_offset(&ends, &rig, 5));
    commit(&ends);

    assert_string_equal(audit_values(&rig), "0 1 2 3 4 5 6 7 8 9");
    finish(&rig, &ends);
}

static enum outcome produce_bytes(const struct ends *ends, const struct rig *rig, size_t length)
{
    uint8_t *value = calloc(1, length);
    struct outgoing_record record = {
        .topic = text_of(rig->audit), .timestamp_ms = -1, .value = {value, length}};
    enum outcome outcome = sink_of(ends)->ops->produce(sink_of(ends), &record, &err);
    free(value);
    return outcome;
}

static void test_produce__refuses_a_record_that_is_too_large(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);
    struct sink *sink = sink_of(&ends);
    assert_ok(sink->ops->begin(sink, &err));

    enum outcome outcome = produce_bytes(&ends, &rig, 1100000);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(err.code, "MSG_SIZE_TOO_LARGE");
    assert_ok(sink->ops->reopen(sink, &err));
    begin_with(&ends, &rig, "small");
    commit(&ends);
    assert_string_equal(audit_values(&rig), "small");
    finish(&rig, &ends);
}

static void test_record_bytes_max__such_a_record_gets_through(void **state)
{
    (void)state;
    struct rig rig;
    struct ends ends = start(&rig, NULL);
    struct sink *sink = sink_of(&ends);
    assert_ok(sink->ops->begin(sink, &err));

    assert_ok(produce_bytes(&ends, &rig, sink->ops->record_bytes_max(sink)));
    commit(&ends);

    struct record records[4];
    assert_int_equal(rig_read(&rig, rig.audit, records, 4), 1);
    finish(&rig, &ends);
}

static void test_reopen__asks_to_wait_while_no_broker_answers(void **state)
{
    (void)state;
    struct rig rig;
    rig_setup(&rig, 1, NULL);
    struct config other;
    rig_replica(&rig, "two", (const char *const[]){"bootstrap.servers=127.0.0.1:1", NULL}, &other);
    struct ends ends = {0};
    assert_ok(source_kafka_new(&other, 0, &ends.source, &err));
    assert_ok(sink_kafka_new(&other, 0, ends.source, 0, &ends.sink, &err));

    assert_int_equal(sink_of(&ends)->ops->reopen(sink_of(&ends), &err), OUTCOME_RETRY);
    assert_int_equal(sink_of(&ends)->ops->reopen(sink_of(&ends), &err), OUTCOME_RETRY);

    close_ends(&ends);
    config_release(&other);
    rig_teardown(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit__shows_records_and_moves_offsets_together),
        cmocka_unit_test(test_commit__many_transactions_in_a_row),
        cmocka_unit_test(test_produce__carries_the_record_byte_for_byte),
        cmocka_unit_test(test_reopen__hides_records_and_leaves_offsets),
        cmocka_unit_test(test_begin__before_the_first_reopen_is_fatal),
        cmocka_unit_test(test_reopen__ends_what_a_predecessor_left_open_and_fences_it),
        cmocka_unit_test(test_reopen__after_fencing_works_again),
        cmocka_unit_test(test_committed__tells_whether_an_ambiguous_commit_happened),
        cmocka_unit_test(test_take_assigned__tells_once_where_each_partition_begins),
        cmocka_unit_test(test_poll__waits_for_committed_offsets_that_are_told_late),
        cmocka_unit_test(test_send_offsets__of_a_zombie_is_refused),
        cmocka_unit_test(test_send_offsets__the_broker_fences_an_old_generation),
        cmocka_unit_test(test_produce__asks_to_wait_while_the_queue_is_full),
        cmocka_unit_test(test_produce__more_than_a_set_of_records_goes_out_in_order),
        cmocka_unit_test(test_produce__refuses_a_record_that_is_too_large),
        cmocka_unit_test(test_record_bytes_max__such_a_record_gets_through),
        cmocka_unit_test(test_reopen__asks_to_wait_while_no_broker_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
