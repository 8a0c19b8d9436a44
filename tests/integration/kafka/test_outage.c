#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/integration/kafka/kafka_fixture.h"
#include "worker/kafka/sink_kafka.h"

/* A broker that neither answers nor breaks its connections: the process is stopped (SIGSTOP), so
 * nothing else may use the stack meanwhile. STACK_KAFKA_PID, as `deploy/local/stack.sh env` prints
 * it. */

static const struct batch_limits MANY = {10000, 4 << 20};

/* What the last failed call said. */
static struct err err;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if ((call) != OUTCOME_OK)                                                                  \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

static pid_t broker(void)
{
    const char *text = getenv("STACK_KAFKA_PID");
    if (text == NULL) {
        print_error("STACK_KAFKA_PID is not set: eval \"$(deploy/local/stack.sh env)\"\n");
        abort(); /* a process number must not be made up */
    }
    return (pid_t)strtol(text, NULL, 10);
}

/* A thread that has just ended is as good as stopped. */
static char state_of_thread(const char *path)
{
    char line[512] = "";
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return 'T';
    (void)!fread(line, 1, sizeof(line) - 1, file);
    fclose(file);
    const char *name_end = strrchr(line, ')');
    return name_end != NULL ? name_end[2] : 'T';
}

static bool is_stopped(void)
{
    char pattern[64];
    glob_t found;
    bool stopped = true;

    snprintf(pattern, sizeof(pattern), "/proc/%d/task/*/stat", (int)broker());
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        stopped = stopped && state_of_thread(found.gl_pathv[i]) == 'T';
    globfree(&found);
    return stopped;
}

/* The signal is taken by one thread when the scheduler lets it run; the others go on till then. */
static void freeze(void)
{
    assert_int_equal(kill(broker(), SIGSTOP), 0);
    for (int i = 0; i < 1000 && !is_stopped(); i++)
        clock_sleep_us(10000);
    assert_true(is_stopped());
}

static int thaw(void **state)
{
    (void)state;
    return kill(broker(), SIGCONT);
}

struct lane_ends {
    struct rig rig;
    struct source_kafka *kafka_source;
    struct sink_kafka *kafka_sink;
    struct source *source;
    struct sink *sink;
};

/* Makes the call again for as long as it asks for that, up to a minute. */
static enum outcome again(enum outcome (*call)(struct sink *, struct err *), struct sink *sink)
{
    enum outcome outcome;
    int64_t end_us = clock_monotonic_us() + 60000000;
    while ((outcome = call(sink, &err)) == OUTCOME_RETRY && clock_monotonic_us() < end_us)
        clock_sleep_us(10000);
    return outcome;
}

static void start_with(struct lane_ends *ends, const char *const *properties)
{
    rig_setup(&ends->rig, 1, properties);
    rig_fill(&ends->rig, ends->rig.commands, 0, "", 5);
    assert_ok(source_kafka_new(&ends->rig.config, 0, &ends->kafka_source, &err));
    assert_ok(sink_kafka_new(&ends->rig.config, 0, ends->kafka_source, 0, &ends->kafka_sink, &err));
    ends->source = source_kafka_port(ends->kafka_source);
    ends->sink = sink_kafka_port(ends->kafka_sink);
    assert_ok(again(ends->sink->ops->reopen, ends->sink));
    const struct message *messages;
    assert_int_equal(rig_poll(ends->source, &MANY, &messages), 5);
}

static void start(struct lane_ends *ends)
{
    start_with(ends, NULL);
}

static void finish(struct lane_ends *ends)
{
    sink_kafka_free(ends->kafka_sink);
    source_kafka_free(ends->kafka_source);
    rig_teardown(&ends->rig);
}

static void produce(struct lane_ends *ends, const char *value)
{
    struct outgoing_record record = {.topic = text_of(ends->rig.audit),
                                     .timestamp_ms = -1,
                                     .value = slice_of_text(text_of(value))};
    assert_ok(ends->sink->ops->produce(ends->sink, &record, &err));
}

static void fill_transaction(struct lane_ends *ends, const char *value)
{
    struct position position = {.topic = text_of(ends->rig.commands), .partition = 0, .offset = 5};
    produce(ends, value);
    assert_ok(ends->sink->ops->send_offsets(ends->sink, &position, 1, &err));
}

static void assert_audit_is(struct lane_ends *ends, const char *value)
{
    struct record records[4];
    assert_int_equal(rig_read(&ends->rig, ends->rig.audit, records, 4), 1);
    assert_string_equal(records[0].value, value);
    assert_int_equal(rig_committed(ends->source, &ends->rig, 0), 5);
}

/* Nothing of the transactions before it is there. */
static void assert_next_alone_counts(struct lane_ends *ends)
{
    assert_ok(ends->sink->ops->begin(ends->sink, &err));
    fill_transaction(ends, "next");
    assert_ok(again(ends->sink->ops->commit, ends->sink));
    assert_audit_is(ends, "next");
}

