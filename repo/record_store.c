#include "repo/record_store.h"

#include <assert.h>

#include "repo/pg/refused_row.h"

/* --- ids --------------------------------------------------------------------------------- */

struct id_position *store_positions(const struct text *ids, size_t count, struct arena *arena)
{
    struct id_position *positions = ARENA_ARRAY(arena, struct id_position, count);
    if (positions == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        positions[i] = (struct id_position){ids[i], i};
    id_positions_sort(positions, count);
    return positions;
}

bool store_distinct(const struct id_position *positions, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (text_equal(positions[i - 1].id, positions[i].id))
            return false;
    }
    return true;
}

void store_ids_param(struct params *params, const struct id_position *positions, size_t count)
{
    struct pg_array ids;

    pg_array_init(&ids, PG_TEXT_ARRAY, params->arena);
    for (size_t i = 0; i < count; i++)
        pg_array_text(&ids, positions[i].id);
    params_array(params, &ids);
}

enum outcome store_position(const struct id_position *positions, size_t count, struct text id,
                            size_t *ret_position, struct err *err)
{
    const struct id_position *found = id_positions_find(positions, count, id);
    if (found == NULL)
        return refused_row_set_renamed(err, "answer");
    *ret_position = found->position;
    return OUTCOME_OK;
}

/* --- upsert ------------------------------------------------------------------------------ */

struct upsert_state {
    struct store_upsert upsert;
    const void *const *sorted; /* the records, in the order of `positions` */
    size_t count;
    const struct id_position *positions;
    enum write_result *answers; /* collected here, so that a failure leaves the caller's alone */
    enum write_result *results; /* the caller's */
};

static enum outcome upsert_read(struct write *write, const struct rows *rows, size_t *ret_open,
                                struct err *err)
{
    struct upsert_state *state = write->state;

    for (size_t i = 0; i < state->count; i++)
        state->answers[i] = WRITE_OPEN;
    for (size_t i = 0; i < rows->row_count; i++) {
        struct pg_row reader;
        size_t position = 0;

        pg_row_init(&reader, rows, i, NULL);
        struct text id = pg_row_text(&reader);
        bool inserted = pg_row_bool(&reader);
        enum outcome outcome = pg_row_done(&reader, "upsert", err);
        if (outcome == OUTCOME_OK)
            outcome = store_position(state->positions, state->count, id, &position, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        state->answers[position] = inserted ? WRITE_CREATED : WRITE_UPDATED;
    }
    size_t open = 0;
    for (size_t i = 0; i < state->count; i++)
        open += state->answers[i] == WRITE_OPEN ? 1 : 0;
    if (open > 0 && state->upsert.taken == NULL)
        return refused_row_set_skipped(err, "answer");

    memcpy(state->results, state->answers, state->count * sizeof(state->answers[0]));
    *ret_open = open;
    return OUTCOME_OK;
}

/* Of the rows that were not written: those whose unique value belongs to another row. */
static enum outcome taken_run(const struct upsert_state *state, struct executor *db,
                              struct arena *arena, struct rows *ret_rows, struct err *err)
{
    const struct store_upsert *upsert = &state->upsert;
    const struct record_sql *sql = record_sql_of(upsert->spec);
    const void **open = ARENA_ARRAY(arena, const void *, state->count);
    struct statement statement = {.name = upsert->taken_name};
    struct params params;
    size_t count = 0;

    if (sql == NULL || open == NULL)
        return err_no_memory(err, upsert->taken_name);
    for (size_t i = 0; i < state->count; i++) {
        if (state->results[state->positions[i].position] == WRITE_OPEN)
            open[count++] = state->sorted[i];
    }
    statement.sql = arena_printf(arena, "SELECT u.id FROM %s WHERE %s", sql->unnest, upsert->taken);
    params_init(&params, arena, sql->param_count);
    record_sql_params(upsert->spec, (const void *const *)open, count, &params);
    if (statement.sql == NULL || !params_done(&params, &statement))
        return err_no_memory(err, upsert->taken_name);
    return executor_run(db, &statement, arena, ret_rows, err);
}

static enum outcome upsert_settle(struct write *write, struct executor *db, struct arena *arena,
                                  struct err *err)
{
    const struct upsert_state *state = write->state;
    struct rows rows = {0};

    enum outcome outcome = taken_run(state, db, arena, &rows, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < rows.row_count; i++) {
        struct pg_row reader;
        size_t position = 0;

