#include "tests/integration/repo_test.h"

#include "repo/orgs_repo.h"

static void upsert(struct pg_fixture *t, const struct org *const *orgs, size_t count)
{
    struct err err;
    enum write_result results[16];

    assert_true(count <= 16);
    ASSERT_OK(orgs_upsert(t->db, orgs, count, t->arena, results, &err));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(results[i], WRITE_CREATED);
}

static void test_orgs_upsert__creates_and_replaces_whole_records(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct org full = fixture_org("o1");
    struct org bare = {.id = TEXT("o1"),
                       .slug = TEXT("new"),
                       .status = TEXT("archived"),
                       .owner_user_id = TEXT("u"),
                       .profile = fixture_document("{\"name\":\"n\"}")};
    struct org fresh = fixture_org("o0");
    const struct org *second[] = {&bare, &fresh};
    const struct text ids[] = {TEXT("o1"), TEXT("o0"), TEXT("none")};
    enum write_result results[2];
    const struct org *found[3];
    upsert(t, (const struct org *const[]){&full}, 1);
    ASSERT_OK(orgs_get(t->db, ids, 1, t->arena, found, &err));
    assert_record_equal(&org_spec, found[0], &full);

    ASSERT_OK(orgs_upsert(t->db, second, 2, t->arena, results, &err));

    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[1], WRITE_CREATED);
    ASSERT_OK(orgs_get(t->db, ids, 3, t->arena, found, &err));
    bare.labels = fixture_document("{}");
    bare.settings = fixture_document("{}");
    assert_record_equal(&org_spec, found[0], &bare);
    assert_record_equal(&org_spec, found[1], &fresh);
    assert_null(found[2]);
}

static void test_orgs_upsert__a_taken_slug_is_a_duplicate_and_changes_nothing(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct org holder = fixture_org("holder");
    struct org other = fixture_org("other");
    struct org update = fixture_org("other");
    struct org create = fixture_org("create");
    struct org fine = fixture_org("fine");
    enum write_result results[3];
    upsert(t, (const struct org *const[]){&holder, &other}, 2);
    update.slug = holder.slug;
    update.status = TEXT("archived");
    create.slug = holder.slug;
    const struct org *second[] = {&update, &create, &fine};

    ASSERT_OK(orgs_upsert(t->db, second, 2, t->arena, results, &err));

    assert_int_equal(results[0], WRITE_DUPLICATE);
    assert_int_equal(results[1], WRITE_DUPLICATE);
    assert_string_equal(pg_fixture_text(t, "SELECT string_agg(id || slug || status, ' ' ORDER BY"
                                           " id) FROM auth_orgs"),
                        "holderholderactive otherotheractive");
    ASSERT_OK(orgs_upsert(t->db, second, 3, t->arena, results, &err));
    assert_int_equal(results[2], WRITE_CREATED);
}

static void test_orgs_upsert__keeps_and_changes_its_own_slug(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct org org = fixture_org("o");
    enum write_result results[1];
    upsert(t, (const struct org *const[]){&org}, 1);

    org.status = TEXT("suspended");
    ASSERT_OK(orgs_upsert(t->db, (const struct org *const[]){&org}, 1, t->arena, results, &err));
    assert_int_equal(results[0], WRITE_UPDATED);
    org.slug = TEXT("another");
    ASSERT_OK(orgs_upsert(t->db, (const struct org *const[]){&org}, 1, t->arena, results, &err));

    assert_int_equal(results[0], WRITE_UPDATED);
    assert_string_equal(pg_fixture_text(t, "SELECT slug || status FROM auth_orgs"),
                        "anothersuspended");
}

static enum outcome take_slug(struct executor *db, size_t rival, void *context, struct arena *arena,
                              struct err *err)
{
    const struct org *org = context;
    enum write_result result;

    (void)rival;
    return orgs_upsert(db, &org, 1, arena, &result, err);
}

static void test_orgs_upsert__a_slug_taken_meanwhile_is_refused_once(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct org first = fixture_org("first");
    struct org second = fixture_org("second");
    const struct org *orgs[] = {&second};
    enum write_result results[1];
    second.slug = first.slug;
    begin(t);
    upsert(t, (const struct org *const[]){&first}, 1);

    struct pending *pending = pending_start(t, take_slug, &second);
    pending_wait_blocked(t);
    commit(t);

    assert_int_equal(pending_join(pending, &err), OUTCOME_REJECT);
    assert_string_equal(err.code, "23505");
    ASSERT_OK(orgs_upsert(t->db, orgs, 1, t->arena, results, &err));
    assert_int_equal(results[0], WRITE_DUPLICATE);
}

