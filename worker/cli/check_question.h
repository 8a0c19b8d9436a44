#pragma once

#include "repo/pg/executor.h"
#include "worker/cli/findings.h"

/* Questions that `check` asks the database. */

/* false: the failure is a finding, and the executor has recovered. */
bool check_ask(struct executor *db, const struct statement *question, struct arena *arena,
               struct findings *findings, struct rows *ret_rows);

/* An error for the first column of each row, with what stands before and behind it. */
void check_tell_each(const struct rows *rows, const char *before, const char *behind,
                     struct findings *findings);
