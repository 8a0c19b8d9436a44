#include "tests/integration/repo_test.h"

#include "repo/memberships_repo.h"

static void upsert(struct pg_fixture *t, const struct membership *const *memberships, size_t count,
                   enum write_result expected)
{
    struct err err;
    enum write_result results[16];

    assert_true(count <= 16);
    ASSERT_OK(memberships_upsert(t->db, memberships, count, t->arena, results, &err));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(results[i], expected);
}

static const struct membership *get(struct pg_fixture *t, const char *id)
{
    struct err err;
    const struct text ids[] = {text_of(id)};
    const struct membership *found[1];

    ASSERT_OK(memberships_get(t->db, ids, 1, t->arena, found, &err));
    return found[0];
}

static void test_memberships_upsert__creates_and_replaces_whole_records(void **state)
{
    struct pg_fixture *t = *state;
    struct membership full = fixture_membership("m", "u", "o");
    const struct text odd[] = {TEXT("a \"quoted\" one"), TEXT("back\\slash"), TEXT("a,b {c}"),
                               TEXT("NULL"), TEXT("  ")};
    full.group_ids = (struct text_list){odd, 5};
    struct membership bare = {.id = TEXT("m"),
                              .user_id = TEXT("u2"),
                              .org_id = TEXT("o2"),
                              .role = TEXT("r"),
                              .created_at_us = 1,
                              .updated_at_us = 2};
    upsert(t, (const struct membership *const[]){&full}, 1, WRITE_CREATED);
    assert_record_equal(&membership_spec, get(t, "m"), &full);

    upsert(t, (const struct membership *const[]){&bare}, 1, WRITE_UPDATED);

    bare.labels_delta = fixture_document("{}");
    assert_record_equal(&membership_spec, get(t, "m"), &bare);
    assert_int_equal(pg_fixture_int(t, "SELECT cardinality(group_ids) FROM auth_memberships"), 0);
    assert_null(get(t, "none"));
}

static void test_memberships_upsert__keeping_keeps_created_at_of_the_row(void **state)
{
    struct pg_fixture *t = *state;
    struct membership first = fixture_membership("m", "u", "o");
    struct membership second = fixture_membership("m", "u", "o");
    first.keep_created_at = true;
    second.keep_created_at = true;
    second.created_at_us = FIXTURE_TIME_US + 50;
    second.updated_at_us = FIXTURE_TIME_US + 51;
    second.role = TEXT("member");

    upsert(t, (const struct membership *const[]){&first}, 1, WRITE_CREATED);
    upsert(t, (const struct membership *const[]){&second}, 1, WRITE_UPDATED);

    second.created_at_us = FIXTURE_TIME_US;
    assert_record_equal(&membership_spec, get(t, "m"), &second);
}

static void test_memberships_upsert__both_kinds_in_one_call(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct membership a = fixture_membership("a", "u", "o");
    struct membership b = fixture_membership("b", "u", "o");
    struct membership c = fixture_membership("c", "u", "o");
    enum write_result results[3];
    upsert(t, (const struct membership *const[]){&a, &b}, 2, WRITE_CREATED);
    a.keep_created_at = true;
    c.keep_created_at = true;
    a.created_at_us = b.created_at_us = c.created_at_us = FIXTURE_TIME_US + 9;
    const struct membership *all[] = {&c, &b, &a};

    ASSERT_OK(memberships_upsert(t->db, all, 3, t->arena, results, &err));

    assert_int_equal(results[0], WRITE_CREATED);
    assert_int_equal(results[1], WRITE_UPDATED);
    assert_int_equal(results[2], WRITE_UPDATED);
    assert_int_equal(get(t, "a")->created_at_us, FIXTURE_TIME_US);
    assert_int_equal(get(t, "b")->created_at_us, FIXTURE_TIME_US + 9);
    assert_int_equal(get(t, "c")->created_at_us, FIXTURE_TIME_US + 9);
}

static enum outcome upsert_in_own_order(struct executor *db, size_t rival, void *context,
                                        struct arena *arena, struct err *err)
{
    const struct membership *memberships = context;
    struct membership copies[MANY];
    const struct membership *pointers[MANY];
    enum write_result results[MANY];

