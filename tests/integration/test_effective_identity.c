#include "tests/integration/repo_test.h"

#include "repo/effective_identity.h"

/* Two orgs, two users; u1 is in both orgs, longer in o2; g1..g3 are groups of o1. */
static int setup(void **state)
{
    if (pg_fixture_clean(state) != 0)
        return 1;
    struct pg_fixture *t = *state;
    pg_fixture_sql(
        t, "INSERT INTO auth_users (id, authentik_id, email, primary_org_id, labels) VALUES"
           " ('u1', 'a', 'e', 'o2', '{\"tier\":\"user\",\"u\":1.50}'),"
           " ('u2', 'a', 'e', 'o2', NULL), ('u3', 'a', 'e', 'gone', '{}'), ('u4', 'a', 'e', NULL,"
           " '{}')");
    pg_fixture_sql(t, "INSERT INTO auth_orgs (id, slug, status, owner_user_id, profile, labels)"
                      " VALUES ('o1', 'o1', 'active', 'u1', '{}',"
                      " '{\"tier\":\"org\",\"o\":true}'),"
                      " ('o2', 'o2', 'active', 'u1', '{}', '[1]')");
    pg_fixture_sql(t, "INSERT INTO auth_groups (id, org_id, slug, name, labels) VALUES"
                      " ('g1', 'o1', 'g1', 'g', '{\"g\":\"g1\",\"tier\":\"g1\"}'),"
                      " ('g2', 'o1', 'g2', 'g', '{\"g\":\"g2\",\"big\":12345678901234567890}'),"
                      " ('g3', 'o1', 'g3', 'g', NULL)");
    pg_fixture_sql(t, "INSERT INTO auth_memberships (id, user_id, org_id, role, group_ids,"
                      " labels_delta, created_at, updated_at) VALUES"
                      " ('m1', 'u1', 'o1', 'admin', '{g2,gone,g1,g3,g2}', '{\"m\":1e3}',"
                      " '2026-01-02', '2026-01-02'),"
                      " ('m1b', 'u1', 'o1', 'later', '{}', NULL, '2026-01-03', '2026-01-03'),"
                      " ('m2', 'u1', 'o2', 'guest', NULL, '{\"tier\":\"delta\"}', '2026-01-01',"
                      " '2026-01-01')");
    pg_fixture_sql(t, "INSERT INTO auth_entitlements (id, subject_kind, subject_id, entitlement,"
                      " created_at) VALUES"
                      " ('e1', 'user', 'u1', 'read', '2026-01-03'),"
                      " ('e2', 'org', 'o1', 'read', '2026-01-01'),"
                      " ('e3', 'membership', 'm1', 'write', '2026-01-02'),"
                      " ('e4', 'org', 'o2', 'other', '2026-01-01'),"
                      " ('e5', 'membership', 'm2', 'more', '2026-01-01'),"
                      " ('e6', 'org', 'u1', 'wrong kind', '2026-01-01')");
    return 0;
}

static const char *json_of(struct pg_fixture *t, const struct identity_request *request)
{
    struct err err;
    const struct effective_identity *identity;
    struct buffer json;

    ASSERT_OK(effective_identity_get(t->db, request, t->arena, &identity, &err));
    buffer_init(&json, t->arena);
    effective_identity_json(identity, &json);
    buffer_append_byte(&json, '\0');
    return (const char *)json.bytes;
}

static void assert_refused(struct pg_fixture *t, const struct identity_request *request,
                           const char *code)
{
    struct err err;
    const struct effective_identity *identity;

    assert_int_equal(effective_identity_get(t->db, request, t->arena, &identity, &err),
                     OUTCOME_REJECT);
    assert_string_equal(err.code, code);
}

static void test_effective_identity_get__takes_the_oldest_membership(void **state)
{
    const struct identity_request request = {.user_id = TEXT("u1")};

    assert_string_equal(json_of(*state, &request),
                        "{\"userId\":\"u1\",\"orgId\":\"o2\",\"groups\":[],\"labels\":"
                        "{\"tier\":\"delta\",\"u\":1.50},\"roles\":[\"guest\"],"
                        "\"entitlements\":[\"more\",\"other\",\"read\"],\"scopes\":[]}");
}

