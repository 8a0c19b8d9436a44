#include "tests/integration/repo_test.h"

#include "repo/entitlements_repo.h"

static void upsert(struct pg_fixture *t, const struct entitlement *const *entitlements,
                   size_t count, enum write_result expected)
{
    struct err err;
    enum write_result results[16];

    assert_true(count <= 16);
    ASSERT_OK(entitlements_upsert(t->db, entitlements, count, t->arena, results, &err));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(results[i], expected);
}

static const struct entitlement *get(struct pg_fixture *t, const char *id)
{
    struct err err;
    const struct text ids[] = {text_of(id)};
    const struct entitlement *found[1];

    ASSERT_OK(entitlements_get(t->db, ids, 1, t->arena, found, &err));
    return found[0];
}

static void test_entitlements_upsert__creates_and_replaces_whole_records(void **state)
{
    struct pg_fixture *t = *state;
    struct entitlement full = fixture_entitlement("e", "u");
    struct entitlement bare = {.id = TEXT("e"),
                               .subject_kind = TEXT("org"),
                               .subject_id = TEXT("o"),
                               .entitlement = TEXT("x"),
                               .created_at_us = 1};
    upsert(t, (const struct entitlement *const[]){&full}, 1, WRITE_CREATED);
    assert_record_equal(&entitlement_spec, get(t, "e"), &full);

    upsert(t, (const struct entitlement *const[]){&bare}, 1, WRITE_UPDATED);

    bare.metadata = fixture_document("{}");
    assert_record_equal(&entitlement_spec, get(t, "e"), &bare);
    assert_null(get(t, "none"));
}

static void test_entitlements_upsert__keeping_keeps_created_at_of_the_row(void **state)
{
    struct pg_fixture *t = *state;
    struct entitlement first = fixture_entitlement("e", "u");
    struct entitlement second = fixture_entitlement("e", "u");
    second.keep_created_at = true;
    second.created_at_us = FIXTURE_TIME_US + 50;
    second.metadata = fixture_document("{\"v\":2}");

    upsert(t, (const struct entitlement *const[]){&first}, 1, WRITE_CREATED);
    upsert(t, (const struct entitlement *const[]){&second}, 1, WRITE_UPDATED);

    second.created_at_us = FIXTURE_TIME_US;
    assert_record_equal(&entitlement_spec, get(t, "e"), &second);
}

static void test_entitlements_upsert__a_taken_triple_is_a_duplicate(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct entitlement holder = fixture_entitlement("holder", "u");
    struct entitlement other = fixture_entitlement("other", "u");
    struct entitlement update = fixture_entitlement("other", "u");
    struct entitlement create = fixture_entitlement("create", "u");
    struct entitlement near = fixture_entitlement("near", "u2"); /* same but for the subject */
    enum write_result results[2];
    upsert(t, (const struct entitlement *const[]){&holder, &other}, 2, WRITE_CREATED);
    update.entitlement = holder.entitlement;
    create.entitlement = holder.entitlement;
    near.entitlement = holder.entitlement;
    create.keep_created_at = true;
    const struct entitlement *all[] = {&update, &near};

    ASSERT_OK(entitlements_upsert(t->db, all, 2, t->arena, results, &err));
    assert_int_equal(results[0], WRITE_DUPLICATE);
    assert_int_equal(results[1], WRITE_CREATED);
    upsert(t, (const struct entitlement *const[]){&create}, 1, WRITE_DUPLICATE);

    assert_record_equal(&entitlement_spec, get(t, "other"), &other);
    assert_null(get(t, "create"));
}

static enum outcome take_triple(struct executor *db, size_t rival, void *context,
                                struct arena *arena, struct err *err)
{
    const struct entitlement *entitlement = context;
    enum write_result result;

    (void)rival;
    return entitlements_upsert(db, &entitlement, 1, arena, &result, err);
}

static void test_entitlements_upsert__a_triple_taken_meanwhile_is_refused_once(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct entitlement first = fixture_entitlement("first", "u");
    struct entitlement second = fixture_entitlement("second", "u");
    second.entitlement = first.entitlement;
    begin(t);
    upsert(t, (const struct entitlement *const[]){&first}, 1, WRITE_CREATED);

    struct pending *pending = pending_start(t, take_triple, &second);
    pending_wait_blocked(t);
    commit(t);

    assert_int_equal(pending_join(pending, &err), OUTCOME_REJECT);
    assert_string_equal(err.code, "23505");
    upsert(t, (const struct entitlement *const[]){&second}, 1, WRITE_DUPLICATE);
}

static enum outcome upsert_in_own_order(struct executor *db, size_t rival, void *context,
                                        struct arena *arena, struct err *err)
{
    const struct entitlement *entitlements = context;
    struct entitlement copies[MANY];
    const struct entitlement *pointers[MANY];
    enum write_result results[MANY];

    for (size_t i = 0; i < MANY; i++) {
        copies[i] = entitlements[rival == 0 ? i : MANY - 1 - i];
        copies[i].keep_created_at = i % 2 == rival;
        pointers[i] = &copies[i];
    }
    return entitlements_upsert(db, pointers, MANY, arena, results, err);
}

static void test_entitlements_upsert__rivals_in_other_orders_do_not_deadlock(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct entitlement *entitlements = ARENA_ARRAY(t->arena, struct entitlement, MANY);
    const struct entitlement **pointers = ARENA_ARRAY(t->arena, const struct entitlement *, MANY);
    enum write_result *results = ARENA_ARRAY(t->arena, enum write_result, MANY);
    for (size_t i = 0; i < MANY; i++) {
        entitlements[i] = fixture_entitlement(numbered(t, "e", i), "u");
        pointers[i] = &entitlements[i];
    }
    ASSERT_OK(entitlements_upsert(t->db, pointers, MANY, t->arena, results, &err));

    rivals_run(t, 4, upsert_in_own_order, entitlements);

    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_entitlements"), MANY);
}

