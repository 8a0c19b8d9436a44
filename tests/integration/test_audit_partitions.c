#include "tests/integration/audit_fixture.h"

#include <stdio.h>

#include "repo/audit/audit_partitions.h"
#include "repo/schema/migrate.h"
#include "tests/integration/data_postgres_sql.h"

static const struct audit_conversion from_next_month = {INTERVAL_MONTH, TIMESTAMP_ABSENT, 3};

/* --- converting ------------------------------------------------------------------------------ */

static void test_convert__every_row_has_its_place(void **state)
{
    struct pg_fixture *t = *state;
    const struct audit_change change = change_of(t, 30000);
    const struct {
        struct uuid id;
        const char *home;
    } rows[] = {
        {timed_id(time_of("2026-08-31T23:59:59.999Z"), 1), "auth_audit_events_rest"},
        {timed_id(time_of("2026-09-01T00:00:00Z"), 2), "auth_audit_events_t20260901"},
        {timed_id(time_of("2026-10-31T23:59:59.999Z"), 3), "auth_audit_events_t20261001"},
        {timed_id(time_of("2099-01-01T00:00:00Z"), 4), "auth_audit_events_stray"},
        {hashed_id(0x03, 0xFF, 5), "auth_audit_events_stray"},
        {hashed_id(0x04, 0x00, 6), "auth_audit_events_rest"},
        {hashed_id(0x00, 0x01, 7), "auth_audit_events_rest"},
        {hashed_id(0xFF, 0xFF, 8), "auth_audit_events_rest"},
    };
    enum { COUNT = sizeof(rows) / sizeof(rows[0]) };
    const struct audit_conversion conversion = {INTERVAL_MONTH, time_of("2026-09-15T12:00:00Z"), 3};
    struct audit_converted converted;
    struct err err;

    for (size_t i = 0; i < COUNT; i++)
        put(t, rows[i].id, time_of("2026-09-01T00:00:00Z"));
    int64_t file =
        pg_fixture_int(t, "SELECT pg_relation_filenode('auth_audit_events'::regclass)::int8");

    ASSERT_OK(audit_convert(&change, &conversion, t->arena, &converted, &err));

    assert_true(converted.converted);
    assert_int_equal(converted.first_us, time_of("2026-09-01T00:00:00Z"));
    assert_int_equal(converted.rows_moved, 4);
    for (size_t i = 0; i < COUNT; i++)
        assert_string_equal(home_of(t, &rows[i].id), rows[i].home);
    assert_int_equal(rows_of(t, "auth_audit_events"), COUNT);
    assert_int_equal(
        pg_fixture_int(t, "SELECT pg_relation_filenode('auth_audit_events_rest'::regclass)::int8"),
        file);
}

static void test_convert__begins_with_the_next_interval(void **state)
{
    struct pg_fixture *t = *state;
    const struct audit_change change = change_of(t, 30000);
    struct audit_converted converted;
    struct err err;

    ASSERT_OK(audit_convert(&change, &from_next_month, t->arena, &converted, &err));

    struct audit_layout layout = layout_of(t);
    assert_int_equal(layout.shape, AUDIT_PARTITIONED);
    assert_int_equal(layout.first_us, interval_end_us(INTERVAL_MONTH, layout.now_us));
    assert_int_equal(layout.partition_count, 3 + 2);
    int64_t at = layout.first_us;
    for (size_t i = 0; i < 3; i++) {
        char name[AUDIT_NAME_BYTES];
        audit_interval_name(at, name);
        assert_string_equal(layout.partitions[i].name, name);
        assert_int_equal(layout.partitions[i].kind, AUDIT_INTERVAL);
        assert_int_equal(layout.partitions[i].from_us, at);
        at = interval_end_us(INTERVAL_MONTH, at);
        assert_int_equal(layout.partitions[i].until_us, at);
    }
    assert_int_equal(layout.last_us, at);
    assert_int_equal(layout.partitions[3].kind, AUDIT_STRAY);
    assert_int_equal(layout.partitions[4].kind, AUDIT_REST);
}

