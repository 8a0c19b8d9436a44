#include "recording.h"

#include "repo/entitlements_repo.h"

#define COLUMNS "id, subject_kind, subject_id, entitlement, created_at, metadata"
#define TIME "2026-01-02T03:04:05.678901Z"
#define GUARD                                                                                      \
    " WHERE NOT (EXISTS (SELECT FROM {schema}.auth_entitlements AS e"                              \
    " WHERE e.subject_kind = u.subject_kind AND e.subject_id = u.subject_id"                       \
    " AND e.entitlement = u.entitlement AND e.id <> u.id OFFSET 0))"                               \
    " ORDER BY u.id COLLATE \"C\" ON CONFLICT (id) DO UPDATE SET"                                  \
    " subject_kind = excluded.subject_kind, subject_id = excluded.subject_id,"                     \
    " entitlement = excluded.entitlement,"

static void test_entitlements_upsert__leaves_out_rows_whose_triple_is_taken(void **state)
{
    struct recording *t = *state;
    struct entitlement c = fixture_entitlement("c", "u");
    struct entitlement b = fixture_entitlement("b", "u");
    struct entitlement a = fixture_entitlement("a", "u");
    a.metadata = (struct document){0};
    const struct entitlement *entitlements[] = {&c, &b, &a};
    enum write_result results[3];
    const struct cell cells[] = {
        scripted_text(TEXT("c")),
        scripted_bool(false),
        scripted_text(TEXT("a")),
        scripted_bool(true),
    };
    const struct cell taken[] = {scripted_text(TEXT("b"))};
    script(t, scripted_rows(cells, 2, 2));
    script(t, scripted_rows(taken, 1, 1));

    enum outcome outcome =
        entitlements_upsert(&t->db.port, entitlements, 3, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[1], WRITE_DUPLICATE);
    assert_int_equal(results[2], WRITE_CREATED);
    assert_recorded_name(&t->db, 0, "entitlements.upsert");
    ASSERT_RECORDED_SQL(&t->db, 0,
                        "INSERT INTO {schema}.auth_entitlements (" COLUMNS ") SELECT u.id",
                        GUARD " created_at = excluded.created_at, metadata = excluded.metadata"
                              " RETURNING id, (xmax = 0) AS inserted");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{a,b,c}", "{user,user,user}", "{u,u,u}", "{a,b,c}",
                           "{" TIME "," TIME "," TIME "}",
                           "{{},{\"by\":\"sales\"},{\"by\":\"sales\"}}");
    assert_recorded_name(&t->db, 1, "entitlements.triple_taken");
    assert_recording_done(&t->db, 2, 2);
}

static void test_entitlements_upsert__keeping_does_not_touch_created_at(void **state)
{
    struct recording *t = *state;
    struct entitlement a = fixture_entitlement("a", "u");
    a.keep_created_at = true;
    const struct entitlement *entitlements[] = {&a};
    enum write_result results[1];
    const struct cell cells[] = {scripted_text(TEXT("a")), scripted_bool(false)};
    script(t, scripted_rows(cells, 1, 2));

    enum outcome outcome =
        entitlements_upsert(&t->db.port, entitlements, 1, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_UPDATED);
    assert_recorded_name(&t->db, 0, "entitlements.upsert_keep");
    ASSERT_RECORDED_SQL(&t->db, 0,
                        GUARD " metadata = excluded.metadata"
                              " RETURNING id, (xmax = 0) AS inserted");
    assert_recording_done(&t->db, 1, 1);
}

static void test_entitlements_upsert__both_kinds_lock_first_and_share_a_trip(void **state)
{
    struct recording *t = *state;
    struct entitlement b = fixture_entitlement("b", "u");
    struct entitlement a = fixture_entitlement("a", "u");
    b.keep_created_at = true;
    const struct entitlement *entitlements[] = {&b, &a};
    enum write_result results[2];
    const struct cell replaced[] = {scripted_text(TEXT("a")), scripted_bool(true)};
    script(t, scripted_rows(NULL, 0, 1));
    script(t, scripted_rows(replaced, 1, 2));
    const struct cell taken[] = {scripted_text(TEXT("b"))};
    script(t, scripted_rows(NULL, 0, 2));
    script(t, scripted_rows(taken, 1, 1));

    enum outcome outcome =
        entitlements_upsert(&t->db.port, entitlements, 2, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_DUPLICATE);
    assert_int_equal(results[1], WRITE_CREATED);
    assert_recorded_name(&t->db, 0, "entitlements.lock");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{a,b}");
    assert_recorded_name(&t->db, 1, "entitlements.upsert");
    assert_recorded_name(&t->db, 2, "entitlements.upsert_keep");
    assert_recorded_name(&t->db, 3, "entitlements.triple_taken");
    assert_recording_done(&t->db, 4, 2);
}

