#include "tests/integration/audit_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "repo/audit/audit_partitions.h"

/* Lanes at work while the audit log is converted, extended, emptied and dropped under them. What a
 * lane does is always the same: look its ids up, record them, commit; nothing may be refused, no
 * lane may be the victim of a deadlock, and every row must be there afterwards, once. */

enum {
    LANES = 3,
    BATCH = 40,
    LOOKED_UP = 2 * BATCH,
    BATCHES_MAX = 20000,
    ARENA_BYTES = 16 * 1024 * 1024
};
enum { TOPIC = 1 };

struct lane {
    pthread_t thread;
    struct executor_pq *pq;
    uint32_t number;
    atomic_uint batches; /* committed */
    uint32_t looked_up;  /* rows of earlier batches that were found again */
    enum outcome outcome;
    struct err err;
};

static atomic_bool stopping;

/* Every place: an interval that goes (seldom, or what must stay would keep it), the present, what
 * is ahead, both kinds of hashes. Each id is one lane's own and follows from its number. */
static struct uuid id_of(const struct lane *lane, uint32_t batch, uint32_t i)
{
    uint32_t number = (lane->number * BATCHES_MAX + batch) * BATCH + i;

    if (i == 0 && batch % 64 != 0)
        i = 4;
    switch (i) {
    case 0:
        return timed_id(time_of("2026-09-05T00:00:00Z") + (int64_t)number * 1000, number);
    case 1:
        return timed_id(time_of("2090-01-01T00:00:00Z") + (int64_t)number * 1000, number);
    case 2:
        return hashed_id(0x03, (uint8_t)number, number);
    case 3:
        return timed_id(time_of("2026-06-01T00:00:00Z") + (int64_t)number * 1000, number);
    default:
        return i % 2 == 0
                   ? timed_id(time_of("2026-11-24T00:00:00Z") + (int64_t)number * 1000, number)
                   : hashed_id((uint8_t)(4 + number % 250), (uint8_t)number, number);
    }
}

/* Known ones are those of an earlier batch of the same lane. */
static enum outcome look_up(struct lane *lane, uint32_t batch, struct arena *arena)
{
    struct executor *db = executor_pq_port(lane->pq);
    struct uuid ids[LOOKED_UP];
    const struct audit_event *found[LOOKED_UP];
    struct statement statements[1 + AUDIT_FIND_STATEMENTS] = {executor_begin};
    struct rows rows[1 + AUDIT_FIND_STATEMENTS];
    uint32_t earlier = batch > 0 ? (batch * 7919) % batch : 0;
    size_t count;

    for (uint32_t i = 0; i < BATCH; i++) {
        ids[i] = id_of(lane, batch, i);
        ids[BATCH + i] = id_of(lane, earlier, i);
    }
    enum outcome outcome =
        audit_find_prepare(ids, LOOKED_UP, arena, &statements[1], &count, &lane->err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run_all(db, statements, 1 + count, arena, rows, &lane->err);
    if (outcome == OUTCOME_OK)
        outcome = audit_find_read(&rows[1], count, ids, LOOKED_UP, arena, found, &lane->err);
    for (uint32_t i = 0; outcome == OUTCOME_OK && i < BATCH; i++) {
        if ((batch > 0 && found[BATCH + i] == NULL) || (batch > 0 && found[i] != NULL))
            return err_set(&lane->err, OUTCOME_FATAL, "", "batch %u, id %u: %s", batch, i,
                           found[i] != NULL ? "is there already" : "of an earlier batch is lost");
        lane->looked_up += batch > 0;
    }
    return outcome;
}

static enum outcome run_batch(struct lane *lane, uint32_t batch, struct arena *arena)
{
    struct executor *db = executor_pq_port(lane->pq);
    struct audit_event events[BATCH];
    const struct audit_event *list[BATCH];
    struct statement statements[2] = {executor_commit};
    size_t count = 0;

    enum outcome outcome = look_up(lane, batch, arena);
    for (uint32_t i = 0; i < BATCH; i++) {
        /* All can be delivered again: none may be lost, however old it is. */
        events[i] = event_of(id_of(lane, batch, i), time_of("2026-09-01T00:00:00Z"), TOPIC,
                             (int32_t)lane->number, batch);
        list[i] = &events[i];
    }
    if (outcome == OUTCOME_OK && batch % 2 == 0)
        outcome = audit_record_copy(db, list, BATCH, NULL, arena, &lane->err);
    else if (outcome == OUTCOME_OK)
        outcome = audit_record_prepare(list, BATCH, arena, &statements[count++], &lane->err);
    if (outcome != OUTCOME_OK)
        return outcome;
    statements[count++] = executor_commit;
    struct rows rows[2];
    return executor_run_all(db, statements, count, arena, rows, &lane->err);
}

static void *run_lane(void *argument)
{
    struct lane *lane = argument;
    CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_BYTES);

    for (uint32_t batch = 0; !atomic_load(&stopping) && batch < BATCHES_MAX; batch++) {
        arena_reset(arena);
        lane->outcome = run_batch(lane, batch, arena);
        if (lane->outcome != OUTCOME_OK)
            break;
        atomic_fetch_add(&lane->batches, 1);
    }
    return NULL;
}

