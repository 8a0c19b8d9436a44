#include "tests/integration/repo_test.h"

#include "repo/keys_repo.h"

static void issue(struct pg_fixture *t, const struct key *const *keys, size_t count)
{
    struct err err;
    enum write_result results[16];

    assert_true(count <= 16);
    ASSERT_OK(keys_issue(t->db, keys, count, t->arena, results, &err));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(results[i], WRITE_CREATED);
}

static const struct key *get(struct pg_fixture *t, const char *id)
{
    struct err err;
    const struct text ids[] = {text_of(id)};
    const struct key *found[1];

    ASSERT_OK(keys_get(t->db, ids, 1, t->arena, found, &err));
    return found[0];
}

/* `count` keys k00000 ... that never expire. */
static void issue_many(struct pg_fixture *t, size_t count)
{
    struct err err;
    const struct key **keys = ARENA_ARRAY(t->arena, const struct key *, count);
    enum write_result *results = ARENA_ARRAY(t->arena, enum write_result, count);

    for (size_t i = 0; i < count; i++) {
        struct key *key = ARENA_NEW(t->arena, struct key);
        *key = fixture_key(numbered(t, "k", i));
        key->expires_at_us = TIMESTAMP_ABSENT;
        keys[i] = key;
    }
    ASSERT_OK(keys_issue(t->db, keys, count, t->arena, results, &err));
}

/* --- issue --- */

static void test_keys_issue__stores_a_new_key(void **state)
{
    struct pg_fixture *t = *state;
    struct key key = fixture_key("k");
    const struct text scopes[] = {TEXT("b"), TEXT("a"), TEXT("b"), TEXT("c\"{,}"), TEXT("a")};
    const struct text distinct[] = {TEXT("b"), TEXT("a"), TEXT("c\"{,}")};
    key.scopes = (struct text_list){scopes, 5};
    key.usage_count = 3;

    issue(t, (const struct key *const[]){&key}, 1);

    key.scopes = (struct text_list){distinct, 3};
    key.usage_count = 0;
    assert_record_equal(&key_spec, get(t, "k"), &key);
}

static void test_keys_issue__many_scopes_are_deduplicated_too(void **state)
{
    struct pg_fixture *t = *state;
    struct key key = fixture_key("k");
    struct text scopes[40];
    struct text distinct[20];
    for (size_t i = 0; i < 20; i++)
        scopes[i] = scopes[20 + i] = distinct[i] = text_of(numbered(t, "s", i));
    key.scopes = (struct text_list){scopes, 40};

    issue(t, (const struct key *const[]){&key}, 1);

    key.scopes = (struct text_list){distinct, 20};
    assert_record_equal(&key_spec, get(t, "k"), &key);
}

static void test_keys_issue__says_what_collided(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key old = fixture_key("old");
    struct key same_id = fixture_key("old");
    struct key same_hash = fixture_key("new1");
    struct key both = fixture_key("other");
    struct key other = fixture_key("other");
    struct key fine = fixture_key("fine");
    same_id.hash = TEXT("another");
    same_hash.hash = old.hash;
    const struct key *keys[] = {&same_id, &same_hash, &both, &fine};
    enum write_result results[4];
    issue(t, (const struct key *const[]){&old, &other}, 2);

    ASSERT_OK(keys_issue(t->db, keys, 4, t->arena, results, &err));

    assert_int_equal(results[0], WRITE_DUPLICATE_ID);
    assert_int_equal(results[1], WRITE_DUPLICATE_HASH);
    assert_int_equal(results[2], WRITE_DUPLICATE_ID);
    assert_int_equal(results[3], WRITE_CREATED);
    assert_record_equal(&key_spec, get(t, "old"), &old);
    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_keys"), 3);
}

static void test_keys_issue__many_rows_twice(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key *keys = ARENA_ARRAY(t->arena, struct key, MANY);
    const struct key **pointers = ARENA_ARRAY(t->arena, const struct key *, MANY);
    enum write_result *results = ARENA_ARRAY(t->arena, enum write_result, MANY);
    for (size_t i = 0; i < MANY; i++) {
        keys[i] = fixture_key(numbered(t, "k", (i * 7) % MANY));
        pointers[i] = &keys[i];
    }

    ASSERT_OK(keys_issue(t->db, pointers, MANY, t->arena, results, &err));
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(results[i], WRITE_CREATED);
    ASSERT_OK(keys_issue(t->db, pointers, MANY, t->arena, results, &err));
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(results[i], WRITE_DUPLICATE_ID);
}

