#include "tests/integration/repo_test.h"

#include <stdlib.h>

#include "repo/data_source.h"

static struct data_source *open_source(struct pg_fixture *t)
{
    struct err err;
    struct data_source *source = NULL;
    const struct executor_pq_options options = {
        .conninfo = getenv("CATALYST_DATABASE_URL"),
        .schema = t->schema,
        .application_name = "test_data_source",
    };

    ASSERT_OK(data_source_open(&options, &source, &err));
    return source;
}

static enum outcome upsert_user(struct executor *db, const char *id, struct arena *arena,
                                struct err *err)
{
    struct user user = fixture_user(id);
    const struct user *users[] = {&user};
    enum write_result result;

    return users_upsert(db, users, 1, arena, &result, err);
}

static const char *user_ids(struct pg_fixture *t)
{
    return pg_fixture_text(t, "SELECT string_agg(id, ',' ORDER BY id) FROM auth_users");
}

static void test_data_source_open__repositories_work_on_it(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct data_source *source = open_source(t);
    const struct text ids[] = {TEXT("u")};
    const struct user *found[1];

    ASSERT_OK(upsert_user(data_source_db(source), "u", t->arena, &err));
    ASSERT_OK(users_get(data_source_db(source), ids, 1, t->arena, found, &err));
    data_source_close(source);

    /* the record is the caller's own and outlives the source */
    struct user expected = fixture_user("u");
    assert_record_equal(&user_spec, found[0], &expected);
}

static void test_data_source_open__a_server_that_is_not_there(void **state)
{
    struct err err;
    struct data_source *source = NULL;
    const struct executor_pq_options options = {
        .conninfo = "host=127.0.0.1 port=1 dbname=none user=none", .schema = "public"};
    (void)state;

    assert_int_equal(data_source_open(&options, &source, &err), OUTCOME_RETRY);

    assert_null(source);
}

static void test_data_source_transaction__all_or_nothing(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    CLEANUP(data_source_closep) struct data_source *source = open_source(t);

    ASSERT_OK(data_source_begin(source, &err));
    ASSERT_OK(upsert_user(data_source_db(source), "a", t->arena, &err));
    assert_string_equal(user_ids(t), "NULL");
    ASSERT_OK(data_source_commit(source, &err));
    ASSERT_OK(data_source_begin(source, &err));
    ASSERT_OK(upsert_user(data_source_db(source), "b", t->arena, &err));
    data_source_rollback(source);

    assert_string_equal(user_ids(t), "a");
}

struct work {
    struct arena *arena;
    unsigned fail_times;
    unsigned calls;
};

/* Fails as a deadlock does, on the server, the first times. */
static enum outcome work(struct executor *db, void *context, struct err *err)
{
    static const struct statement deadlock = {
        .sql = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$"};
    struct work *self = context;
    struct rows rows;

    enum outcome outcome = upsert_user(db, self->calls == 0 ? "first" : "again", self->arena, err);
    if (outcome == OUTCOME_OK && self->calls++ < self->fail_times)
        outcome = executor_run(db, &deadlock, self->arena, &rows, err);
    return outcome;
}

static void test_data_source_transaction__runs_again_after_a_deadlock(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    CLEANUP(data_source_closep) struct data_source *source = open_source(t);
    struct work context = {.arena = t->arena, .fail_times = 1};

    ASSERT_OK(data_source_transaction(source, work, &context, 3, &err));

    assert_int_equal(context.calls, 2);
    assert_string_equal(user_ids(t), "again");
}

static void test_data_source_transaction__a_refused_value_rolls_back(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    CLEANUP(data_source_closep) struct data_source *source = open_source(t);
    struct user bad = fixture_user("bad");
    const struct user *users[] = {&bad};
    enum write_result result;
    bad.labels = fixture_document("{");

    ASSERT_OK(data_source_begin(source, &err));
    ASSERT_OK(upsert_user(data_source_db(source), "good", t->arena, &err));
    assert_int_equal(users_upsert(data_source_db(source), users, 1, t->arena, &result, &err),
                     OUTCOME_REJECT);
    assert_int_equal(data_source_commit(source, &err), OUTCOME_FATAL);

    assert_string_equal(user_ids(t), "NULL");
    ASSERT_OK(upsert_user(data_source_db(source), "next", t->arena, &err));
    assert_string_equal(user_ids(t), "next");
}

static void test_data_source_db__connects_again(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    CLEANUP(data_source_closep) struct data_source *source = open_source(t);
    ASSERT_OK(upsert_user(data_source_db(source), "a", t->arena, &err));
    pg_fixture_sql(t, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                      " WHERE application_name = 'test_data_source'");

    assert_int_equal(upsert_user(data_source_db(source), "b", t->arena, &err), OUTCOME_RETRY);
    ASSERT_OK(upsert_user(data_source_db(source), "c", t->arena, &err));

    assert_string_equal(user_ids(t), "a,c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PG_TEST(test_data_source_open__repositories_work_on_it),
        PG_TEST(test_data_source_open__a_server_that_is_not_there),
        PG_TEST(test_data_source_transaction__all_or_nothing),
        PG_TEST(test_data_source_transaction__runs_again_after_a_deadlock),
        PG_TEST(test_data_source_transaction__a_refused_value_rolls_back),
        PG_TEST(test_data_source_db__connects_again),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
