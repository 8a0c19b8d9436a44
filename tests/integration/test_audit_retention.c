#include "tests/integration/audit_fixture.h"

#include "base/clock.h"

/* The interval that is dropped, and what is kept: everything from December on. */
#define OLD_MONTH "2026-09-01T00:00:00Z"
#define KEPT_FROM "2026-12-01T00:00:00Z"

enum { TOPIC = 1, GONE = 2, UNKNOWN = 3, FLOOR = 1000, SEPTEMBER_ROWS = 1000 };

static const struct audit_floor floors[] = {
    {TOPIC, 0, FLOOR}, {TOPIC, 1, INT64_MAX}, /* the topic had this partition once */
};
static const int32_t gone[] = {GONE};

static struct audit_guard guard(void)
{
    return (struct audit_guard){
        .keep_from_us = time_of(KEPT_FROM),
        .floors = floors,
        .floor_count = 2,
        .gone_topics = gone,
        .gone_topic_count = 1,
    };
}

static int64_t september(void)
{
    return time_of("2026-09-10T00:00:00Z");
}

/* A thousand rows that may go, of every kind, and statistics that know of them. */
static int with_september(void **state)
{
    struct pg_fixture *t = *state;

    if (audit_fixture_fresh(state) != 0)
        return 1;
    convert_by_month(t, OLD_MONTH);
    struct audit_event *events = ARENA_ARRAY(t->arena, struct audit_event, SEPTEMBER_ROWS);
    assert_non_null(events);
    for (uint32_t i = 0; i < SEPTEMBER_ROWS; i++) {
        static const int32_t topics[] = {0, TOPIC, TOPIC, GONE};
        events[i] = event_of(timed_id(september(), i), september(), topics[i % 4], i % 4 == 2,
                             i % 4 == 1 ? FLOOR - 1 : 999999);
    }
    struct err err;
    ASSERT_OK(record_events(t->db, events, SEPTEMBER_ROWS, t->arena, &err));
    pg_fixture_sql(t, "ANALYZE auth_audit_events_t20260901");
    return 0;
}

static enum audit_verdict drop_september(struct pg_fixture *t, int64_t scan_max_bytes,
                                         int64_t *ret_staying)
{
    const struct audit_change change = change_of(t, 30000);
    const struct audit_partition *interval = interval_of(t, OLD_MONTH);
    const struct audit_guard kept = guard();
    struct audit_judgement judged;
    struct audit_judgement judgement;
    struct err err;

    ASSERT_OK(audit_judge(t->db, interval, &kept, t->arena, &judged, &err));
    ASSERT_OK(audit_drop(&change, interval, &kept, scan_max_bytes, t->arena, &judgement, &err));

    /* What status tells is what run does. */
    assert_int_equal(judged.verdict, judgement.verdict);
    *ret_staying = judgement.staying;
    return judgement.verdict;
}

static bool september_is_there(struct pg_fixture *t)
{
    return pg_fixture_int(t, "SELECT (to_regclass('auth_audit_events_t20260901') IS NOT NULL)"
                             "::int::int8") == 1;
}

/* By reading, and by the index. */
static const int64_t ways[] = {AUDIT_SCAN_MAX_BYTES, 0};
enum { WAYS = 2 };

/* --- dropping -------------------------------------------------------------------------------- */

static void test_drop__takes_away_what_nobody_needs(void **state)
{
    struct pg_fixture *t = *state;

    for (size_t way = 0; way < WAYS; way++) {
        int64_t staying;
        assert_int_equal(with_september(state), 0);

        assert_int_equal(drop_september(t, ways[way], &staying), AUDIT_MAY_GO);

        assert_int_equal(staying, 0);
        assert_false(september_is_there(t));
        assert_int_equal(rows_of(t, "auth_audit_events"), 0);
        /* What comes late for it is taken in. */
        const struct uuid late = timed_id(september(), 77);
        put(t, late, september());
        assert_string_equal(home_of(t, &late), "auth_audit_events_stray");
    }
}