static void test_convert__a_second_time_there_is_nothing_to_do(void **state)
{
    struct pg_fixture *t = *state;
    const struct audit_change change = change_of(t, 30000);
    struct audit_converted converted;
    struct err err;

    convert_by_month(t, "2026-09-01T00:00:00Z");
    ASSERT_OK(audit_convert(&change, &from_next_month, t->arena, &converted, &err));

    assert_false(converted.converted);
}

static void test_layout__of_one_table(void **state)
{
    struct audit_layout layout = layout_of(*state);

    assert_int_equal(layout.shape, AUDIT_PLAIN);
    assert_int_equal(layout.partition_count, 1);
    assert_string_equal(layout.partitions[0].name, "auth_audit_events");
    assert_int_equal(layout.partitions[0].kind, AUDIT_WHOLE);
    assert_int_equal(layout.first_us, TIMESTAMP_ABSENT);
    assert_int_equal(layout.last_us, TIMESTAMP_ABSENT);
}

/* Names that migrations know are those of the partitioned table; every partition has the same
 * indexes. */
static void test_convert__indexes_are_those_of_the_table(void **state)
{
    struct pg_fixture *t = *state;
    static const char indexes[] =
        "SELECT string_agg(replace(indexdef, ' ONLY', ''), E'\\n' ORDER BY indexname)"
        " FROM pg_indexes WHERE schemaname = current_schema() AND tablename = 'auth_audit_events'";
    pg_fixture_sql(t, "CREATE INDEX house_idx ON auth_audit_events (category)");
    const char *before = pg_fixture_text(t, indexes);

    convert_by_month(t, "2026-09-01T00:00:00Z");

    assert_string_equal(pg_fixture_text(t, indexes), before);
    assert_int_equal(pg_fixture_int(t, "SELECT count(DISTINCT n) FROM (SELECT count(*) AS n"
                                       " FROM pg_indexes WHERE schemaname = current_schema()"
                                       " AND tablename LIKE 'auth_audit_events%'"
                                       " GROUP BY tablename) AS counts"),
                     1);
    assert_int_equal(
        pg_fixture_int(t, "SELECT count(*) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid"
                          " WHERE c.relnamespace = quote_ident(current_schema())::regnamespace"
                          " AND NOT x.indisvalid"),
        0);
}

static void test_convert__privileges_are_those_of_the_table(void **state)
{
    struct pg_fixture *t = *state;
    static const char privileges[] =
        "SELECT (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM pg_class c,"
        " unnest(c.relacl) a WHERE c.oid = 'auth_audit_events'::regclass) || ' '"
        " || (SELECT attacl::text FROM pg_attribute"
        " WHERE attrelid = 'auth_audit_events'::regclass AND attname = 'action')";
    pg_fixture_sql(t, "GRANT SELECT, INSERT ON auth_audit_events TO PUBLIC");
    pg_fixture_sql(t, "GRANT UPDATE (action) ON auth_audit_events TO PUBLIC");
    const char *before = pg_fixture_text(t, privileges);

    convert_by_month(t, "2026-09-01T00:00:00Z");

    assert_string_equal(pg_fixture_text(t, privileges), before);
}

static void test_convert__refuses_what_would_hang_on_a_part(void **state)
{
    struct pg_fixture *t = *state;
    const struct audit_change change = change_of(t, 30000);
    static const char *const obstacles[][2] = {
        {"CREATE VIEW house AS SELECT id FROM auth_audit_events", "view"},
        {"CREATE RULE house AS ON INSERT TO auth_audit_events DO ALSO NOTHING", "rule house"},
        {"CREATE TRIGGER house BEFORE UPDATE ON auth_audit_events FOR EACH ROW"
         " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
         "trigger house"},
        {"CREATE POLICY house ON auth_audit_events USING (true)", "policy house"},
        {"ALTER TABLE auth_audit_events ENABLE ROW LEVEL SECURITY", "row level security"},
        {"CREATE TABLE house (id uuid REFERENCES auth_audit_events)", "foreign key"},
        {"ALTER TABLE auth_audit_events ADD CONSTRAINT house FOREIGN KEY (topic_id)"
         " REFERENCES catalyst_topics",
         "foreign key house"},
        {"CREATE UNIQUE INDEX house ON auth_audit_events (legacy_id)", "unique index"},
        {"CREATE FUNCTION house() RETURNS bigint BEGIN ATOMIC SELECT count(*)"
         " FROM auth_audit_events; END",
         "function"},
        {"CREATE TABLE house () INHERITS (auth_audit_events)", "inheritance"},
    };

    for (size_t i = 0; i < sizeof(obstacles) / sizeof(obstacles[0]); i++) {
        struct audit_converted converted;
        struct err err;
        assert_int_equal(audit_fixture_fresh(state), 0);
        pg_fixture_sql(t, obstacles[i][0]);

        enum outcome outcome = audit_convert(&change, &from_next_month, t->arena, &converted, &err);

        if (outcome != OUTCOME_FATAL || strcmp(err.code, AUDIT_UNFIT) != 0 ||
            strstr(err.text, obstacles[i][1]) == NULL)
            fail_msg("%s: %s", obstacles[i][0], outcome == OUTCOME_OK ? "converted" : err.text);
        assert_int_equal(layout_of(t).shape, AUDIT_PLAIN);
    }
}

