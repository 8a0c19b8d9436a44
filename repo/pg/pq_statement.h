#pragma once

#include <libpq-fe.h>

#include "repo/pg/executor.h"
#include "repo/pg/sql_schema.h"

/* One statement on its way to libpq, and its answer on the way back. */

enum pq_sending { PQ_SENT, PQ_CONNECTION_LOST, PQ_NO_MEMORY /* in the arena */ };

/* Queues the statement in the pipeline, and its preparation in front of it when `prepare`. */
enum pq_sending pq_statement_send(PGconn *connection, const struct statement *statement,
                                  bool prepare, struct sql_schema *schema, struct arena *arena);

/* Rows inserted, updated, deleted or selected. */
size_t pq_statement_affected(PGresult *result);

/* Copies a result that holds rows. false: the arena is full. */
bool pq_statement_rows(PGresult *result, struct arena *arena, struct rows *ret_rows);