static void test_entitlements_upsert__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    struct entitlement entitlement = fixture_entitlement("a", "u");
    const struct entitlement *entitlements[] = {&entitlement};
    enum write_result results[] = {WRITE_EXPIRED};
    script_failure(t);

    enum outcome outcome =
        entitlements_upsert(&t->db.port, entitlements, 1, t->arena, results, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
}

static void test_entitlements_upsert_prepare__answers_its_inputs(void **state)
{
    struct recording *t = *state;
    struct entitlement a = fixture_entitlement("a", "u");
    a.keep_created_at = true;
    const struct entitlement *entitlements[] = {&a};
    enum write_result results[1];
    struct write write;
    const struct cell cells[] = {scripted_text(TEXT("a")), scripted_bool(true)};
    script(t, scripted_rows(cells, 1, 2));
    assert_int_equal(
        entitlements_upsert_prepare(entitlements, 1, t->arena, results, &write, &t->err),
        OUTCOME_OK);

    assert_int_equal(write_run(&t->db.port, &write, 1, t->arena, &t->err), OUTCOME_OK);

    assert_int_equal(results[0], WRITE_CREATED);
    assert_recorded_name(&t->db, 0, "entitlements.upsert_keep");
    assert_recording_done(&t->db, 1, 1);
}

static void test_entitlements_remove__hands_out_the_rows_as_they_were(void **state)
{
    struct recording *t = *state;
    struct entitlement gone = fixture_entitlement("b", "u");
    const struct text ids[] = {TEXT("c"), TEXT("b")};
    struct entitlement removed[2] = {{.id = TEXT("untouched")}};
    enum write_result results[2];
    script(t, scripted_records(&t->db, &entitlement_spec, (const void *const[]){&gone}, 1));
    script(t, scripted_rows(NULL, 0, 1));
    script(t, scripted_rows(NULL, 0, 6));

    enum outcome outcome =
        entitlements_remove(&t->db.port, ids, 2, t->arena, results, removed, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_NOT_FOUND);
    assert_text(removed[0].id, "untouched");
    assert_int_equal(results[1], WRITE_REMOVED);
    assert_record_equal(&entitlement_spec, &removed[1], &gone);
    assert_recorded_name(&t->db, 0, "entitlements.remove");
    assert_sql(t, 0,
               "DELETE FROM {schema}.auth_entitlements USING unnest($1::text[]) AS u(wanted)"
               " WHERE id = ANY (ARRAY[u.wanted]) RETURNING " COLUMNS);
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{b,c}");
}

static void test_entitlements_remove__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct text ids[] = {TEXT("c")};
    struct entitlement removed[] = {{.id = TEXT("untouched")}};
    enum write_result results[] = {WRITE_EXPIRED};
    script_failure(t);

    enum outcome outcome =
        entitlements_remove(&t->db.port, ids, 1, t->arena, results, removed, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
    assert_text(removed[0].id, "untouched");
}