        pg_row_init(&reader, &rows, i, NULL);
        outcome =
            store_position(state->positions, state->count, pg_row_text(&reader), &position, err);
        if (outcome == OUTCOME_OK)
            state->results[position] = WRITE_DUPLICATE;
    }
    for (size_t i = 0; outcome == OUTCOME_OK && i < state->count; i++) {
        if (state->results[i] == WRITE_OPEN)
            outcome = refused_row_set_skipped(err, state->upsert.name);
    }
    return outcome;
}

enum outcome store_upsert_prepare(const struct store_upsert *upsert, const void *const *records,
                                  size_t count, struct arena *arena, enum write_result *ret_results,
                                  struct write *ret_write, struct err *err)
{
    const struct record_sql *sql = record_sql_of(upsert->spec);
    struct upsert_state *state = ARENA_NEW(arena, struct upsert_state);
    enum write_result *answers = ARENA_ARRAY(arena, enum write_result, count);
    struct id_position *positions;
    const void *const *sorted;
    if (sql == NULL || state == NULL || answers == NULL || records == NULL || upsert->sql == NULL ||
        !records_sorted(upsert->spec, records, count, arena, &positions, &sorted))
        return err_no_memory(err, upsert->name);
    assert(store_distinct(positions, count));

    struct params params;
    struct write write = {
        .statement = {.name = upsert->name, .sql = upsert->sql},
        .read = upsert_read,
        .settle = upsert->taken != NULL ? upsert_settle : NULL,
        .state = state,
    };
    params_init(&params, arena, sql->param_count);
    record_sql_params(upsert->spec, sorted, count, &params);
    if (!params_done(&params, &write.statement))
        return err_no_memory(err, upsert->name);

    *state = (struct upsert_state){*upsert, sorted, count, positions, answers, ret_results};
    *ret_write = write;
    return OUTCOME_OK;
}

static enum outcome lock_read(struct write *write, const struct rows *rows, size_t *ret_open,
                              struct err *err)
{
    (void)write;
    (void)rows;
    (void)err;
    *ret_open = 0;
    return OUTCOME_OK;
}

static enum outcome lock_prepare(const struct store_keeping_upsert *upsert,
                                 const void *const *records, size_t count, struct arena *arena,
                                 struct write *ret_write, struct err *err)
{
    struct id_position *positions;
    const void *const *sorted;
    struct params params;
    struct write write = {
        .statement = {.name = upsert->lock_name,
                      .sql = arena_printf(arena,
                                          "SELECT id FROM {schema}.%s WHERE id = ANY ($1::text[])"
                                          " ORDER BY id FOR UPDATE",
                                          upsert->replace.spec->table)},
        .read = lock_read,
    };

    if (write.statement.sql == NULL ||
        !records_sorted(upsert->replace.spec, records, count, arena, &positions, &sorted))
        return err_no_memory(err, upsert->lock_name);
    assert(store_distinct(positions, count));
    params_init(&params, arena, 1);
    store_ids_param(&params, positions, count);
    if (!params_done(&params, &write.statement))
        return err_no_memory(err, upsert->lock_name);
    *ret_write = write;
    return OUTCOME_OK;
}

/* The inputs of one kind, where they stood, and their answers. */
struct half {
    const void **records;
    size_t *origins;
    enum write_result *results;
    size_t count;
};

static bool half_init(struct half *half, size_t count, struct arena *arena)
{
    *half = (struct half){
        .records = ARENA_ARRAY(arena, const void *, count),
        .origins = ARENA_ARRAY(arena, size_t, count),
        .results = ARENA_ARRAY(arena, enum write_result, count),
    };
    return half->records != NULL && half->origins != NULL && half->results != NULL;
}

enum outcome store_keeping_upsert(struct executor *db, const struct store_keeping_upsert *upsert,
                                  const void *const *records, size_t count, struct arena *arena,
                                  enum write_result *ret_results, struct err *err)
{
    const struct store_upsert *const forms[2] = {&upsert->replace, &upsert->keep};
    struct half halves[2];
    struct write writes[3];
    size_t write_count = 0;

    if (records == NULL || !half_init(&halves[0], count, arena) ||
        !half_init(&halves[1], count, arena))
        return err_no_memory(err, upsert->replace.name);
    for (size_t i = 0; i < count; i++) {
        bool keep = *(const bool *)((const char *)records[i] + upsert->keep_offset);
        struct half *half = &halves[keep ? 1 : 0];
        half->records[half->count] = records[i];
        half->origins[half->count++] = i;
    }

