#include "recording.h"

#include "repo/users_repo.h"

static const char upsert_sql[] =
    "INSERT INTO {schema}.auth_users (id, authentik_id, email, primary_org_id, display_name, "
    "avatar_url,"
    " labels, metadata) SELECT u.id, u.authentik_id, u.email, u.primary_org_id, u.display_name,"
    " u.avatar_url, u.labels, u.metadata FROM (SELECT unnest($1::text[]) AS id,"
    " unnest($2::text[]) AS authentik_id, unnest($3::text[]) AS email,"
    " unnest($4::text[]) AS primary_org_id, unnest($5::text[]) AS display_name,"
    " unnest($6::text[]) AS avatar_url, unnest($7::json[]) AS labels,"
    " unnest($8::json[]) AS metadata) AS u ON CONFLICT (id) DO UPDATE SET"
    " authentik_id = excluded.authentik_id, email = excluded.email,"
    " primary_org_id = excluded.primary_org_id, display_name = excluded.display_name,"
    " avatar_url = excluded.avatar_url, labels = excluded.labels, metadata = excluded.metadata"
    " RETURNING id, (xmax = 0) AS inserted";

static void test_users_upsert__is_one_statement_sorted_by_id(void **state)
{
    struct recording *t = *state;
    struct user second = fixture_user("u2");
    struct user first = {.id = TEXT("u1"), .authentik_id = TEXT("a1"), .email = TEXT("e1")};
    const struct user *users[] = {&second, &first};
    enum write_result results[2];
    const struct cell cells[] = {
        scripted_text(TEXT("u1")),
        scripted_bool(true),
        scripted_text(TEXT("u2")),
        scripted_bool(false),
    };
    script(t, scripted_rows(cells, 2, 2));

    enum outcome outcome = users_upsert(&t->db.port, users, 2, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[1], WRITE_CREATED);
    assert_recorded_name(&t->db, 0, "users.upsert");
    assert_sql(t, 0, upsert_sql);
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{u1,u2}", "{a1,u2}", "{e1,somebody@example.org}",
                           "{NULL,org-of-somebody}", "{NULL,Somebody}",
                           "{NULL,https://example.org/somebody.png}", "{{},{\"tier\":\"gold\"}}",
                           "{NULL,{\"seen\":[1,2]}}");
    assert_recording_done(&t->db, 1, 1);
}

static void test_users_upsert__maps_answers_by_id_whatever_their_order(void **state)
{
    struct recording *t = *state;
    struct user a = fixture_user("a");
    struct user b = fixture_user("b");
    const struct user *users[] = {&a, &b};
    enum write_result results[2];
    const struct cell cells[] = {
        scripted_text(TEXT("b")),
        scripted_bool(false),
        scripted_text(TEXT("a")),
        scripted_bool(true),
    };
    script(t, scripted_rows(cells, 2, 2));

    assert_int_equal(users_upsert(&t->db.port, users, 2, t->arena, results, &t->err), OUTCOME_OK);

    assert_int_equal(results[0], WRITE_CREATED);
    assert_int_equal(results[1], WRITE_UPDATED);
}

static void test_users_upsert__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    struct user user = fixture_user("u");
    const struct user *users[] = {&user};
    enum write_result results[] = {WRITE_EXPIRED};
    script_failure(t);

    enum outcome outcome = users_upsert(&t->db.port, users, 1, t->arena, results, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
}

