#pragma once

#include "repo/pg/executor.h"

/* Statements that name objects without a schema - the migrations' files, the changes of the audit
 * log's partitions - run with the schema as their search path. Whoever may create objects in that
 * schema could then put a function or an operator in the way of such a statement, and have it run
 * with the rights of the schema's owner. */

/* FATAL, code MIGRATE_SCHEMA: a role other than the schema's owner, the current role and superusers
 * may create in the schema; err->text names the roles. A schema that is not there is fine. */
enum outcome trusted_schema_check(struct executor *db, const char *schema, struct arena *arena,
                                  struct err *err);

/* Makes the executor's schema the search path for the rest of the transaction. */
extern const struct statement trusted_schema_enter;
