#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/timestamp.h"
#include "base/uuid.h"
#include "repo/schema/migrate.h"
#include "repo/schema/migrations/embedded.h"
#include "tests/integration/data_postgres_sql.h"
#include "tests/integration/pg_fixture.h"

/* An empty schema before each test. */
static int empty(void **state)
{
    struct pg_fixture *fixture = *state;
    struct err err;

    if (executor_recover(fixture->db, &err) != OUTCOME_OK)
        return 1;
    pg_fixture_empty_schema(fixture);
    arena_reset(fixture->arena);
    return 0;
}

static struct migrate_report up(struct pg_fixture *fixture)
{
    struct migrate_report report = {.applied = SIZE_MAX};
    struct err err;

    if (migrate_up(fixture->db, fixture->schema, fixture->arena, &report, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
    return report;
}

static enum outcome check(struct pg_fixture *fixture, struct err *err)
{
    return migrate_check(fixture->db, fixture->arena, err);
}

static void make(struct pg_fixture *fixture, const char *const *statements)
{
    for (size_t i = 0; statements[i] != NULL; i++)
        pg_fixture_sql(fixture, statements[i]);
}

/* --- bookkeeping -------------------------------------------------------------------------- */

static void test_migrate_up__applies_everything_once(void **state)
{
    struct pg_fixture *fixture = *state;
    struct err err;

    assert_int_equal(up(fixture).applied, migration_count);
    assert_int_equal(check(fixture, &err), OUTCOME_OK);
    assert_int_equal(up(fixture).applied, 0);
    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM catalyst_schema_migrations"),
                     migration_count);
}

static void test_migrate_up__creates_the_schema(void **state)
{
    struct pg_fixture *fixture = *state;
    char sql[128];
    struct err err;

    snprintf(sql, sizeof(sql), "DROP SCHEMA \"%s\"", fixture->schema);
    pg_fixture_sql(fixture, sql);

    up(fixture);

    assert_int_equal(check(fixture, &err), OUTCOME_OK);
}

static void test_migrate_status__tells_and_changes_nothing(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct migration_status *all;
    size_t count;
    struct err err;

    assert_int_equal(migrate_status(fixture->db, fixture->arena, &all, &count, &err), OUTCOME_OK);
    assert_int_equal(count, migration_count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(all[i].state, MIGRATION_PENDING);
        assert_int_equal(all[i].applied_at_us, TIMESTAMP_ABSENT);
        assert_string_equal(all[i].name, migrations[i].name);
    }
    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM pg_tables"
                                             " WHERE schemaname = current_schema()"),
                     0);

    up(fixture);
    assert_int_equal(migrate_status(fixture->db, fixture->arena, &all, &count, &err), OUTCOME_OK);
    for (size_t i = 0; i < count; i++) {
        char checksum[65];
        sha256_hex(slice_of_text(migrations[i].sql), checksum);
        assert_int_equal(all[i].state, MIGRATION_APPLIED);
        assert_string_equal(all[i].checksum, checksum);
        assert_true(all[i].applied_at_us > INT64_C(1700000000000000));
        assert_string_equal(migration_state_name(all[i].state), "applied");
    }
}

static void test_migrate_check__without_tables_says_what_to_do(void **state)
{
    struct err err;

    assert_int_equal(check(*state, &err), OUTCOME_FATAL);

    assert_string_equal(err.code, MIGRATE_SCHEMA);
    assert_non_null(strstr(err.text, "migrate up"));
}

static void test_migrate_check__an_older_schema_is_refused(void **state)
{
    struct pg_fixture *fixture = *state;
    struct err err;

    up(fixture);
    pg_fixture_sql(fixture, "DELETE FROM catalyst_schema_migrations WHERE number ="
                            " (SELECT max(number) FROM catalyst_schema_migrations)");

    assert_int_equal(check(fixture, &err), OUTCOME_FATAL);
    assert_string_equal(err.code, MIGRATE_SCHEMA);
    assert_non_null(strstr(err.text, migrations[migration_count - 1].name));
    assert_non_null(strstr(err.text, "migrate up"));
}

