#include "recording.h"

#include "repo/orgs_repo.h"

#define COLUMNS "id, slug, status, owner_user_id, profile, labels, settings"

static void test_orgs_upsert__leaves_out_rows_whose_slug_is_taken(void **state)
{
    struct recording *t = *state;
    struct org c = fixture_org("c");
    struct org b = fixture_org("b");
    struct org a = {.id = TEXT("a"),
                    .slug = TEXT("s"),
                    .status = TEXT("invited"),
                    .owner_user_id = TEXT("u"),
                    .profile = fixture_document("{}")};
    const struct org *orgs[] = {&c, &b, &a};
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

    enum outcome outcome = orgs_upsert(&t->db.port, orgs, 3, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[1], WRITE_DUPLICATE);
    assert_int_equal(results[2], WRITE_CREATED);
    assert_recorded_name(&t->db, 0, "orgs.upsert");
    ASSERT_RECORDED_SQL(&t->db, 0,
                        "INSERT INTO {schema}.auth_orgs (" COLUMNS ") SELECT u.id, u.slug",
                        "FROM (SELECT unnest($1::text[]) AS id,",
                        " WHERE NOT (EXISTS (SELECT FROM {schema}.auth_orgs AS o"
                        " WHERE o.slug = u.slug AND o.id <> u.id OFFSET 0))"
                        " ORDER BY u.id COLLATE \"C\""
                        " ON CONFLICT (id) DO UPDATE SET slug = excluded.slug,"
                        " status = excluded.status, owner_user_id = excluded.owner_user_id,"
                        " profile = excluded.profile, labels = excluded.labels,"
                        " settings = excluded.settings RETURNING id, (xmax = 0) AS inserted");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{a,b,c}", "{s,b,c}", "{invited,active,active}",
                           "{u,owner,owner}", "{{},{\"name\":\"An Org\"},{\"name\":\"An Org\"}}",
                           "{{},{\"region\":\"eu\"},{\"region\":\"eu\"}}",
                           "{{},{\"sso\":true},{\"sso\":true}}");
    assert_recorded_name(&t->db, 1, "orgs.slug_taken");
    ASSERT_RECORDED_SQL(&t->db, 1, "SELECT u.id FROM (SELECT unnest($1::text[]) AS id,",
                        " WHERE EXISTS (SELECT FROM {schema}.auth_orgs AS o WHERE o.slug = u.slug");
    assert_string_equal(recorded_param(&t->db, 1, 0), "{b}");
    assert_recording_done(&t->db, 2, 2);
}

