#pragma once

#include "repo/pg/executor.h"
#include "worker/cli/findings.h"

/* What others made of the tables: row-level security that hides or refuses rows, columns that must
 * have a value and get none from us, and sessions that may only read. */
void check_tables(struct executor *db, struct arena *arena, struct findings *findings);