static enum outcome issue_in_own_order(struct executor *db, size_t rival, void *context,
                                       struct arena *arena, struct err *err)
{
    const struct key *keys = context;
    const struct key *pointers[MANY];
    enum write_result results[MANY];

    for (size_t i = 0; i < MANY; i++)
        pointers[i] = &keys[rival == 0 ? i : MANY - 1 - i];
    return keys_issue(db, pointers, MANY, arena, results, err);
}

static void test_keys_issue__rivals_in_other_orders_do_not_deadlock(void **state)
{
    struct pg_fixture *t = *state;
    struct key *keys = ARENA_ARRAY(t->arena, struct key, MANY);
    for (size_t i = 0; i < MANY; i++)
        keys[i] = fixture_key(numbered(t, "k", i));

    rivals_run(t, 1, issue_in_own_order, keys);

    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_keys"), MANY);
}

/* --- issue by COPY --- */

static void test_keys_issue_copy__stores_what_the_statement_stores(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key copied = fixture_key("copied");
    struct key bare = {.id = TEXT("bare"),
                       .hash = TEXT("h"),
                       .owner = {TEXT("org"), TEXT("o")},
                       .created_at_us = FIXTURE_TIME_US,
                       .updated_at_us = FIXTURE_TIME_US,
                       .expires_at_us = TIMESTAMP_ABSENT};
    const struct text scopes[] = {TEXT("b"), TEXT("a"), TEXT("b"), TEXT("c\"{,}"), TEXT("")};
    enum write_result results[2];
    bool issued = false;
    copied.scopes = (struct text_list){scopes, 5};
    const struct key *keys[] = {&copied, &bare};

    begin(t);
    ASSERT_OK(keys_issue(t->db, keys, 2, t->arena, results, &err));
    const char *stated =
        pg_fixture_text(t, "SELECT json_agg(k ORDER BY id)::text FROM auth_keys AS k");
    pg_fixture_sql(t, "DELETE FROM auth_keys");

    ASSERT_OK(keys_issue_copy(t->db, keys, 2, t->arena, results, &issued, &err));
    commit(t);

    assert_true(issued);
    assert_int_equal(results[0], WRITE_CREATED);
    assert_int_equal(results[1], WRITE_CREATED);
    assert_string_equal(
        pg_fixture_text(t, "SELECT json_agg(k ORDER BY id)::text FROM auth_keys AS k"), stated);
}

static void test_keys_issue_copy__a_duplicate_refuses_all_and_the_transaction_goes_on(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key old = fixture_key("old");
    struct key same_hash = fixture_key("new");
    struct key fine = fixture_key("fine");
    const struct key *keys[] = {&fine, &same_hash};
    enum write_result results[2];
    bool issued = true;
    same_hash.hash = old.hash;
    begin(t);
    issue(t, (const struct key *const[]){&old}, 1);

    ASSERT_OK(keys_issue_copy(t->db, keys, 2, t->arena, results, &issued, &err));

    assert_false(issued);
    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_keys"), 1);
    ASSERT_OK(keys_issue(t->db, keys, 2, t->arena, results, &err));
    commit(t);
    assert_int_equal(results[0], WRITE_CREATED);
    assert_int_equal(results[1], WRITE_DUPLICATE_HASH);
    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_keys"), 2);
}

static enum outcome copy_in_own_order(struct executor *db, size_t rival, void *context,
                                      struct arena *arena, struct err *err)
{
    const struct key *keys = context;
    const struct key *pointers[MANY];
    enum write_result results[MANY];
    bool issued;

    for (size_t i = 0; i < MANY; i++)
        pointers[i] = &keys[rival == 0 ? i : MANY - 1 - i];
    return keys_issue_copy(db, pointers, MANY, arena, results, &issued, err);
}

