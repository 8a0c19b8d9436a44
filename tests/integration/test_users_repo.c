#include "tests/integration/repo_test.h"

#include "repo/users_repo.h"

static void test_users_upsert__stores_every_field(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct user user = fixture_user("u1");
    user.display_name = TEXT("Zo\xC3\xAB \"quoted\" \\ {a,b} \xF0\x9F\xA6\x8A");
    const struct user *users[] = {&user};
    const struct text ids[] = {TEXT("u1")};
    enum write_result results[1];
    const struct user *found[1];

    ASSERT_OK(users_upsert(t->db, users, 1, t->arena, results, &err));

    assert_int_equal(results[0], WRITE_CREATED);
    ASSERT_OK(users_get(t->db, ids, 1, t->arena, found, &err));
    assert_record_equal(&user_spec, found[0], &user);
}

static void test_users_upsert__replaces_the_whole_record(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct user before = fixture_user("u1");
    struct user after = {.id = TEXT("u1"), .authentik_id = TEXT("a2"), .email = TEXT("e2")};
    struct user fresh = fixture_user("u0");
    const struct user *first[] = {&before};
    const struct user *second[] = {&after, &fresh};
    const struct text ids[] = {TEXT("u1"), TEXT("none"), TEXT("u0"), TEXT("u1")};
    enum write_result results[2];
    const struct user *found[4];
    ASSERT_OK(users_upsert(t->db, first, 1, t->arena, results, &err));

    ASSERT_OK(users_upsert(t->db, second, 2, t->arena, results, &err));

    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[1], WRITE_CREATED);
    ASSERT_OK(users_get(t->db, ids, 4, t->arena, found, &err));
    after.labels = fixture_document("{}");
    assert_record_equal(&user_spec, found[0], &after);
    assert_null(found[1]);
    assert_record_equal(&user_spec, found[2], &fresh);
    assert_record_equal(&user_spec, found[3], &after);
}

static void test_users_upsert__many_rows(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct user *users = ARENA_ARRAY(t->arena, struct user, MANY);
    const struct user **pointers = ARENA_ARRAY(t->arena, const struct user *, MANY);
    enum write_result *results = ARENA_ARRAY(t->arena, enum write_result, MANY);
    for (size_t i = 0; i < MANY; i++) {
        users[i] = fixture_user(numbered(t, "u", (i * 7) % MANY));
        pointers[i] = &users[i];
    }
    ASSERT_OK(users_upsert(t->db, pointers, MANY / 2, t->arena, results, &err));

    ASSERT_OK(users_upsert(t->db, pointers, MANY, t->arena, results, &err));

    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(results[i], i < MANY / 2 ? WRITE_UPDATED : WRITE_CREATED);
    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_users"), MANY);
}

static void test_users_upsert__no_rows(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    const struct user *users[1] = {NULL};
    enum write_result results[1];

    ASSERT_OK(users_upsert(t->db, users, 0, t->arena, results, &err));

    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_users"), 0);
}

static void test_users_upsert__a_refused_value_is_a_rejection_and_writes_nothing(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct user good = fixture_user("u1");
    struct user bad = fixture_user("u2");
    bad.labels = fixture_document("{not json");
    const struct user *users[] = {&good, &bad};
    enum write_result results[] = {WRITE_EXPIRED, WRITE_EXPIRED};

    enum outcome outcome = users_upsert(t->db, users, 2, t->arena, results, &err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(err.code, "22P02");
    assert_int_equal(results[0], WRITE_EXPIRED);
    ASSERT_OK(executor_recover(t->db, &err));
    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_users"), 0);
}

static enum outcome upsert_in_own_order(struct executor *db, size_t rival, void *context,
                                        struct arena *arena, struct err *err)
{
    const struct user *users = context;
    const struct user *pointers[MANY];
    enum write_result results[MANY];

    for (size_t i = 0; i < MANY; i++)
        pointers[i] = &users[rival == 0 ? i : MANY - 1 - i];
    return users_upsert(db, pointers, MANY, arena, results, err);
}

static void test_users_upsert__rivals_in_other_orders_do_not_deadlock(void **state)
{
    struct pg_fixture *t = *state;
    struct user *users = ARENA_ARRAY(t->arena, struct user, MANY);
    for (size_t i = 0; i < MANY; i++)
        users[i] = fixture_user(numbered(t, "u", i));

    rivals_run(t, 6, upsert_in_own_order, users);

    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_users"), MANY);
}

static void test_users_get__reads_what_others_wrote(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    const struct text ids[] = {TEXT("u1")};
    const struct user *found[1];
    pg_fixture_sql(t, "INSERT INTO auth_users (id, authentik_id, email, labels)"
                      " VALUES ('u1', 'a', 'e', NULL)");

    ASSERT_OK(users_get(t->db, ids, 1, t->arena, found, &err));

    const struct user expected = {.id = TEXT("u1"),
                                  .authentik_id = TEXT("a"),
                                  .email = TEXT("e"),
                                  .labels = fixture_document("{}")};
    assert_record_equal(&user_spec, found[0], &expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PG_TEST(test_users_upsert__stores_every_field),
        PG_TEST(test_users_upsert__replaces_the_whole_record),
        PG_TEST(test_users_upsert__many_rows),
        PG_TEST(test_users_upsert__no_rows),
        PG_TEST(test_users_upsert__a_refused_value_is_a_rejection_and_writes_nothing),
        PG_TEST(test_users_upsert__rivals_in_other_orders_do_not_deadlock),
        PG_TEST(test_users_get__reads_what_others_wrote),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
