#include "recording.h"

#include "repo/groups_repo.h"

#define COLUMNS "id, org_id, slug, name, description, parent_group_id, labels"

static void test_groups_upsert__is_one_statement_sorted_by_id(void **state)
{
    struct recording *t = *state;
    struct group b = fixture_group("b", "o");
    struct group a = fixture_group("a", "o");
    a.description = TEXT_ABSENT;
    a.parent_group_id = TEXT_ABSENT;
    a.labels = (struct document){0};
    const struct group *groups[] = {&b, &a};
    enum write_result results[2];
    const struct cell cells[] = {
        scripted_text(TEXT("a")),
        scripted_bool(false),
        scripted_text(TEXT("b")),
        scripted_bool(true),
    };
    script(t, scripted_rows(cells, 2, 2));

    enum outcome outcome = groups_upsert(&t->db.port, groups, 2, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_CREATED);
    assert_int_equal(results[1], WRITE_UPDATED);
    assert_recorded_name(&t->db, 0, "groups.upsert");
    static const char insert[] = "INSERT INTO {schema}.auth_groups (" COLUMNS ") SELECT";
    ASSERT_RECORDED_SQL(&t->db, 0, insert, "FROM (SELECT unnest($1::text[]) AS id,",
                        "unnest($7::json[]) AS labels) AS u", "ON CONFLICT (id) DO UPDATE SET",
                        "org_id = excluded.org_id", "labels = excluded.labels",
                        "RETURNING id, (xmax = 0) AS inserted");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{a,b}", "{o,o}", "{a,b}", "{A Group,A Group}",
                           "{NULL,those who}", "{NULL,parent}", "{{},{\"floor\":3}}");
    assert_recording_done(&t->db, 1, 1);
}

static void test_groups_upsert__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    struct group group = fixture_group("a", "o");
    const struct group *groups[] = {&group};
    enum write_result results[] = {WRITE_EXPIRED};
    script_failure(t);

    enum outcome outcome = groups_upsert(&t->db.port, groups, 1, t->arena, results, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
}

static void test_groups_delete__hands_out_the_rows_as_they_were(void **state)
{
    struct recording *t = *state;
    struct group gone = fixture_group("b", "o");
    const struct text ids[] = {TEXT("c"), TEXT("b")};
    struct group removed[2] = {{.id = TEXT("untouched")}, {.id = TEXT("untouched")}};
    enum write_result results[2];
    script(t, scripted_records(&t->db, &group_spec, (const void *const[]){&gone}, 1));
    script(t, scripted_rows(NULL, 0, 1));
    script(t, scripted_rows(NULL, 0, 7));

    enum outcome outcome = groups_delete(&t->db.port, ids, 2, t->arena, results, removed, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_NOT_FOUND);
    assert_text(removed[0].id, "untouched");
    assert_int_equal(results[1], WRITE_REMOVED);
    assert_record_equal(&group_spec, &removed[1], &gone);
    assert_recorded_name(&t->db, 0, "groups.delete");
    assert_sql(t, 0,
               "DELETE FROM {schema}.auth_groups USING unnest($1::text[]) AS u(wanted)"
               " WHERE id = ANY (ARRAY[u.wanted]) RETURNING " COLUMNS);
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{b,c}");
    assert_recorded_name(&t->db, 1, "groups.delete_left");
    assert_sql(
        t, 1,
        "SELECT id FROM {schema}.auth_groups WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE");
    ASSERT_RECORDED_PARAMS(&t->db, 1, "{c}");
    assert_recorded_name(&t->db, 2, "groups.delete");
    ASSERT_RECORDED_PARAMS(&t->db, 2, "{c}");
    assert_recording_done(&t->db, 3, 2);
}

