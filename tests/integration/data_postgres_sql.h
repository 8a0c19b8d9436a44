#pragma once

#include "tests/integration/pg_fixture.h"

/* What a database looks like that the TypeScript package data-postgres made, and how that package
 * speaks to it. Same tables, columns, types, defaults and statement shapes as its migrations 0001
 * and 0002 and its repositories have; written anew for these tests. */

/* Its tables after migration 0001, as one statement each. NULL ends the list. */
extern const char *const data_postgres_0001[];
/* What 0002 does to them. */
extern const char *const data_postgres_0002[];

/* One of its statements, sent as its driver does: parameters as text, types left to the server. */
struct data_postgres_statement {
    const char *name;
    const char *sql;
    int param_count;
    const char *params[21]; /* NULL is SQL NULL */
};

/* Writes of every table, and reads; they run in this order on empty tables of the final shape. NULL
 * sql ends the list. */
extern const struct data_postgres_statement data_postgres_statements[];

/* Runs the statements, which must each give at least one row. */
void data_postgres_speaks(const struct pg_fixture *fixture);