static void test_effective_identity_get__takes_the_oldest_membership_in_the_org(void **state)
{
    const struct identity_request request = {.user_id = TEXT("u1"), .org_id = TEXT("o1")};

    assert_string_equal(json_of(*state, &request),
                        "{\"userId\":\"u1\",\"orgId\":\"o1\",\"groups\":[\"g2\",\"g1\",\"g3\"],"
                        "\"labels\":{\"tier\":\"g1\",\"u\":1.50,\"o\":true,\"m\":1e3,\"g\":\"g1\","
                        "\"big\":12345678901234567890},\"roles\":[\"admin\"],"
                        "\"entitlements\":[\"read\",\"write\"],\"scopes\":[]}");
}

static void test_effective_identity_get__takes_the_membership_asked_for(void **state)
{
    const struct identity_request request = {.user_id = TEXT("u1"), .membership_id = TEXT("m1b")};

    assert_string_equal(json_of(*state, &request),
                        "{\"userId\":\"u1\",\"orgId\":\"o1\",\"groups\":[],\"labels\":"
                        "{\"tier\":\"org\",\"u\":1.50,\"o\":true},\"roles\":[\"later\"],"
                        "\"entitlements\":[\"read\"],\"scopes\":[]}");
}

static void test_effective_identity_get__without_groups(void **state)
{
    const struct identity_request request = {
        .user_id = TEXT("u1"), .org_id = TEXT("o1"), .exclude_groups = true};

    assert_string_equal(json_of(*state, &request),
                        "{\"userId\":\"u1\",\"orgId\":\"o1\",\"groups\":[],\"labels\":"
                        "{\"tier\":\"org\",\"u\":1.50,\"o\":true,\"m\":1e3},"
                        "\"roles\":[\"admin\"],\"entitlements\":[\"read\",\"write\"],"
                        "\"scopes\":[]}");
}

static void test_effective_identity_get__without_membership_the_primary_org(void **state)
{
    const struct identity_request in_primary = {.user_id = TEXT("u2")};
    const struct identity_request primary_gone = {.user_id = TEXT("u3")};
    const struct identity_request no_primary = {.user_id = TEXT("u4")};
    const struct identity_request not_member = {.user_id = TEXT("u2"), .org_id = TEXT("o1")};

    assert_string_equal(json_of(*state, &in_primary),
                        "{\"userId\":\"u2\",\"orgId\":\"o2\",\"groups\":[],\"labels\":{},"
                        "\"roles\":[],\"entitlements\":[\"other\"],\"scopes\":[]}");
    assert_string_equal(json_of(*state, &primary_gone),
                        "{\"userId\":\"u3\",\"groups\":[],\"labels\":{},\"roles\":[],"
                        "\"entitlements\":[],\"scopes\":[]}");
    assert_string_equal(json_of(*state, &no_primary),
                        "{\"userId\":\"u4\",\"groups\":[],\"labels\":{},\"roles\":[],"
                        "\"entitlements\":[],\"scopes\":[]}");
    assert_string_equal(json_of(*state, &not_member),
                        "{\"userId\":\"u2\",\"orgId\":\"o1\",\"groups\":[],\"labels\":"
                        "{\"tier\":\"org\",\"o\":true},\"roles\":[],"
                        "\"entitlements\":[\"read\"],\"scopes\":[]}");
}

static void test_effective_identity_get__what_is_missing(void **state)
{
    assert_refused(*state, &(struct identity_request){.user_id = TEXT("none")}, "not_found");
    assert_refused(*state,
                   &(struct identity_request){.user_id = TEXT("u1"), .org_id = TEXT("none")},
                   "not_found");
    assert_refused(*state,
                   &(struct identity_request){.user_id = TEXT("u1"), .membership_id = TEXT("none")},
                   "not_found");
}

static void test_effective_identity_get__what_belongs_to_another(void **state)
{
    assert_refused(*state,
                   &(struct identity_request){.user_id = TEXT("u2"), .membership_id = TEXT("m1")},
                   "mismatch");
    assert_refused(*state,
                   &(struct identity_request){
                       .user_id = TEXT("u1"), .org_id = TEXT("o2"), .membership_id = TEXT("m1")},
                   "mismatch");
}

#define IDENTITY_TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IDENTITY_TEST(test_effective_identity_get__takes_the_oldest_membership),
        IDENTITY_TEST(test_effective_identity_get__takes_the_oldest_membership_in_the_org),
        IDENTITY_TEST(test_effective_identity_get__takes_the_membership_asked_for),
        IDENTITY_TEST(test_effective_identity_get__without_groups),
        IDENTITY_TEST(test_effective_identity_get__without_membership_the_primary_org),
        IDENTITY_TEST(test_effective_identity_get__what_is_missing),
        IDENTITY_TEST(test_effective_identity_get__what_belongs_to_another),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