    for (size_t i = 0; i < MANY; i++) {
        copies[i] = memberships[rival == 0 ? i : MANY - 1 - i];
        /* each rival keeps what the other replaces */
        copies[i].keep_created_at = i % 2 == rival;
        pointers[i] = &copies[i];
    }
    return memberships_upsert(db, pointers, MANY, arena, results, err);
}

static void test_memberships_upsert__rivals_in_other_orders_do_not_deadlock(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct membership *memberships = ARENA_ARRAY(t->arena, struct membership, MANY);
    const struct membership **pointers = ARENA_ARRAY(t->arena, const struct membership *, MANY);
    enum write_result *results = ARENA_ARRAY(t->arena, enum write_result, MANY);
    for (size_t i = 0; i < MANY; i++) {
        memberships[i] = fixture_membership(numbered(t, "m", i), "u", "o");
        pointers[i] = &memberships[i];
    }
    ASSERT_OK(memberships_upsert(t->db, pointers, MANY, t->arena, results, &err));

    rivals_run(t, 4, upsert_in_own_order, memberships);

    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_memberships"), MANY);
}

static void test_memberships_remove__removes_what_is_there(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct membership a = fixture_membership("a", "u", "o");
    struct membership b = fixture_membership("b", "u", "o");
    const struct text ids[] = {TEXT("none"), TEXT("b")};
    enum write_result results[2];
    struct membership removed[2];
    upsert(t, (const struct membership *const[]){&a, &b}, 2, WRITE_CREATED);

    ASSERT_OK(memberships_remove(t->db, ids, 2, t->arena, results, removed, &err));

    assert_int_equal(results[0], WRITE_NOT_FOUND);
    assert_int_equal(results[1], WRITE_REMOVED);
    assert_record_equal(&membership_spec, &removed[1], &b);
    assert_null(get(t, "b"));
    assert_non_null(get(t, "a"));
}

static void test_memberships_list__oldest_first_then_id(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct membership a = fixture_membership("a", "u", "o1");
    struct membership b = fixture_membership("b", "u", "o2");
    struct membership c = fixture_membership("c", "u", "o1");
    struct membership other = fixture_membership("d", "u2", "o1");
    const struct membership *found;
    size_t count;
    c.created_at_us = FIXTURE_TIME_US - 1;
    upsert(t, (const struct membership *const[]){&b, &a, &c, &other}, 4, WRITE_CREATED);

    ASSERT_OK(memberships_list_by_user(t->db, TEXT("u"), t->arena, &found, &count, &err));
    assert_int_equal(count, 3);
    assert_record_equal(&membership_spec, &found[0], &c);
    assert_record_equal(&membership_spec, &found[1], &a);
    assert_record_equal(&membership_spec, &found[2], &b);

    ASSERT_OK(memberships_list_by_org(t->db, TEXT("o1"), t->arena, &found, &count, &err));
    assert_int_equal(count, 3);
    assert_record_equal(&membership_spec, &found[0], &c);
    assert_record_equal(&membership_spec, &found[1], &a);
    assert_record_equal(&membership_spec, &found[2], &other);

    ASSERT_OK(memberships_list_by_org(t->db, TEXT("none"), t->arena, &found, &count, &err));
    assert_int_equal(count, 0);
}

static void test_memberships_get__reads_what_others_wrote(void **state)
{
    struct pg_fixture *t = *state;
    pg_fixture_sql(t, "INSERT INTO auth_memberships (id, user_id, org_id, role, group_ids,"
                      " labels_delta, created_at, updated_at)"
                      " VALUES ('m', 'u', 'o', 'r', NULL, NULL, 'epoch', 'epoch')");

    const struct membership expected = {.id = TEXT("m"),
                                        .user_id = TEXT("u"),
                                        .org_id = TEXT("o"),
                                        .role = TEXT("r"),
                                        .labels_delta = fixture_document("{}")};
    assert_record_equal(&membership_spec, get(t, "m"), &expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PG_TEST(test_memberships_upsert__creates_and_replaces_whole_records),
        PG_TEST(test_memberships_upsert__keeping_keeps_created_at_of_the_row),
        PG_TEST(test_memberships_upsert__both_kinds_in_one_call),
        PG_TEST(test_memberships_upsert__rivals_in_other_orders_do_not_deadlock),
        PG_TEST(test_memberships_remove__removes_what_is_there),
        PG_TEST(test_memberships_list__oldest_first_then_id),
        PG_TEST(test_memberships_get__reads_what_others_wrote),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