static void test_keys_issue_copy__rivals_in_other_orders_do_not_deadlock(void **state)
{
    struct pg_fixture *t = *state;
    struct key *keys = ARENA_ARRAY(t->arena, struct key, MANY);
    for (size_t i = 0; i < MANY; i++)
        keys[i] = fixture_key(numbered(t, "k", i));

    rivals_run(t, 1, copy_in_own_order, keys);

    assert_int_equal(pg_fixture_int(t, "SELECT count(*) FROM auth_keys"), MANY);
}

/* Row level security, which COPY does not support. */
static void test_keys_issue_copy__a_table_that_takes_no_copy_refuses(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key key = fixture_key("k");
    const struct key *keys[] = {&key};
    enum write_result results[1];
    bool issued = true;
    begin(t);
    pg_fixture_sql(t, "ALTER TABLE auth_keys ENABLE ROW LEVEL SECURITY");
    pg_fixture_sql(t, "ALTER TABLE auth_keys FORCE ROW LEVEL SECURITY");
    pg_fixture_sql(t, "CREATE POLICY everything ON auth_keys USING (true)");

    ASSERT_OK(keys_issue_copy(t->db, keys, 1, t->arena, results, &issued, &err));

    assert_false(issued);
    ASSERT_OK(keys_issue(t->db, keys, 1, t->arena, results, &err));
    assert_int_equal(results[0], WRITE_CREATED);
    ASSERT_OK(executor_recover(t->db, &err));
}

/* --- usage --- */

static void test_keys_record_usage__counts_and_keeps_the_last(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key a = fixture_key("a");
    struct key b = fixture_key("b");
    const int64_t times[] = {FIXTURE_TIME_US + 5, FIXTURE_TIME_US + 9, FIXTURE_TIME_US + 2};
    const struct key_usage usages[] = {{TEXT("b"), times, 3}, {TEXT("a"), times, 1}};
    enum write_result of_b[3];
    enum write_result of_a[1];
    struct key_usage_result results[] = {{.results = of_b}, {.results = of_a}};
    a.owner = (struct ref){TEXT("org"), TEXT("o")};
    issue(t, (const struct key *const[]){&a, &b}, 2);

    ASSERT_OK(keys_record_usage(t->db, usages, 2, t->arena, results, &err));

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(of_b[i], WRITE_UPDATED);
    assert_int_equal(of_a[0], WRITE_UPDATED);
    assert_int_equal(results[0].usage_count, 3);
    assert_true(text_is(results[0].owner.kind, "user"));
    assert_int_equal(results[1].usage_count, 1);
    assert_true(text_is(results[1].owner.kind, "org"));
    assert_true(text_is(results[1].owner.id, "o"));
    b.usage_count = 3;
    b.last_used_at_us = b.updated_at_us = FIXTURE_TIME_US + 2;
    assert_record_equal(&key_spec, get(t, "b"), &b);
}

static void test_keys_record_usage__judges_each_usage_at_its_own_time(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key expiring = fixture_key("expiring");
    int64_t end = expiring.expires_at_us;
    struct key fine = fixture_key("fine");
    struct key late = fixture_key("late");
    const int64_t mixed[] = {end - 2, end, end - 1, end + 1};
    const int64_t once[] = {FIXTURE_TIME_US};
    const int64_t after[] = {end, end + 7};
    const struct key_usage usages[] = {{TEXT("none"), once, 1},
                                       {TEXT("late"), after, 2},
                                       {TEXT("fine"), once, 1},
                                       {TEXT("expiring"), mixed, 4}};
    enum write_result of_none[1];
    enum write_result of_late[2];
    enum write_result of_fine[1];
    enum write_result of_expiring[4];
    struct key_usage_result results[] = {{.results = of_none, .usage_count = -1},
                                         {.results = of_late, .usage_count = -1},
                                         {.results = of_fine},
                                         {.results = of_expiring}};
    issue(t, (const struct key *const[]){&expiring, &fine, &late}, 3);

    ASSERT_OK(keys_record_usage(t->db, usages, 4, t->arena, results, &err));

    assert_int_equal(of_none[0], WRITE_NOT_FOUND);
    assert_int_equal(of_late[0], WRITE_EXPIRED);
    assert_int_equal(of_late[1], WRITE_EXPIRED);
    assert_int_equal(of_fine[0], WRITE_UPDATED);
    assert_int_equal(of_expiring[0], WRITE_UPDATED);
    assert_int_equal(of_expiring[1], WRITE_EXPIRED);
    assert_int_equal(of_expiring[2], WRITE_UPDATED);
    assert_int_equal(of_expiring[3], WRITE_EXPIRED);
    assert_int_equal(results[3].usage_count, 2);
    assert_true(text_is(results[3].owner.id, "owner"));
    assert_int_equal(get(t, "expiring")->usage_count, 2);
    assert_int_equal(get(t, "expiring")->last_used_at_us, end - 1);
    assert_record_equal(&key_spec, get(t, "late"), &late);
}

