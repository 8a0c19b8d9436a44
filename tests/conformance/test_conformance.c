/* What the ports promise (worker/lane/source.h, sink.h, store.h), asked of the simulated ones, in
 * which the lane is explored, and of the real ones, with the same assertions. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "events/rejections.h"
#include "repo/testing/fixtures.h"
#include "tests/conformance/ports.h"
#include "tests/sim/sim_commands.h"

static struct world world;
static struct err err; /* of the last call that failed */

static const struct batch_limits MANY = {1000, 1 << 20};

#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        if ((call) != OUTCOME_OK)                                                                  \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

#define ASSERT_FAILS(call, expected)                                                               \
    do {                                                                                           \
        enum outcome outcome_of_call = (call);                                                     \
        if (outcome_of_call != (expected))                                                         \
            fail_msg("%s: %s instead of %s (%s)", #call, outcome_name(outcome_of_call),            \
                     outcome_name(expected), outcome_of_call != OUTCOME_OK ? err.text : "");       \
    } while (0)

/* --- both ends at the brokers ---------------------------------------------------------------- */

enum { ATTEMPTS = 600, ATTEMPT_MS = 50 };

static struct ends start_open(int lane)
{
    struct ends ends = world.maker->start(&world, lane);
    ASSERT_OK(ends.sink->ops->reopen(ends.sink, &err));
    return ends;
}

/* Polls once and counts what comes: each partition's messages in order from next[]. */
static size_t poll_once(const struct ends *ends, int64_t *next)
{
    const struct message *messages;
    size_t count = 0;
    enum outcome outcome = source_poll(ends->source, ATTEMPT_MS, &MANY, &messages, &count, &err);

    if (outcome != OUTCOME_OK && outcome != OUTCOME_RETRY)
        fail_msg("poll: %s", err.text);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(messages[i].offset, next[messages[i].partition]++);
    return count;
}

/* Until so many messages have come; the last batch stays in hand. */
static void take(const struct ends *ends, int64_t *next, size_t wanted)
{
    size_t count = 0;

    for (int i = 0; i < ATTEMPTS && count < wanted; i++)
        count += poll_once(ends, next);
    assert_int_equal(count, wanted);
}

/* A lane with the only member of the group, all five commands polled: three in partition 0, two in
 * partition 1, none in partition 2. */
static struct ends start_and_take(void)
{
    int64_t next[WORLD_PARTITIONS] = {0};

    world.maker->fill(&world, 0, 3);
    world.maker->fill(&world, 1, 2);
    struct ends ends = start_open(0);
    take(&ends, next, 5);
    return ends;
}

static enum outcome produce(struct sink *sink, struct text value)
{
    const struct outgoing_record outgoing = {
        .topic = world.audit, .timestamp_ms = -1, .value = slice_of_text(value)};
    return sink->ops->produce(sink, &outgoing, &err);
}

static void begin_with(struct sink *sink, struct text value)
{
    ASSERT_OK(sink->ops->begin(sink, &err));
    ASSERT_OK(produce(sink, value));
}

static enum outcome send(struct sink *sink, int64_t first, int64_t second)
{
    const struct position positions[] = {{world.commands, 0, first}, {world.commands, 1, second}};
    return sink->ops->send_offsets(sink, positions, second >= 0 ? 2 : 1, &err);
}

static void assert_committed(const struct ends *ends, int64_t first, int64_t second)
{
    struct position positions[] = {{world.commands, 0, 77}, {world.commands, 1, 77}};

    ASSERT_OK(source_committed(ends->source, positions, 2, &err));
    assert_int_equal(positions[0].offset, first);
    assert_int_equal(positions[1].offset, second);
    /* The sink sends the worker's mark. The start of a log that went back the source commits
     * without: it may lie past what the store has recorded. */
    assert_int_equal(positions[0].ours, first > 0);
    assert_int_equal(positions[1].ours, second > 0);
}

/* Brokers acknowledge a commit before its markers are written. */
static void assert_visible(const char *values)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    for (int i = 0; i < 1000 && strcmp(world.maker->visible(&world), values) != 0; i++)
        nanosleep(&pause, NULL);
    assert_string_equal(world.maker->visible(&world), values);
}

