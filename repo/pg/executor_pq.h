#pragma once

#include "repo/pg/executor.h"

/* The executor on libpq: one connection, pipeline mode, prepared statements, binary parameters and
 * results. Only this module and its parts (executor_pq_copy, pq_*) include libpq-fe.h. One thread
 * uses it at a time; executor_pq_cancel() may come from any. */
struct executor_pq;

struct executor_pq_options {
    const char *conninfo;         /* URI or key=value; "" for libpq's defaults and PG* variables */
    const char *schema;           /* of the tables, see repo/pg/sql_schema.h */
    const char *search_path;      /* of the session; NULL: "pg_catalog, pg_temp", so that nobody can
                                     put a function or an operator in the way of a statement */
    const char *application_name; /* as pg_stat_activity shows it */
    int connect_timeout_s;        /* 0: libpq's */
    int64_t statement_timeout_ms; /* of one round trip, enforced by the client too; 0: none */
};

/* Copies the options; does not connect yet: executor_recover() does. FULL: no memory, or bad
 * conninfo. */
enum outcome executor_pq_new(const struct executor_pq_options *options, struct executor_pq **ret_db,
                             struct err *err);
void executor_pq_free(struct executor_pq *db);
DEFINE_CLEANUP(struct executor_pq *, executor_pq_free)

/* The code of a FATAL failure: a connection pooler in transaction mode is in between. Every
 * transaction looks, see repo/pg/pq_session.h. */
#define EXECUTOR_PQ_POOLED "TRANSACTION_POOLING"

/* The port; belongs to `db`. */
struct executor *executor_pq_port(struct executor_pq *db);

/* Connections made since executor_pq_new(). */
uint64_t executor_pq_connects(const struct executor_pq *db);

/* Asks the server to give up what runs on this connection. */
void executor_pq_cancel(struct executor_pq *db);

/* Of the libpq at hand, as PQlibVersion() tells it: 150018 is 15.18. */
enum { LIBPQ_VERSION_LENGTH = 24 };
void libpq_version(char ret_text[LIBPQ_VERSION_LENGTH]);