static void test_keys_record_usage__revoked_comes_before_expired(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    const int64_t once[] = {FIXTURE_TIME_US + INT64_C(7200000000)};
    const struct key_usage usages[] = {
        {TEXT("by_status"), once, 1}, {TEXT("by_time"), once, 1}, {TEXT("expired"), once, 1}};
    enum write_result by_status[1];
    enum write_result by_time[1];
    enum write_result expired[1];
    struct key_usage_result results[] = {
        {.results = by_status}, {.results = by_time}, {.results = expired}};
    struct key a = fixture_key("by_status");
    struct key b = fixture_key("by_time");
    struct key c = fixture_key("expired");
    c.expires_at_us = TIMESTAMP_ABSENT;
    issue(t, (const struct key *const[]){&a, &b, &c}, 3);
    /* as other programs may store them */
    pg_fixture_sql(t, "UPDATE auth_keys SET status = 'revoked' WHERE id = 'by_status'");
    pg_fixture_sql(t, "UPDATE auth_keys SET revoked_at = now() WHERE id = 'by_time'");
    pg_fixture_sql(t, "UPDATE auth_keys SET status = 'expired' WHERE id = 'expired'");

    ASSERT_OK(keys_record_usage(t->db, usages, 3, t->arena, results, &err));

    assert_int_equal(by_status[0], WRITE_REVOKED);
    assert_int_equal(by_time[0], WRITE_REVOKED);
    assert_int_equal(expired[0], WRITE_EXPIRED);
}

static void test_keys_record_usage__counts_past_32_bits(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key key = fixture_key("k");
    const int64_t once[] = {FIXTURE_TIME_US};
    const struct key_usage usages[] = {{TEXT("k"), once, 1}};
    enum write_result of_k[1];
    struct key_usage_result results[] = {{.results = of_k}};
    issue(t, (const struct key *const[]){&key}, 1);
    pg_fixture_sql(t, "UPDATE auth_keys SET usage_count = 4294967296");

    ASSERT_OK(keys_record_usage(t->db, usages, 1, t->arena, results, &err));

    assert_int_equal(results[0].usage_count, INT64_C(4294967297));
}

static void test_keys_record_usage__a_hot_key(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key key = fixture_key("k");
    enum { USAGES = 10 * MANY };
    int64_t *times = ARENA_ARRAY(t->arena, int64_t, USAGES);
    enum write_result *of_k = ARENA_ARRAY(t->arena, enum write_result, USAGES);
    const struct key_usage usages[] = {{TEXT("k"), times, USAGES}};
    struct key_usage_result results[] = {{.results = of_k}};
    for (size_t i = 0; i < USAGES; i++)
        times[i] = FIXTURE_TIME_US + (int64_t)i;
    times[USAGES / 2] = key.expires_at_us; /* sends all of them to the judge */
    issue(t, (const struct key *const[]){&key}, 1);

    ASSERT_OK(keys_record_usage(t->db, usages, 1, t->arena, results, &err));

    assert_int_equal(results[0].usage_count, USAGES - 1);
    assert_int_equal(of_k[USAGES / 2], WRITE_EXPIRED);
    assert_int_equal(of_k[USAGES - 1], WRITE_UPDATED);
    assert_int_equal(get(t, "k")->last_used_at_us, times[USAGES - 1]);
}