static void test_commit__shows_records_and_moves_offsets(void **state)
{
    (void)state;
    struct ends ends = start_and_take();
    assert_committed(&ends, -1, -1);

    begin_with(ends.sink, TEXT("one"));
    ASSERT_OK(produce(ends.sink, TEXT("two")));
    ASSERT_OK(send(ends.sink, 3, 1));
    assert_visible("");
    ASSERT_OK(ends.sink->ops->commit(ends.sink, &err));

    assert_visible("one two");
    assert_committed(&ends, 3, 1);
    begin_with(ends.sink, TEXT("three"));
    ASSERT_OK(send(ends.sink, 3, 2));
    ASSERT_OK(ends.sink->ops->commit(ends.sink, &err));
    assert_visible("one two three");
    assert_committed(&ends, 3, 2);
}

static void test_reopen__hides_records_and_leaves_offsets(void **state)
{
    (void)state;
    struct ends ends = start_and_take();

    begin_with(ends.sink, TEXT("aborted"));
    ASSERT_OK(send(ends.sink, 3, 2));
    ASSERT_OK(ends.sink->ops->reopen(ends.sink, &err));

    assert_committed(&ends, -1, -1);
    begin_with(ends.sink, TEXT("after"));
    ASSERT_OK(send(ends.sink, 1, -1));
    ASSERT_OK(ends.sink->ops->commit(ends.sink, &err));
    assert_committed(&ends, 1, -1);
    assert_visible("after");
}

/* Also because the last one sent counts, not the greatest. */
static void test_send_offsets__may_go_back(void **state)
{
    (void)state;
    struct ends ends = start_and_take();

    for (int64_t to = 3; to > 0; to--) {
        begin_with(ends.sink, TEXT("x"));
        ASSERT_OK(send(ends.sink, to + 1, -1));
        ASSERT_OK(send(ends.sink, to, -1));
        ASSERT_OK(ends.sink->ops->commit(ends.sink, &err));
        assert_committed(&ends, to, -1);
    }
}

static void test_sink__is_closed_before_the_first_reopen(void **state)
{
    (void)state;
    struct ends ends = world.maker->start(&world, 0);

    ASSERT_FAILS(ends.sink->ops->begin(ends.sink, &err), OUTCOME_FATAL);
    ASSERT_FAILS(produce(ends.sink, TEXT("x")), OUTCOME_FATAL);
    ASSERT_FAILS(send(ends.sink, 1, 1), OUTCOME_FATAL);
    ASSERT_FAILS(ends.sink->ops->commit(ends.sink, &err), OUTCOME_FATAL);
}

static void test_committed__and_rewind_wait_for_a_transaction_that_holds_offsets(void **state)
{
    (void)state;
    struct ends ends = start_and_take();
    struct position position = {.topic = world.commands, .partition = 0, .offset = 0};

    begin_with(ends.sink, TEXT("one"));
    ASSERT_OK(source_committed(ends.source, &position, 1, &err));
    ASSERT_OK(send(ends.sink, 3, -1));
    ASSERT_FAILS(source_committed(ends.source, &position, 1, &err), OUTCOME_RETRY);
    source_release(ends.source);
    source_rewind(ends.source);
    const struct message *messages;
    size_t count;
    ASSERT_FAILS(source_poll(ends.source, ATTEMPT_MS, &MANY, &messages, &count, &err),
                 OUTCOME_RETRY);
    ASSERT_OK(ends.sink->ops->commit(ends.sink, &err));

    assert_committed(&ends, 3, -1);
    int64_t next[WORLD_PARTITIONS] = {3, 0};
    take(&ends, next, 2);
}

