#include "repo/pg/executor.h"

const struct statement executor_begin = {.name = "begin",
                                         .sql = "BEGIN ISOLATION LEVEL READ COMMITTED"};
const struct statement executor_commit = {.name = "commit", .sql = "COMMIT"};
const struct statement executor_rollback = {.name = "rollback", .sql = "ROLLBACK"};
