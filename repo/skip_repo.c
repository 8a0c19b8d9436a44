#include "repo/skip_repo.h"

#include "repo/pg/pg_binary.h"

static enum outcome no_memory(struct err *err)
{
    return err_no_memory(err, "skip requests");
}

enum outcome skip_request_write(struct executor *db, const struct stored_skip *skip,
                                struct arena *arena, bool *ret_written, struct err *err)
{
    struct statement statement = {
        .name = "skip_requests.write",
        .own = true,
        .sql = "INSERT INTO {schema}.catalyst_skip_requests"
               " (topic, \"partition\", from_offset, to_offset, reason, unread)"
               " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (topic, \"partition\") DO NOTHING",
    };
    struct params params;
    struct rows rows;

    params_init(&params, arena, 6);
    params_text(&params, skip->topic);
    params_int4(&params, skip->partition);
    params_int8(&params, skip->from);
    params_int8(&params, skip->to);
    params_text(&params, skip->reason);
    params_bool(&params, skip->unread);
    if (!params_done(&params, &statement))
        return no_memory(err);
    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome == OUTCOME_OK)
        *ret_written = rows.affected == 1;
    return outcome;
}

static enum outcome read_skip(const struct rows *rows, size_t nth, struct arena *arena,
                              struct stored_skip *ret_skip, struct err *err)
{
    struct pg_row row;

    pg_row_init(&row, rows, nth, arena);
    ret_skip->topic = pg_row_text(&row);
    ret_skip->partition = (int32_t)pg_row_int(&row);
    ret_skip->from = pg_row_int(&row);
    ret_skip->to = pg_row_int(&row);
    ret_skip->reason = pg_row_text(&row);
    ret_skip->unread = pg_row_bool(&row);
    ret_skip->requested_us = pg_row_time(&row);
    return pg_row_done(&row, "skip_requests.list", err);
}

enum outcome skip_requests_list(struct executor *db, struct arena *arena,
                                const struct stored_skip **ret_skips, size_t *ret_count,
                                struct err *err)
{
    static const struct statement list = {
        .name = "skip_requests.list",
        .own = true,
        .sql = "SELECT topic, \"partition\", from_offset, to_offset, reason, unread,"
               " requested_at"
               " FROM {schema}.catalyst_skip_requests ORDER BY topic, \"partition\"",
    };
    struct rows rows;

    enum outcome outcome = executor_run(db, &list, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct stored_skip *skips = ARENA_ARRAY(arena, struct stored_skip, rows.row_count);
    if (skips == NULL)
        return no_memory(err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < rows.row_count; i++)
        outcome = read_skip(&rows, i, arena, &skips[i], err);
    *ret_skips = skips;
    *ret_count = rows.row_count;
    return outcome;
}

enum outcome skip_request_delete(struct executor *db, const struct stored_skip *skip,
                                 struct arena *arena, struct err *err)
{
    struct statement statement = {
        .name = "skip_requests.delete",
        .own = true,
        .sql = "DELETE FROM {schema}.catalyst_skip_requests WHERE topic = $1 AND \"partition\" = $2"
               " AND from_offset = $3 AND to_offset = $4",
    };
    struct params params;
    struct rows rows;

    params_init(&params, arena, 4);
    params_text(&params, skip->topic);
    params_int4(&params, skip->partition);
    params_int8(&params, skip->from);
    params_int8(&params, skip->to);
    if (!params_done(&params, &statement))
        return no_memory(err);
    return executor_run(db, &statement, arena, &rows, err);
}
