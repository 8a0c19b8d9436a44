#include "repo/pg/write.h"

#include <assert.h>

enum outcome write_run(struct executor *db, struct write *writes, size_t count, struct arena *arena,
                       struct err *err)
{
    struct statement *statements = ARENA_ARRAY(arena, struct statement, count);
    struct rows *rows = ARENA_ARRAY(arena, struct rows, count);
    size_t *open = ARENA_ARRAY(arena, size_t, count);
    if (statements == NULL || rows == NULL || open == NULL)
        return err_no_memory(err, "batch arena");

    for (size_t i = 0; i < count; i++)
        statements[i] = writes[i].statement;
    enum outcome outcome = executor_run_all(db, statements, count, arena, rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    for (size_t i = 0; i < count; i++) {
        outcome = writes[i].read(&writes[i], &rows[i], &open[i], err);
        if (outcome != OUTCOME_OK)
            return err_prefix(err, "%s", writes[i].statement.name);
    }
    for (size_t i = 0; i < count; i++) {
        if (open[i] == 0)
            continue;
        assert(writes[i].settle != NULL);
        outcome = writes[i].settle(&writes[i], db, arena, err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}