static void test_poll__released_messages_come_again_only_after_rewind(void **state)
{
    (void)state;
    struct ends ends = start_and_take();
    begin_with(ends.sink, TEXT("one"));
    ASSERT_OK(send(ends.sink, 2, -1));
    ASSERT_OK(ends.sink->ops->commit(ends.sink, &err));
    source_release(ends.source);

    int64_t behind[WORLD_PARTITIONS] = {3, 2};
    for (int i = 0; i < 3; i++)
        assert_int_equal(poll_once(&ends, behind), 0);
    source_rewind(ends.source);
    int64_t next[WORLD_PARTITIONS] = {2, 0};
    take(&ends, next, 3);

    world.maker->fill(&world, 1, 1);
    take(&ends, next, 1);
    assert_int_equal(next[0], 3);
    assert_int_equal(next[1], 3);
}

static void test_keep_alive__leaves_the_batch_in_hand_valid(void **state)
{
    (void)state;
    world.maker->fill(&world, 0, 1);
    struct ends ends = start_open(0);
    const struct message *messages;
    size_t count = 0;
    for (int i = 0; i < ATTEMPTS && count == 0; i++)
        (void)source_poll(ends.source, ATTEMPT_MS, &MANY, &messages, &count, &err);
    assert_int_equal(count, 1);
    uint64_t generation = source_generation(ends.source);

    source_keep_alive(ends.source, 100);

    assert_int_equal(source_generation(ends.source), generation);
    assert_int_equal(messages[0].offset, 0);
    assert_memory_equal(messages[0].value.data, "value", 5);
}

/* The group's offset lies past the end of partition 0, as when the log behind it is another one. */
static void test_poll__a_log_that_does_not_hold_the_position_begins_again(void **state)
{
    (void)state;
    int64_t next[WORLD_PARTITIONS] = {0, 2, 0};
    const struct log_reset *resets = NULL;
    size_t reset_count = 0;
    size_t again = 0;
    struct ends ends = start_and_take();
    begin_with(ends.sink, TEXT("x"));
    ASSERT_OK(send(ends.sink, 100, 2));
    ASSERT_OK(ends.sink->ops->commit(ends.sink, &err));
    uint64_t generation = source_generation(ends.source);
    source_rewind(ends.source);

    for (int i = 0; i < ATTEMPTS && reset_count == 0; i++) {
        again += poll_once(&ends, next);
        source_take_resets(ends.source, &resets, &reset_count);
    }

    assert_int_equal(reset_count, 1);
    assert_true(text_equal(resets[0].topic, world.commands));
    assert_int_equal(resets[0].partition, 0);
    assert_int_equal(resets[0].position, 100);
    assert_int_equal(resets[0].first, 0);
    assert_int_equal(resets[0].end, 3);
    assert_true(source_generation(ends.source) != generation);
    for (int i = 0; i < ATTEMPTS && again < 3; i++)
        again += poll_once(&ends, next);
    assert_int_equal(again, 3);
    assert_int_equal(next[0], 3);
    assert_committed(&ends, 0, 2);
    source_take_resets(ends.source, &resets, &reset_count);
    assert_int_equal(reset_count, 0);
}

static void test_take_assigned__tells_once_where_partitions_begin(void **state)
{
    (void)state;
    struct ends first = start_and_take();
    begin_with(first.sink, TEXT("one"));
    ASSERT_OK(send(first.sink, 2, -1));
    ASSERT_OK(first.sink->ops->commit(first.sink, &err));
    first.source->ops->close(first.source);

    struct ends second = start_open(1);
    int64_t next[WORLD_PARTITIONS] = {2, 0};
    take(&second, next, 3);

    const struct position *positions;
    size_t count;
    int told = 0;
    ASSERT_OK(source_take_assigned(second.source, &positions, &count, &err));
    assert_int_equal(count, WORLD_PARTITIONS);
    for (size_t i = 0; i < count; i++) {
        assert_true(text_equal(positions[i].topic, world.commands));
        assert_int_equal(positions[i].offset, positions[i].partition == 0 ? 2 : -1);
        told |= 1 << positions[i].partition;
    }
    assert_int_equal(told, (1 << WORLD_PARTITIONS) - 1);
    ASSERT_OK(source_take_assigned(second.source, &positions, &count, &err));
    assert_int_equal(count, 0);
}

