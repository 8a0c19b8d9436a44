#include "worker/cli/check_question.h"

static const char where[] = "database";

bool check_ask(struct executor *db, const struct statement *question, struct arena *arena,
               struct findings *findings, struct rows *ret_rows)
{
    struct err err;

    if (executor_run(db, question, arena, ret_rows, &err) == OUTCOME_OK)
        return true;
    finding_add_failure(findings, where, &err);
    executor_recover(db, &err);
    return false;
}

void check_tell_each(const struct rows *rows, const char *before, const char *behind,
                     struct findings *findings)
{
    for (size_t i = 0; i < rows->row_count; i++) {
        struct cell cell = rows_cell(rows, i, 0);
        finding_add(findings, FINDING_ERROR, where, "%s%.*s%s", before, (int)cell.length, cell.data,
                    behind);
    }
}
