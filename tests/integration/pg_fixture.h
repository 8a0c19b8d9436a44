#pragma once

#include "repo/pg/executor_pq.h"

/* A schema of the test program's own in the PostgreSQL that CATALYST_DATABASE_URL names.
 *
 * int main(void) { ... cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown); }
 * with cmocka_unit_test_setup(test, pg_fixture_clean) for each test that wants empty tables. */
struct pg_fixture {
    char schema[64];
    struct executor_pq *pq;
    struct executor *db;
    struct arena *arena; /* reset by pg_fixture_clean */
};

/* Group setup: connects, creates the schema and migrates it. */
int pg_fixture_setup(void **state);

/* The same with an empty schema. */
int pg_fixture_setup_unmigrated(void **state);

/* Group teardown: drops the schema with all that is in it. */
int pg_fixture_teardown(void **state);

/* Test setup: deletes all rows, recovers the connection, resets the arena. */
int pg_fixture_clean(void **state);

/* Another connection to the same schema, connected. */
struct executor_pq *pg_fixture_connect(const struct pg_fixture *fixture,
                                       int64_t statement_timeout_ms);

/* Runs one statement; a failure fails the test. */
void pg_fixture_sql(struct pg_fixture *fixture, const char *sql);

/* The one text, and the one integer, that a query answers with; NULL reads as "NULL". In the
 * fixture's arena. */
const char *pg_fixture_text(struct pg_fixture *fixture, const char *sql);
int64_t pg_fixture_int(struct pg_fixture *fixture, const char *sql);

/* Drops what is in the schema: an empty one again. */
void pg_fixture_empty_schema(struct pg_fixture *fixture);