static void test_groups_delete__a_row_that_is_still_there_is_refused(void **state)
{
    struct recording *t = *state;
    const struct text ids[] = {TEXT("c")};
    const struct cell left[] = {scripted_text(TEXT("c"))};
    struct group removed[1];
    enum write_result results[1];
    script(t, scripted_rows(NULL, 0, 7));
    script(t, scripted_rows(left, 1, 1));
    script(t, scripted_rows(NULL, 0, 7));

    enum outcome outcome = groups_delete(&t->db.port, ids, 1, t->arena, results, removed, &t->err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(t->err.code, refused_row_skipped);
}

static void test_groups_delete__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct text ids[] = {TEXT("c")};
    struct group removed[] = {{.id = TEXT("untouched")}};
    enum write_result results[] = {WRITE_EXPIRED};
    script_failure(t);

    enum outcome outcome = groups_delete(&t->db.port, ids, 1, t->arena, results, removed, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
    assert_text(removed[0].id, "untouched");
}

static void test_groups_delete__an_answer_for_another_row_is_refused(void **state)
{
    struct recording *t = *state;
    struct group other = fixture_group("other", "o");
    const struct text ids[] = {TEXT("c")};
    struct group removed[1];
    enum write_result results[] = {WRITE_EXPIRED};
    script(t, scripted_records(&t->db, &group_spec, (const void *const[]){&other}, 1));

    enum outcome outcome = groups_delete(&t->db.port, ids, 1, t->arena, results, removed, &t->err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(t->err.code, refused_row_renamed);
    assert_int_equal(results[0], WRITE_EXPIRED);
}

static void test_groups_get__answers_in_the_order_asked(void **state)
{
    struct recording *t = *state;
    struct group b = fixture_group("b", "o");
    const struct text ids[] = {TEXT("none"), TEXT("b")};
    const struct group *groups[2];
    script(t, scripted_records(&t->db, &group_spec, (const void *const[]){&b}, 1));

    enum outcome outcome = groups_get(&t->db.port, ids, 2, t->arena, groups, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_null(groups[0]);
    assert_record_equal(&group_spec, groups[1], &b);
    assert_recorded_name(&t->db, 0, "groups.get");
    assert_sql(t, 0, "SELECT " COLUMNS " FROM {schema}.auth_groups WHERE id = ANY ($1::text[])");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{b,none}");
}

static void test_groups_get__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct group sentinel = {.id = TEXT("sentinel")};
    const struct group *groups[] = {&sentinel};
    const struct text ids[] = {TEXT("b")};
    script_failure(t);

    enum outcome outcome = groups_get(&t->db.port, ids, 1, t->arena, groups, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(groups[0], &sentinel);
}

static void test_groups_list_by_org__by_slug(void **state)
{
    struct recording *t = *state;
    struct group a = fixture_group("a", "o");
    struct group b = fixture_group("b", "o");
    const struct group *groups;
    size_t count;
    script(t, scripted_records(&t->db, &group_spec, (const void *const[]){&a, &b}, 2));

    enum outcome outcome =
        groups_list_by_org(&t->db.port, TEXT("o"), t->arena, &groups, &count, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(count, 2);
    assert_record_equal(&group_spec, &groups[0], &a);
    assert_record_equal(&group_spec, &groups[1], &b);
    assert_recorded_name(&t->db, 0, "groups.list_by_org");
    assert_sql(t, 0,
               "SELECT " COLUMNS " FROM {schema}.auth_groups WHERE org_id = $1 ORDER BY slug, id");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "o");
}

static void test_groups_list_by_org__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct group sentinel = {.id = TEXT("sentinel")};
    const struct group *groups = &sentinel;
    size_t count = 7;
    script_failure(t);

    enum outcome outcome =
        groups_list_by_org(&t->db.port, TEXT("o"), t->arena, &groups, &count, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(groups, &sentinel);
    assert_int_equal(count, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDING_TEST(test_groups_upsert__is_one_statement_sorted_by_id),
        RECORDING_TEST(test_groups_upsert__a_failure_leaves_results_alone),
        RECORDING_TEST(test_groups_delete__hands_out_the_rows_as_they_were),
        RECORDING_TEST(test_groups_delete__a_failure_leaves_results_alone),
        RECORDING_TEST(test_groups_delete__an_answer_for_another_row_is_refused),
        RECORDING_TEST(test_groups_delete__a_row_that_is_still_there_is_refused),
        RECORDING_TEST(test_groups_get__answers_in_the_order_asked),
        RECORDING_TEST(test_groups_get__a_failure_leaves_results_alone),
        RECORDING_TEST(test_groups_list_by_org__by_slug),
        RECORDING_TEST(test_groups_list_by_org__a_failure_leaves_results_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
