#include "recording.h"

#include "repo/memberships_repo.h"

#define COLUMNS "id, user_id, org_id, role, group_ids, labels_delta, created_at, updated_at"
#define TIME "2026-01-02T03:04:05.678901Z"
#define TIME_PLUS_1 "2026-01-02T03:04:05.678902Z"

static void test_memberships_upsert__replaces_whole_records(void **state)
{
    struct recording *t = *state;
    struct membership b = fixture_membership("b", "u", "o");
    struct membership a = fixture_membership("a", "u", "o");
    const struct text odd[] = {TEXT("with \"quote\""), TEXT("back\\slash")};
    a.group_ids = (struct text_list){odd, 2};
    const struct membership *memberships[] = {&b, &a};
    enum write_result results[2];
    const struct cell cells[] = {
        scripted_text(TEXT("a")),
        scripted_bool(true),
        scripted_text(TEXT("b")),
        scripted_bool(false),
    };
    script(t, scripted_rows(cells, 2, 2));

    enum outcome outcome =
        memberships_upsert(&t->db.port, memberships, 2, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[1], WRITE_CREATED);
    assert_recorded_name(&t->db, 0, "memberships.upsert");
    ASSERT_RECORDED_SQL(&t->db, 0, "INSERT INTO {schema}.auth_memberships (" COLUMNS ")",
                        "u.group_ids::text[]", "ON CONFLICT (id) DO UPDATE SET",
                        "labels_delta = excluded.labels_delta, created_at = excluded.created_at,"
                        " updated_at = excluded.updated_at RETURNING id, (xmax = 0) AS inserted");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{a,b}", "{u,u}", "{o,o}", "{admin,admin}",
                           "{{\"with \\\"quote\\\"\",\"back\\\\slash\"},{\"first\",\"second\"}}",
                           "{{\"tier\":\"platinum\"},{\"tier\":\"platinum\"}}",
                           "{" TIME "," TIME "}", "{" TIME_PLUS_1 "," TIME_PLUS_1 "}");
    assert_recording_done(&t->db, 1, 1);
}

static void test_memberships_upsert__keeping_does_not_touch_created_at(void **state)
{
    struct recording *t = *state;
    struct membership a = fixture_membership("a", "u", "o");
    a.keep_created_at = true;
    const struct membership *memberships[] = {&a};
    enum write_result results[1];
    const struct cell cells[] = {scripted_text(TEXT("a")), scripted_bool(false)};
    script(t, scripted_rows(cells, 1, 2));

    enum outcome outcome =
        memberships_upsert(&t->db.port, memberships, 1, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_UPDATED);
    assert_recorded_name(&t->db, 0, "memberships.upsert_keep");
    ASSERT_RECORDED_SQL(&t->db, 0, "INSERT INTO {schema}.auth_memberships (" COLUMNS ")",
                        "ON CONFLICT (id) DO UPDATE SET",
                        "labels_delta = excluded.labels_delta,"
                        " updated_at = excluded.updated_at RETURNING id, (xmax = 0) AS inserted");
    assert_recording_done(&t->db, 1, 1);
}

static void test_memberships_upsert__both_kinds_lock_first_and_share_a_trip(void **state)
{
    struct recording *t = *state;
    struct membership c = fixture_membership("c", "u", "o");
    struct membership b = fixture_membership("b", "u", "o");
    struct membership a = fixture_membership("a", "u", "o");
    c.keep_created_at = true;
    a.keep_created_at = true;
    const struct membership *memberships[] = {&c, &b, &a};
    enum write_result results[3];
    const struct cell locked[] = {scripted_text(TEXT("c"))};
    const struct cell replaced[] = {scripted_text(TEXT("b")), scripted_bool(true)};
    const struct cell kept[] = {
        scripted_text(TEXT("a")),
        scripted_bool(true),
        scripted_text(TEXT("c")),
        scripted_bool(false),
    };
    script(t, scripted_rows(locked, 1, 1));
    script(t, scripted_rows(replaced, 1, 2));
    script(t, scripted_rows(kept, 2, 2));

    enum outcome outcome =
        memberships_upsert(&t->db.port, memberships, 3, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[1], WRITE_CREATED);
    assert_int_equal(results[2], WRITE_CREATED);
    assert_recorded_name(&t->db, 0, "memberships.lock");
    assert_sql(t, 0,
               "SELECT id FROM {schema}.auth_memberships WHERE id = ANY ($1::text[])"
               " ORDER BY id FOR UPDATE");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{a,b,c}");
    assert_recorded_name(&t->db, 1, "memberships.upsert");
    assert_string_equal(recorded_param(&t->db, 1, 0), "{b}");
    assert_recorded_name(&t->db, 2, "memberships.upsert_keep");
    assert_string_equal(recorded_param(&t->db, 2, 0), "{a,c}");
    assert_recording_done(&t->db, 3, 1);
}