/* The plan is made while the table is empty, and must still be good when it no longer is. */
static void test_entitlements_upsert__looks_triples_up_whatever_was_analysed(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct entitlement *entitlements = ARENA_ARRAY(t->arena, struct entitlement, MANY);
    const struct entitlement **pointers = ARENA_ARRAY(t->arena, const struct entitlement *, MANY);
    enum write_result *results = ARENA_ARRAY(t->arena, enum write_result, MANY);
    for (size_t i = 0; i < MANY; i++) {
        entitlements[i] = fixture_entitlement(numbered(t, "e", i), "u");
        pointers[i] = &entitlements[i];
    }
    pg_fixture_sql(t, "ANALYZE auth_entitlements");
    ASSERT_OK(entitlements_upsert(t->db, pointers, 1, t->arena, results, &err));
    pg_fixture_sql(t, "INSERT INTO auth_entitlements (id, subject_kind, subject_id, entitlement)"
                      " SELECT 'x' || i, 'user', 'u', 'y' || i FROM generate_series(1, 6000) AS i");

    begin(t);
    int64_t before = rows_fetched_by_index(t, "auth_entitlements");
    ASSERT_OK(entitlements_upsert(t->db, pointers, MANY, t->arena, results, &err));

    assert_in_range(rows_fetched_by_index(t, "auth_entitlements") - before, 0, MANY + 100);
    commit(t);
    assert_int_equal(results[MANY - 1], WRITE_CREATED);
}

static void test_entitlements_remove__removes_what_is_there(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct entitlement a = fixture_entitlement("a", "u");
    struct entitlement b = fixture_entitlement("b", "u");
    const struct text ids[] = {TEXT("none"), TEXT("b")};
    enum write_result results[2];
    struct entitlement removed[2];
    upsert(t, (const struct entitlement *const[]){&a, &b}, 2, WRITE_CREATED);

    ASSERT_OK(entitlements_remove(t->db, ids, 2, t->arena, results, removed, &err));

    assert_int_equal(results[0], WRITE_NOT_FOUND);
    assert_int_equal(results[1], WRITE_REMOVED);
    assert_record_equal(&entitlement_spec, &removed[1], &b);
    assert_null(get(t, "b"));
    assert_non_null(get(t, "a"));
}

static void test_entitlements_list__oldest_first_then_id(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct entitlement a = fixture_entitlement("a", "u");
    struct entitlement b = fixture_entitlement("b", "u");
    struct entitlement c = fixture_entitlement("c", "u");
    struct entitlement other = fixture_entitlement("d", "u2");
    struct entitlement kind = fixture_entitlement("e", "u");
    const struct entitlement *found;
    size_t count;
    c.created_at_us = FIXTURE_TIME_US - 1;
    kind.subject_kind = TEXT("org");
    upsert(t, (const struct entitlement *const[]){&b, &a, &c, &other, &kind}, 5, WRITE_CREATED);

    ASSERT_OK(entitlements_list(t->db, TEXT("user"), TEXT("u"), t->arena, &found, &count, &err));

    assert_int_equal(count, 3);
    assert_record_equal(&entitlement_spec, &found[0], &c);
    assert_record_equal(&entitlement_spec, &found[1], &a);
    assert_record_equal(&entitlement_spec, &found[2], &b);
}

static void test_entitlements_triples__of_those_that_exist(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct entitlement a = fixture_entitlement("a", "u1");
    struct entitlement b = fixture_entitlement("b", "u2");
    const struct text ids[] = {TEXT("b"), TEXT("none"), TEXT("a")};
    struct statement statement;
    struct rows rows;
    struct entitlement triples[3];
    upsert(t, (const struct entitlement *const[]){&a, &b}, 2, WRITE_CREATED);
    ASSERT_OK(entitlements_triples_prepare(ids, 3, t->arena, &statement, &err));
    ASSERT_OK(executor_run(t->db, &statement, t->arena, &rows, &err));

    ASSERT_OK(entitlements_triples_read(&rows, ids, 3, t->arena, triples, &err));

    assert_true(text_is(triples[0].id, "b"));
    assert_true(text_is(triples[0].subject_kind, "user"));
    assert_true(text_is(triples[0].subject_id, "u2"));
    assert_true(text_is(triples[0].entitlement, "b"));
    assert_false(text_present(triples[1].id));
    assert_true(text_is(triples[2].subject_id, "u1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PG_TEST(test_entitlements_upsert__creates_and_replaces_whole_records),
        PG_TEST(test_entitlements_upsert__keeping_keeps_created_at_of_the_row),
        PG_TEST(test_entitlements_upsert__a_taken_triple_is_a_duplicate),
        PG_TEST(test_entitlements_upsert__a_triple_taken_meanwhile_is_refused_once),
        PG_TEST(test_entitlements_upsert__rivals_in_other_orders_do_not_deadlock),
        PG_TEST(test_entitlements_upsert__looks_triples_up_whatever_was_analysed),
        PG_TEST(test_entitlements_remove__removes_what_is_there),
        PG_TEST(test_entitlements_list__oldest_first_then_id),
        PG_TEST(test_entitlements_triples__of_those_that_exist),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