static void test_reopen__ends_what_was_open_and_fences_the_other(void **state)
{
    (void)state;
    struct ends ends = start_and_take();
    struct sink *twin = world.maker->twin(&world, 0);
    begin_with(ends.sink, TEXT("zombie"));
    ASSERT_OK(send(ends.sink, 3, 2));

    ASSERT_OK(twin->ops->reopen(twin, &err));

    assert_committed(&ends, -1, -1);
    ASSERT_FAILS(ends.sink->ops->commit(ends.sink, &err), OUTCOME_FATAL);
    assert_string_equal(err.code, "_FENCED");
    begin_with(twin, TEXT("successor"));
    ASSERT_OK(send(twin, 1, -1));
    ASSERT_OK(twin->ops->commit(twin, &err));
    assert_committed(&ends, 1, -1);
    assert_visible("successor");
}

/* It learns so from the brokers only: what is local succeeds. */
static void test_reopen__fences_also_a_producer_with_nothing_open(void **state)
{
    (void)state;
    struct ends ends = start_and_take();
    struct sink *twin = world.maker->twin(&world, 0);
    ASSERT_OK(twin->ops->reopen(twin, &err));

    begin_with(ends.sink, TEXT("zombie"));
    ASSERT_FAILS(ends.sink->ops->commit(ends.sink, &err), OUTCOME_FATAL);

    assert_visible("");
    ASSERT_OK(ends.sink->ops->reopen(ends.sink, &err));
    begin_with(ends.sink, TEXT("again"));
    ASSERT_OK(send(ends.sink, 3, 2));
    ASSERT_OK(ends.sink->ops->commit(ends.sink, &err));
    begin_with(twin, TEXT("fenced in its turn"));
    ASSERT_FAILS(twin->ops->commit(twin, &err), OUTCOME_FATAL);
    assert_visible("again");
    assert_committed(&ends, 3, 2);
}

static void test_reopen__ends_its_own_transaction(void **state)
{
    (void)state;
    struct ends ends = start_and_take();
    begin_with(ends.sink, TEXT("left open"));
    ASSERT_OK(send(ends.sink, 3, 2));

    ASSERT_OK(ends.sink->ops->reopen(ends.sink, &err));

    assert_committed(&ends, -1, -1);
    assert_visible("");
}

static void test_produce__refuses_what_is_too_large(void **state)
{
    (void)state;
    struct ends ends = start_and_take();
    size_t most = ends.sink->ops->record_bytes_max(ends.sink);
    char *bytes = arena_alloc(world.arena, 2 * most);
    assert_non_null(bytes);
    memset(bytes, 'x', 2 * most);
    struct text large = {bytes, 2 * most};
    begin_with(ends.sink, TEXT("small"));

    ASSERT_FAILS(produce(ends.sink, large), OUTCOME_REJECT);
    assert_string_equal(err.code, "MSG_SIZE_TOO_LARGE");

    ASSERT_OK(ends.sink->ops->reopen(ends.sink, &err));
    begin_with(ends.sink, TEXT("next"));
    ASSERT_OK(send(ends.sink, 1, -1));
    ASSERT_OK(ends.sink->ops->commit(ends.sink, &err));
    assert_visible("next");
}

static void test_sink__without_a_transaction_there_is_nothing_to_end(void **state)
{
    (void)state;
    struct ends ends = start_open(0);

    ASSERT_FAILS(ends.sink->ops->commit(ends.sink, &err), OUTCOME_FATAL);
    ASSERT_OK(ends.sink->ops->reopen(ends.sink, &err));
}

/* The other joins, and the first serves the group. */
static void rebalance(const struct ends *first, const struct ends *second)
{
    uint64_t before = source_generation(first->source);

    for (int i = 0; i < ATTEMPTS && source_generation(first->source) == before; i++) {
        source_keep_alive(second->source, 10);
        source_keep_alive(first->source, 10);
    }
    assert_int_not_equal(source_generation(first->source), before);
}