static void test_memberships_upsert__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    struct membership membership = fixture_membership("a", "u", "o");
    const struct membership *memberships[] = {&membership};
    enum write_result results[] = {WRITE_EXPIRED};
    script_failure(t);

    enum outcome outcome =
        memberships_upsert(&t->db.port, memberships, 1, t->arena, results, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
}

static void test_memberships_upsert_prepare__answers_its_inputs(void **state)
{
    struct recording *t = *state;
    struct membership b = fixture_membership("b", "u", "o");
    struct membership a = fixture_membership("a", "u", "o");
    const struct membership *memberships[] = {&b, &a};
    enum write_result results[2];
    struct write write;
    const struct cell cells[] = {
        scripted_text(TEXT("a")),
        scripted_bool(true),
        scripted_text(TEXT("b")),
        scripted_bool(false),
    };
    script(t, scripted_rows(cells, 2, 2));
    assert_int_equal(memberships_upsert_prepare(memberships, 2, t->arena, results, &write, &t->err),
                     OUTCOME_OK);

    assert_int_equal(write_run(&t->db.port, &write, 1, t->arena, &t->err), OUTCOME_OK);

    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[1], WRITE_CREATED);
    assert_recording_done(&t->db, 1, 1);
}

static void test_memberships_remove__hands_out_the_rows_as_they_were(void **state)
{
    struct recording *t = *state;
    struct membership gone = fixture_membership("b", "u", "o");
    const struct text ids[] = {TEXT("c"), TEXT("b")};
    struct membership removed[2] = {{.id = TEXT("untouched")}};
    enum write_result results[2];
    script(t, scripted_records(&t->db, &membership_spec, (const void *const[]){&gone}, 1));
    script(t, scripted_rows(NULL, 0, 1));
    script(t, scripted_rows(NULL, 0, 8));

    enum outcome outcome =
        memberships_remove(&t->db.port, ids, 2, t->arena, results, removed, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_NOT_FOUND);
    assert_text(removed[0].id, "untouched");
    assert_int_equal(results[1], WRITE_REMOVED);
    assert_record_equal(&membership_spec, &removed[1], &gone);
    assert_recorded_name(&t->db, 0, "memberships.remove");
    assert_sql(t, 0,
               "DELETE FROM {schema}.auth_memberships USING unnest($1::text[]) AS u(wanted)"
               " WHERE id = ANY (ARRAY[u.wanted]) RETURNING " COLUMNS);
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{b,c}");
}

static void test_memberships_remove__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct text ids[] = {TEXT("c")};
    struct membership removed[] = {{.id = TEXT("untouched")}};
    enum write_result results[] = {WRITE_EXPIRED};
    script_failure(t);

    enum outcome outcome =
        memberships_remove(&t->db.port, ids, 1, t->arena, results, removed, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
    assert_text(removed[0].id, "untouched");
}

