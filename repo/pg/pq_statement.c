#include "repo/pg/pq_statement.h"

#include <assert.h>
#include <stdlib.h>

enum { BINARY = 1 };

/* The parameters of one statement as libpq takes them, in the arena of the call. */
struct bound {
    Oid *types;
    const char **values;
    int *lengths;
    int *formats;
};

static bool bind_params(const struct statement *statement, struct arena *arena,
                        struct bound *ret_bound)
{
    size_t count = statement->param_count;
    struct bound bound = {
        ARENA_ARRAY(arena, Oid, count),
        ARENA_ARRAY(arena, const char *, count),
        ARENA_ARRAY(arena, int, count),
        ARENA_ARRAY(arena, int, count),
    };
    if (bound.types == NULL || bound.values == NULL || bound.lengths == NULL ||
        bound.formats == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        assert(statement->params[i].length <= INT32_MAX);
        bound.types[i] = (Oid)statement->params[i].type;
        bound.values[i] = statement->params[i].data;
        bound.lengths[i] = (int)statement->params[i].length;
        bound.formats[i] = BINARY;
    }
    *ret_bound = bound;
    return true;
}

enum pq_sending pq_statement_send(PGconn *connection, const struct statement *statement,
                                  bool prepare, struct sql_schema *schema, struct arena *arena)
{
    int count = (int)statement->param_count;
    struct bound bound;
    int done = 1;
    /* A statement that the server knows travels by its name. */
    const char *sql = prepare || statement->name == NULL ? sql_schema_expand(schema, statement->sql)
                                                         : statement->sql;

    if (sql == NULL || !bind_params(statement, arena, &bound))
        return PQ_NO_MEMORY;
    if (statement->name == NULL) {
        done = PQsendQueryParams(connection, sql, count, bound.types, bound.values, bound.lengths,
                                 bound.formats, BINARY);
    } else {
        if (prepare)
            done = PQsendPrepare(connection, statement->name, sql, count, bound.types);
        if (done == 1)
            done = PQsendQueryPrepared(connection, statement->name, count, bound.values,
                                       bound.lengths, bound.formats, BINARY);
    }
    return done == 1 ? PQ_SENT : PQ_CONNECTION_LOST;
}

size_t pq_statement_affected(PGresult *result)
{
    const char *tuples = PQcmdTuples(result);
    return tuples[0] != '\0' ? (size_t)strtoull(tuples, NULL, 10) : 0;
}

bool pq_statement_rows(PGresult *result, struct arena *arena, struct rows *ret_rows)
{
    int row_count = PQntuples(result);
    int column_count = PQnfields(result);
    struct cell *cells = ARENA_ARRAY(arena, struct cell, (size_t)row_count * (size_t)column_count);
    if (cells == NULL)
        return false;

    struct cell *cell = cells;
    for (int row = 0; row < row_count; row++) {
        for (int column = 0; column < column_count; column++, cell++) {
            if (PQgetisnull(result, row, column))
                continue;
            cell->length = (size_t)PQgetlength(result, row, column);
            cell->data = arena_copy(arena, PQgetvalue(result, row, column), cell->length);
            if (cell->data == NULL)
                return false;
        }
    }
    *ret_rows = (struct rows){
        .affected = pq_statement_affected(result),
        .row_count = (size_t)row_count,
        .column_count = (size_t)column_count,
        .cells = cells,
    };
    return true;
}