static void test_rebalance__what_is_in_hand_is_fenced_and_comes_again(void **state)
{
    (void)state;
    struct ends first = start_and_take();
    struct ends second = start_open(1);
    rebalance(&first, &second);

    begin_with(first.sink, TEXT("of the old generation"));
    ASSERT_FAILS(send(first.sink, 3, 2), OUTCOME_REJECT);
    assert_string_equal(err.code, "ILLEGAL_GENERATION");
    ASSERT_OK(first.sink->ops->reopen(first.sink, &err));

    assert_visible("");
    source_release(first.source);
    int64_t next[WORLD_PARTITIONS] = {0};
    for (int i = 0; i < ATTEMPTS && next[0] + next[1] < 5; i++) {
        poll_once(&first, next);
        poll_once(&second, next);
    }
    assert_int_equal(next[0], 3);
    assert_int_equal(next[1], 2);
}

static void test_rebalance__a_silent_member_is_fenced_before_it_knows(void **state)
{
    (void)state;
    struct ends zombie = start_and_take();
    struct ends owner = start_open(1);
    uint64_t before = source_generation(zombie.source);
    world.maker->fall_silent(&world, 0);
    int64_t next[WORLD_PARTITIONS] = {0};
    take(&owner, next, 5);
    begin_with(owner.sink, TEXT("owner"));
    ASSERT_OK(send(owner.sink, 3, 2));
    ASSERT_OK(owner.sink->ops->commit(owner.sink, &err));

    assert_int_equal(source_generation(zombie.source), before);
    begin_with(zombie.sink, TEXT("zombie"));
    ASSERT_FAILS(send(zombie.sink, 1, 1), OUTCOME_REJECT);
    ASSERT_OK(zombie.sink->ops->reopen(zombie.sink, &err));

    assert_committed(&owner, 3, 2);
    assert_visible("owner");
}

/* --- the store ------------------------------------------------------------------------------- */

static struct command command(enum sim_command_type type, const char *id, const char *entity,
                              int variant)
{
    struct message *message = arena_alloc(world.arena, sizeof(*message));
    struct command decoded;

    assert_non_null(message);
    *message = sim_command(world.arena, type, id, entity, variant);
    ASSERT_OK(command_decode(message, world.arena, &decoded, &err));
    return decoded;
}

static const struct audit_event *find(struct store *store, const struct command *of)
{
    const struct audit_event *found;

    ASSERT_OK(store->ops->find(store, &of->audit_id, 1, world.arena, &found, &err));
    return found;
}

static struct command_result apply(struct store *store, const struct command *one)
{
    struct command_result result;

    ASSERT_OK(store->ops->apply(store, &one, 1, world.arena, &result, &err));
    return result;
}

static struct audit_event event_of(const struct command *command, struct command_result result)
{
    struct audit_event event;

    ASSERT_OK(command_event(command, &result, world.arena, &event, &err));
    event.topic_id = 1;
    event.partition = 1;
    event.offset = 42;
    return event;
}

static enum outcome record_event(struct store *store, const struct audit_event *event)
{
    return store->ops->record(store, &event, 1, NULL, 0, NULL, world.arena, &err);
}

static enum outcome record(struct store *store, const struct command *command,
                           struct command_result result)
{
    struct audit_event event = event_of(command, result);
    return record_event(store, &event);
}

/* In a transaction of its own. */
static struct command_result settle(struct store *store, const struct command *one)
{
    assert_null(find(store, one));
    struct command_result result = apply(store, one);
    ASSERT_OK(record(store, one, result));
    return result;
}

static void test_record__a_command_is_known_afterwards(void **state)
{
    (void)state;
    struct store *store = world.maker->connect(&world, 0);
    struct store *other = world.maker->connect(&world, 1);
    struct command upsert = command(SIM_USER_UPSERT, "1", "u1", 1);
    struct command unknown = command(SIM_USER_UPSERT, "2", "u1", 1);

    assert_true(settle(store, &upsert).created);

    const struct uuid ids[] = {unknown.audit_id, upsert.audit_id};
    const struct audit_event *found[2];
    ASSERT_OK(other->ops->find(other, ids, 2, world.arena, found, &err));
    assert_null(found[0]);
    assert_non_null(found[1]);
    assert_true(uuid_equal(&found[1]->command_digest, &upsert.digest));
    assert_int_equal(found[1]->partition, 1);
    assert_int_equal(found[1]->offset, 42);
    assert_true(text_is(found[1]->outcome, "applied"));
}