/* An installation of the version before 0004 has offsets, and recorded none. */
static void test_migrate_up__offsets_of_an_earlier_version_stay(void **state)
{
    struct pg_fixture *fixture = *state;

    up(fixture);
    pg_fixture_sql(fixture, "ALTER TABLE catalyst_consumer_offsets DROP COLUMN recorded_offset");
    pg_fixture_sql(fixture, "DROP TABLE catalyst_recoveries");
    pg_fixture_sql(fixture, "DELETE FROM catalyst_schema_migrations WHERE number = 4");
    pg_fixture_sql(fixture, "INSERT INTO catalyst_consumer_offsets VALUES (1, 0, 30)");

    assert_int_equal(up(fixture).applied, 1);

    assert_int_equal(pg_fixture_int(fixture, "SELECT published_offset + recorded_offset"
                                             " FROM catalyst_consumer_offsets"),
                     30);
}

static void assert_refused(struct pg_fixture *fixture, const char *because)
{
    struct migrate_report report;
    struct err err;

    assert_int_equal(check(fixture, &err), OUTCOME_FATAL);
    assert_string_equal(err.code, MIGRATE_SCHEMA);
    assert_non_null(strstr(err.text, because));
    assert_int_equal(migrate_up(fixture->db, fixture->schema, fixture->arena, &report, &err),
                     OUTCOME_FATAL);
    assert_string_equal(err.code, MIGRATE_SCHEMA);
    assert_non_null(strstr(err.text, because));
}

static void test_migrate_check__a_changed_migration_is_refused(void **state)
{
    struct pg_fixture *fixture = *state;

    up(fixture);
    pg_fixture_sql(fixture, "UPDATE catalyst_schema_migrations SET checksum = 'x'"
                            " WHERE number = 1");

    assert_refused(fixture, "0001_tables was applied with another text");
}

static void test_migrate_check__a_newer_one_that_fits_is_accepted(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct migration_status *all;
    size_t count;
    struct err err;

    up(fixture);
    pg_fixture_sql(fixture, "INSERT INTO catalyst_schema_migrations"
                            " VALUES (9999, '9999_later', 'c', false)");

    assert_int_equal(check(fixture, &err), OUTCOME_OK);
    assert_int_equal(migrate_status(fixture->db, fixture->arena, &all, &count, &err), OUTCOME_OK);
    assert_int_equal(all[count - 1].state, MIGRATION_NEWER);
    assert_string_equal(all[count - 1].name, "9999_later");
}

static void test_migrate_check__a_newer_one_that_breaks_us_is_refused(void **state)
{
    struct pg_fixture *fixture = *state;

    up(fixture);
    pg_fixture_sql(fixture, "INSERT INTO catalyst_schema_migrations"
                            " VALUES (9999, '9999_later', 'c', true)");

    assert_refused(fixture, "9999_later is unknown");
}

static void test_migrate_up__a_failed_migration_leaves_nothing(void **state)
{
    struct pg_fixture *fixture = *state;
    struct migrate_report report;
    struct err err;

    pg_fixture_sql(fixture, "CREATE TABLE catalyst_topics (strange int)");

    assert_int_equal(migrate_up(fixture->db, fixture->schema, fixture->arena, &report, &err),
                     OUTCOME_FATAL);
    assert_string_equal(err.code, "42P07");
    assert_non_null(strstr(err.text, "migrate up: 0001_tables: "));
    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM pg_tables"
                                             " WHERE schemaname = current_schema()"),
                     1);
}

static void test_migrate_up__a_table_in_use_is_retry(void **state)
{
    struct pg_fixture *fixture = *state;
    CLEANUP(executor_pq_freep) struct executor_pq *other = pg_fixture_connect(fixture, 0);
    const struct statement lock[] = {executor_begin, {.sql = "LOCK TABLE auth_users"}};
    struct migrate_report report;
    struct rows rows[2];
    struct err err;

    up(fixture);
    pg_fixture_sql(fixture, "DELETE FROM catalyst_schema_migrations WHERE number = 2");
    assert_int_equal(executor_run_all(executor_pq_port(other), lock, 2, fixture->arena, rows, &err),
                     OUTCOME_OK);
    pg_fixture_sql(fixture, "SET lock_timeout = '100ms'");

    assert_int_equal(migrate_up(fixture->db, fixture->schema, fixture->arena, &report, &err),
                     OUTCOME_RETRY);

    assert_string_equal(err.code, "55P03");
    pg_fixture_sql(fixture, "RESET lock_timeout");
}

struct racer {
    struct executor_pq *pq;
    const char *schema;
    struct migrate_report report;
    enum outcome outcome;
};