static void test_memberships_get__answers_in_the_order_asked(void **state)
{
    struct recording *t = *state;
    struct membership b = fixture_membership("b", "u", "o");
    const struct text ids[] = {TEXT("none"), TEXT("b")};
    const struct membership *memberships[2];
    script(t, scripted_records(&t->db, &membership_spec, (const void *const[]){&b}, 1));

    enum outcome outcome = memberships_get(&t->db.port, ids, 2, t->arena, memberships, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_null(memberships[0]);
    assert_record_equal(&membership_spec, memberships[1], &b);
    assert_recorded_name(&t->db, 0, "memberships.get");
    assert_sql(t, 0,
               "SELECT " COLUMNS " FROM {schema}.auth_memberships WHERE id = ANY ($1::text[])");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{b,none}");
}

static void test_memberships_get__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct membership sentinel = {.id = TEXT("sentinel")};
    const struct membership *memberships[] = {&sentinel};
    const struct text ids[] = {TEXT("b")};
    script_failure(t);

    enum outcome outcome = memberships_get(&t->db.port, ids, 1, t->arena, memberships, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(memberships[0], &sentinel);
}

typedef enum outcome list_function(struct executor *db, struct text parent_id, struct arena *arena,
                                   const struct membership **ret_memberships, size_t *ret_count,
                                   struct err *err);

static void check_list(struct recording *t, list_function *list, const char *name, const char *sql)
{
    struct membership a = fixture_membership("a", "u", "o");
    struct membership b = fixture_membership("b", "u", "o");
    const struct membership *memberships;
    size_t count;
    script(t, scripted_records(&t->db, &membership_spec, (const void *const[]){&b, &a}, 2));

    enum outcome outcome =
        list(&t->db.port, TEXT("parent"), t->arena, &memberships, &count, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(count, 2);
    assert_record_equal(&membership_spec, &memberships[0], &b);
    assert_record_equal(&membership_spec, &memberships[1], &a);
    assert_recorded_name(&t->db, 0, name);
    assert_sql(t, 0, sql);
    ASSERT_RECORDED_PARAMS(&t->db, 0, "parent");
}

static void check_list_failure(struct recording *t, list_function *list)
{
    const struct membership sentinel = {.id = TEXT("sentinel")};
    const struct membership *memberships = &sentinel;
    size_t count = 7;
    script_failure(t);

    enum outcome outcome =
        list(&t->db.port, TEXT("parent"), t->arena, &memberships, &count, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(memberships, &sentinel);
    assert_int_equal(count, 7);
}

static void test_memberships_list_by_user__oldest_first(void **state)
{
    check_list(*state, memberships_list_by_user, "memberships.list_by_user",
               "SELECT " COLUMNS
               " FROM {schema}.auth_memberships WHERE user_id = $1 ORDER BY created_at, id");
}

static void test_memberships_list_by_user__a_failure_leaves_results_alone(void **state)
{
    check_list_failure(*state, memberships_list_by_user);
}

static void test_memberships_list_by_org__oldest_first(void **state)
{
    check_list(*state, memberships_list_by_org, "memberships.list_by_org",
               "SELECT " COLUMNS
               " FROM {schema}.auth_memberships WHERE org_id = $1 ORDER BY created_at, id");
}

static void test_memberships_list_by_org__a_failure_leaves_results_alone(void **state)
{
    check_list_failure(*state, memberships_list_by_org);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDING_TEST(test_memberships_upsert__replaces_whole_records),
        RECORDING_TEST(test_memberships_upsert__keeping_does_not_touch_created_at),
        RECORDING_TEST(test_memberships_upsert__both_kinds_lock_first_and_share_a_trip),
        RECORDING_TEST(test_memberships_upsert__a_failure_leaves_results_alone),
        RECORDING_TEST(test_memberships_upsert_prepare__answers_its_inputs),
        RECORDING_TEST(test_memberships_remove__hands_out_the_rows_as_they_were),
        RECORDING_TEST(test_memberships_remove__a_failure_leaves_results_alone),
        RECORDING_TEST(test_memberships_get__answers_in_the_order_asked),
        RECORDING_TEST(test_memberships_get__a_failure_leaves_results_alone),
        RECORDING_TEST(test_memberships_list_by_user__oldest_first),
        RECORDING_TEST(test_memberships_list_by_user__a_failure_leaves_results_alone),
        RECORDING_TEST(test_memberships_list_by_org__oldest_first),
        RECORDING_TEST(test_memberships_list_by_org__a_failure_leaves_results_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
