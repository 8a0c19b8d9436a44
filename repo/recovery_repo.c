#include "repo/recovery_repo.h"

#include "repo/pg/pg_binary.h"
#include "repo/protocol_repo.h"

static enum outcome no_memory(struct err *err)
{
    return err_no_memory(err, "ranges to recover");
}

enum outcome recoveries_list(struct executor *db, struct arena *arena,
                             const struct recovery_range **ret_ranges, size_t *ret_count,
                             struct err *err)
{
    static const struct statement list = {
        .name = "recoveries.list",
        .own = true,
        .sql = "SELECT r.topic_id, r.\"partition\", r.from_offset, r.to_offset"
               " FROM {schema}.catalyst_recoveries r ORDER BY r.topic_id, r.\"partition\"",
    };
    struct rows rows;

    enum outcome outcome = executor_run(db, &list, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct recovery_range *ranges = ARENA_ARRAY(arena, struct recovery_range, rows.row_count);
    if (ranges == NULL)
        return no_memory(err);
    for (size_t i = 0; i < rows.row_count; i++) {
        struct pg_row row;
        pg_row_init(&row, &rows, i, arena);
        ranges[i].topic_id = (int32_t)pg_row_int(&row);
        ranges[i].partition = (int32_t)pg_row_int(&row);
        ranges[i].from = pg_row_int(&row);
        ranges[i].to = pg_row_int(&row);
        outcome = pg_row_done(&row, list.name, err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    *ret_ranges = ranges;
    *ret_count = rows.row_count;
    return OUTCOME_OK;
}

enum outcome recoveries_store(struct executor *db, const struct recovery_range *ranges,
                              size_t count, struct arena *arena, struct err *err)
{
    struct statement store = {
        .name = "recoveries.store",
        .own = true,
        .sql = "INSERT INTO {schema}.catalyst_recoveries (topic_id, \"partition\", from_offset, "
               "to_offset)"
               " SELECT * FROM unnest($1::int4[], $2::int4[], $3::int8[], $4::int8[])"
               " ON CONFLICT (topic_id, \"partition\") DO NOTHING",
    };
    struct pg_array topics, partitions, froms, tos;
    struct params params;
    struct rows rows;

    params_init(&params, arena, 4);
    pg_array_init(&topics, PG_INT4_ARRAY, arena);
    pg_array_init(&partitions, PG_INT4_ARRAY, arena);
    pg_array_init(&froms, PG_INT8_ARRAY, arena);
    pg_array_init(&tos, PG_INT8_ARRAY, arena);
    for (size_t i = 0; i < count; i++) {
        pg_array_int4(&topics, ranges[i].topic_id);
        pg_array_int4(&partitions, ranges[i].partition);
        pg_array_int8(&froms, ranges[i].from);
        pg_array_int8(&tos, ranges[i].to);
    }
    params_array(&params, &topics);
    params_array(&params, &partitions);
    params_array(&params, &froms);
    params_array(&params, &tos);
    if (!params_done(&params, &store))
        return no_memory(err);
    return executor_run(db, &store, arena, &rows, err);
}

enum outcome recoveries_finish(struct executor *db, const struct recovery_range *ranges,
                               size_t count, struct arena *arena, struct err *err)
{
    static const struct statement clear = {
        .name = "recoveries.clear",
        .own = true,
        .sql = "DELETE FROM {schema}.catalyst_recoveries",
    };
    struct stored_offset *offsets = ARENA_ARRAY(arena, struct stored_offset, count);
    struct statement save;
    struct rows rows[4];

    if (offsets == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        offsets[i] = (struct stored_offset){.topic_id = ranges[i].topic_id,
                                            .partition = ranges[i].partition,
                                            .offset = ranges[i].to,
                                            .recorded = ranges[i].to};
    enum outcome outcome = published_offsets_save_prepare(offsets, count, arena, &save, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    const struct statement statements[] = {executor_begin, save, clear, executor_commit};
    return executor_run_all(db, statements, 4, arena, rows, err);
}