static void *race(void *argument)
{
    struct racer *racer = argument;
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)4 * 1024 * 1024);
    struct err err;

    racer->outcome =
        migrate_up(executor_pq_port(racer->pq), racer->schema, arena, &racer->report, &err);
    return NULL;
}

static void test_migrate_up__several_at_once_share_the_work(void **state)
{
    enum { RACERS = 4 };
    struct pg_fixture *fixture = *state;
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    size_t applied = 0;

    for (size_t i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){pg_fixture_connect(fixture, 0), fixture->schema};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(racers[i].outcome, OUTCOME_OK);
        applied += racers[i].report.applied;
        executor_pq_free(racers[i].pq);
    }

    assert_int_equal(applied, migration_count);
}

/* --- adoption ------------------------------------------------------------------------------- */

static void test_fresh_schema__serves_data_postgres(void **state)
{
    up(*state);

    data_postgres_speaks(*state);
}

/* Columns with type, collation and default, and indexes: all that makes the shape, without the
 * order of columns. */
static const char *shape(struct pg_fixture *fixture)
{
    return pg_fixture_text(
        fixture,
        "SELECT string_agg(line, E'\\n' ORDER BY line) FROM ("
        "SELECT format('%s.%s %s %s %s %s', c.relname, a.attname,"
        " format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull,"
        " replace(pg_get_expr(d.adbin, d.adrelid), 'ARRAY[]', '''{}''')) AS line"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " AND NOT a.attisdropped LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum"
        " WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind = 'r'"
        " AND c.relname NOT IN ('auth_sessions', 'auth_webhook_subscriptions',"
        " 'auth_entitlements_duplicates')"
        " UNION ALL SELECT replace(indexdef, format('%I.', current_schema()), '') FROM pg_indexes"
        " WHERE schemaname = current_schema() AND tablename NOT IN ('auth_sessions',"
        " 'auth_webhook_subscriptions', 'auth_entitlements_duplicates')"
        " UNION ALL SELECT format('%s %s', relname, reloptions) FROM pg_class"
        " WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind = 'r'"
        " AND relname LIKE 'auth%' AND reloptions IS NOT NULL) AS lines");
}

static void test_adoption__gives_the_shape_of_a_fresh_schema(void **state)
{
    struct pg_fixture *fixture = *state;

    up(fixture);
    const char *fresh = shape(fixture);
    assert_true(strlen(fresh) > 4000);

    pg_fixture_empty_schema(fixture);
    make(fixture, data_postgres_0001);
    up(fixture);
    assert_string_equal(shape(fixture), fresh);

    pg_fixture_empty_schema(fixture);
    make(fixture, data_postgres_0001);
    make(fixture, data_postgres_0002);
    up(fixture);
    assert_string_equal(shape(fixture), fresh);
}

static void fill(struct pg_fixture *fixture)
{
    static const char *const inserts[] = {
        "INSERT INTO auth_users (id, authentik_id, email, labels, metadata) VALUES"
        " ('u1', 'ak1', 'a@example.org', '{\"a\": 1}', '{\"m\": [1, {\"x\": null}]}'),"
        " ('u2', 'ak2', 'b@example.org', NULL, NULL)",
        "INSERT INTO auth_orgs (id, slug, status, owner_user_id, profile, labels, settings) VALUES"
        " ('o1', 'one', 'active', 'u1', '{\"name\": \"One\"}', NULL, NULL),"
        " ('o2', 'two', 'active', 'u1', '{\"name\": \"Two\"}', '{\"t\": \"v\"}', '{\"s\": true}')",
        "INSERT INTO auth_groups (id, org_id, slug, name, labels) VALUES"
        " ('g1', 'o1', 'g', 'G', NULL)",
        "INSERT INTO auth_memberships VALUES ('m1', 'u1', 'o1', 'admin', '{g1,\"with space\"}',"
        " NULL, '2026-01-01Z', '2026-01-02Z')",
        "INSERT INTO auth_keys (id, hash, owner_kind, owner_id, created_at, updated_at,"
        " usage_count, status, scopes, labels, metadata) VALUES ('k1', 'h1', 'user', 'u1',"
        " '2026-01-01Z', '2026-01-01Z', 2147483647, 'active', '{read,write}', NULL, '{\"k\": 1}')",
        "INSERT INTO auth_sessions VALUES ('s1', 'u1', '2026-01-01Z', '2026-01-01Z', '[\"otp\"]',"
        " NULL)",
        "INSERT INTO auth_audit_events VALUES"
        " ('0b5f0a52-95a6-4d52-8f1e-0a4b3c2d1e00', '2026-01-01Z', 'auth', 'login',"
        "  '{\"type\": \"user\", \"id\": \"u1\"}', NULL, '{\"type\": \"session\", \"id\": \"s1\"}',"
        "  '{\"ip\": \"::1\"}', 'corr'),"
        " ('evt-0001', '2026-01-02Z', 'auth', 'logout', NULL, '{\"type\": \"user\", \"id\": "
        "\"u1\"}',"
        "  NULL, NULL, NULL),"
        " ('\xC3\xA4\xE2\x82\xAC odd id', '2026-01-03Z', 'auth', 'other', NULL, NULL, NULL, NULL, "
        "NULL)",
        NULL,
    };
    make(fixture, inserts);
}