static void test_apply__as_if_one_by_one(void **state)
{
    (void)state;
    struct store *store = world.maker->connect(&world, 0);
    struct command user = command(SIM_USER_UPSERT, "0", "u", 1);
    settle(store, &user);
    const struct command commands[] = {
        command(SIM_KEY_RECORD_USAGE, "1", "k", 1), command(SIM_KEY_ISSUE, "2", "k", 0),
        command(SIM_KEY_ISSUE, "3", "k", 0),        command(SIM_KEY_RECORD_USAGE, "4", "k", 2),
        command(SIM_KEY_RECORD_USAGE, "5", "k", 3), command(SIM_USER_UPSERT, "6", "u", 2),
    };
    const struct command *pointers[6];
    struct command_result results[6];
    for (size_t i = 0; i < 6; i++)
        pointers[i] = &commands[i];
    assert_null(find(store, &commands[0]));

    ASSERT_OK(store->ops->apply(store, pointers, 6, world.arena, results, &err));

    assert_string_equal(results[0].rejection, REJECTION_KEY_NOT_FOUND);
    assert_null(results[1].rejection);
    assert_string_equal(results[2].rejection, REJECTION_KEY_DUPLICATE_ID);
    assert_int_equal(((const struct key *)results[3].row)->usage_count, 1);
    assert_int_equal(((const struct key *)results[4].row)->usage_count, 2);
    assert_null(results[5].rejection);
    assert_false(results[5].created);
}

static void test_recover__takes_back_what_was_not_recorded(void **state)
{
    (void)state;
    struct store *store = world.maker->connect(&world, 0);
    struct command upsert = command(SIM_USER_UPSERT, "1", "u1", 1);
    assert_null(find(store, &upsert));
    assert_true(apply(store, &upsert).created);

    ASSERT_OK(store->ops->recover(store, &err));

    assert_true(settle(store, &upsert).created);
    assert_non_null(find(store, &upsert));
}

static void test_record__two_stores_race_for_one_id(void **state)
{
    (void)state;
    struct store *first = world.maker->connect(&world, 0);
    struct store *second = world.maker->connect(&world, 1);
    struct command usage = command(SIM_KEY_RECORD_USAGE, "1", "nobody", 1);
    assert_null(find(first, &usage));
    assert_null(find(second, &usage));
    ASSERT_OK(record(first, &usage, apply(first, &usage)));

    struct command_result result = apply(second, &usage);
    ASSERT_FAILS(record(second, &usage, result), OUTCOME_REJECT);

    assert_string_equal(err.code, "23505");
    ASSERT_OK(second->ops->recover(second, &err));
    assert_non_null(find(second, &usage));
}

struct counted {
    struct overlap overlap;
    int runs;
};

static void count_run(struct overlap *overlap)
{
    ((struct counted *)overlap)->runs++;
}

static void test_record__overlap_runs_once_and_decides_nothing(void **state)
{
    (void)state;
    struct store *first = world.maker->connect(&world, 0);
    struct store *second = world.maker->connect(&world, 1);
    struct command usage = command(SIM_KEY_RECORD_USAGE, "1", "nobody", 1);
    struct counted counted = {{count_run}};
    assert_null(find(first, &usage));
    assert_null(find(second, &usage));
    struct audit_event event = event_of(&usage, apply(first, &usage));
    const struct audit_event *const events[] = {&event};

    ASSERT_OK(first->ops->record(first, events, 1, NULL, 0, &counted.overlap, world.arena, &err));
    assert_int_equal(counted.runs, 1);
    apply(second, &usage);
    ASSERT_FAILS(
        second->ops->record(second, events, 1, NULL, 0, &counted.overlap, world.arena, &err),
        OUTCOME_REJECT);

    assert_in_range(counted.runs, 1, 2);
    ASSERT_OK(second->ops->recover(second, &err));
    assert_non_null(find(second, &usage));
}

