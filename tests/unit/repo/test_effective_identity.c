#include "recording.h"

#include "repo/effective_identity.h"

static const struct cell null = {NULL, 0};

enum { COLUMNS = 8 + 7 + 8 + 7 + 3 };

/* What the database may answer; NULL: not found. */
struct answer {
    const struct user *user;
    const struct org *org;
    const struct membership *membership;
    const struct group *groups[2];
    struct text_list entitlements;
    struct text_list label_keys;
    struct text_list label_values;
};

static struct cell *put(struct recording *t, struct cell *at, const struct record_spec *spec,
                        const void *record, size_t columns)
{
    size_t count = columns;

    for (size_t i = 0; i < columns; i++)
        at[i] = null;
    if (record != NULL) {
        const struct cell *cells = scripted_record(&t->db, spec, record, &count);
        memcpy(at, cells, count * sizeof(cells[0]));
    }
    assert_int_equal(count, columns);
    return at + columns;
}

static void script_answer(struct recording *t, const struct answer *answer)
{
    size_t rows = answer->groups[1] != NULL ? 2 : 1;
    struct cell *cells = ARENA_ARRAY(t->arena, struct cell, (size_t)2 * COLUMNS);
    struct cell *at = cells;

    for (size_t i = 0; i < rows; i++) {
        at = put(t, at, &user_spec, answer->user, 8);
        at = put(t, at, &org_spec, answer->org, 7);
        at = put(t, at, &membership_spec, answer->membership, 8);
        at = put(t, at, &group_spec, answer->groups[i], 7);
        *at++ = scripted_list(&t->db, answer->entitlements);
        *at++ = scripted_list(&t->db, answer->label_keys);
        *at++ = scripted_list(&t->db, answer->label_values);
    }
    script(t, scripted_rows(cells, rows, COLUMNS));
}

static const struct text no_texts[1];
static const struct text_list empty = {no_texts, 0};

static const char *json_of(struct recording *t, const struct effective_identity *identity)
{
    struct buffer json;

    buffer_init(&json, t->arena);
    effective_identity_json(identity, &json);
    buffer_append_byte(&json, '\0');
    assert_false(json.full);
    return (const char *)json.bytes;
}

static void test_effective_identity_get__is_one_statement(void **state)
{
    struct recording *t = *state;
    struct user user = fixture_user("u");
    const struct identity_request request = {
        .user_id = TEXT("u"), .org_id = TEXT("o"), .membership_id = TEXT("m")};
    const struct effective_identity *identity;
    struct org org = fixture_org("o");
    struct membership membership = fixture_membership("m", "u", "o");
    script_answer(t, &(struct answer){.user = &user,
                                      .org = &org,
                                      .membership = &membership,
                                      .entitlements = empty,
                                      .label_keys = empty,
                                      .label_values = empty});

    enum outcome outcome =
        effective_identity_get(&t->db.port, &request, t->arena, &identity, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_recorded_name(&t->db, 0, "identity.get");
    ASSERT_RECORDED_SQL(
        &t->db, 0, "WITH asker AS (SELECT id, authentik_id",
        "FROM {schema}.auth_users WHERE id = $1)",
        "FROM {schema}.auth_memberships WHERE $3 IS NOT NULL AND id = $3)",
        "WHERE $3 IS NULL AND $2 IS NOT NULL AND user_id = $1 AND org_id = $2",
        "ORDER BY created_at, id LIMIT 1)", "WHERE $3 IS NULL AND $2 IS NULL AND user_id = $1",
        "ORDER BY created_at, id LIMIT 1)", "coalesce($2, (SELECT org_id FROM",
        "member), (SELECT primary_org_id FROM asker))", "unnest(member.group_ids) WITH ORDINALITY",
        "FROM {schema}.auth_groups WHERE id = listed.wanted", "WHERE $4)", "json_each(",
        "SELECT asker.id, asker.authentik_id", "home.id", "member.id, member.", "team.id",
        "ORDER BY min(e.created_at), e.entitlement)", "ORDER BY source, place, position)",
        "ORDER BY team.place");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "u", "o", "m", "true");
    assert_recording_done(&t->db, 1, 1);
}

