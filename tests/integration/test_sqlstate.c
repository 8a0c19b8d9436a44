/* What the lane does about every SQLSTATE of repo/pg/sqlstate.c, on a real PostgreSQL: provoked as
 * it comes about where that can be done from a session, else raised by a trigger. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "repo/pg/pg_binary.h"
#include "repo/pg/sqlstate.h"
#include "tests/integration/lane_fixture.h"

enum { USERS = 8, BAD = 5, BISECTIONS = 3 /* of eight, to one */, WAITS = 3 };

static struct pg_fixture *pg;
static struct lane_fixture *lane;

static int setup(void **state)
{
    if (pg_fixture_clean(state) != 0)
        return 1;
    pg = *state;
    lane = lane_fixture_new(pg, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lane_fixture_free(lane);
    return 0;
}

static const char *one_is_bad(size_t index)
{
    return index == BAD ? "bad" : "fine";
}

static const char *all_are_fine(size_t index)
{
    (void)index;
    return "fine";
}

static const char *all_are_bad(size_t index)
{
    (void)index;
    return "bad";
}

/* On the lane's own connection, between two batches. */
static void in_session(const char *sql)
{
    const struct statement statement = {.sql = sql};
    struct rows rows;
    struct err err = {0};

    if (executor_run(executor_pq_port(lane->pq), &statement, pg->arena, &rows, &err) != OUTCOME_OK)
        fail_msg("%s: %s", sql, err.text);
}

static void settle(size_t count, const char *(*name_of)(size_t index))
{
    struct err err = {0};

    lane_fixture_users(lane, count, name_of);
    if (lane_fixture_settle(lane, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
}

static void assert_all_applied(size_t count)
{
    assert_int_equal(lane_fixture_count(lane, ENTRY_NEW), count);
    assert_int_equal(pg_fixture_int(pg, "SELECT count(*) FROM auth_users"), count);
    assert_int_equal(pg_fixture_int(pg, "SELECT count(*) FROM auth_audit_events"), count);
}

static void assert_only_bad_is_dead(const char *sqlstate)
{
    const struct entry *bad = &lane->batch.entries[BAD];

    assert_int_equal(bad->state, ENTRY_DEAD);
    assert_int_equal(bad->reason.stage, DEAD_LETTER_APPLY);
    assert_string_equal(bad->reason.class_name, "sqlstate");
    assert_non_null(strstr(bad->reason.message, sqlstate));
    assert_all_applied(lane->batch.count - 1);
    assert_int_equal(lane->waits, 0);
}

/* --- every row of the table, raised by a trigger ------------------------------------------------
 */

static void refuse_bad(const char *sqlstate)
{
    pg_fixture_sql(pg, arena_printf(pg->arena,
                                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                                    " $$ BEGIN IF NEW.display_name = 'bad' THEN"
                                    " RAISE EXCEPTION 'no' USING ERRCODE = '%s'; END IF;"
                                    " RETURN NEW; END $$",
                                    sqlstate));
    pg_fixture_sql(pg, "CREATE TRIGGER refuse BEFORE INSERT ON auth_users"
                       " FOR EACH ROW EXECUTE FUNCTION refuse()");
}

static void allow(void)
{
    pg_fixture_sql(pg, "DROP FUNCTION refuse() CASCADE");
}

static void mend_by_allowing(struct lane_fixture *mended)
{
    (void)mended;
    allow();
}

/* A code of the rule: itself, or one of its class. */
static const char *code_of(const struct sqlstate_rule *rule)
{
    return arena_printf(pg->arena, "%s%s", rule->sqlstate,
                        strlen(rule->sqlstate) == 5   ? ""
                        : strlen(rule->sqlstate) == 2 ? "002"
                                                      : "ZZ002");
}

static void mark_session(void)
{
    const struct statement marker = {.name = "t.marker", .sql = "SELECT 1"};
    struct rows rows;
    struct err err = {0};

    assert_int_equal(executor_run(executor_pq_port(lane->pq), &marker, pg->arena, &rows, &err),
                     OUTCOME_OK);
}

/* Whether the session still has what it had prepared. */
static bool is_marked(void)
{
    const struct statement count = {
        .sql = "SELECT count(*) FROM pg_prepared_statements WHERE name = 't.marker'"};
    struct rows rows;
    struct err err = {0};
    int64_t found = -1;

    assert_int_equal(executor_run(executor_pq_port(lane->pq), &count, pg->arena, &rows, &err),
                     OUTCOME_OK);
    assert_true(pg_cell_int(rows_cell(&rows, 0, 0), &found));
    return found == 1;
}

static void assert_row_is_refused(const struct sqlstate_rule *rule, const char *code)
{
    uint64_t connects = executor_pq_connects(lane->pq);

    settle(USERS, one_is_bad);

    assert_only_bad_is_dead(code);
    assert_int_equal(lane->metrics.bisections, BISECTIONS);
    assert_int_equal(executor_pq_connects(lane->pq), connects);
    assert_false(rule->reconnect || rule->prepare_anew);
    allow();
}

static void assert_lane_waits(const struct sqlstate_rule *rule, const char *code)
{
    uint64_t connects = executor_pq_connects(lane->pq);

    mark_session();
    lane->mend = mend_by_allowing;
    lane->mend_after = WAITS;
    settle(USERS, one_is_bad);

    assert_all_applied(USERS);
    assert_int_equal(lane->waits, WAITS);
    assert_string_equal(lane->waited_for, code);
    assert_int_equal(lane->metrics.bisections, 0);
    assert_int_equal(lane->metrics.transaction_retries, WAITS);
    assert_int_equal(executor_pq_connects(lane->pq) - connects, rule->reconnect ? WAITS : 0);
    assert_int_equal(is_marked(), !rule->reconnect && !rule->prepare_anew);
}

static void test_every_rule__does_what_it_says(void **state)
{
    struct sqlstate_rule rule;

    for (size_t i = 0; sqlstate_rule_at(i, &rule); i++) {
        if (rule.function != NULL)
            continue; /* cannot be raised: tests of their own below */
        const char *code = code_of(&rule);
        print_message("%s: %s\n", code, rule.name);
        refuse_bad(code);
        if (rule.outcome == OUTCOME_REJECT)
            assert_row_is_refused(&rule, code);
        else
            assert_lane_waits(&rule, code);
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

/* --- refused for what a row holds ----------------------------------------------------------------
 */

static void test_22001__a_column_that_is_too_narrow(void **state)
{
    (void)state;
    pg_fixture_sql(pg, "ALTER TABLE auth_users ADD narrow varchar(4)"
                       " GENERATED ALWAYS AS (replace(display_name, 'bad', 'longer')) STORED");

    settle(USERS, one_is_bad);

    assert_only_bad_is_dead("22001");
    pg_fixture_sql(pg, "ALTER TABLE auth_users DROP narrow");
}

static void test_23514__a_constraint(void **state)
{
    (void)state;
    pg_fixture_sql(pg, "ALTER TABLE auth_users ADD CONSTRAINT house CHECK (display_name <> 'bad')");

    settle(USERS, one_is_bad);

    assert_only_bad_is_dead("23514");
    pg_fixture_sql(pg, "ALTER TABLE auth_users DROP CONSTRAINT house");
}

/* A deferred constraint speaks at COMMIT. */
static void test_23503__a_deferred_foreign_key(void **state)
{
    (void)state;
    pg_fixture_sql(pg, "CREATE TABLE names (name text PRIMARY KEY)");
    pg_fixture_sql(pg, "INSERT INTO names VALUES ('fine')");
    pg_fixture_sql(pg, "ALTER TABLE auth_users ADD CONSTRAINT named FOREIGN KEY (display_name)"
                       " REFERENCES names DEFERRABLE INITIALLY DEFERRED");

    settle(USERS, one_is_bad);

    assert_only_bad_is_dead("23503");
    pg_fixture_sql(pg, "ALTER TABLE auth_users DROP CONSTRAINT named");
    pg_fixture_sql(pg, "DROP TABLE names");
}

/* Not a race, as it looks at first: it stays. */
static void test_23505__a_unique_index_of_somebody_else(void **state)
{
    (void)state;
    pg_fixture_sql(pg, "CREATE UNIQUE INDEX only_one ON auth_users (display_name)"
                       " WHERE display_name = 'bad'");
    pg_fixture_sql(pg, "INSERT INTO auth_users (id, authentik_id, email, display_name)"
                       " VALUES ('other', 'a', 'o@example.com', 'bad')");

    settle(USERS, one_is_bad);

    pg_fixture_sql(pg, "DELETE FROM auth_users WHERE id = 'other'");
    assert_only_bad_is_dead("23505");
    assert_int_equal(lane->metrics.transaction_retries, 5 + 2);
    pg_fixture_sql(pg, "DROP INDEX only_one");
}

static void test_42501__a_policy_refuses_a_row(void **state)
{
    (void)state;
    pg_fixture_sql(pg, "ALTER TABLE auth_users ENABLE ROW LEVEL SECURITY");
    pg_fixture_sql(pg, "ALTER TABLE auth_users FORCE ROW LEVEL SECURITY");
    pg_fixture_sql(pg, "CREATE POLICY house ON auth_users USING (true)"
                       " WITH CHECK (display_name <> 'bad')");

    settle(USERS, one_is_bad);

    assert_only_bad_is_dead("42501");
    pg_fixture_sql(pg, "DROP POLICY house ON auth_users");
    pg_fixture_sql(pg, "ALTER TABLE auth_users NO FORCE ROW LEVEL SECURITY");
    pg_fixture_sql(pg, "ALTER TABLE auth_users DISABLE ROW LEVEL SECURITY");
}

/* 1000 bytes that do not compress, so that three of them are too many for an index. */
static const char *one_is_long(size_t index)
{
    static char long_name[1001];

    if (index != BAD)
        return "fine";
    uint64_t random = 20261124;
    for (size_t i = 0; i < sizeof(long_name) - 1; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        long_name[i] = (char)('a' + (random >> 40) % 26);
    }
    return long_name;
}

static void test_54000__a_value_too_large_for_an_index(void **state)
{
    (void)state;
    pg_fixture_sql(pg, "CREATE INDEX large ON auth_users"
                       " ((display_name || reverse(display_name) || upper(display_name)))");

    settle(USERS, one_is_long);

    assert_only_bad_is_dead("54000");
    pg_fixture_sql(pg, "DROP INDEX large");
}

/* The events' values follow from the commands: a constraint on the audit log refuses a command. So
 * many events go by COPY. */
static void test_23514__a_constraint_of_the_audit_log(void **state)
{
    (void)state;
    pg_fixture_sql(pg, "ALTER TABLE auth_audit_events"
                       " ADD CONSTRAINT house CHECK (entity <> 'u00005')");

    settle(64, all_are_fine);

    assert_only_bad_is_dead("23514");
    pg_fixture_sql(pg, "ALTER TABLE auth_audit_events DROP CONSTRAINT house");
}

/* --- refused, but for nothing that a message holds
 * ------------------------------------------------ */

static void mend_offsets(struct lane_fixture *mended)
{
    (void)mended;
    pg_fixture_sql(pg, "ALTER TABLE catalyst_consumer_offsets DROP CONSTRAINT house");
}

static void test_23514__a_constraint_of_the_published_offsets_buries_nothing(void **state)
{
    (void)state;
    const struct published_offset floor = {.topic_id = 1, .partition = 0, .offset = 7};
    const struct published_offset stored = {.topic_id = 1, .partition = 0};
    struct err err = {0};
    assert_int_equal(progress_assigned(&lane->lane.progress, &floor, &stored, 1, &err), OUTCOME_OK);
    pg_fixture_sql(pg, "ALTER TABLE catalyst_consumer_offsets"
                       " ADD CONSTRAINT house CHECK (published_offset < 0)");

    lane->mend = mend_offsets;
    lane->mend_after = WAITS;
    settle(USERS, all_are_fine);

    assert_all_applied(USERS);
    assert_string_equal(lane->waited_for, "23514");
}

static struct store_ops failing_ops;
static enum outcome (*true_recover)(struct store *self, struct err *err);
static int failures_left;

/* No memory to connect with is not a batch that needs too much of it. */
static enum outcome recover_failing(struct store *self, struct err *err)
{
    return failures_left-- > 0 ? err_no_memory(err, "connect to PostgreSQL")
                               : true_recover(self, err);
}

/* Between two attempts of a range, one of whose events cannot be published. */
static void test_recover__a_failure_within_a_range_is_not_the_range_s(void **state)
{
    (void)state;
    failing_ops = *lane->store.port.ops;
    true_recover = failing_ops.recover;
    failing_ops.recover = recover_failing;
    lane->store.port.ops = &failing_ops;
    failures_left = 1;
    lane->record_bytes_max = 1;

    settle(USERS, all_are_fine);

    assert_int_equal(lane_fixture_count(lane, ENTRY_DEAD), USERS);
    assert_string_equal(lane->batch.entries[0].reason.class_name, "field");
    assert_int_equal(lane->waits, 1);
}

/* --- the session -------------------------------------------------------------------------------
 */

static void test_0A000__a_migration_under_a_prepared_statement(void **state)
{
    (void)state;
    settle(1, all_are_fine);
    pg_fixture_sql(pg, "ALTER TABLE auth_audit_events ALTER category TYPE varchar");

    settle(USERS, all_are_fine);

    assert_int_equal(lane_fixture_count(lane, ENTRY_NEW), USERS);
    assert_int_equal(lane->waits, 1);
    pg_fixture_sql(pg, "ALTER TABLE auth_audit_events ALTER category TYPE text");
}

static void test_25006__a_server_that_became_read_only(void **state)
{
    (void)state;
    uint64_t connects = executor_pq_connects(lane->pq);
    in_session("SET default_transaction_read_only = on");

    settle(USERS, one_is_bad);

    assert_all_applied(USERS);
    assert_int_equal(executor_pq_connects(lane->pq), connects + 1);
}

static void test_26000__a_server_that_forgot_its_statements(void **state)
{
    (void)state;
    settle(1, all_are_fine);
    in_session("DEALLOCATE ALL");

    settle(USERS, all_are_fine);

    assert_int_equal(lane_fixture_count(lane, ENTRY_NEW), USERS);
    assert_int_equal(lane->waits, 1);
}

static void test_42P05__a_session_with_statements_of_its_own(void **state)
{
    (void)state;
    in_session("PREPARE \"audit.find\" AS SELECT 1");

    settle(USERS, all_are_fine);

    assert_all_applied(USERS);
    assert_int_equal(lane->waits, 1);
}

static void test_57P01__a_session_that_was_ended(void **state)
{
    (void)state;
    uint64_t connects = executor_pq_connects(lane->pq);
    const struct statement own = {.sql = "SELECT pg_backend_pid()"};
    struct rows rows;
    struct err err = {0};
    int64_t pid = 0;
    assert_int_equal(executor_run(executor_pq_port(lane->pq), &own, pg->arena, &rows, &err),
                     OUTCOME_OK);
    assert_true(pg_cell_int(rows_cell(&rows, 0, 0), &pid));
    pg_fixture_sql(pg, arena_printf(pg->arena, "SELECT pg_terminate_backend(%d, 5000)", (int)pid));

    settle(USERS, all_are_fine);

    assert_all_applied(USERS);
    assert_int_equal(executor_pq_connects(lane->pq), connects + 1);
}

/* --- waiting for somebody ------------------------------------------------------------------------
 */

static void mend_privilege(struct lane_fixture *mended)
{
    (void)mended;
    pg_fixture_sql(pg, "GRANT ALL ON auth_users TO CURRENT_USER");
}

static void test_42501__a_missing_privilege(void **state)
{
    (void)state;
    pg_fixture_sql(pg, "REVOKE ALL ON auth_users FROM CURRENT_USER");

    lane->mend = mend_privilege;
    lane->mend_after = WAITS;
    settle(USERS, one_is_bad);

    assert_all_applied(USERS);
    assert_string_equal(lane->waited_for, "42501");
}

static void mend_name(struct lane_fixture *mended)
{
    (void)mended;
    pg_fixture_sql(pg, "ALTER TABLE elsewhere RENAME TO auth_users");
}

static void test_42P01__a_missing_table(void **state)
{
    (void)state;
    pg_fixture_sql(pg, "ALTER TABLE auth_users RENAME TO elsewhere");

    lane->mend = mend_name;
    lane->mend_after = WAITS;
    settle(USERS, one_is_bad);

    assert_all_applied(USERS);
    assert_string_equal(lane->waited_for, "42P01");
}

static void mend_lock(struct lane_fixture *mended)
{
    (void)mended;
    pg_fixture_sql(pg, "ROLLBACK");
}

static void test_55P03__a_table_that_is_locked(void **state)
{
    (void)state;
    in_session("SET lock_timeout = 20");
    pg_fixture_sql(pg, "BEGIN");
    pg_fixture_sql(pg, "LOCK TABLE auth_users");

    lane->mend = mend_lock;
    lane->mend_after = WAITS;
    settle(USERS, one_is_bad);

    assert_all_applied(USERS);
    assert_string_equal(lane->waited_for, "55P03");
}

/* --- splitting
 * ------------------------------------------------------------------------------------ */

static uint64_t log2_of(size_t count)
{
    uint64_t log = 0;
    while (((size_t)1 << log) < count)
        log++;
    return log;
}

static const char *one_in_many_is_bad(size_t index)
{
    return index == 777 ? "bad" : "fine";
}

static void test_split__one_bad_row_of_many_costs_a_logarithm(void **state)
{
    (void)state;
    refuse_bad("P0001");

    settle(LANE_FIXTURE_MAX, one_in_many_is_bad);

    assert_int_equal(lane->batch.entries[777].state, ENTRY_DEAD);
    assert_all_applied(LANE_FIXTURE_MAX - 1);
    assert_int_equal(lane->metrics.bisections, log2_of(LANE_FIXTURE_MAX));
    assert_int_equal(lane_fixture_transactions(lane), 1 + 2 * log2_of(LANE_FIXTURE_MAX));
    allow();
}

static void test_split__a_batch_of_only_bad_rows_ends(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    refuse_bad("23514");

    settle(COUNT, all_are_bad);

    assert_int_equal(lane_fixture_count(lane, ENTRY_DEAD), COUNT);
    assert_int_equal(lane->metrics.bisections, COUNT - 1);
    assert_int_equal(lane_fixture_transactions(lane), 2 * COUNT - 1);
    allow();
}

/* What might be a race is tried again, but not at every level anew. */
static void test_split__a_batch_of_only_duplicates_ends(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    refuse_bad("23505");

    settle(COUNT, all_are_bad);

    assert_int_equal(lane_fixture_count(lane, ENTRY_DEAD), COUNT);
    assert_int_equal(lane->metrics.bisections, COUNT - 1);
    assert_int_equal(lane_fixture_transactions(lane), 5 + (2 * COUNT - 1) + 2 * COUNT);
    allow();
}

static void test_split__a_batch_too_large_for_the_time_out_becomes_smaller(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    lane_fixture_free(lane);
    lane = lane_fixture_new(pg, 600);
    pg_fixture_sql(pg, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                       " $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$");
    pg_fixture_sql(pg, "CREATE TRIGGER refuse BEFORE INSERT ON auth_users"
                       " FOR EACH ROW EXECUTE FUNCTION refuse()");

    settle(COUNT, all_are_fine);

    assert_all_applied(COUNT);
    assert_true(lane->metrics.bisections > 0);
    allow();
}

/* Nothing else is wrong with the batch: it is not buried, it waits until the lane stops, and what
 * the sick server is asked has become one message. */
static void test_split__a_single_message_waits_and_stops_with_the_lane(void **state)
{
    (void)state;
    struct err err = {0};
    refuse_bad("53100");
    lane_fixture_users(lane, USERS, all_are_bad);

    lane->stop_after = 14;
    assert_int_equal(lane_fixture_settle(lane, &err), OUTCOME_REJECT);

    assert_int_equal(lane_fixture_count(lane, ENTRY_DEAD), 0);
    assert_int_equal(lane->metrics.bisections, BISECTIONS);
    assert_int_equal(lane->metrics.waiting_for, DEPENDENCY_DATABASE);
    assert_in_range(lane->pauses, 1, lane->waits - 1); /* the first waits are short */
    assert_int_equal(pg_fixture_int(pg, "SELECT count(*) FROM auth_users"), 0);
    allow();
}

static void test_split__a_server_that_recovers_gets_the_whole_batch(void **state)
{
    (void)state;
    refuse_bad("53100");

    lane->mend = mend_by_allowing;
    lane->mend_after = 12;
    settle(USERS, all_are_bad);

    assert_all_applied(USERS);
    assert_int_equal(lane->metrics.bisections, BISECTIONS);
}

/* --- failures of one message's own --------------------------------------------------------------
 */

static void assert_is_isolated(const struct entry *entry)
{
    assert_int_equal(entry->state, ENTRY_DEAD);
    assert_int_equal(entry->reason.stage, DEAD_LETTER_APPLY);
    assert_string_equal(entry->reason.message,
                        "fails with SQLSTATE ZZ001, and nothing fails without it");
}

static void test_isolate__the_rest_of_the_batch_proves_it(void **state)
{
    (void)state;
    lane->lane.suspect_after_us = 0;
    refuse_bad("ZZ001");

    settle(USERS, one_is_bad);

    assert_is_isolated(&lane->batch.entries[BAD]);
    assert_all_applied(USERS - 1);
    allow();
}

static void test_isolate__the_same_statements_without_rows_prove_it(void **state)
{
    (void)state;
    lane->lane.suspect_after_us = 0;
    refuse_bad("ZZ001");

    settle(1, all_are_bad);

    assert_is_isolated(&lane->batch.entries[0]);
    assert_all_applied(0);
    allow();
}

static void test_isolate__a_table_that_takes_nothing_is_an_outage(void **state)
{
    (void)state;
    lane->lane.suspect_after_us = 0;
    lane->mend = mend_by_allowing;
    lane->mend_after = 12;
    pg_fixture_sql(pg, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                       " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'ZZ001'; END $$");
    pg_fixture_sql(pg, "CREATE TRIGGER refuse BEFORE INSERT ON auth_users"
                       " FOR EACH STATEMENT EXECUTE FUNCTION refuse()");

    settle(USERS, all_are_fine);

    assert_all_applied(USERS);
}

static void test_isolate__what_others_cause_is_waited_for(void **state)
{
    static const char *const codes[] = {"08000", "40001", "53100", "55P03", "57014", "58030"};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        lane->lane.suspect_after_us = 0;
        lane->mend = mend_by_allowing;
        lane->mend_after = 12;
        refuse_bad(codes[i]);

        settle(1, all_are_bad);

        assert_all_applied(1);
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

static void test_isolate__a_failure_is_suspected_after_a_time_only(void **state)
{
    (void)state;
    lane->lane.suspect_after_us = (int64_t)60 * 1000 * 1000;
    lane->mend = mend_by_allowing;
    lane->mend_after = 12;
    refuse_bad("ZZ001");

    settle(1, all_are_bad);

    assert_all_applied(1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_rule__does_what_it_says),
        TEST(test_22001__a_column_that_is_too_narrow),
        TEST(test_23514__a_constraint),
        TEST(test_23503__a_deferred_foreign_key),
        TEST(test_23505__a_unique_index_of_somebody_else),
        TEST(test_42501__a_policy_refuses_a_row),
        TEST(test_54000__a_value_too_large_for_an_index),
        TEST(test_23514__a_constraint_of_the_audit_log),
        TEST(test_23514__a_constraint_of_the_published_offsets_buries_nothing),
        TEST(test_recover__a_failure_within_a_range_is_not_the_range_s),
        TEST(test_0A000__a_migration_under_a_prepared_statement),
        TEST(test_25006__a_server_that_became_read_only),
        TEST(test_26000__a_server_that_forgot_its_statements),
        TEST(test_42P05__a_session_with_statements_of_its_own),
        TEST(test_57P01__a_session_that_was_ended),
        TEST(test_42501__a_missing_privilege),
        TEST(test_42P01__a_missing_table),
        TEST(test_55P03__a_table_that_is_locked),
        TEST(test_split__one_bad_row_of_many_costs_a_logarithm),
        TEST(test_split__a_batch_of_only_bad_rows_ends),
        TEST(test_split__a_batch_of_only_duplicates_ends),
        TEST(test_split__a_batch_too_large_for_the_time_out_becomes_smaller),
        TEST(test_split__a_single_message_waits_and_stops_with_the_lane),
        TEST(test_split__a_server_that_recovers_gets_the_whole_batch),
        TEST(test_isolate__the_rest_of_the_batch_proves_it),
        TEST(test_isolate__the_same_statements_without_rows_prove_it),
        TEST(test_isolate__a_table_that_takes_nothing_is_an_outage),
        TEST(test_isolate__what_others_cause_is_waited_for),
        TEST(test_isolate__a_failure_is_suspected_after_a_time_only),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