static void test_convert__refuses_a_table_that_somebody_partitioned(void **state)
{
    struct pg_fixture *t = *state;
    const struct audit_change change = change_of(t, 30000);
    struct audit_converted converted;
    struct err err;
    pg_fixture_sql(t, "ALTER TABLE auth_audit_events RENAME TO house");
    pg_fixture_sql(t, "CREATE TABLE auth_audit_events (LIKE house INCLUDING ALL)"
                      " PARTITION BY HASH (id)");
    pg_fixture_sql(t, "CREATE TABLE house_1 PARTITION OF auth_audit_events"
                      " FOR VALUES WITH (MODULUS 1, REMAINDER 0)");

    assert_int_equal(layout_of(t).shape, AUDIT_FOREIGN);
    assert_int_equal(audit_convert(&change, &from_next_month, t->arena, &converted, &err),
                     OUTCOME_FATAL);
    assert_string_equal(err.code, AUDIT_UNFIT);
}

static void test_convert__gives_way_to_whoever_uses_the_table(void **state)
{
    struct pg_fixture *t = *state;
    struct executor_pq *other = pg_fixture_connect(t, 30000);
    const struct statement use[] = {executor_begin, {.sql = "SELECT FROM auth_audit_events"}};
    const struct audit_change change = change_of(t, 600);
    struct audit_converted converted;
    struct rows rows[2];
    struct err err;
    ASSERT_OK(executor_run_all(executor_pq_port(other), use, 2, t->arena, rows, &err));

    assert_int_equal(audit_convert(&change, &from_next_month, t->arena, &converted, &err),
                     OUTCOME_RETRY);

    assert_string_equal(err.code, AUDIT_IN_USE);
    assert_int_equal(layout_of(t).shape, AUDIT_PLAIN);
    executor_pq_free(other);
    const struct audit_change patient = change_of(t, 30000);
    ASSERT_OK(audit_convert(&patient, &from_next_month, t->arena, &converted, &err));
    assert_true(converted.converted);
}

static void test_convert__waits_for_a_migration(void **state)
{
    struct pg_fixture *t = *state;
    struct executor_pq *other = pg_fixture_connect(t, 30000);
    const struct statement lock = {.sql = "SELECT pg_advisory_lock(" MIGRATE_LOCK_CLASS
                                          ", hashtext(current_schema()))"};
    const struct audit_change change = change_of(t, 0);
    struct audit_converted converted;
    struct rows rows;
    struct err err;
    ASSERT_OK(executor_run(executor_pq_port(other), &lock, t->arena, &rows, &err));

    assert_int_equal(audit_convert(&change, &from_next_month, t->arena, &converted, &err),
                     OUTCOME_RETRY);

    assert_string_equal(err.code, AUDIT_IN_USE);
    assert_non_null(strstr(err.text, "migration"));
    executor_pq_free(other);
}

/* --- the shape in use ------------------------------------------------------------------------ */

static void test_partitioned__serves_data_postgres(void **state)
{
    convert_by_month(*state, "2026-09-01T00:00:00Z");

    data_postgres_speaks(*state);
}

/* Migrations that were there before the partitions run on them too: a restored bookkeeping, or one
 * that was lost. */