static void test_record__an_id_twice_at_once_is_refused(void **state)
{
    (void)state;
    struct store *store = world.maker->connect(&world, 0);
    struct command usage = command(SIM_KEY_RECORD_USAGE, "1", "nobody", 1);
    assert_null(find(store, &usage));
    struct audit_event event = event_of(&usage, apply(store, &usage));
    const struct audit_event *const twice[] = {&event, &event};

    ASSERT_FAILS(store->ops->record(store, twice, 2, NULL, 0, NULL, world.arena, &err),
                 OUTCOME_REJECT);

    assert_string_equal(err.code, "23505");
    ASSERT_OK(store->ops->recover(store, &err));
    assert_null(find(store, &usage));
}

static void test_apply__what_is_refused_takes_the_rest_with_it(void **state)
{
    (void)state;
    struct store *store = world.maker->connect(&world, 0);
    struct command good = command(SIM_USER_UPSERT, "1", "u1", 1);
    struct command bad = command(SIM_USER_UPSERT, "2", "u2", 99);
    const struct command *const both[] = {&good, &bad};
    struct command_result results[2];
    assert_null(find(store, &good));

    ASSERT_FAILS(store->ops->apply(store, both, 2, world.arena, results, &err), OUTCOME_REJECT);

    assert_string_not_equal(err.code, "23505");
    ASSERT_OK(store->ops->recover(store, &err));
    assert_true(settle(store, &good).created);
}

static void test_record__a_broken_connection_asks_to_begin_again(void **state)
{
    (void)state;
    struct store *store = world.maker->connect(&world, 0);
    struct command upsert = command(SIM_USER_UPSERT, "1", "u1", 1);
    assert_null(find(store, &upsert));
    struct command_result result = apply(store, &upsert);

    world.maker->cut(&world, 0);

    ASSERT_FAILS(record(store, &upsert, result), OUTCOME_RETRY);
    ASSERT_OK(store->ops->recover(store, &err));
    assert_true(settle(store, &upsert).created);
}