static void test_commit__is_taken_up_again_after_a_timeout(void **state)
{
    (void)state;
    struct lane_ends ends;
    start(&ends);
    assert_ok(ends.sink->ops->begin(ends.sink, &err));
    fill_transaction(&ends, "one");
    freeze();

    assert_int_equal(ends.sink->ops->commit(ends.sink, &err), OUTCOME_RETRY);
    /* its outcome is open: no other transaction may follow */
    assert_int_equal(ends.sink->ops->begin(ends.sink, &err), OUTCOME_FATAL);
    thaw(NULL);
    assert_ok(again(ends.sink->ops->commit, ends.sink));

    assert_audit_is(&ends, "one");
    finish(&ends);
}

/* A record that a frozen broker takes after the producer has given it up. With an abort in place of
 * reopen() the next transaction's record has the same sequence number, is taken for a duplicate,
 * acknowledged, and lost (librdkafka 2.0.2). */
static void test_reopen__a_record_taken_late_is_not_mistaken_for_the_next(void **state)
{
    static const char *const impatient[] = {"socket.timeout.ms=1000", NULL};
    (void)state;
    struct lane_ends ends;
    start_with(&ends, impatient);
    assert_ok(ends.sink->ops->begin(ends.sink, &err));
    produce(&ends, "first");
    clock_sleep_us(500000); /* the partition is in the transaction: the next record goes at once */
    freeze();
    produce(&ends, "late");
    for (int i = 0; i < 15; i++) { /* past the request's timeout: it is to be sent again */
        clock_sleep_us(100000);
        ends.sink->ops->serve(ends.sink);
    }
    enum outcome outcome = ends.sink->ops->reopen(ends.sink, &err);
    thaw(NULL);
    if (outcome != OUTCOME_OK)
        assert_ok(again(ends.sink->ops->reopen, ends.sink));

    assert_next_alone_counts(&ends);
    finish(&ends);
}

static void test_send_offsets__that_nobody_answered_asks_for_a_new_producer(void **state)
{
    struct position position;
    struct lane_ends ends;
    (void)state;
    start(&ends);
    position = (struct position){.topic = text_of(ends.rig.commands), .partition = 0, .offset = 5};
    assert_ok(ends.sink->ops->begin(ends.sink, &err));
    produce(&ends, "first");
    freeze();
    enum outcome outcome = ends.sink->ops->send_offsets(ends.sink, &position, 1, &err);
    thaw(NULL);
    assert_int_equal(outcome, OUTCOME_REJECT);

    assert_ok(again(ends.sink->ops->reopen, ends.sink));
    assert_next_alone_counts(&ends);
    finish(&ends);
}

/* Thirty sets of records; a lane that waited a second for each would not hear a stop request. */
static void test_produce__waits_for_a_frozen_broker_once(void **state)
{
    (void)state;
    struct lane_ends ends;
    start_with(&ends, (const char *const[]){"batch.size=100", NULL});
    assert_ok(ends.sink->ops->begin(ends.sink, &err));
    freeze();
    int64_t since_us = clock_monotonic_us();
    for (int i = 0; i < 30; i++)
        produce(&ends, "late");
    int64_t took_us = clock_monotonic_us() - since_us;
    thaw(NULL);

    assert_true(took_us < 10000000);
    assert_ok(again(ends.sink->ops->reopen, ends.sink));
    assert_next_alone_counts(&ends);
    finish(&ends);
}

static void test_reopen__ends_a_commit_that_is_under_way(void **state)
{
    (void)state;
    struct lane_ends ends;
    start(&ends);
    assert_ok(ends.sink->ops->begin(ends.sink, &err));
    fill_transaction(&ends, "one");
    freeze();
    assert_int_equal(ends.sink->ops->commit(ends.sink, &err), OUTCOME_RETRY);
    thaw(NULL);

    assert_ok(again(ends.sink->ops->reopen, ends.sink));

    /* Whichever way it went, offsets and records went together. */
    struct record records[4];
    size_t count = rig_read(&ends.rig, ends.rig.audit, records, 4);
    assert_int_equal(rig_committed(ends.source, &ends.rig, 0), count == 1 ? 5 : -1);
    finish(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_commit__is_taken_up_again_after_a_timeout, thaw),
        cmocka_unit_test_teardown(test_reopen__a_record_taken_late_is_not_mistaken_for_the_next,
                                  thaw),
        cmocka_unit_test_teardown(test_send_offsets__that_nobody_answered_asks_for_a_new_producer,
                                  thaw),
        cmocka_unit_test_teardown(test_produce__waits_for_a_frozen_broker_once, thaw),
        cmocka_unit_test_teardown(test_reopen__ends_a_commit_that_is_under_way, thaw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