static void test_partitioned__migrations_run_on_it(void **state)
{
    struct pg_fixture *t = *state;
    struct migrate_report report;
    struct err err;
    convert_by_month(t, "2026-09-01T00:00:00Z");
    ASSERT_OK(migrate_check(t->db, t->arena, &err));

    pg_fixture_sql(t, "DELETE FROM catalyst_schema_migrations WHERE number > 1");
    ASSERT_OK(migrate_up(t->db, t->schema, t->arena, &report, &err));

    assert_true(report.applied >= 2);
    ASSERT_OK(migrate_check(t->db, t->arena, &err));
    assert_int_equal(layout_of(t).shape, AUDIT_PARTITIONED);
}

/* How a lookup of the id is planned, in a session like a lane's. */
static const char *plan_of(struct pg_fixture *t, const struct uuid *id)
{
    struct executor_pq *session = pg_fixture_connect(t, 30000);
    struct statement statements[AUDIT_FIND_STATEMENTS];
    char text[UUID_TEXT_LENGTH + 1];
    size_t count;
    struct rows rows[2];
    struct err err;

    ASSERT_OK(audit_find_prepare(id, 1, t->arena, statements, &count, &err));
    assert_int_equal(count, 1);
    uuid_format(id, text);
    const struct statement explain[] = {
        {.sql = arena_printf(t->arena, "PREPARE probe AS %s", statements[0].sql)},
        {.sql = arena_printf(t->arena, "EXPLAIN (COSTS OFF) EXECUTE probe('{%s}', '%s', '%s')",
                             text, text, text)},
    };
    ASSERT_OK(executor_run_all(executor_pq_port(session), explain, 2, t->arena, rows, &err));
    executor_pq_free(session);
    char *plan = arena_printf(t->arena, "%s", "");
    for (size_t i = 0; i < rows[1].row_count; i++) {
        struct cell cell = rows_cell(&rows[1], i, 0);
        plan = arena_printf(t->arena, "%s%.*s\n", plan, (int)cell.length, cell.data);
    }
    return plan;
}

static void test_partitioned__a_lookup_scans_one_partition(void **state)
{
    struct pg_fixture *t = *state;
    const struct {
        struct uuid id;
        const char *table;
    } rows[] = {
        {timed_id(time_of("2026-09-15T00:00:00Z"), 1), "auth_audit_events_t20260901"},
        {timed_id(time_of("2026-08-15T00:00:00Z"), 1), "auth_audit_events_rest"},
        {timed_id(time_of("2099-08-15T00:00:00Z"), 1), "auth_audit_events_stray"},
        {hashed_id(0x80, 0x11, 1), "auth_audit_events_rest"},
    };
    convert_by_month(t, "2026-09-01T00:00:00Z");

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *plan = plan_of(t, &rows[i].id);
        const char *scan = strstr(plan, " on auth_audit_events_");
        assert_non_null(scan);
        if (strncmp(scan + 4, rows[i].table, strlen(rows[i].table)) != 0 ||
            strstr(scan + 4, " on auth_audit_events_") != NULL || strstr(plan, "Seq Scan") != NULL)
            fail_msg("not only %s:\n%s", rows[i].table, plan);
    }
}

static void test_partitioned__a_listing_goes_page_by_page(void **state)
{
    struct pg_fixture *t = *state;
    struct audit_filter filter = {.entity = TEXT("k-1"),
                                  .since_us = TIMESTAMP_ABSENT,
                                  .until_us = TIMESTAMP_ABSENT,
                                  .after_occurred_at_us = TIMESTAMP_ABSENT,
                                  .limit = 2};
    const struct audit_event *events;
    size_t count;
    size_t seen = 0;
    struct err err;
    convert_by_month(t, "2026-09-01T00:00:00Z");
    int64_t now = time_of("2026-10-01T00:00:00Z");
    for (uint32_t i = 0; i < 3; i++) {
        put(t, timed_id(now + DAY_US * 10 * i, i), now + i);
        put(t, hashed_id((uint8_t)(3 + i * 100), 0xF0, i), now + i);
    }

    do {
        ASSERT_OK(audit_list(t->db, &filter, t->arena, &events, &count, &err));
        for (size_t i = 0; i < count; i++) {
            assert_true(events[i].occurred_at_us >= filter.after_occurred_at_us);
            filter.after_occurred_at_us = events[i].occurred_at_us;
            filter.after_id = events[i].id;
            seen++;
        }
    } while (count == filter.limit);

    assert_int_equal(seen, 6);
}

