#pragma once

#include "repo/audit/audit_repo.h"
#include "repo/effective_identity.h"
#include "repo/entitlements_repo.h"
#include "repo/groups_repo.h"
#include "repo/keys_repo.h"
#include "repo/memberships_repo.h"
#include "repo/orgs_repo.h"
#include "repo/pg/executor_pq.h"
#include "repo/users_repo.h"

/* All repositories on one connection, for programs that are not the worker.
 *
 *     struct data_source *source;
 *     data_source_open(&(struct executor_pq_options){.conninfo = "..."}, &source, &err);
 *     users_get(data_source_db(source), ids, 1, arena, users, &err);
 *     data_source_close(source);
 *
 * Every repository function takes data_source_db(source) as its executor. Unlike a bare executor it
 * needs no executor_recover() after a failure: the next call recovers first. Records that a
 * repository hands out lie in the arena it was given: they are the caller's own and outlive the
 * source. One thread uses a source at a time. */
struct data_source;

/* Connects. Texts left NULL: conninfo "" (libpq's defaults and PG* variables), schema "public",
 * application_name "catalyst-repo". RETRY: the server cannot be reached; FATAL: it refuses us, or
 * no memory. */
enum outcome data_source_open(const struct executor_pq_options *options,
                              struct data_source **ret_source, struct err *err);

/* On an executor of the caller's, which outlives the source; nothing is sent. FULL: no memory. */
enum outcome data_source_bind(struct executor *db, struct data_source **ret_source,
                              struct err *err);

/* Rolls back what is open; closes the connection that data_source_open() made. NULL is fine. */
void data_source_close(struct data_source *source);
DEFINE_CLEANUP(struct data_source *, data_source_close)

/* The executor for the repositories; belongs to `source`. Begin and end transactions with the
 * functions below, not with statements of your own. */
struct executor *data_source_db(struct data_source *source);

/* Transactions, READ COMMITTED, one at a time. Outside of one, each repository call is a
 * transaction of its own.
 *
 * After a failed call inside a transaction every further one fails with FATAL 25P02 until
 * data_source_rollback(). A failed data_source_commit() has ended the transaction; when the
 * connection was lost (08006) it is unknown whether it committed. */
enum outcome data_source_begin(struct data_source *source, struct err *err);
enum outcome data_source_commit(struct data_source *source, struct err *err);
/* Nothing happens without a transaction. */
void data_source_rollback(struct data_source *source);

/* One transaction's calls, on `db`. Any outcome but OK rolls back and is what the caller gets. */
typedef enum outcome data_source_work(struct executor *db, void *context, struct err *err);

/* Begins, calls `work`, commits. When `work` (or BEGIN) answers RETRY it is all done again, up to
 * `attempts` times in all, without a pause; a failed COMMIT is never repeated, since it may have
 * committed. */
enum outcome data_source_transaction(struct data_source *source, data_source_work *work,
                                     void *context, unsigned attempts, struct err *err);