static void test_effective_identity_get__what_is_not_asked_for_is_null(void **state)
{
    struct recording *t = *state;
    struct user user = fixture_user("u");
    const struct identity_request request = {.user_id = TEXT("u"), .exclude_groups = true};
    const struct effective_identity *identity;
    script_answer(
        t, &(struct answer){
               .user = &user, .entitlements = empty, .label_keys = empty, .label_values = empty});

    enum outcome outcome =
        effective_identity_get(&t->db.port, &request, t->arena, &identity, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    ASSERT_RECORDED_PARAMS(&t->db, 0, "u", "NULL", "NULL", "false");
    assert_record_equal(&user_spec, identity->user, &user);
    assert_null(identity->org);
    assert_null(identity->membership);
    assert_int_equal(identity->group_count, 0);
    assert_int_equal(identity->roles.count, 0);
    assert_string_equal(json_of(t, identity),
                        "{\"userId\":\"u\",\"groups\":[],\"labels\":{},\"roles\":[],"
                        "\"entitlements\":[],\"scopes\":[]}");
}

static void test_effective_identity_get__puts_everything_together(void **state)
{
    struct recording *t = *state;
    struct user user = fixture_user("u");
    struct org org = fixture_org("o");
    struct membership membership = fixture_membership("m", "u", "o");
    struct group second = fixture_group("g2", "o");
    struct group first = fixture_group("g\"1", "o");
    const struct text entitlements[] = {TEXT("can"), TEXT("may")};
    const struct text keys[] = {TEXT("tier"), TEXT("x\"y"), TEXT("tier"), TEXT("z"), TEXT("tier")};
    const struct text values[] = {TEXT("\"free\""), TEXT("1.0"), TEXT("\"pro\""), TEXT("true"),
                                  TEXT("7")};
    const struct identity_request request = {.user_id = TEXT("u")};
    const struct effective_identity *identity;
    script_answer(t, &(struct answer){.user = &user,
                                      .org = &org,
                                      .membership = &membership,
                                      .groups = {&second, &first},
                                      .entitlements = {entitlements, 2},
                                      .label_keys = {keys, 5},
                                      .label_values = {values, 5}});

    enum outcome outcome =
        effective_identity_get(&t->db.port, &request, t->arena, &identity, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_record_equal(&org_spec, identity->org, &org);
    assert_record_equal(&membership_spec, identity->membership, &membership);
    assert_int_equal(identity->group_count, 2);
    assert_record_equal(&group_spec, &identity->groups[0], &second);
    assert_record_equal(&group_spec, &identity->groups[1], &first);
    assert_text(identity->labels.json, "{\"tier\":7,\"x\\\"y\":1.0,\"z\":true}");
    assert_string_equal(json_of(t, identity),
                        "{\"userId\":\"u\",\"orgId\":\"o\",\"groups\":[\"g2\",\"g\\\"1\"],"
                        "\"labels\":{\"tier\":7,\"x\\\"y\":1.0,\"z\":true},\"roles\":[\"admin\"],"
                        "\"entitlements\":[\"can\",\"may\"],\"scopes\":[]}");
}

struct refusal {
    const char *code;
    const char *text;
};

static void check_refusal(struct recording *t, const struct identity_request *request,
                          const struct answer *answer, const struct refusal *expected)
{
    const struct effective_identity sentinel = {0};
    const struct effective_identity *identity = &sentinel;
    struct answer whole = *answer;
    whole.entitlements = whole.label_keys = whole.label_values = empty;
    script_answer(t, &whole);

    enum outcome outcome =
        effective_identity_get(&t->db.port, request, t->arena, &identity, &t->err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(t->err.code, expected->code);
    assert_string_equal(t->err.text, expected->text);
    assert_ptr_equal(identity, &sentinel);
}

static void test_effective_identity_get__no_such_user(void **state)
{
    const struct identity_request request = {.user_id = TEXT("u")};

    check_refusal(*state, &request, &(struct answer){0},
                  &(struct refusal){"not_found", "no such user"});
}

static void test_effective_identity_get__no_such_org(void **state)
{
    struct user user = fixture_user("u");
    const struct identity_request request = {.user_id = TEXT("u"), .org_id = TEXT("o")};

    check_refusal(*state, &request, &(struct answer){.user = &user},
                  &(struct refusal){"not_found", "no such org"});
}

static void test_effective_identity_get__no_such_membership(void **state)
{
    struct user user = fixture_user("u");
    const struct identity_request request = {.user_id = TEXT("u"), .membership_id = TEXT("m")};

    check_refusal(*state, &request, &(struct answer){.user = &user},
                  &(struct refusal){"not_found", "no such membership"});
}

static void test_effective_identity_get__another_users_membership(void **state)
{
    struct user user = fixture_user("u");
    struct membership membership = fixture_membership("m", "u2", "o");
    const struct identity_request request = {.user_id = TEXT("u"), .membership_id = TEXT("m")};

    check_refusal(*state, &request, &(struct answer){.user = &user, .membership = &membership},
                  &(struct refusal){"mismatch", "the membership belongs to another user"});
}

static void test_effective_identity_get__another_orgs_membership(void **state)
{
    struct user user = fixture_user("u");
    struct org org = fixture_org("o2");
    struct membership membership = fixture_membership("m", "u", "o");
    const struct identity_request request = {
        .user_id = TEXT("u"), .org_id = TEXT("o2"), .membership_id = TEXT("m")};

    check_refusal(*state, &request,
                  &(struct answer){.user = &user, .org = &org, .membership = &membership},
                  &(struct refusal){"mismatch", "the membership belongs to another org"});
}

static void test_effective_identity_get__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct identity_request request = {.user_id = TEXT("u")};
    const struct effective_identity sentinel = {0};
    const struct effective_identity *identity = &sentinel;
    script_failure(t);

    enum outcome outcome =
        effective_identity_get(&t->db.port, &request, t->arena, &identity, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(identity, &sentinel);
}

static void test_effective_identity_get__no_row_is_fatal(void **state)
{
    struct recording *t = *state;
    const struct identity_request request = {.user_id = TEXT("u")};
    const struct effective_identity *identity;
    script(t, scripted_rows(NULL, 0, COLUMNS));

    enum outcome outcome =
        effective_identity_get(&t->db.port, &request, t->arena, &identity, &t->err);

    assert_int_equal(outcome, OUTCOME_FATAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDING_TEST(test_effective_identity_get__is_one_statement),
        RECORDING_TEST(test_effective_identity_get__what_is_not_asked_for_is_null),
        RECORDING_TEST(test_effective_identity_get__puts_everything_together),
        RECORDING_TEST(test_effective_identity_get__no_such_user),
        RECORDING_TEST(test_effective_identity_get__no_such_org),
        RECORDING_TEST(test_effective_identity_get__no_such_membership),
        RECORDING_TEST(test_effective_identity_get__another_users_membership),
        RECORDING_TEST(test_effective_identity_get__another_orgs_membership),
        RECORDING_TEST(test_effective_identity_get__a_failure_leaves_results_alone),
        RECORDING_TEST(test_effective_identity_get__no_row_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