static void test_intern__numbers_are_the_same_for_all(void **state)
{
    (void)state;
    struct store *first = world.maker->connect(&world, 0);
    struct store *second = world.maker->connect(&world, 1);
    const struct text names[] = {TEXT("a"), TEXT("b"), TEXT("c")};
    const struct text turned[] = {TEXT("c"), TEXT("d"), TEXT("b")};
    int32_t ids[3], others[3];

    ASSERT_OK(first->ops->intern(first, names, 3, world.arena, ids, &err));
    ASSERT_OK(second->ops->intern(second, turned, 3, world.arena, others, &err));

    assert_int_equal(others[0], ids[2]);
    assert_int_equal(others[2], ids[1]);
    assert_true(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    assert_true(others[1] != ids[0] && others[1] != ids[1] && others[1] != ids[2]);
}

static struct published_offset offset(int32_t partition, int64_t value, bool reset)
{
    return (struct published_offset){
        .topic_id = 1, .partition = partition, .offset = value, .reset = reset};
}

static void save(struct store *store, struct published_offset saved)
{
    ASSERT_OK(store->ops->record(store, NULL, 0, &saved, 1, NULL, world.arena, &err));
}

static void assert_published(struct store *store, int64_t first, int64_t second)
{
    struct published_offset loaded[] = {offset(0, 77, false), offset(1, 77, false)};

    ASSERT_OK(store->ops->load_published(store, loaded, 2, world.arena, &err));
    assert_int_equal(loaded[0].offset, first);
    assert_int_equal(loaded[1].offset, second);
}

static void test_record__published_offsets_only_grow_unless_reset(void **state)
{
    (void)state;
    struct store *store = world.maker->connect(&world, 0);
    struct store *other = world.maker->connect(&world, 1);
    assert_published(store, 0, 0);

    save(store, offset(0, 5, false));
    assert_published(other, 5, 0);
    save(other, offset(0, 3, false));
    assert_published(store, 5, 0);
    save(other, offset(0, 9, false));
    save(store, offset(1, 4, false));
    assert_published(store, 9, 4);
    save(store, offset(0, 2, true));
    assert_published(other, 2, 4);
    save(other, offset(0, 6, true));
    assert_published(other, 6, 4);
}

static void test_record__offsets_and_events_are_one_transaction(void **state)
{
    (void)state;
    struct store *first = world.maker->connect(&world, 0);
    struct store *second = world.maker->connect(&world, 1);
    struct command usage = command(SIM_KEY_RECORD_USAGE, "1", "nobody", 1);
    struct published_offset saved = offset(0, 7, false);
    assert_null(find(first, &usage));
    assert_null(find(second, &usage));
    struct audit_event event = event_of(&usage, apply(first, &usage));
    const struct audit_event *pointer = &event;
    apply(second, &usage);
    ASSERT_OK(record_event(second, &event));

    ASSERT_FAILS(first->ops->record(first, &pointer, 1, &saved, 1, NULL, world.arena, &err),
                 OUTCOME_REJECT);

    ASSERT_OK(first->ops->recover(first, &err));
    assert_published(first, 0, 0);
    struct command next = command(SIM_KEY_RECORD_USAGE, "2", "nobody", 1);
    assert_null(find(first, &next));
    event = event_of(&next, apply(first, &next));
    ASSERT_OK(first->ops->record(first, &pointer, 1, &saved, 1, NULL, world.arena, &err));
    assert_published(second, 7, 0);
}

/* --- both makers ----------------------------------------------------------------------------- */

static int set_up(const struct maker *maker, bool impatient)
{
    world = (struct world){.maker = maker, .arena = arena_new((size_t)64 << 20)};
    if (world.arena == NULL)
        return 1;
    maker->setup(&world, impatient);
    return 0;
}

static int simulated(void **state)
{
    (void)state;
    return set_up(&simulated_ports, false);
}

static int real(void **state)
{
    (void)state;
    return set_up(&real_ports, false);
}

static int real_impatient(void **state)
{
    (void)state;
    return set_up(&real_ports, true);
}

static int tear_down(void **state)
{
    (void)state;
    world.maker->teardown(&world);
    arena_free(world.arena);
    return 0;
}

#define PAIR(test, real_setup)                                                                     \
    {"simulated: " #test, test, simulated, tear_down, NULL},                                       \
    {                                                                                              \
        "real: " #test, test, real_setup, tear_down, NULL                                          \
    }
#define BOTH(test) PAIR(test, real)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_commit__shows_records_and_moves_offsets),
        BOTH(test_reopen__hides_records_and_leaves_offsets),
        BOTH(test_send_offsets__may_go_back),
        BOTH(test_sink__is_closed_before_the_first_reopen),
        BOTH(test_committed__and_rewind_wait_for_a_transaction_that_holds_offsets),
        BOTH(test_poll__released_messages_come_again_only_after_rewind),
        BOTH(test_keep_alive__leaves_the_batch_in_hand_valid),
        BOTH(test_poll__a_log_that_does_not_hold_the_position_begins_again),
        BOTH(test_take_assigned__tells_once_where_partitions_begin),
        BOTH(test_reopen__ends_what_was_open_and_fences_the_other),
        BOTH(test_reopen__fences_also_a_producer_with_nothing_open),
        BOTH(test_reopen__ends_its_own_transaction),
        BOTH(test_produce__refuses_what_is_too_large),
        BOTH(test_sink__without_a_transaction_there_is_nothing_to_end),
        BOTH(test_rebalance__what_is_in_hand_is_fenced_and_comes_again),
        PAIR(test_rebalance__a_silent_member_is_fenced_before_it_knows, real_impatient),
        BOTH(test_record__a_command_is_known_afterwards),
        BOTH(test_apply__as_if_one_by_one),
        BOTH(test_recover__takes_back_what_was_not_recorded),
        BOTH(test_record__two_stores_race_for_one_id),
        BOTH(test_record__overlap_runs_once_and_decides_nothing),
        BOTH(test_record__an_id_twice_at_once_is_refused),
        BOTH(test_apply__what_is_refused_takes_the_rest_with_it),
        BOTH(test_record__a_broken_connection_asks_to_begin_again),
        BOTH(test_intern__numbers_are_the_same_for_all),
        BOTH(test_record__published_offsets_only_grow_unless_reset),
        BOTH(test_record__offsets_and_events_are_one_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