static void test_orgs_upsert__a_row_that_nothing_keeps_out_is_refused(void **state)
{
    struct recording *t = *state;
    struct org org = fixture_org("a");
    const struct org *orgs[] = {&org};
    enum write_result results[1];
    script(t, scripted_rows(NULL, 0, 2));
    script(t, scripted_rows(NULL, 0, 1));

    enum outcome outcome = orgs_upsert(&t->db.port, orgs, 1, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(t->err.code, refused_row_skipped);
}

static void test_orgs_upsert__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    struct org org = fixture_org("a");
    const struct org *orgs[] = {&org};
    enum write_result results[] = {WRITE_EXPIRED};
    script_failure(t);

    enum outcome outcome = orgs_upsert(&t->db.port, orgs, 1, t->arena, results, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
}

static void test_orgs_upsert__a_slug_taken_meanwhile_is_a_rejection(void **state)
{
    struct recording *t = *state;
    struct org org = fixture_org("a");
    const struct org *orgs[] = {&org};
    enum write_result results[] = {WRITE_EXPIRED};
    script(t, scripted_failure(OUTCOME_REJECT, "23505"));

    enum outcome outcome = orgs_upsert(&t->db.port, orgs, 1, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(t->err.code, "23505");
    assert_int_equal(results[0], WRITE_EXPIRED);
}

static void test_orgs_get__answers_in_the_order_asked(void **state)
{
    struct recording *t = *state;
    struct org b = fixture_org("b");
    const struct text ids[] = {TEXT("none"), TEXT("b")};
    const struct org *orgs[2];
    script(t, scripted_records(&t->db, &org_spec, (const void *const[]){&b}, 1));

    enum outcome outcome = orgs_get(&t->db.port, ids, 2, t->arena, orgs, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_null(orgs[0]);
    assert_record_equal(&org_spec, orgs[1], &b);
    assert_recorded_name(&t->db, 0, "orgs.get");
    assert_sql(t, 0, "SELECT " COLUMNS " FROM {schema}.auth_orgs WHERE id = ANY ($1::text[])");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{b,none}");
}

static void test_orgs_get__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct org sentinel = {.id = TEXT("sentinel")};
    const struct org *orgs[] = {&sentinel};
    const struct text ids[] = {TEXT("b")};
    script_failure(t);

    enum outcome outcome = orgs_get(&t->db.port, ids, 1, t->arena, orgs, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(orgs[0], &sentinel);
}

static void test_orgs_get_by_slug__finds_it(void **state)
{
    struct recording *t = *state;
    struct org org = fixture_org("b");
    const struct org *found = NULL;
    script(t, scripted_records(&t->db, &org_spec, (const void *const[]){&org}, 1));

    enum outcome outcome = orgs_get_by_slug(&t->db.port, TEXT("b"), t->arena, &found, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_record_equal(&org_spec, found, &org);
    assert_recorded_name(&t->db, 0, "orgs.get_by_slug");
    assert_sql(t, 0, "SELECT " COLUMNS " FROM {schema}.auth_orgs WHERE slug = $1");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "b");
}

static void test_orgs_get_by_slug__says_when_there_is_none(void **state)
{
    struct recording *t = *state;
    const struct org sentinel = {.id = TEXT("sentinel")};
    const struct org *found = &sentinel;
    script(t, scripted_rows(NULL, 0, 7));

    enum outcome outcome = orgs_get_by_slug(&t->db.port, TEXT("b"), t->arena, &found, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_null(found);
}

static void test_orgs_get_by_slug__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct org sentinel = {.id = TEXT("sentinel")};
    const struct org *found = &sentinel;
    script_failure(t);

    enum outcome outcome = orgs_get_by_slug(&t->db.port, TEXT("b"), t->arena, &found, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(found, &sentinel);
}

static void test_orgs_slugs_prepare__asks_for_the_slugs_of_these(void **state)
{
    struct recording *t = *state;
    const struct text ids[] = {TEXT("b"), TEXT("a")};
    struct statement statement;
    struct rows rows;
    script(t, scripted_rows(NULL, 0, 2));

    assert_int_equal(orgs_slugs_prepare(ids, 2, t->arena, &statement, &t->err), OUTCOME_OK);
    assert_int_equal(executor_run(&t->db.port, &statement, t->arena, &rows, &t->err), OUTCOME_OK);

    assert_recorded_name(&t->db, 0, "orgs.slugs");
    assert_sql(t, 0, "SELECT id, slug FROM {schema}.auth_orgs WHERE id = ANY ($1::text[])");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{b,a}");
}

static void test_orgs_slugs_read__maps_by_id(void **state)
{
    struct recording *t = *state;
    const struct text ids[] = {TEXT("b"), TEXT("none"), TEXT("a"), TEXT("b")};
    struct text slugs[4];
    const struct cell cells[] = {
        scripted_text(TEXT("a")),
        scripted_text(TEXT("slug-a")),
        scripted_text(TEXT("b")),
        scripted_text(TEXT("slug-b")),
    };
    const struct scripted_reply reply = scripted_rows(cells, 2, 2);

    enum outcome outcome = orgs_slugs_read(&reply.rows, ids, 4, t->arena, slugs, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_text(slugs[0], "slug-b");
    assert_false(text_present(slugs[1]));
    assert_text(slugs[2], "slug-a");
    assert_text(slugs[3], "slug-b");
}

static void test_orgs_slugs_read__a_row_of_another_shape_is_fatal(void **state)
{
    struct recording *t = *state;
    const struct text ids[] = {TEXT("a")};
    struct text slugs[] = {TEXT("untouched")};
    const struct cell cells[] = {scripted_text(TEXT("a"))};
    const struct scripted_reply reply = scripted_rows(cells, 1, 1);

    enum outcome outcome = orgs_slugs_read(&reply.rows, ids, 1, t->arena, slugs, &t->err);

    assert_int_equal(outcome, OUTCOME_FATAL);
    assert_text(slugs[0], "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDING_TEST(test_orgs_upsert__leaves_out_rows_whose_slug_is_taken),
        RECORDING_TEST(test_orgs_upsert__a_row_that_nothing_keeps_out_is_refused),
        RECORDING_TEST(test_orgs_upsert__a_failure_leaves_results_alone),
        RECORDING_TEST(test_orgs_upsert__a_slug_taken_meanwhile_is_a_rejection),
        RECORDING_TEST(test_orgs_get__answers_in_the_order_asked),
        RECORDING_TEST(test_orgs_get__a_failure_leaves_results_alone),
        RECORDING_TEST(test_orgs_get_by_slug__finds_it),
        RECORDING_TEST(test_orgs_get_by_slug__says_when_there_is_none),
        RECORDING_TEST(test_orgs_get_by_slug__a_failure_leaves_results_alone),
        RECORDING_TEST(test_orgs_slugs_prepare__asks_for_the_slugs_of_these),
        RECORDING_TEST(test_orgs_slugs_read__maps_by_id),
        RECORDING_TEST(test_orgs_slugs_read__a_row_of_another_shape_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