static void test_drop__refuses_an_interval_that_ends_too_late(void **state)
{
    struct pg_fixture *t = *state;
    const struct audit_change change = change_of(t, 30000);
    struct audit_guard kept = guard();
    struct audit_judgement judgement;
    struct err err;
    kept.keep_from_us = time_of("2026-10-01T00:00:00Z") - 1;

    ASSERT_OK(audit_drop(&change, interval_of(t, OLD_MONTH), &kept, AUDIT_SCAN_MAX_BYTES, t->arena,
                         &judgement, &err));

    assert_int_equal(judgement.verdict, AUDIT_TOO_NEW);
    assert_true(september_is_there(t));
    kept.keep_from_us++;
    ASSERT_OK(audit_drop(&change, interval_of(t, OLD_MONTH), &kept, AUDIT_SCAN_MAX_BYTES, t->arena,
                         &judgement, &err));
    assert_int_equal(judgement.verdict, AUDIT_MAY_GO);
}

/* Rows that must stay, each for another reason. */
static const struct {
    int32_t topic, partition;
    int64_t offset;
    bool young;
    enum audit_verdict verdict;
} staying_rows[] = {
    {TOPIC, 0, FLOOR, false, AUDIT_DELIVERABLE},   /* can be read */
    {TOPIC, 2, 0, false, AUDIT_DELIVERABLE},       /* a partition that nothing is known of */
    {UNKNOWN, 0, 0, false, AUDIT_DELIVERABLE},     /* a topic that nothing is known of */
    {0, 0, 0, true, AUDIT_YOUNG_ROWS},             /* of an event that is kept */
    {TOPIC, 0, FLOOR - 1, true, AUDIT_YOUNG_ROWS}, /* the same of a command */
    {GONE, 0, 0, true, AUDIT_YOUNG_ROWS},
};
enum { REASONS = sizeof(staying_rows) / sizeof(staying_rows[0]) };

static struct uuid put_staying(struct pg_fixture *t, size_t reason, uint32_t number)
{
    struct uuid id = timed_id(september() + 1000, 100000 + number);
    put_command(t, id, time_of(KEPT_FROM) - (staying_rows[reason].young ? 0 : 1),
                staying_rows[reason].topic, staying_rows[reason].partition,
                staying_rows[reason].offset);
    return id;
}

/* One in a hundred moves, and is found where it went. */
static void test_drop__few_rows_that_must_stay_move_out_of_the_way(void **state)
{
    struct pg_fixture *t = *state;

    for (size_t way = 0; way < WAYS; way++) {
        struct uuid ids[REASONS];
        int64_t staying;
        assert_int_equal(with_september(state), 0);
        for (size_t i = 0; i < REASONS; i++)
            ids[i] = put_staying(t, i, (uint32_t)i);

        assert_int_equal(drop_september(t, ways[way], &staying), AUDIT_MAY_GO);

        assert_int_equal(staying, REASONS);
        assert_false(september_is_there(t));
        for (size_t i = 0; i < REASONS; i++)
            assert_string_equal(home_of(t, &ids[i]), "auth_audit_events_stray");
        assert_int_equal(rows_of(t, "auth_audit_events"), REASONS);
    }
}

static void test_drop__many_rows_that_must_stay_keep_it(void **state)
{
    struct pg_fixture *t = *state;

    for (size_t way = 0; way < WAYS; way++) {
        for (size_t reason = 0; reason < REASONS; reason++) {
            int64_t staying;
            assert_int_equal(with_september(state), 0);
            for (uint32_t i = 0; i < SEPTEMBER_ROWS / 100 + 1; i++)
                put_staying(t, reason, i);

            assert_int_equal(drop_september(t, ways[way], &staying), staying_rows[reason].verdict);

            assert_int_equal(staying, SEPTEMBER_ROWS / 100 + 1);
            assert_true(september_is_there(t));
            assert_int_equal(rows_of(t, "auth_audit_events_t20260901"),
                             SEPTEMBER_ROWS + SEPTEMBER_ROWS / 100 + 1);
        }
    }
}

/* Rows that no command stands behind go, whatever is known of topics. */
static void test_drop__without_topics_takes_what_no_command_stands_behind(void **state)
{
    struct pg_fixture *t = *state;
    const struct audit_change change = change_of(t, 30000);
    const struct audit_guard kept = {.keep_from_us = time_of(KEPT_FROM)};
    struct audit_judgement judgement;
    struct err err;

    ASSERT_OK(audit_drop(&change, interval_of(t, OLD_MONTH), &kept, AUDIT_SCAN_MAX_BYTES, t->arena,
                         &judgement, &err));
    assert_int_equal(judgement.verdict, AUDIT_DELIVERABLE);
    pg_fixture_sql(t, "DELETE FROM auth_audit_events WHERE topic_id IS NOT NULL");

    ASSERT_OK(audit_drop(&change, interval_of(t, OLD_MONTH), &kept, AUDIT_SCAN_MAX_BYTES, t->arena,
                         &judgement, &err));

    assert_int_equal(judgement.verdict, AUDIT_MAY_GO);
    assert_int_equal(judgement.staying, 0);
}

