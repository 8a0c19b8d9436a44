#pragma once

#include "repo/pg/executor.h"
#include "worker/cli/findings.h"

/* What the role may do in the schema, and others: too little is an error, as `run` would wait; so
 * are others who may create objects in the schema, and rights that the role does not need. A role
 * that owns the tables is warned about (deploy/grants.sql makes two roles). */
void check_rights(struct executor *db, const char *schema, struct arena *arena,
                  struct findings *findings);