    enum outcome outcome = OUTCOME_OK;
    if (halves[0].count > 0 && halves[1].count > 0)
        outcome = lock_prepare(upsert, records, count, arena, &writes[write_count++], err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < 2; i++) {
        if (halves[i].count > 0)
            outcome = store_upsert_prepare(forms[i], (const void *const *)halves[i].records,
                                           halves[i].count, arena, halves[i].results,
                                           &writes[write_count++], err);
    }
    if (outcome == OUTCOME_OK && write_count > 0)
        outcome = write_run(db, writes, write_count, arena, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < 2; i++) {
        for (size_t j = 0; j < halves[i].count; j++)
            ret_results[halves[i].origins[j]] = halves[i].results[j];
    }
    return outcome;
}

const char *store_guarded_upsert_sql(const struct record_spec *spec, const char *taken, bool keep,
                                     struct arena *arena)
{
    const struct record_sql *sql = record_sql_of(spec);
    if (sql == NULL)
        return NULL;
    return arena_printf(arena,
                        "%s WHERE NOT (%s) ORDER BY u.id COLLATE \"C\""
                        " ON CONFLICT (id) DO UPDATE SET %s"
                        " RETURNING id, (xmax = 0) AS inserted",
                        sql->insert, taken, keep ? sql->assignments_keep : sql->assignments);
}

/* --- remove ------------------------------------------------------------------------------ */

struct remove_state {
    const struct record_spec *spec;
    size_t count;
    const struct id_position *positions;
    struct arena *arena;
    enum write_result *results; /* the caller's */
    void *removed;              /* the caller's */
};

static enum outcome read_removed(const struct remove_state *state, const struct rows *rows,
                                 char *records, size_t *positions, struct err *err)
{
    for (size_t i = 0; i < rows->row_count; i++) {
        char *record = records + i * state->spec->size;
        struct pg_row reader;

        pg_row_init(&reader, rows, i, state->arena);
        record_sql_read(state->spec, &reader, record);
        enum outcome outcome = pg_row_done(&reader, state->spec->table, err);
        if (outcome != OUTCOME_OK)
            return refused_row_set_unreadable(err);
        const struct text *id = field_of_const(&state->spec->fields[0], record);
        outcome = store_position(state->positions, state->count, *id, &positions[i], err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}

/* Takes the removed rows into the caller's results; `first` makes all others open. */
static enum outcome take_removed(const struct remove_state *state, const struct rows *rows,
                                 bool first, struct err *err)
{
    size_t size = state->spec->size;
    char *records = arena_calloc(state->arena, rows->row_count, size);
    size_t *positions = ARENA_ARRAY(state->arena, size_t, rows->row_count);
    if (records == NULL || positions == NULL)
        return err_no_memory(err, "batch arena");

    enum outcome outcome = read_removed(state, rows, records, positions, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (size_t i = 0; first && i < state->count; i++)
        state->results[i] = WRITE_OPEN;
    for (size_t i = 0; i < rows->row_count; i++) {
        state->results[positions[i]] = WRITE_REMOVED;
        memcpy((char *)state->removed + positions[i] * size, records + i * size, size);
    }
    return outcome;
}

static enum outcome remove_read(struct write *write, const struct rows *rows, size_t *ret_open,
                                struct err *err)
{
    const struct remove_state *state = write->state;

    *ret_open = state->count - rows->row_count;
    return take_removed(state, rows, true, err);
}

/* The rows that were not removed, locked, so that nobody else puts one there or takes it away, and
 * removed once more. */
static enum outcome remove_again(const struct remove_state *state, const struct write *write,
                                 struct executor *db, struct arena *arena, struct rows ret_rows[2],
                                 struct err *err)
{
    struct statement statements[2] = {
        {.name = arena_printf(arena, "%s_left", write->statement.name),
         .sql = arena_printf(arena,
                             "SELECT id FROM {schema}.%s WHERE id = ANY ($1::text[])"
                             " ORDER BY id FOR UPDATE",
                             state->spec->table)},
        {.name = write->statement.name, .sql = write->statement.sql},
    };
    struct params params;
    struct pg_array ids;

    pg_array_init(&ids, PG_TEXT_ARRAY, arena);
    for (size_t i = 0; i < state->count; i++) {
        if (state->results[state->positions[i].position] == WRITE_OPEN)
            pg_array_text(&ids, state->positions[i].id);
    }
    params_init(&params, arena, 1);
    params_array(&params, &ids);
    if (statements[0].name == NULL || statements[0].sql == NULL ||
        !params_done(&params, &statements[0]) || !params_done(&params, &statements[1]))
        return err_no_memory(err, write->statement.name);
    return executor_run_all(db, statements, 2, arena, ret_rows, err);
}

/* A row that is locked and is still not removed was skipped. */
static enum outcome remove_settle(struct write *write, struct executor *db, struct arena *arena,
                                  struct err *err)
{
    const struct remove_state *state = write->state;
    struct rows rows[2] = {{0}};

    enum outcome outcome = remove_again(state, write, db, arena, rows, err);
    if (outcome == OUTCOME_OK)
        outcome = take_removed(state, &rows[1], false, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (rows[1].row_count < rows[0].row_count)
        return refused_row_set_skipped(err, write->statement.name);
    for (size_t i = 0; i < state->count; i++) {
        if (state->results[i] == WRITE_OPEN)
            state->results[i] = WRITE_NOT_FOUND;
    }
    return OUTCOME_OK;
}

enum outcome store_remove_prepare(const struct record_spec *spec, const char *name,
                                  const struct text *ids, size_t count, struct arena *arena,
                                  enum write_result *ret_results, void *ret_removed,
                                  struct write *ret_write, struct err *err)
{
    const struct record_sql *sql = record_sql_of(spec);
    struct remove_state *state = ARENA_NEW(arena, struct remove_state);
    struct id_position *positions = store_positions(ids, count, arena);
    if (sql == NULL || state == NULL || positions == NULL)
        return err_no_memory(err, name);
    assert(store_distinct(positions, count));

    /* id = ANY(ARRAY[...]) leaves the planner one plan, a loop over the ids in their order with a
     * look-up each. For a plain equality it would cache a join over the whole table, made while the
     * table was small, and lock in that join's order. */
    struct write write = {
        .statement = {.name = name,
                      .sql = arena_printf(
                          arena,
                          "DELETE FROM {schema}.%s USING unnest($1::text[]) AS u(wanted)"
                          " WHERE id = ANY (ARRAY[u.wanted]) RETURNING %s",
                          spec->table, sql->columns)},
        .read = remove_read,
        .settle = remove_settle,
        .state = state,
    };
    struct params params;
    params_init(&params, arena, 1);
    store_ids_param(&params, positions, count);
    if (write.statement.sql == NULL || !params_done(&params, &write.statement))
        return err_no_memory(err, name);

    *state = (struct remove_state){spec, count, positions, arena, ret_results, ret_removed};
    *ret_write = write;
    return OUTCOME_OK;
}

/* --- reads ------------------------------------------------------------------------------- */

void store_query_init(struct store_query *query, const struct record_spec *spec, const char *name,
                      const char *tail, struct arena *arena)
{
    *query = (struct store_query){.spec = spec, .name = name, .tail = tail};
    params_init(&query->params, arena, STORE_PARAMS_MAX);
}

static enum outcome query_run(struct executor *db, const struct store_query *query,
                              struct arena *arena, struct rows *ret_rows, struct err *err)
{
    const struct record_sql *sql = record_sql_of(query->spec);
    if (sql == NULL)
        return err_no_memory(err, query->name);

    struct statement statement = {
        .name = query->name,
        .sql = arena_printf(arena, "%s %s", sql->select, query->tail),
    };
    if (statement.sql == NULL || !params_done(&query->params, &statement))
        return err_no_memory(err, query->name);
    return executor_run(db, &statement, arena, ret_rows, err);
}

enum outcome store_list(struct executor *db, struct store_query *query, struct arena *arena,
                        const void **ret_records, size_t *ret_count, struct err *err)
{
    struct rows rows = {0};
    enum outcome outcome = query_run(db, query, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    char *records = arena_calloc(arena, rows.row_count, query->spec->size);
    if (records == NULL)
        return err_no_memory(err, query->name);
    for (size_t i = 0; i < rows.row_count; i++) {
        struct pg_row reader;
        pg_row_init(&reader, &rows, i, arena);
        record_sql_read(query->spec, &reader, records + i * query->spec->size);
        outcome = pg_row_done(&reader, query->name, err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    *ret_records = records;
    *ret_count = rows.row_count;
    return OUTCOME_OK;
}

enum outcome store_find(struct executor *db, struct store_query *query, struct arena *arena,
                        const void **ret_record, struct err *err)
{
    const void *records = NULL;
    size_t count = 0;
    enum outcome outcome = store_list(db, query, arena, &records, &count, err);
    if (outcome == OUTCOME_OK)
        *ret_record = count > 0 ? records : NULL;
    return outcome;
}

enum outcome store_get(struct executor *db, const struct record_spec *spec, const char *name,
                       const struct text *ids, size_t count, struct arena *arena,
                       const void **ret_records, struct err *err)
{
    struct id_position *positions = store_positions(ids, count, arena);
    if (positions == NULL)
        return err_no_memory(err, name);

    struct store_query query;
    const void *records = NULL;
    size_t found = 0;
    store_query_init(&query, spec, name, "WHERE id = ANY ($1::text[])", arena);
    store_ids_param(&query.params, positions, count);
    enum outcome outcome = store_list(db, &query, arena, &records, &found, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    for (size_t i = 0; i < count; i++)
        ret_records[i] = NULL;
    for (size_t i = 0; i < found; i++) {
        const char *record = (const char *)records + i * spec->size;
        const struct text *id = field_of_const(&spec->fields[0], record);
        const struct id_position *at = id_positions_find(positions, count, *id);
        for (; at != NULL && at < positions + count && text_equal(at->id, *id); at++)
            ret_records[at->position] = record;
    }
    return OUTCOME_OK;
}