static void assert_filled(struct pg_fixture *fixture)
{
    assert_string_equal(
        pg_fixture_text(fixture, "SELECT string_agg(concat_ws('|', id, authentik_id, email, labels,"
                                 " metadata), ',' ORDER BY id) FROM auth_users"),
        "u1|ak1|a@example.org|{\"a\": 1}|{\"m\": [1, {\"x\": null}]},u2|ak2|b@example.org|{}");
    assert_string_equal(
        pg_fixture_text(fixture, "SELECT string_agg(concat_ws('|', id, slug, profile, labels,"
                                 " settings), ',' ORDER BY id) FROM auth_orgs"),
        "o1|one|{\"name\": \"One\"}|{}|{},o2|two|{\"name\": \"Two\"}|{\"t\": \"v\"}|{\"s\": true}");
    assert_string_equal(pg_fixture_text(fixture, "SELECT concat_ws('|', id, org_id, slug, name,"
                                                 " labels) FROM auth_groups"),
                        "g1|o1|g|G|{}");
    assert_string_equal(
        pg_fixture_text(fixture, "SELECT concat_ws('|', id, user_id, org_id, role, group_ids,"
                                 " labels_delta, created_at, updated_at) FROM auth_memberships"),
        "m1|u1|o1|admin|{g1,\"with space\"}|{}|2026-01-01 00:00:00+00|2026-01-02 00:00:00+00");
    assert_string_equal(
        pg_fixture_text(fixture, "SELECT concat_ws('|', id, hash, owner_kind, owner_id,"
                                 " usage_count, status, scopes, labels, metadata) FROM auth_keys"),
        "k1|h1|user|u1|2147483647|active|{read,write}|{}|{\"k\": 1}");
    assert_string_equal(
        pg_fixture_text(fixture, "SELECT factors_verified::text FROM auth_sessions"), "[\"otp\"]");
    assert_string_equal(pg_fixture_text(fixture,
                                        "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE"
                                        " attrelid = 'auth_sessions'::regclass"
                                        " AND attname = 'factors_verified'"),
                        "jsonb");
}

static void assert_audit_event(struct pg_fixture *fixture, const struct uuid *id,
                               const char *expected)
{
    char text[UUID_TEXT_LENGTH + 1];
    char sql[512];

    uuid_format(id, text);
    snprintf(sql, sizeof(sql),
             "SELECT concat_ws('|', occurred_at::date, category, action, actor, subject, resource,"
             " metadata, correlation_id, 'entity=' || entity, 'legacy=' || legacy_id)"
             " FROM auth_audit_events WHERE id = '%s'",
             text);
    assert_string_equal(pg_fixture_text(fixture, sql), expected);
}

static void assert_audit_adopted(struct pg_fixture *fixture)
{
    struct uuid kept;
    struct uuid made = legacy_audit_id_of(TEXT("evt-0001"));
    struct uuid odd = legacy_audit_id_of(TEXT("\xC3\xA4\xE2\x82\xAC odd id"));

    assert_true(uuid_parse(TEXT("0b5f0a52-95a6-4d52-8f1e-0a4b3c2d1e00"), &kept));
    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM auth_audit_events"), 3);
    assert_audit_event(fixture, &kept,
                       "2026-01-01|auth|login|{\"id\": \"u1\", \"type\": \"user\"}|"
                       "{\"id\": \"s1\", \"type\": \"session\"}|{\"ip\": \"::1\"}|corr|entity=s1");
    assert_audit_event(fixture, &made,
                       "2026-01-02|auth|logout|{\"id\": \"u1\", \"type\": \"user\"}|entity=u1|"
                       "legacy=evt-0001");
    assert_audit_event(fixture, &odd, "2026-01-03|auth|other|legacy=\xC3\xA4\xE2\x82\xAC odd id");
}