/* Between the judgement and the drop: the interval is looked at again when nobody can add to it. */
static void test_drop__sees_a_row_that_came_meanwhile(void **state)
{
    struct pg_fixture *t = *state;
    struct executor_pq *lane = pg_fixture_connect(t, 30000);
    struct executor *db = executor_pq_port(lane);
    const struct audit_change change = change_of(t, 700);
    const struct audit_partition *interval = interval_of(t, OLD_MONTH);
    const struct audit_guard kept = guard();
    struct audit_event late = event_of(timed_id(september(), 5555), september(), TOPIC, 0, FLOOR);
    struct audit_judgement judgement;
    struct rows rows;
    struct err err;
    ASSERT_OK(executor_run(db, &executor_begin, t->arena, &rows, &err));
    ASSERT_OK(record_events(db, &late, 1, t->arena, &err));

    /* Not committed: nobody sees it, and the drop waits for it. */
    assert_int_equal(
        audit_drop(&change, interval, &kept, AUDIT_SCAN_MAX_BYTES, t->arena, &judgement, &err),
        OUTCOME_RETRY);
    assert_string_equal(err.code, AUDIT_IN_USE);
    ASSERT_OK(executor_run(db, &executor_commit, t->arena, &rows, &err));

    ASSERT_OK(
        audit_drop(&change, interval, &kept, AUDIT_SCAN_MAX_BYTES, t->arena, &judgement, &err));
    assert_int_equal(judgement.staying, 1);
    assert_string_equal(home_of(t, &late.id), "auth_audit_events_stray");
    executor_pq_free(lane);
}

/* A vacuum or a dump of the partition is not waited for with everyone else standing behind. */
static void test_drop__does_not_wait_inside(void **state)
{
    struct pg_fixture *t = *state;
    struct executor_pq *dump = pg_fixture_connect(t, 30000);
    const struct statement use[] = {
        executor_begin, {.sql = "LOCK TABLE auth_audit_events_t20260901 IN ACCESS SHARE MODE"}};
    const struct audit_change change = change_of(t, 0);
    const struct audit_guard kept = guard();
    struct audit_judgement judgement;
    struct rows rows[2];
    struct err err;
    ASSERT_OK(executor_run_all(executor_pq_port(dump), use, 2, t->arena, rows, &err));

    int64_t begin_us = clock_monotonic_us();
    assert_int_equal(audit_drop(&change, interval_of(t, OLD_MONTH), &kept, AUDIT_SCAN_MAX_BYTES,
                                t->arena, &judgement, &err),
                     OUTCOME_RETRY);

    assert_string_equal(err.code, AUDIT_IN_USE);
    /* The server says at once that it is not available; a wait would have ended with a timeout. */
    assert_non_null(strstr(err.text, "could not obtain lock"));
    assert_true(clock_monotonic_us() - begin_us < INT64_C(20) * 1000000);
    executor_pq_free(dump);
    assert_true(september_is_there(t));
}

/* --- rows ------------------------------------------------------------------------------------ */