static void test_entitlements_get__answers_in_the_order_asked(void **state)
{
    struct recording *t = *state;
    struct entitlement b = fixture_entitlement("b", "u");
    const struct text ids[] = {TEXT("none"), TEXT("b")};
    const struct entitlement *entitlements[2];
    script(t, scripted_records(&t->db, &entitlement_spec, (const void *const[]){&b}, 1));

    enum outcome outcome = entitlements_get(&t->db.port, ids, 2, t->arena, entitlements, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_null(entitlements[0]);
    assert_record_equal(&entitlement_spec, entitlements[1], &b);
    assert_recorded_name(&t->db, 0, "entitlements.get");
    assert_sql(t, 0,
               "SELECT " COLUMNS " FROM {schema}.auth_entitlements WHERE id = ANY ($1::text[])");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{b,none}");
}

static void test_entitlements_get__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct entitlement sentinel = {.id = TEXT("sentinel")};
    const struct entitlement *entitlements[] = {&sentinel};
    const struct text ids[] = {TEXT("b")};
    script_failure(t);

    enum outcome outcome = entitlements_get(&t->db.port, ids, 1, t->arena, entitlements, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(entitlements[0], &sentinel);
}

static void test_entitlements_list__oldest_first(void **state)
{
    struct recording *t = *state;
    struct entitlement a = fixture_entitlement("a", "u");
    struct entitlement b = fixture_entitlement("b", "u");
    const struct entitlement *entitlements;
    size_t count;
    script(t, scripted_records(&t->db, &entitlement_spec, (const void *const[]){&b, &a}, 2));

    enum outcome outcome = entitlements_list(&t->db.port, TEXT("user"), TEXT("u"), t->arena,
                                             &entitlements, &count, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(count, 2);
    assert_record_equal(&entitlement_spec, &entitlements[0], &b);
    assert_record_equal(&entitlement_spec, &entitlements[1], &a);
    assert_recorded_name(&t->db, 0, "entitlements.list");
    assert_sql(t, 0,
               "SELECT " COLUMNS " FROM {schema}.auth_entitlements"
               " WHERE subject_kind = $1 AND subject_id = $2 ORDER BY created_at, id");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "user", "u");
}

static void test_entitlements_list__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct entitlement sentinel = {.id = TEXT("sentinel")};
    const struct entitlement *entitlements = &sentinel;
    size_t count = 7;
    script_failure(t);

    enum outcome outcome = entitlements_list(&t->db.port, TEXT("user"), TEXT("u"), t->arena,
                                             &entitlements, &count, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(entitlements, &sentinel);
    assert_int_equal(count, 7);
}

static void test_entitlements_triples_prepare__asks_for_the_triples_of_these(void **state)
{
    struct recording *t = *state;
    const struct text ids[] = {TEXT("b"), TEXT("a")};
    struct statement statement;
    struct rows rows;
    script(t, scripted_rows(NULL, 0, 4));

    assert_int_equal(entitlements_triples_prepare(ids, 2, t->arena, &statement, &t->err),
                     OUTCOME_OK);
    assert_int_equal(executor_run(&t->db.port, &statement, t->arena, &rows, &t->err), OUTCOME_OK);

    assert_recorded_name(&t->db, 0, "entitlements.triples");
    assert_sql(t, 0,
               "SELECT id, subject_kind, subject_id, entitlement FROM {schema}.auth_entitlements"
               " WHERE id = ANY ($1::text[])");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{b,a}");
}

static void test_entitlements_triples_read__maps_by_id(void **state)
{
    struct recording *t = *state;
    const struct text ids[] = {TEXT("b"), TEXT("none"), TEXT("a"), TEXT("b")};
    struct entitlement triples[4];
    const struct cell cells[] = {
        scripted_text(TEXT("a")),  scripted_text(TEXT("org")), scripted_text(TEXT("o")),
        scripted_text(TEXT("ea")), scripted_text(TEXT("b")),   scripted_text(TEXT("user")),
        scripted_text(TEXT("u")),  scripted_text(TEXT("eb")),
    };
    const struct scripted_reply reply = scripted_rows(cells, 2, 4);

    enum outcome outcome =
        entitlements_triples_read(&reply.rows, ids, 4, t->arena, triples, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_text(triples[0].subject_kind, "user");
    assert_text(triples[0].subject_id, "u");
    assert_text(triples[0].entitlement, "eb");
    assert_false(text_present(triples[1].id));
    assert_text(triples[2].id, "a");
    assert_text(triples[2].subject_kind, "org");
    assert_text(triples[3].id, "b");
}

static void test_entitlements_triples_read__a_row_of_another_shape_is_fatal(void **state)
{
    struct recording *t = *state;
    const struct text ids[] = {TEXT("a")};
    struct entitlement triples[] = {{.id = TEXT("untouched")}};
    const struct cell cells[] = {scripted_text(TEXT("a"))};
    const struct scripted_reply reply = scripted_rows(cells, 1, 1);

    enum outcome outcome =
        entitlements_triples_read(&reply.rows, ids, 1, t->arena, triples, &t->err);

    assert_int_equal(outcome, OUTCOME_FATAL);
    assert_text(triples[0].id, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDING_TEST(test_entitlements_upsert__leaves_out_rows_whose_triple_is_taken),
        RECORDING_TEST(test_entitlements_upsert__keeping_does_not_touch_created_at),
        RECORDING_TEST(test_entitlements_upsert__both_kinds_lock_first_and_share_a_trip),
        RECORDING_TEST(test_entitlements_upsert__a_failure_leaves_results_alone),
        RECORDING_TEST(test_entitlements_upsert_prepare__answers_its_inputs),
        RECORDING_TEST(test_entitlements_remove__hands_out_the_rows_as_they_were),
        RECORDING_TEST(test_entitlements_remove__a_failure_leaves_results_alone),
        RECORDING_TEST(test_entitlements_get__answers_in_the_order_asked),
        RECORDING_TEST(test_entitlements_get__a_failure_leaves_results_alone),
        RECORDING_TEST(test_entitlements_list__oldest_first),
        RECORDING_TEST(test_entitlements_list__a_failure_leaves_results_alone),
        RECORDING_TEST(test_entitlements_triples_prepare__asks_for_the_triples_of_these),
        RECORDING_TEST(test_entitlements_triples_read__maps_by_id),
        RECORDING_TEST(test_entitlements_triples_read__a_row_of_another_shape_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