static void test_users_upsert__an_answer_for_another_row_is_refused(void **state)
{
    struct recording *t = *state;
    struct user user = fixture_user("u");
    const struct user *users[] = {&user};
    enum write_result results[] = {WRITE_EXPIRED};
    const struct cell cells[] = {scripted_text(TEXT("x")), scripted_bool(true)};
    script(t, scripted_rows(cells, 1, 2));

    enum outcome outcome = users_upsert(&t->db.port, users, 1, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(t->err.code, refused_row_renamed);
    assert_string_equal(t->err.text, "users.upsert: answer: a trigger of the table changed the "
                                     "primary key of the row");
    assert_int_equal(results[0], WRITE_EXPIRED);
}

static void test_users_upsert__a_missing_answer_is_refused(void **state)
{
    struct recording *t = *state;
    struct user user = fixture_user("u");
    const struct user *users[] = {&user};
    enum write_result results[] = {WRITE_EXPIRED};
    script(t, scripted_rows(NULL, 0, 2));

    enum outcome outcome = users_upsert(&t->db.port, users, 1, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(t->err.code, refused_row_skipped);
    assert_int_equal(results[0], WRITE_EXPIRED);
}

static void test_users_upsert__a_full_arena_is_fatal(void **state)
{
    struct recording *t = *state;
    CLEANUP(arena_freep) struct arena *small = arena_new(64);
    struct user user = fixture_user("u");
    const struct user *users[] = {&user};
    enum write_result results[] = {WRITE_EXPIRED};

    enum outcome outcome = users_upsert(&t->db.port, users, 1, small, results, &t->err);

    assert_int_equal(outcome, OUTCOME_FULL);
    assert_string_equal(t->err.text, "users.upsert: out of memory");
    assert_int_equal(results[0], WRITE_EXPIRED);
    assert_recording_done(&t->db, 0, 0);
}

static void test_users_upsert_prepare__runs_nothing(void **state)
{
    struct recording *t = *state;
    struct user user = fixture_user("u");
    const struct user *users[] = {&user};
    enum write_result results[] = {WRITE_EXPIRED};
    struct write write;

    enum outcome outcome = users_upsert_prepare(users, 1, t->arena, results, &write, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_string_equal(write.statement.name, "users.upsert");
    assert_true(write.settle == NULL);
    assert_int_equal(results[0], WRITE_EXPIRED);
    assert_recording_done(&t->db, 0, 0);
}

static void test_users_get__answers_in_the_order_asked(void **state)
{
    struct recording *t = *state;
    struct user full = fixture_user("full");
    struct user bare = {.id = TEXT("bare"),
                        .authentik_id = TEXT("x"),
                        .email = TEXT("y"),
                        .labels = fixture_document("{}")};
    const struct text ids[] = {TEXT("full"), TEXT("none"), TEXT("bare"), TEXT("full")};
    const struct user *users[4];
    script(t, scripted_records(&t->db, &user_spec, (const void *const[]){&bare, &full}, 2));

    enum outcome outcome = users_get(&t->db.port, ids, 4, t->arena, users, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_record_equal(&user_spec, users[0], &full);
    assert_null(users[1]);
    assert_record_equal(&user_spec, users[2], &bare);
    assert_record_equal(&user_spec, users[3], &full);
    assert_recorded_name(&t->db, 0, "users.get");
    assert_sql(t, 0,
               "SELECT id, authentik_id, email, primary_org_id, display_name, avatar_url, labels,"
               " metadata FROM {schema}.auth_users WHERE id = ANY ($1::text[])");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{bare,full,full,none}");
    assert_recording_done(&t->db, 1, 1);
}

static void test_users_get__records_are_the_callers_own(void **state)
{
    struct recording *t = *state;
    char email[] = "somebody@example.org";
    struct user user = fixture_user("u");
    user.email = text_of(email);
    const struct text ids[] = {TEXT("u")};
    const struct user *users[1];
    script(t, scripted_records(&t->db, &user_spec, (const void *const[]){&user}, 1));
    assert_int_equal(users_get(&t->db.port, ids, 1, t->arena, users, &t->err), OUTCOME_OK);

    memset(email, 'x', sizeof(email) - 1);

    assert_text(users[0]->email, "somebody@example.org");
}

static void test_users_get__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct user sentinel = {.id = TEXT("sentinel")};
    const struct user *users[] = {&sentinel};
    const struct text ids[] = {TEXT("u")};
    script_failure(t);

    enum outcome outcome = users_get(&t->db.port, ids, 1, t->arena, users, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(users[0], &sentinel);
}

static void test_users_get__a_row_of_another_shape_is_fatal(void **state)
{
    struct recording *t = *state;
    const struct user *users[] = {NULL};
    const struct text ids[] = {TEXT("u")};
    const struct cell cells[] = {scripted_text(TEXT("u"))};
    script(t, scripted_rows(cells, 1, 1));

    enum outcome outcome = users_get(&t->db.port, ids, 1, t->arena, users, &t->err);

    assert_int_equal(outcome, OUTCOME_FATAL);
    assert_non_null(strstr(t->err.text, "users.get"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDING_TEST(test_users_upsert__is_one_statement_sorted_by_id),
        RECORDING_TEST(test_users_upsert__maps_answers_by_id_whatever_their_order),
        RECORDING_TEST(test_users_upsert__a_failure_leaves_results_alone),
        RECORDING_TEST(test_users_upsert__an_answer_for_another_row_is_refused),
        RECORDING_TEST(test_users_upsert__a_missing_answer_is_refused),
        RECORDING_TEST(test_users_upsert__a_full_arena_is_fatal),
        RECORDING_TEST(test_users_upsert_prepare__runs_nothing),
        RECORDING_TEST(test_users_get__answers_in_the_order_asked),
        RECORDING_TEST(test_users_get__records_are_the_callers_own),
        RECORDING_TEST(test_users_get__a_failure_leaves_results_alone),
        RECORDING_TEST(test_users_get__a_row_of_another_shape_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