/* --- intervals ahead ------------------------------------------------------------------------- */

static void test_extend__takes_its_rows_out_of_stray(void **state)
{
    struct pg_fixture *t = *state;
    const struct audit_change change = change_of(t, 30000);
    const struct audit_range range = {time_of("2090-01-01T00:00:00Z"),
                                      time_of("2090-02-01T00:00:00Z")};
    const struct uuid before = timed_id(range.from_us - 1000, 1);
    const struct uuid first = timed_id(range.from_us, 2);
    const struct uuid last = timed_id(range.until_us - 1000, 3);
    const struct uuid behind = timed_id(range.until_us, 4);
    struct audit_extended extended;
    struct err err;
    convert_by_month(t, "2026-09-01T00:00:00Z");
    put(t, before, range.from_us);
    put(t, first, range.from_us);
    put(t, last, range.from_us);
    put(t, behind, range.from_us);

    ASSERT_OK(audit_extend(&change, &range, t->arena, &extended, &err));

    assert_true(extended.added);
    assert_int_equal(extended.rows_moved, 2);
    assert_string_equal(home_of(t, &before), "auth_audit_events_stray");
    assert_string_equal(home_of(t, &first), "auth_audit_events_t20900101");
    assert_string_equal(home_of(t, &last), "auth_audit_events_t20900101");
    assert_string_equal(home_of(t, &behind), "auth_audit_events_stray");
    assert_int_equal(layout_of(t).last_us, range.until_us);
    const struct uuid later = timed_id(range.from_us + DAY_US, 5);
    put(t, later, range.from_us);
    assert_string_equal(home_of(t, &later), "auth_audit_events_t20900101");
}

static void test_extend__leaves_many_rows_where_they_are(void **state)
{
    struct pg_fixture *t = *state;
    const struct audit_change change = change_of(t, 30000);
    const struct audit_range range = {time_of("2090-01-01T00:00:00Z"),
                                      time_of("2090-02-01T00:00:00Z")};
    struct audit_extended extended;
    struct err err;
    convert_by_month(t, "2026-09-01T00:00:00Z");
    pg_fixture_sql(t,
                   arena_printf(t->arena,
                                "INSERT INTO auth_audit_events (id, occurred_at, category, action)"
                                " SELECT (left(%s, 24) || lpad(to_hex(n), 12, '0'))::uuid,"
                                " now(), 'a', 'b'"
                                " FROM generate_series(0, %d) AS n",
                                audit_range_sql(&range).from, AUDIT_STRAYS_MAX));

    ASSERT_OK(audit_extend(&change, &range, t->arena, &extended, &err));

    assert_false(extended.added);
    assert_int_equal(rows_of(t, "auth_audit_events_stray"), AUDIT_STRAYS_MAX + 1);
    assert_true(layout_of(t).last_us < range.from_us);
}

#define FRESH(test) cmocka_unit_test_setup(test, audit_fixture_fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(test_layout__of_one_table),
        FRESH(test_convert__every_row_has_its_place),
        FRESH(test_convert__begins_with_the_next_interval),
        FRESH(test_convert__a_second_time_there_is_nothing_to_do),
        FRESH(test_convert__indexes_are_those_of_the_table),
        FRESH(test_convert__privileges_are_those_of_the_table),
        FRESH(test_convert__refuses_what_would_hang_on_a_part),
        FRESH(test_convert__refuses_a_table_that_somebody_partitioned),
        FRESH(test_convert__gives_way_to_whoever_uses_the_table),
        FRESH(test_convert__waits_for_a_migration),
        FRESH(test_partitioned__serves_data_postgres),
        FRESH(test_partitioned__migrations_run_on_it),
        FRESH(test_partitioned__a_lookup_scans_one_partition),
        FRESH(test_partitioned__a_listing_goes_page_by_page),
        FRESH(test_extend__takes_its_rows_out_of_stray),
        FRESH(test_extend__leaves_many_rows_where_they_are),
    };

    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