/* The table must hold rows of all ages; `rest` as well as one that was never partitioned. */
static void assert_deletes(struct pg_fixture *t, const char *table)
{
    enum { ROWS = 12000, STAYING = 2 * REASONS };
    const struct audit_change change = change_of(t, 30000);
    const struct audit_guard kept = guard();
    int64_t deleted = -1;
    struct err err;

    pg_fixture_sql(
        t, arena_printf(t->arena,
                        "INSERT INTO auth_audit_events (id, occurred_at, category, action,"
                        " topic_id, \"partition\", \"offset\")"
                        " SELECT ('f0000000-0000-5000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,"
                        " timestamptz '2026-09-10 00:00:00Z', 'a', 'b', nullif(n %% 3, 0),"
                        " CASE WHEN n %% 3 <> 0 THEN 0 END, CASE WHEN n %% 3 <> 0 THEN %d END"
                        " FROM generate_series(1, %d) AS n",
                        FLOOR - 1, ROWS));
    for (uint32_t i = 0; i < STAYING; i++) {
        size_t reason = i % REASONS;
        put_command(t, hashed_id(0xE0, 0, i),
                    time_of(KEPT_FROM) - (staying_rows[reason].young ? 0 : 1),
                    staying_rows[reason].topic, staying_rows[reason].partition,
                    staying_rows[reason].offset);
    }

    ASSERT_OK(audit_delete_old(&change, table, &kept, true, &deleted, &err));
    assert_int_equal(deleted, ROWS);
    assert_int_equal(rows_of(t, table), ROWS + STAYING);
    ASSERT_OK(audit_delete_old(&change, table, &kept, false, &deleted, &err));
    assert_int_equal(deleted, ROWS);
    assert_int_equal(rows_of(t, table), STAYING);
    ASSERT_OK(audit_delete_old(&change, table, &kept, false, &deleted, &err));
    assert_int_equal(deleted, 0);
}

static void test_delete_old__takes_what_nobody_needs_from_rest(void **state)
{
    convert_by_month(*state, OLD_MONTH);

    assert_deletes(*state, "auth_audit_events_rest");
}

static void test_delete_old__works_on_one_table(void **state)
{
    assert_deletes(*state, "auth_audit_events");
}

static bool at_once(void)
{
    return true;
}

static void test_delete_old__ends_early_when_told_to(void **state)
{
    struct pg_fixture *t = *state;
    struct audit_change change = change_of(t, 30000);
    const struct audit_guard kept = guard();
    int64_t deleted;
    struct err err;
    change.stop = at_once;
    pg_fixture_sql(t, "INSERT INTO auth_audit_events (id, occurred_at, category, action)"
                      " SELECT gen_random_uuid(), timestamptz '2026-09-10 00:00:00Z', 'a', 'b'"
                      " FROM generate_series(1, 12000)");

    ASSERT_OK(audit_delete_old(&change, "auth_audit_events", &kept, false, &deleted, &err));

    assert_int_equal(deleted, 5000);
    assert_int_equal(rows_of(t, "auth_audit_events"), 7000);
}

/* --- one at a time --------------------------------------------------------------------------- */

static void test_retention_lock__is_one_runs_at_a_time(void **state)
{
    struct pg_fixture *t = *state;
    struct executor_pq *first = pg_fixture_connect(t, 30000);
    bool locked = false;
    struct err err;
    ASSERT_OK(audit_retention_lock(executor_pq_port(first), t->schema, t->arena, &locked, &err));
    assert_true(locked);

    ASSERT_OK(audit_retention_lock(t->db, t->schema, t->arena, &locked, &err));
    assert_false(locked);
    ASSERT_OK(audit_retention_lock(t->db, "another schema", t->arena, &locked, &err));
    assert_true(locked);

    executor_pq_free(first);
    int64_t end_us = clock_monotonic_us() + INT64_C(10) * 1000000;
    do
        ASSERT_OK(audit_retention_lock(t->db, t->schema, t->arena, &locked, &err));
    while (!locked && clock_monotonic_us() < end_us);
    assert_true(locked);
}

#define FRESH(test) cmocka_unit_test_setup(test, audit_fixture_fresh)
#define SEPTEMBER(test) cmocka_unit_test_setup(test, with_september)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEPTEMBER(test_drop__takes_away_what_nobody_needs),
        SEPTEMBER(test_drop__refuses_an_interval_that_ends_too_late),
        SEPTEMBER(test_drop__few_rows_that_must_stay_move_out_of_the_way),
        SEPTEMBER(test_drop__many_rows_that_must_stay_keep_it),
        SEPTEMBER(test_drop__without_topics_takes_what_no_command_stands_behind),
        SEPTEMBER(test_drop__sees_a_row_that_came_meanwhile),
        SEPTEMBER(test_drop__does_not_wait_inside),
        FRESH(test_delete_old__takes_what_nobody_needs_from_rest),
        FRESH(test_delete_old__works_on_one_table),
        FRESH(test_delete_old__ends_early_when_told_to),
        FRESH(test_retention_lock__is_one_runs_at_a_time),
    };

    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