/* The plan is made while the table is empty, and must still be good when it no longer is. */
static void test_keys_record_usage__looks_keys_up_whatever_was_analysed(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    const int64_t once[] = {FIXTURE_TIME_US};
    struct key_usage *usages = ARENA_ARRAY(t->arena, struct key_usage, MANY);
    struct key_usage_result *results = ARENA_ARRAY(t->arena, struct key_usage_result, MANY);
    enum write_result *answers = ARENA_ARRAY(t->arena, enum write_result, MANY);
    for (size_t i = 0; i < MANY; i++) {
        usages[i] = (struct key_usage){text_of(numbered(t, "k", i)), once, 1};
        results[i].results = &answers[i];
    }
    pg_fixture_sql(t, "ANALYZE auth_keys");
    ASSERT_OK(keys_record_usage(t->db, usages, 1, t->arena, results, &err));
    issue_many(t, 4 * (size_t)MANY);

    begin(t);
    int64_t before = rows_fetched_by_index(t, "auth_keys");
    ASSERT_OK(keys_record_usage(t->db, usages, MANY, t->arena, results, &err));

    assert_in_range(rows_fetched_by_index(t, "auth_keys") - before, MANY, MANY + 100);
    commit(t);
    assert_int_equal(answers[MANY - 1], WRITE_UPDATED);
}

static enum outcome use_in_own_order(struct executor *db, size_t rival, void *context,
                                     struct arena *arena, struct err *err)
{
    const struct text *ids = context;
    static const int64_t times[] = {FIXTURE_TIME_US, FIXTURE_TIME_US + INT64_C(7200000000)};
    struct key_usage usages[MANY];
    struct key_usage_result results[MANY];
    enum write_result *answers = ARENA_ARRAY(arena, enum write_result, 2 * (size_t)MANY);

    if (answers == NULL)
        return err_no_memory(err, "test");
    for (size_t i = 0; i < MANY; i++) {
        usages[i] = (struct key_usage){ids[rival == 0 ? i : MANY - 1 - i], times, 2};
        results[i] = (struct key_usage_result){.results = &answers[2 * i]};
    }
    return keys_record_usage(db, usages, MANY, arena, results, err);
}

static void test_keys_record_usage__rivals_lose_no_count(void **state)
{
    struct pg_fixture *t = *state;
    struct text *ids = ARENA_ARRAY(t->arena, struct text, MANY);
    for (size_t i = 0; i < MANY; i++)
        ids[i] = text_of(numbered(t, "k", i));
    issue_many(t, MANY);

    rivals_run(t, 4, use_in_own_order, ids);

    assert_int_equal(pg_fixture_int(t, "SELECT min(usage_count) FROM auth_keys"), 16);
    assert_int_equal(pg_fixture_int(t, "SELECT max(usage_count) FROM auth_keys"), 16);
}

static void test_keys_record_usage__judging_rivals_lose_no_count(void **state)
{
    struct pg_fixture *t = *state;
    struct text *ids = ARENA_ARRAY(t->arena, struct text, MANY);
    for (size_t i = 0; i < MANY; i++)
        ids[i] = text_of(numbered(t, "k", i));
    issue_many(t, MANY);
    pg_fixture_sql(t, "UPDATE auth_keys SET expires_at = '2026-01-02T04:00:00Z'");

    rivals_run(t, 4, use_in_own_order, ids);

    assert_int_equal(pg_fixture_int(t, "SELECT min(usage_count) FROM auth_keys"), 8);
    assert_int_equal(pg_fixture_int(t, "SELECT max(usage_count) FROM auth_keys"), 8);
}

struct waiting_usage {
    enum write_result answers[2];
    struct key_usage_result result;
};

static enum outcome use_while_revoked(struct executor *db, size_t rival, void *context,
                                      struct arena *arena, struct err *err)
{
    struct waiting_usage *waiting = context;
    static const int64_t times[] = {FIXTURE_TIME_US, FIXTURE_TIME_US + 1};
    const struct key_usage usage = {TEXT("k"), times, 2};

    (void)rival;
    waiting->result.results = waiting->answers;
    return keys_record_usage(db, &usage, 1, arena, &waiting->result, err);
}

static void test_keys_record_usage__sees_a_revocation_that_it_waited_for(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key key = fixture_key("k");
    struct waiting_usage waiting = {.answers = {WRITE_OPEN}};
    issue(t, (const struct key *const[]){&key}, 1);
    begin(t);
    pg_fixture_sql(t, "UPDATE auth_keys SET status = 'revoked', revoked_at = now()");

    struct pending *pending = pending_start(t, use_while_revoked, &waiting);
    pending_wait_blocked(t);
    commit(t);

    assert_int_equal(pending_join(pending, &err), OUTCOME_OK);
    assert_int_equal(waiting.answers[0], WRITE_REVOKED);
    assert_int_equal(waiting.answers[1], WRITE_REVOKED);
    assert_int_equal(get(t, "k")->usage_count, 0);
}

