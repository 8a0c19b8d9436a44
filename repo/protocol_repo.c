#include "repo/protocol_repo.h"

#include "repo/pg/pg_binary.h"

static enum outcome no_memory(struct err *err)
{
    return err_no_memory(err, "batch arena");
}

/* --- topics ------------------------------------------------------------------------------ */

/* Asks first and inserts only what is missing: an insert that ends in DO NOTHING takes a number
 * all the same, and there are 32767. */
static const struct statement intern_topics = {
    .name = "topics.intern",
    .own = true,
    .sql = "INSERT INTO {schema}.catalyst_topics (name)"
           " SELECT DISTINCT u.name FROM unnest($1::text[]) AS u(name)"
           " WHERE NOT EXISTS (SELECT FROM {schema}.catalyst_topics t WHERE t.name = u.name)"
           " ORDER BY u.name"
           " ON CONFLICT (name) DO NOTHING",
};
/* A statement of its own, so that it sees what another replica committed meanwhile. */
static const struct statement find_topics = {
    .name = "topics.find",
    .own = true,
    .sql = "SELECT t.topic_id FROM unnest($1::text[]) WITH ORDINALITY AS u(name, nth)"
           " JOIN {schema}.catalyst_topics t ON t.name = u.name ORDER BY u.nth",
};

enum outcome topics_intern(struct executor *db, const struct text *names, size_t count,
                           struct arena *arena, int32_t *ret_topic_ids, struct err *err)
{
    struct statement statements[] = {intern_topics, find_topics};
    struct params params;
    struct rows rows[2];

    params_init(&params, arena, 1);
    params_text_array(&params, names, count);
    if (!params_done(&params, &statements[0]) || !params_done(&params, &statements[1]))
        return no_memory(err);
    enum outcome outcome = executor_run_all(db, statements, 2, arena, rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (rows[1].row_count != count)
        return err_set(err, OUTCOME_FATAL, "", "topics.find: a topic was removed meanwhile");
    for (size_t i = 0; i < count; i++) {
        struct pg_row row;
        pg_row_init(&row, &rows[1], i, arena);
        ret_topic_ids[i] = (int32_t)pg_row_int(&row);
        outcome = pg_row_done(&row, "topics.find", err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}

enum outcome topics_list(struct executor *db, struct arena *arena,
                         const struct topic_number **ret_topics, size_t *ret_count, struct err *err)
{
    static const struct statement list = {
        .name = "topics.list",
        .own = true,
        .sql = "SELECT t.topic_id, t.name, coalesce((SELECT max(o.\"partition\") + 1"
               " FROM {schema}.catalyst_consumer_offsets o WHERE o.topic_id = t.topic_id), 0)"
               " FROM {schema}.catalyst_topics t ORDER BY t.topic_id",
    };
    struct rows rows;

    enum outcome outcome = executor_run(db, &list, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct topic_number *topics = ARENA_ARRAY(arena, struct topic_number, rows.row_count);
    if (topics == NULL)
        return no_memory(err);
    for (size_t i = 0; i < rows.row_count; i++) {
        struct pg_row row;
        pg_row_init(&row, &rows, i, arena);
        topics[i].topic_id = (int32_t)pg_row_int(&row);
        struct text name = pg_row_text(&row);
        topics[i].name = arena_copy(arena, name.data != NULL ? name.data : "", name.length);
        topics[i].partitions = (int32_t)pg_row_int(&row);
        if (topics[i].name == NULL)
            return no_memory(err);
        outcome = pg_row_done(&row, list.name, err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    *ret_topics = topics;
    *ret_count = rows.row_count;
    return OUTCOME_OK;
}

/* --- published offsets ------------------------------------------------------------------- */

/* $n topic_id, $n+1 partition, of all or of those to be reset. */
static void append_partitions(struct params *params, const struct stored_offset *offsets,
                              size_t count, bool only_reset)
{
    struct pg_array topics;
    struct pg_array partitions;

    pg_array_init(&topics, PG_INT4_ARRAY, params->arena);
    pg_array_init(&partitions, PG_INT4_ARRAY, params->arena);
    for (size_t i = 0; i < count; i++) {
        if (only_reset && !offsets[i].reset)
            continue;
        pg_array_int4(&topics, offsets[i].topic_id);
        pg_array_int4(&partitions, offsets[i].partition);
    }
    params_array(params, &topics);
    params_array(params, &partitions);
}

enum outcome published_offsets_load(struct executor *db, struct stored_offset *offsets,
                                    size_t count, struct arena *arena, struct err *err)
{
    struct statement statement = {
        .name = "published_offsets.load",
        .own = true,
        .sql = "SELECT coalesce(o.published_offset, 0), coalesce(o.recorded_offset, 0)"
               " FROM unnest($1::int4[], $2::int4[]) WITH ORDINALITY AS u(topic_id, part, nth)"
               " LEFT JOIN {schema}.catalyst_consumer_offsets o"
               " ON o.topic_id = u.topic_id AND o.\"partition\" = u.part ORDER BY u.nth",
    };
    struct params params;
    struct rows rows;

    params_init(&params, arena, 2);
    append_partitions(&params, offsets, count, false);
    if (!params_done(&params, &statement))
        return no_memory(err);
    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (rows.row_count != count)
        return err_set(err, OUTCOME_FATAL, "", "%s: %zu rows for %zu partitions", statement.name,
                       rows.row_count, count);
    for (size_t i = 0; i < count; i++) {
        struct pg_row row;
        pg_row_init(&row, &rows, i, arena);
        offsets[i].offset = pg_row_int(&row);
        offsets[i].recorded = pg_row_int(&row);
        outcome = pg_row_done(&row, statement.name, err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}

enum outcome published_offsets_save_prepare(const struct stored_offset *offsets, size_t count,
                                            struct arena *arena, struct statement *ret_statement,
                                            struct err *err)
{
    struct statement statement = {
        .name = "published_offsets.save",
        .own = true,
        .sql = "INSERT INTO {schema}.catalyst_consumer_offsets AS o"
               " (topic_id, \"partition\", published_offset, recorded_offset)"
               " SELECT * FROM unnest($1::int4[], $2::int4[], $3::int8[], $4::int8[])"
               " AS u(topic_id, part, published_offset, recorded_offset)"
               " ORDER BY u.topic_id, u.part"
               " ON CONFLICT (topic_id, \"partition\") DO UPDATE SET published_offset ="
               " CASE WHEN (excluded.topic_id, excluded.\"partition\")"
               " IN (SELECT * FROM unnest($5::int4[], $6::int4[]))"
               " THEN excluded.published_offset"
               " ELSE greatest(o.published_offset, excluded.published_offset) END,"
               " recorded_offset = greatest(o.recorded_offset, excluded.recorded_offset)",
    };
    struct pg_array values;
    struct pg_array recorded;
    struct params params;

    params_init(&params, arena, 6);
    append_partitions(&params, offsets, count, false);
    pg_array_init(&values, PG_INT8_ARRAY, arena);
    pg_array_init(&recorded, PG_INT8_ARRAY, arena);
    for (size_t i = 0; i < count; i++) {
        pg_array_int8(&values, offsets[i].offset);
        pg_array_int8(&recorded, offsets[i].recorded);
    }
    params_array(&params, &values);
    params_array(&params, &recorded);
    append_partitions(&params, offsets, count, true);
    if (!params_done(&params, &statement))
        return no_memory(err);
    *ret_statement = statement;
    return OUTCOME_OK;
}