static void test_adoption__of_the_first_version_loses_nothing(void **state)
{
    struct pg_fixture *fixture = *state;

    make(fixture, data_postgres_0001);
    fill(fixture);
    pg_fixture_sql(fixture, "INSERT INTO auth_entitlements VALUES"
                            " ('e1', 'm1', 'feature', '2026-01-01Z')");
    struct migrate_report report = up(fixture);

    assert_int_equal(report.audit_ids_converted, 2);
    assert_int_equal(report.entitlements_set_aside, 0);
    assert_filled(fixture);
    assert_audit_adopted(fixture);
    assert_string_equal(
        pg_fixture_text(fixture, "SELECT concat_ws('|', id, subject_kind, subject_id, entitlement,"
                                 " created_at, metadata) FROM auth_entitlements"),
        "e1|membership|m1|feature|2026-01-01 00:00:00+00|{}");
    data_postgres_speaks(fixture);
}

static void test_adoption__of_the_second_version_loses_nothing(void **state)
{
    struct pg_fixture *fixture = *state;

    make(fixture, data_postgres_0001);
    make(fixture, data_postgres_0002);
    fill(fixture);
    pg_fixture_sql(fixture, "INSERT INTO auth_entitlements VALUES"
                            " ('e1', 'user', 'u1', 'feature', '2026-01-01Z', NULL),"
                            " ('e2', 'org', 'o1', 'feature', '2026-01-01Z', '{\"x\": 1}')");
    pg_fixture_sql(fixture, "INSERT INTO auth_webhook_subscriptions (id, event_types, target_url,"
                            " secret) VALUES ('w1', '{a}', 'https://example.org', 's')");
    struct migrate_report report = up(fixture);

    assert_int_equal(report.audit_ids_converted, 2);
    assert_filled(fixture);
    assert_audit_adopted(fixture);
    assert_string_equal(
        pg_fixture_text(fixture, "SELECT string_agg(concat_ws('|', id, subject_kind, subject_id,"
                                 " metadata), ',' ORDER BY id) FROM auth_entitlements"),
        "e1|user|u1|{},e2|org|o1|{\"x\": 1}");
    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM auth_webhook_subscriptions"
                                             " WHERE headers::text = '{}'"),
                     1);
    data_postgres_speaks(fixture);
}

static void test_adoption__keeps_duplicate_entitlements_aside(void **state)
{
    struct pg_fixture *fixture = *state;

    make(fixture, data_postgres_0001);
    pg_fixture_sql(fixture, "INSERT INTO auth_entitlements VALUES"
                            " ('e3', 'm1', 'feature', '2026-01-03Z'),"
                            " ('e1', 'm1', 'feature', '2026-01-01Z'),"
                            " ('e2', 'm1', 'feature', '2026-01-02Z'),"
                            " ('e4', 'm1', 'other', '2026-01-01Z')");
    struct migrate_report report = up(fixture);

    assert_int_equal(report.entitlements_set_aside, 2);
    assert_string_equal(
        pg_fixture_text(fixture, "SELECT string_agg(id, ',' ORDER BY id) FROM auth_entitlements"),
        "e1,e4");
    assert_string_equal(
        pg_fixture_text(fixture, "SELECT string_agg(concat_ws('|', id, subject_kind, subject_id,"
                                 " entitlement, created_at), ',' ORDER BY id)"
                                 " FROM auth_entitlements_duplicates"),
        "e2|membership|m1|feature|2026-01-02 00:00:00+00,"
        "e3|membership|m1|feature|2026-01-03 00:00:00+00");
}

