#include "tests/integration/repo_test.h"

#include "repo/groups_repo.h"

static void upsert(struct pg_fixture *t, const struct group *const *groups, size_t count)
{
    struct err err;
    enum write_result results[16];

    assert_true(count <= 16);
    ASSERT_OK(groups_upsert(t->db, groups, count, t->arena, results, &err));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(results[i], WRITE_CREATED);
}

static void test_groups_upsert__creates_and_replaces_whole_records(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct group full = fixture_group("g1", "o1");
    struct group bare = {
        .id = TEXT("g1"), .org_id = TEXT("o2"), .slug = TEXT("s"), .name = TEXT("n")};
    struct group fresh = fixture_group("g0", "o1");
    const struct group *replaced[] = {&bare, &fresh};
    const struct text ids[] = {TEXT("g1"), TEXT("g0"), TEXT("none")};
    enum write_result results[2];
    const struct group *found[3];
    upsert(t, (const struct group *const[]){&full}, 1);
    ASSERT_OK(groups_get(t->db, ids, 1, t->arena, found, &err));
    assert_record_equal(&group_spec, found[0], &full);

    ASSERT_OK(groups_upsert(t->db, replaced, 2, t->arena, results, &err));

    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[1], WRITE_CREATED);
    ASSERT_OK(groups_get(t->db, ids, 3, t->arena, found, &err));
    bare.labels = fixture_document("{}");
    assert_record_equal(&group_spec, found[0], &bare);
    assert_record_equal(&group_spec, found[1], &fresh);
    assert_null(found[2]);
}

static void test_groups_delete__removes_what_is_there(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct group a = fixture_group("a", "o");
    struct group b = fixture_group("b", "o");
    const struct text ids[] = {TEXT("none"), TEXT("b")};
    enum write_result results[2];
    struct group removed[2];
    upsert(t, (const struct group *const[]){&a, &b}, 2);

    ASSERT_OK(groups_delete(t->db, ids, 2, t->arena, results, removed, &err));

    assert_int_equal(results[0], WRITE_NOT_FOUND);
    assert_int_equal(results[1], WRITE_REMOVED);
    assert_record_equal(&group_spec, &removed[1], &b);
    assert_string_equal(pg_fixture_text(t, "SELECT string_agg(id, ',') FROM auth_groups"), "a");
}

static void test_groups_delete__a_second_time_finds_nothing(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct group a = fixture_group("a", "o");
    const struct text ids[] = {TEXT("a")};
    enum write_result results[1];
    struct group removed[1];
    upsert(t, (const struct group *const[]){&a}, 1);
    ASSERT_OK(groups_delete(t->db, ids, 1, t->arena, results, removed, &err));

    ASSERT_OK(groups_delete(t->db, ids, 1, t->arena, results, removed, &err));

    assert_int_equal(results[0], WRITE_NOT_FOUND);
}

/* The plan is made while the table is empty, and must still be good when it no longer is. */
static void test_groups_delete__looks_rows_up_whatever_was_analysed(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct text *ids = ARENA_ARRAY(t->arena, struct text, MANY);
    enum write_result *results = ARENA_ARRAY(t->arena, enum write_result, MANY);
    struct group *removed = ARENA_ARRAY(t->arena, struct group, MANY);
    for (size_t i = 0; i < MANY; i++)
        ids[i] = text_of(numbered(t, "g", i * 4));
    pg_fixture_sql(t, "ANALYZE auth_groups");
    ASSERT_OK(groups_delete(t->db, ids, 1, t->arena, results, removed, &err));
    pg_fixture_sql(t, "INSERT INTO auth_groups (id, org_id, slug, name)"
                      " SELECT 'g' || lpad(i::text, 5, '0'), 'o', 's', 'n'"
                      " FROM generate_series(0, 7999) AS i");

    begin(t);
    int64_t before = rows_fetched_by_index(t, "auth_groups");
    ASSERT_OK(groups_delete(t->db, ids, MANY, t->arena, results, removed, &err));

    assert_in_range(rows_fetched_by_index(t, "auth_groups") - before, MANY, MANY + 100);
    commit(t);
    assert_int_equal(results[MANY - 1], WRITE_REMOVED);
    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_groups"), 6000);
}

static enum outcome delete_in_own_order(struct executor *db, size_t rival, void *context,
                                        struct arena *arena, struct err *err)
{
    struct group *groups = context;
    const struct group *pointers[MANY];
    struct text ids[MANY];
    enum write_result results[MANY];
    struct group *removed = ARENA_ARRAY(arena, struct group, MANY);

    if (removed == NULL)
        return err_no_memory(err, "test");
    for (size_t i = 0; i < MANY; i++) {
        pointers[i] = &groups[rival == 0 ? i : MANY - 1 - i];
        ids[i] = pointers[i]->id;
    }
    enum outcome outcome = groups_delete(db, ids, MANY, arena, results, removed, err);
    return outcome == OUTCOME_OK ? groups_upsert(db, pointers, MANY, arena, results, err) : outcome;
}

static void test_groups_delete__rivals_in_other_orders_do_not_deadlock(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct group *groups = ARENA_ARRAY(t->arena, struct group, MANY);
    const struct group **pointers = ARENA_ARRAY(t->arena, const struct group *, MANY);
    enum write_result *results = ARENA_ARRAY(t->arena, enum write_result, MANY);
    for (size_t i = 0; i < MANY; i++) {
        groups[i] = fixture_group(numbered(t, "g", i), "o");
        pointers[i] = &groups[i];
    }
    ASSERT_OK(groups_upsert(t->db, pointers, MANY, t->arena, results, &err));

    rivals_run(t, 4, delete_in_own_order, groups);

    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_groups"), MANY);
}

static void test_groups_list_by_org__by_slug_then_id(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct group a = fixture_group("a", "o");
    struct group b = fixture_group("b", "o");
    struct group c = fixture_group("c", "o");
    struct group other = fixture_group("d", "other");
    const struct group *found;
    size_t count;
    a.slug = TEXT("z");
    b.slug = TEXT("z");
    c.slug = TEXT("Z"); /* bytewise */
    upsert(t, (const struct group *const[]){&b, &a, &c, &other}, 4);

    ASSERT_OK(groups_list_by_org(t->db, TEXT("o"), t->arena, &found, &count, &err));

    assert_int_equal(count, 3);
    assert_record_equal(&group_spec, &found[0], &c);
    assert_record_equal(&group_spec, &found[1], &a);
    assert_record_equal(&group_spec, &found[2], &b);
    ASSERT_OK(groups_list_by_org(t->db, TEXT("none"), t->arena, &found, &count, &err));
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PG_TEST(test_groups_upsert__creates_and_replaces_whole_records),
        PG_TEST(test_groups_delete__removes_what_is_there),
        PG_TEST(test_groups_delete__a_second_time_finds_nothing),
        PG_TEST(test_groups_delete__looks_rows_up_whatever_was_analysed),
        PG_TEST(test_groups_delete__rivals_in_other_orders_do_not_deadlock),
        PG_TEST(test_groups_list_by_org__by_slug_then_id),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