static enum outcome upsert_in_own_order(struct executor *db, size_t rival, void *context,
                                        struct arena *arena, struct err *err)
{
    const struct org *orgs = context;
    const struct org *pointers[MANY];
    enum write_result results[MANY];

    for (size_t i = 0; i < MANY; i++)
        pointers[i] = &orgs[rival == 0 ? i : MANY - 1 - i];
    return orgs_upsert(db, pointers, MANY, arena, results, err);
}

static void test_orgs_upsert__rivals_in_other_orders_do_not_deadlock(void **state)
{
    struct pg_fixture *t = *state;
    struct org *orgs = ARENA_ARRAY(t->arena, struct org, MANY);
    for (size_t i = 0; i < MANY; i++)
        orgs[i] = fixture_org(numbered(t, "o", i));

    rivals_run(t, 4, upsert_in_own_order, orgs);

    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_orgs"), MANY);
}

/* The plan is made while the table is empty, and must still be good when it no longer is. */
static void test_orgs_upsert__looks_slugs_up_whatever_was_analysed(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct org *orgs = ARENA_ARRAY(t->arena, struct org, MANY);
    const struct org **pointers = ARENA_ARRAY(t->arena, const struct org *, MANY);
    enum write_result *results = ARENA_ARRAY(t->arena, enum write_result, MANY);
    for (size_t i = 0; i < MANY; i++) {
        orgs[i] = fixture_org(numbered(t, "o", i));
        pointers[i] = &orgs[i];
    }
    pg_fixture_sql(t, "ANALYZE auth_orgs");
    ASSERT_OK(orgs_upsert(t->db, pointers, 1, t->arena, results, &err));
    pg_fixture_sql(t, "INSERT INTO auth_orgs (id, slug, status, owner_user_id, profile)"
                      " SELECT 'x' || i, 's' || i, 'active', 'u', '{}'"
                      " FROM generate_series(1, 6000) AS i");

    begin(t);
    int64_t before = rows_fetched_by_index(t, "auth_orgs");
    ASSERT_OK(orgs_upsert(t->db, pointers, MANY, t->arena, results, &err));

    assert_in_range(rows_fetched_by_index(t, "auth_orgs") - before, 0, MANY + 100);
    commit(t);
    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[MANY - 1], WRITE_CREATED);
}

static void test_orgs_get_by_slug__finds_it_or_not(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct org org = fixture_org("o");
    const struct org *found = NULL;
    org.slug = TEXT("the-slug");
    upsert(t, (const struct org *const[]){&org}, 1);

    ASSERT_OK(orgs_get_by_slug(t->db, TEXT("the-slug"), t->arena, &found, &err));

    assert_record_equal(&org_spec, found, &org);
    ASSERT_OK(orgs_get_by_slug(t->db, TEXT("o"), t->arena, &found, &err));
    assert_null(found);
}

static void test_orgs_slugs__of_those_that_exist(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct org a = fixture_org("a");
    struct org b = fixture_org("b");
    const struct text ids[] = {TEXT("b"), TEXT("none"), TEXT("a")};
    struct statement statement;
    struct rows rows;
    struct text slugs[3];
    a.slug = TEXT("slug-a");
    upsert(t, (const struct org *const[]){&a, &b}, 2);
    ASSERT_OK(orgs_slugs_prepare(ids, 3, t->arena, &statement, &err));
    ASSERT_OK(executor_run(t->db, &statement, t->arena, &rows, &err));

    ASSERT_OK(orgs_slugs_read(&rows, ids, 3, t->arena, slugs, &err));

    assert_true(text_is(slugs[0], "b"));
    assert_false(text_present(slugs[1]));
    assert_true(text_is(slugs[2], "slug-a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PG_TEST(test_orgs_upsert__creates_and_replaces_whole_records),
        PG_TEST(test_orgs_upsert__a_taken_slug_is_a_duplicate_and_changes_nothing),
        PG_TEST(test_orgs_upsert__keeps_and_changes_its_own_slug),
        PG_TEST(test_orgs_upsert__a_slug_taken_meanwhile_is_refused_once),
        PG_TEST(test_orgs_upsert__rivals_in_other_orders_do_not_deadlock),
        PG_TEST(test_orgs_upsert__looks_slugs_up_whatever_was_analysed),
        PG_TEST(test_orgs_get_by_slug__finds_it_or_not),
        PG_TEST(test_orgs_slugs__of_those_that_exist),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
