/* The store on a real PostgreSQL: many events, which go by COPY. */

#include "tests/integration/repo_test.h"

#include "repo/audit/audit_repo.h"
#include "worker/apply/store_repo.h"

enum { EVENTS = 50 };

struct events {
    struct audit_event events[EVENTS];
    const struct audit_event *pointers[EVENTS];
    struct uuid ids[EVENTS];
};

static struct events *events_of(struct pg_fixture *t)
{
    struct events *made = ARENA_NEW(t->arena, struct events);

    assert_non_null(made);
    for (size_t i = 0; i < EVENTS; i++) {
        made->events[i] = fixture_audit_event(numbered(t, "e", i));
        made->pointers[i] = &made->events[i];
        made->ids[i] = made->events[i].id;
    }
    return made;
}

/* Begins, and tells how many are known. */
static size_t find(struct store *store, struct pg_fixture *t, const struct events *events)
{
    const struct audit_event *found[EVENTS];
    size_t known = 0;
    struct err err;

    ASSERT_OK(store->ops->find(store, events->ids, EVENTS, t->arena, found, &err));
    for (size_t i = 0; i < EVENTS; i++)
        known += found[i] != NULL;
    return known;
}

static enum outcome record_overlapped(struct store *store, struct pg_fixture *t,
                                      const struct events *events, size_t count,
                                      struct overlap *overlap, struct err *err)
{
    const struct published_offset offset = {.topic_id = 1, .partition = 2, .offset = 3};

    return store->ops->record(store, events->pointers, count, &offset, 1, overlap, t->arena, err);
}

static enum outcome record(struct store *store, struct pg_fixture *t, const struct events *events,
                           struct err *err)
{
    return record_overlapped(store, t, events, EVENTS, NULL, err);
}

/* What each run was told. */
struct told {
    struct overlap overlap;
    size_t runs;
    bool again[3];
};

static void tell(struct overlap *overlap)
{
    struct told *self = (struct told *)overlap;
    assert_true(self->runs < 3);
    self->again[self->runs++] = overlap->runs_again;
}

/* Records so many, and tells what ran. */
static struct told told_of(struct pg_fixture *t, size_t count)
{
    struct store_repo store;
    struct events *events = events_of(t);
    struct told told = {.overlap = {tell}};
    struct err err;
    store_repo_init(&store, t->db);
    assert_int_equal(find(&store.port, t, events), 0);

    ASSERT_OK(record_overlapped(&store.port, t, events, count, &told.overlap, &err));

    assert_int_equal(find(&store.port, t, events), count);
    return told;
}

static void test_store_repo__overlap_runs_for_the_copy_and_for_the_commit(void **state)
{
    struct told told = told_of(*state, EVENTS);

    assert_int_equal(told.runs, 2);
    assert_true(told.again[0]);
    assert_false(told.again[1]);
}

static void test_store_repo__overlap_runs_once_for_few_events(void **state)
{
    struct told told = told_of(*state, 3);

    assert_int_equal(told.runs, 1);
    assert_false(told.again[0]);
}

static void test_store_repo__many_events_are_recorded_with_their_offsets(void **state)
{
    struct pg_fixture *t = *state;
    struct store_repo store;
    struct events *events = events_of(t);
    struct err err;
    store_repo_init(&store, t->db);
    assert_int_equal(find(&store.port, t, events), 0);

    ASSERT_OK(record(&store.port, t, events, &err));

    assert_false(store.no_copy);
    assert_int_equal(find(&store.port, t, events), EVENTS);
    assert_int_equal(pg_fixture_int(t, "SELECT published_offset FROM catalyst_consumer_offsets"),
                     3);
}

static void test_store_repo__a_known_event_is_a_race(void **state)
{
    struct pg_fixture *t = *state;
    struct store_repo store;
    struct events *events = events_of(t);
    CLEANUP(executor_pq_freep) struct executor_pq *other = pg_fixture_connect(t, 0);
    bool appended;
    struct err err;
    store_repo_init(&store, t->db);
    assert_int_equal(find(&store.port, t, events), 0);
    ASSERT_OK(
        audit_append(executor_pq_port(other), events->pointers[7], t->arena, &appended, &err));

    assert_int_equal(record(&store.port, t, events, &err), OUTCOME_REJECT);

    assert_string_equal(err.code, "23505");
    ASSERT_OK(store.port.ops->recover(&store.port, &err));
    assert_int_equal(find(&store.port, t, events), 1);
}

/* Row level security: COPY is not supported then. The batch is tried again by statement. */
static void test_store_repo__a_table_that_takes_no_copy_is_written_by_statement(void **state)
{
    struct pg_fixture *t = *state;
    struct store_repo store;
    struct events *events = events_of(t);
    struct err err;
    store_repo_init(&store, t->db);
    pg_fixture_sql(t, "ALTER TABLE auth_audit_events ENABLE ROW LEVEL SECURITY");
    pg_fixture_sql(t, "ALTER TABLE auth_audit_events FORCE ROW LEVEL SECURITY");
    pg_fixture_sql(t, "CREATE POLICY everything ON auth_audit_events USING (true)");
    assert_int_equal(find(&store.port, t, events), 0);

    assert_int_equal(record(&store.port, t, events, &err), OUTCOME_FATAL);
    ASSERT_OK(store.port.ops->recover(&store.port, &err));
    assert_int_equal(find(&store.port, t, events), 0);
    ASSERT_OK(record(&store.port, t, events, &err));

    assert_int_equal(find(&store.port, t, events), EVENTS);
    ASSERT_OK(store.port.ops->recover(&store.port, &err));
    pg_fixture_sql(t, "DROP POLICY everything ON auth_audit_events");
    pg_fixture_sql(t, "ALTER TABLE auth_audit_events NO FORCE ROW LEVEL SECURITY");
    pg_fixture_sql(t, "ALTER TABLE auth_audit_events DISABLE ROW LEVEL SECURITY");
}

/* Each statement takes no row at all. */
static void test_store_repo__a_probe_writes_nothing(void **state)
{
    struct pg_fixture *t = *state;
    struct store_repo repo;
    struct err err;

    store_repo_init(&repo, t->db);
    for (int kind = 0; kind < COMMAND_KIND_COUNT; kind++) {
        const struct command command = {.type = &command_types[kind]};
        if (store_probe(&repo.port, &command, t->arena, &err) != OUTCOME_OK)
            fail_msg("%s: %s", command_types[kind].name, err.text);
    }

    assert_int_equal(pg_fixture_int(t, "SELECT (SELECT count(*) FROM auth_users)"
                                       " + (SELECT count(*) FROM auth_keys)"
                                       " + (SELECT count(*) FROM auth_audit_events)"),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PG_TEST(test_store_repo__many_events_are_recorded_with_their_offsets),
        PG_TEST(test_store_repo__overlap_runs_for_the_copy_and_for_the_commit),
        PG_TEST(test_store_repo__overlap_runs_once_for_few_events),
        PG_TEST(test_store_repo__a_known_event_is_a_race),
        PG_TEST(test_store_repo__a_table_that_takes_no_copy_is_written_by_statement),
        PG_TEST(test_store_repo__a_probe_writes_nothing),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
