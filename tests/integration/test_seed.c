#include "tests/integration/repo_test.h"

#include <stdio.h>

#include "repo/seed.h"

/* Everything in the tables, as one text. */
static const char *contents(struct pg_fixture *t)
{
    return pg_fixture_text(
        t, "SELECT md5(string_agg(row, E'\\n' ORDER BY row)) FROM ("
           "SELECT u::text AS row FROM auth_users AS u UNION ALL"
           " SELECT o::text FROM auth_orgs AS o UNION ALL SELECT g::text FROM auth_groups AS g"
           " UNION ALL SELECT m::text FROM auth_memberships AS m"
           " UNION ALL SELECT e::text FROM auth_entitlements AS e"
           " UNION ALL SELECT k::text FROM auth_keys AS k"
           " UNION ALL SELECT a::text FROM auth_audit_events AS a) AS everything");
}

static void assert_rows(struct pg_fixture *t, const char *table, size_t expected)
{
    const char *sql = arena_printf(t->arena, "SELECT count(*) FROM %s", table);
    assert_int_equal(pg_fixture_int(t, sql), expected);
}

static void test_seed_run__fills_every_table(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct seed_report report;

    ASSERT_OK(seed_run(t->db, &SEED_DEFAULTS, &report, &err));

    assert_int_equal(report.users.rows, 100);
    assert_int_equal(report.users.created, 100);
    assert_int_equal(report.memberships.rows, 134);
    assert_int_equal(report.entitlements.rows, 10 + 34 + 20);
    assert_int_equal(report.audit_events.rows, 310);
    assert_rows(t, "auth_users", report.users.rows);
    assert_rows(t, "auth_orgs", 10);
    assert_rows(t, "auth_groups", 30);
    assert_rows(t, "auth_memberships", report.memberships.rows);
    assert_rows(t, "auth_entitlements", report.entitlements.rows);
    assert_rows(t, "auth_keys", 200);
    assert_rows(t, "auth_audit_events", report.audit_events.rows);
    assert_rows(t, "auth_keys WHERE status = 'revoked'", 25);
    assert_rows(t, "auth_keys WHERE usage_count > 0", 100);
    /* what refers to something refers to what is there */
    assert_rows(t,
                "auth_memberships AS m WHERE NOT EXISTS (SELECT FROM auth_users WHERE id ="
                " m.user_id) OR NOT EXISTS (SELECT FROM auth_orgs WHERE id = m.org_id)",
                0);
    assert_rows(t,
                "auth_memberships AS m, unnest(group_ids) AS g(id) WHERE NOT EXISTS (SELECT"
                " FROM auth_groups WHERE id = g.id AND org_id = m.org_id)",
                0);
}

static void test_seed_run__again_changes_nothing(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct seed_report report;
    ASSERT_OK(seed_run(t->db, &SEED_DEFAULTS, &report, &err));
    const char *before = contents(t);

    ASSERT_OK(seed_run(t->db, &SEED_DEFAULTS, &report, &err));

    assert_int_equal(report.users.rows, 100);
    assert_int_equal(report.users.created, 0);
    assert_int_equal(report.keys.created, 0);
    assert_int_equal(report.audit_events.created, 0);
    assert_string_equal(contents(t), before);
}

static void test_seed_run__same_options_same_rows_in_another_database(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct seed_report report;
    const struct seed_options options = {.users = 30, .orgs = 4, .keys = 40, .seed = 7};
    ASSERT_OK(seed_run(t->db, &options, &report, &err));
    char kept[64]; /* the fixture's arena is reset with the tables */
    snprintf(kept, sizeof(kept), "%s", contents(t));
    assert_int_equal(pg_fixture_clean(state), 0);

    ASSERT_OK(seed_run(t->db, &options, &report, &err));

    assert_string_equal(contents(t), kept);
}

static void test_seed_run__seeds_live_side_by_side(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct seed_report report;
    const struct seed_options one = {.users = 5, .orgs = 2, .keys = 5, .seed = 1};
    const struct seed_options two = {.users = 5, .orgs = 2, .keys = 5, .seed = 2};

    ASSERT_OK(seed_run(t->db, &one, &report, &err));
    ASSERT_OK(seed_run(t->db, &two, &report, &err));

    assert_int_equal(report.orgs.created, 2);
    assert_rows(t, "auth_users", 10);
}

static void test_seed_run__more_than_one_batch(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct seed_report report;
    const struct seed_options options = {.users = 1203, .orgs = 501, .keys = 1001, .seed = 3};

    ASSERT_OK(seed_run(t->db, &options, &report, &err));

    assert_rows(t, "auth_users", 1203);
    assert_rows(t, "auth_groups", 1503);
    assert_rows(t, "auth_keys", 1001);
    assert_rows(t, "auth_audit_events", 1203 + 501 + 1001);
    ASSERT_OK(seed_run(t->db, &options, &report, &err));
    assert_int_equal(report.keys.created, 0);
}

static void test_seed_run__nothing(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct seed_report report;

    ASSERT_OK(seed_run(t->db, &(struct seed_options){.seed = 1}, &report, &err));

    assert_int_equal(report.users.rows, 0);
    assert_rows(t, "auth_audit_events", 0);
}

static void test_seed_run__users_without_orgs(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct seed_report report;
    const struct seed_options options = {.users = 4, .keys = 4, .seed = 1};

    ASSERT_OK(seed_run(t->db, &options, &report, &err));

    assert_rows(t, "auth_users", 4);
    assert_rows(t, "auth_memberships", 0);
    assert_rows(t, "auth_entitlements", 2);
}

static void test_seed_run__a_slug_of_somebody_elses(void **state)
{
    struct pg_fixture *t = *state;
    struct err err;
    struct seed_report report;
    pg_fixture_sql(t, "INSERT INTO auth_orgs (id, slug, status, owner_user_id, profile)"
                      " VALUES ('other', 'acme-1-000001', 'active', 'u', '{}')");

    assert_int_equal(seed_run(t->db, &SEED_DEFAULTS, &report, &err), OUTCOME_REJECT);

    assert_rows(t, "auth_orgs", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PG_TEST(test_seed_run__fills_every_table),
        PG_TEST(test_seed_run__again_changes_nothing),
        PG_TEST(test_seed_run__same_options_same_rows_in_another_database),
        PG_TEST(test_seed_run__seeds_live_side_by_side),
        PG_TEST(test_seed_run__more_than_one_batch),
        PG_TEST(test_seed_run__nothing),
        PG_TEST(test_seed_run__users_without_orgs),
        PG_TEST(test_seed_run__a_slug_of_somebody_elses),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