static void test_adoption__one_uuid_in_several_spellings_stays_several_events(void **state)
{
    struct pg_fixture *fixture = *state;
    struct uuid lower;
    struct uuid capital = legacy_audit_id_of(TEXT("0B5F0A52-95A6-4D52-8F1E-0A4B3C2D1E00"));
    struct uuid alone;

    assert_true(uuid_parse(TEXT("0b5f0a52-95a6-4d52-8f1e-0a4b3c2d1e00"), &lower));
    assert_true(uuid_parse(TEXT("AAAAAAAA-95a6-4d52-8f1e-0a4b3c2d1e00"), &alone));
    make(fixture, data_postgres_0001);
    pg_fixture_sql(fixture,
                   "INSERT INTO auth_audit_events (id, occurred_at, category, action) VALUES"
                   " ('0b5f0a52-95a6-4d52-8f1e-0a4b3c2d1e00', '2026-01-01Z', 'c', 'lower'),"
                   " ('0B5F0A52-95A6-4D52-8F1E-0A4B3C2D1E00', '2026-01-01Z', 'c', 'capital'),"
                   " ('AAAAAAAA-95a6-4d52-8f1e-0a4b3c2d1e00', '2026-01-01Z', 'c', 'alone')");
    struct migrate_report report = up(fixture);

    assert_int_equal(report.audit_ids_converted, 1);
    assert_audit_event(fixture, &lower, "2026-01-01|c|lower");
    assert_audit_event(fixture, &capital,
                       "2026-01-01|c|capital|legacy=0B5F0A52-95A6-4D52-8F1E-0A4B3C2D1E00");
    assert_audit_event(fixture, &alone, "2026-01-01|c|alone");
}

static void test_adoption__converts_more_ids_than_one_fetch_holds(void **state)
{
    struct pg_fixture *fixture = *state;

    make(fixture, data_postgres_0001);
    pg_fixture_sql(fixture, "INSERT INTO auth_audit_events (id, occurred_at, category, action)"
                            " SELECT 'evt-' || n, '2026-01-01Z', 'c', 'a'"
                            " FROM generate_series(1, 10001) n");
    struct migrate_report report = up(fixture);

    assert_int_equal(report.audit_ids_converted, 10001);
    assert_int_equal(pg_fixture_int(fixture, "SELECT count(DISTINCT legacy_id)"
                                             " FROM auth_audit_events"),
                     10001);
    struct uuid last = legacy_audit_id_of(TEXT("evt-10001"));
    assert_audit_event(fixture, &last, "2026-01-01|c|a|legacy=evt-10001");
}

static void test_adoption__an_id_too_long_for_an_index_is_no_entity(void **state)
{
    struct pg_fixture *fixture = *state;

    make(fixture, data_postgres_0001);
    pg_fixture_sql(fixture,
                   "INSERT INTO auth_audit_events (id, occurred_at, category, action, resource)"
                   " SELECT 'long', '2026-01-01Z', 'c', 'a', jsonb_build_object('id',"
                   " string_agg(md5(n::text), '')) FROM generate_series(1, 500) n");
    up(fixture);

    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM auth_audit_events"
                                             " WHERE entity IS NULL AND resource->>'id' <> ''"),
                     1);
}

#define EMPTY(test) cmocka_unit_test_setup(test, empty)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(test_migrate_up__applies_everything_once),
        EMPTY(test_migrate_up__creates_the_schema),
        EMPTY(test_migrate_status__tells_and_changes_nothing),
        EMPTY(test_migrate_check__without_tables_says_what_to_do),
        EMPTY(test_migrate_up__offsets_of_an_earlier_version_stay),
        EMPTY(test_migrate_check__an_older_schema_is_refused),
        EMPTY(test_migrate_check__a_changed_migration_is_refused),
        EMPTY(test_migrate_check__a_newer_one_that_fits_is_accepted),
        EMPTY(test_migrate_check__a_newer_one_that_breaks_us_is_refused),
        EMPTY(test_migrate_up__a_failed_migration_leaves_nothing),
        EMPTY(test_migrate_up__a_table_in_use_is_retry),
        EMPTY(test_migrate_up__several_at_once_share_the_work),
        EMPTY(test_fresh_schema__serves_data_postgres),
        EMPTY(test_adoption__gives_the_shape_of_a_fresh_schema),
        EMPTY(test_adoption__of_the_first_version_loses_nothing),
        EMPTY(test_adoption__of_the_second_version_loses_nothing),
        EMPTY(test_adoption__keeps_duplicate_entitlements_aside),
        EMPTY(test_adoption__one_uuid_in_several_spellings_stays_several_events),
        EMPTY(test_adoption__converts_more_ids_than_one_fetch_holds),
        EMPTY(test_adoption__an_id_too_long_for_an_index_is_no_entity),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup_unmigrated, pg_fixture_teardown);
}