/* Each lane has committed some more. */
static void wait_for_batches(struct lane *lanes, unsigned more)
{
    unsigned goals[LANES];
    int64_t end_us = clock_monotonic_us() + INT64_C(60) * 1000000;

    for (size_t i = 0; i < LANES; i++)
        goals[i] = atomic_load(&lanes[i].batches) + more;
    for (size_t i = 0; i < LANES; i++) {
        while (atomic_load(&lanes[i].batches) < goals[i]) {
            if (lanes[i].outcome != OUTCOME_OK || clock_monotonic_us() > end_us)
                fail_msg("lane %zu stands still: %s [%s]", i, lanes[i].err.text, lanes[i].err.code);
            clock_sleep_us(1000);
        }
    }
}

static void extend_months(struct pg_fixture *t, struct lane *lanes)
{
    const struct audit_change change = change_of(t, 60000);
    int64_t at = time_of("2090-01-01T00:00:00Z");

    for (int i = 0; i < 6; i++) {
        const struct audit_range range = {at, interval_end_us(INTERVAL_DAY, at)};
        struct audit_extended extended;
        struct err err;
        ASSERT_OK(audit_extend(&change, &range, t->arena, &extended, &err));
        assert_true(extended.added);
        wait_for_batches(lanes, 3);
        at = range.until_us;
    }
}

/* Old rows without coordinates make up most of it, so that it goes, and with it nothing that a lane
 * recorded. */
static void drop_september(struct pg_fixture *t, const struct audit_guard *guard)
{
    const struct audit_change change = change_of(t, 60000);
    struct audit_judgement judgement;
    struct err err;

    ASSERT_OK(audit_drop(&change, interval_of(t, "2026-09-01T00:00:00Z"), guard, 0, t->arena,
                         &judgement, &err));
    if (judgement.verdict != AUDIT_MAY_GO)
        fail_msg("%lld rows keep it of %lld", (long long)judgement.staying,
                 (long long)interval_of(t, "2026-09-01T00:00:00Z")->estimated_rows);
    assert_true(judgement.staying > 0);
}

static void fill_with_old_rows(struct pg_fixture *t, const char *prefix, int rows)
{
    pg_fixture_sql(t,
                   arena_printf(t->arena,
                                "INSERT INTO auth_audit_events (id, occurred_at, category, action)"
                                " SELECT ('%s' || lpad(to_hex(n), 12, '0'))::uuid,"
                                " timestamptz '2026-09-10 00:00:00Z', 'a', 'b'"
                                " FROM generate_series(1, %d) AS n",
                                prefix, rows));
}

static void assert_all_there(struct pg_fixture *t, const struct lane *lanes)
{
    int64_t recorded = 0;

    for (size_t i = 0; i < LANES; i++)
        recorded += (int64_t)atomic_load(&lanes[i].batches) * BATCH;
    assert_int_equal(
        pg_fixture_int(t, "SELECT count(*) FROM auth_audit_events WHERE topic_id IS NOT NULL"),
        recorded);
    assert_int_equal(pg_fixture_int(t, "SELECT count(*) - count(DISTINCT id)"
                                       " FROM auth_audit_events"),
                     0);
}

static void test_lanes__lose_nothing_while_the_log_changes_under_them(void **state)
{
    struct pg_fixture *t = *state;
    const struct audit_floor floors[LANES] = {{TOPIC, 0, 0}, {TOPIC, 1, 0}, {TOPIC, 2, 0}};
    const struct audit_guard guard = {
        .keep_from_us = time_of("2026-11-01T00:00:00Z"), .floors = floors, .floor_count = LANES};
    const struct audit_change change = change_of(t, 60000);
    static struct lane lanes[LANES];
    int64_t deleted;
    struct err err;
    /* 2026-09-10, and hashes. */
    fill_with_old_rows(t, "01a08000-0000-5000-8000-", 100);
    atomic_store(&stopping, false);
    for (uint32_t i = 0; i < LANES; i++) {
        lanes[i] = (struct lane){.pq = pg_fixture_connect(t, 60000), .number = i};
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]), 0);
    }
    wait_for_batches(lanes, 10);

    convert_by_month(t, "2026-09-01T00:00:00Z");
    wait_for_batches(lanes, 5);
    fill_with_old_rows(t, "01a08800-0000-5000-8000-", 100000);
    fill_with_old_rows(t, "f0000000-0000-5000-8000-", 20000);
    pg_fixture_sql(t, "ANALYZE auth_audit_events_t20260901");
    extend_months(t, lanes);
    drop_september(t, &guard);
    wait_for_batches(lanes, 5);
    ASSERT_OK(audit_delete_old(&change, "auth_audit_events_rest", &guard, false, &deleted, &err));
    assert_true(deleted >= 20000);
    ASSERT_OK(audit_delete_old(&change, "auth_audit_events_stray", &guard, false, &deleted, &err));
    wait_for_batches(lanes, 5);

    atomic_store(&stopping, true);
    for (size_t i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
        executor_pq_free(lanes[i].pq);
        if (lanes[i].outcome != OUTCOME_OK)
            fail_msg("lane %zu: %s [%s]", i, lanes[i].err.text, lanes[i].err.code);
        assert_true(lanes[i].looked_up > 0);
    }
    assert_all_there(t, lanes);
    assert_int_equal(
        pg_fixture_int(t, "SELECT count(*) FROM auth_audit_events WHERE topic_id IS NULL"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_lanes__lose_nothing_while_the_log_changes_under_them,
                               audit_fixture_fresh),
    };

    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
