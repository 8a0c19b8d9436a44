#pragma once

#include "repo/pg/executor.h"

/* The migrations' files and the changes of the audit log's partitions name objects without a
 * schema. They run with the worker's schema as their search_path. A role that may create objects in
 * that schema could plant a function or an operator there which such a statement calls, with the
 * rights of the schema's owner. */

/* FATAL, code MIGRATE_SCHEMA: a role other than the schema's owner, the current role and superusers
 * may create in the schema; err->text names the roles. A schema that is not there is fine. */
enum outcome trusted_schema_check(struct executor *db, const char *schema, struct arena *arena,
                                  struct err *err);

/* Makes the executor's schema the search path for the rest of the transaction. */
extern const struct statement trusted_schema_enter;