/* --- revoke --- */

static void test_keys_revoke__revokes_once(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key a = fixture_key("a");
    struct key b = fixture_key("b");
    struct key revocation_of_a = {.id = TEXT("a"),
                                  .revoked_at_us = FIXTURE_TIME_US + 3,
                                  .revoked_by = {TEXT("user"), TEXT("boss")},
                                  .revocation_reason = TEXT("leaked")};
    struct key revocation_of_b = {.id = TEXT("b"), .revoked_at_us = FIXTURE_TIME_US + 4};
    struct key of_none = {.id = TEXT("none"), .revoked_at_us = FIXTURE_TIME_US + 5};
    const struct key *first[] = {&revocation_of_a};
    enum write_result results[3];
    struct ref owners[3];
    issue(t, (const struct key *const[]){&a, &b}, 2);

    ASSERT_OK(keys_revoke(t->db, first, 1, t->arena, results, owners, &err));
    assert_int_equal(results[0], WRITE_UPDATED);
    assert_true(text_is(owners[0].kind, "user"));
    assert_true(text_is(owners[0].id, "owner"));
    a.status = TEXT("revoked");
    a.revoked_at_us = a.updated_at_us = FIXTURE_TIME_US + 3;
    a.revoked_by = revocation_of_a.revoked_by;
    a.revocation_reason = revocation_of_a.revocation_reason;
    assert_record_equal(&key_spec, get(t, "a"), &a);

    revocation_of_a.revoked_at_us += 100;
    const struct key *second[] = {&of_none, &revocation_of_a, &revocation_of_b};
    ASSERT_OK(keys_revoke(t->db, second, 3, t->arena, results, owners, &err));
    assert_int_equal(results[0], WRITE_NOT_FOUND);
    assert_int_equal(results[1], WRITE_ALREADY_REVOKED);
    assert_int_equal(results[2], WRITE_UPDATED);
    assert_record_equal(&key_spec, get(t, "a"), &a);
    assert_false(text_present(get(t, "b")->revoked_by.kind));
}

static void test_keys_revoke__a_key_revoked_by_others(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key a = fixture_key("a");
    struct key revocation = {.id = TEXT("a"), .revoked_at_us = FIXTURE_TIME_US};
    const struct key *revocations[] = {&revocation};
    enum write_result results[1];
    struct ref owners[1];
    issue(t, (const struct key *const[]){&a}, 1);
    pg_fixture_sql(t, "UPDATE auth_keys SET revoked_at = now()"); /* status still active */

    ASSERT_OK(keys_revoke(t->db, revocations, 1, t->arena, results, owners, &err));

    assert_int_equal(results[0], WRITE_ALREADY_REVOKED);
}

static void test_keys_revoke__many_rows(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key *keys = ARENA_ARRAY(t->arena, struct key, MANY);
    const struct key **pointers = ARENA_ARRAY(t->arena, const struct key *, MANY);
    enum write_result *results = ARENA_ARRAY(t->arena, enum write_result, MANY);
    struct ref *owners = ARENA_ARRAY(t->arena, struct ref, MANY);
    issue_many(t, MANY - 1);
    for (size_t i = 0; i < MANY; i++) {
        keys[i] = (struct key){.id = text_of(numbered(t, "k", MANY - 1 - i)),
                               .revoked_at_us = FIXTURE_TIME_US};
        pointers[i] = &keys[i];
    }

    ASSERT_OK(keys_revoke(t->db, pointers, MANY, t->arena, results, owners, &err));

    assert_int_equal(results[0], WRITE_NOT_FOUND);
    for (size_t i = 1; i < MANY; i++)
        assert_int_equal(results[i], WRITE_UPDATED);
}

/* --- reads --- */

static void test_keys_get_by_hash__finds_it_or_not(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct key key = fixture_key("k");
    const struct key *found = NULL;
    key.hash = TEXT("the-hash");
    issue(t, (const struct key *const[]){&key}, 1);

    ASSERT_OK(keys_get_by_hash(t->db, TEXT("the-hash"), t->arena, &found, &err));

    assert_record_equal(&key_spec, found, &key);
    ASSERT_OK(keys_get_by_hash(t->db, TEXT("k"), t->arena, &found, &err));
    assert_null(found);
}

static const char *listed(struct pg_fixture *t, bool revoked, bool expired)
{
    struct err err;
    const struct ref owner = {TEXT("user"), TEXT("owner")};
    const struct key_list_options options = {revoked, expired, FIXTURE_TIME_US};
    const struct key *keys;
    size_t count;
    struct buffer ids;

    ASSERT_OK(keys_list_by_owner(t->db, owner, &options, t->arena, &keys, &count, &err));
    buffer_init(&ids, t->arena);
    for (size_t i = 0; i < count; i++)
        buffer_append_text(&ids, keys[i].id);
    buffer_append_byte(&ids, '\0');
    return (const char *)ids.bytes;
}

static void test_keys_list_by_owner__newest_first_revoked_and_expired_on_demand(void **state)
{
    struct pg_fixture *t = *state;
    struct key keys[7];
    const struct key *pointers[7];
    const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g"};
    for (size_t i = 0; i < 7; i++) {
        keys[i] = fixture_key(ids[i]);
        keys[i].expires_at_us = TIMESTAMP_ABSENT;
        keys[i].created_at_us = FIXTURE_TIME_US + (int64_t)i / 2; /* pairs of the same age */
    }
    keys[2].expires_at_us = FIXTURE_TIME_US;     /* expires exactly now */
    keys[3].expires_at_us = FIXTURE_TIME_US + 1; /* not yet */
    keys[4].expires_at_us = FIXTURE_TIME_US - 1; /* and revoked, which counts first */
    keys[6].owner.kind = TEXT("org");
    for (size_t i = 0; i < 7; i++)
        pointers[i] = &keys[i];
    issue(t, pointers, 7);
    pg_fixture_sql(t, "UPDATE auth_keys SET status = 'revoked' WHERE id IN ('b', 'e')");
    pg_fixture_sql(t, "UPDATE auth_keys SET status = 'expired' WHERE id = 'f'");

    assert_string_equal(listed(t, false, false), "da");
    assert_string_equal(listed(t, true, false), "edab");
    assert_string_equal(listed(t, false, true), "fcda");
    assert_string_equal(listed(t, true, true), "efcdab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PG_TEST(test_keys_issue__stores_a_new_key),
        PG_TEST(test_keys_issue__many_scopes_are_deduplicated_too),
        PG_TEST(test_keys_issue__says_what_collided),
        PG_TEST(test_keys_issue__many_rows_twice),
        PG_TEST(test_keys_issue__rivals_in_other_orders_do_not_deadlock),
        PG_TEST(test_keys_issue_copy__stores_what_the_statement_stores),
        PG_TEST(test_keys_issue_copy__a_duplicate_refuses_all_and_the_transaction_goes_on),
        PG_TEST(test_keys_issue_copy__rivals_in_other_orders_do_not_deadlock),
        PG_TEST(test_keys_issue_copy__a_table_that_takes_no_copy_refuses),
        PG_TEST(test_keys_record_usage__counts_and_keeps_the_last),
        PG_TEST(test_keys_record_usage__judges_each_usage_at_its_own_time),
        PG_TEST(test_keys_record_usage__revoked_comes_before_expired),
        PG_TEST(test_keys_record_usage__counts_past_32_bits),
        PG_TEST(test_keys_record_usage__a_hot_key),
        PG_TEST(test_keys_record_usage__looks_keys_up_whatever_was_analysed),
        PG_TEST(test_keys_record_usage__rivals_lose_no_count),
        PG_TEST(test_keys_record_usage__judging_rivals_lose_no_count),
        PG_TEST(test_keys_record_usage__sees_a_revocation_that_it_waited_for),
        PG_TEST(test_keys_revoke__revokes_once),
        PG_TEST(test_keys_revoke__a_key_revoked_by_others),
        PG_TEST(test_keys_revoke__many_rows),
        PG_TEST(test_keys_get_by_hash__finds_it_or_not),
        PG_TEST(test_keys_list_by_owner__newest_first_revoked_and_expired_on_demand),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
