#include <assert.h>

#include "repo/keys_repo.h"
#include "repo/pg/refused_row.h"
#include "repo/record_store.h"

/* keys_record_usage(): apart from the rest of the keys for its two steps, the usual one and the
 * judging one. */

struct usage_state {
    const struct key_usage *usages;
    size_t count;
    const struct id_position *positions;
    bool *answered; /* per input */
    struct arena *arena;
    struct key_usage_result *results; /* the caller's */
};

/* Counts the usages of a key only when all of them are good: max_at is the latest of them. The
 * others are left to judge_sql. ANY (ARRAY[...]) makes the planner look keys up one by one, in the
 * order of the parameter, see store_remove_prepare(). */
static const char usage_sql[] =
    "UPDATE {schema}.auth_keys AS k SET usage_count = k.usage_count + u.n, last_used_at = "
    "u.last_at,"
    " updated_at = u.last_at"
    " FROM unnest($1::text[], $2::int8[], $3::timestamptz[], $4::timestamptz[])"
    " AS u(wanted, n, last_at, max_at)"
    " WHERE k.id = ANY (ARRAY[u.wanted]) AND k.revoked_at IS NULL"
    " AND k.status NOT IN ('revoked', 'expired')"
    " AND (k.expires_at IS NULL OR k.expires_at > u.max_at)"
    " RETURNING k.id, k.owner_kind, k.owner_id, k.usage_count";

/* Judges each usage at its own time, as key_status() does, and counts the good ones: in one
 * statement, so that the verdict still stands when it is acted on, inside a transaction or not.
 * $1 the keys; $2, $3 the usages in order. */
static const char judge_sql[] =
    "WITH held AS ("
    "SELECT k.id, k.revoked_at IS NOT NULL OR k.status = 'revoked' AS revoked,"
    " k.status = 'expired' AS expired, k.expires_at"
    " FROM {schema}.auth_keys AS k WHERE k.id = ANY ($1::text[]) ORDER BY k.id FOR UPDATE"
    "), judged AS ("
    "SELECT u.place, u.wanted, u.used_at, CASE WHEN h.id IS NULL THEN 'not_found'"
    " WHEN h.revoked THEN 'revoked'"
    " WHEN h.expired OR h.expires_at <= u.used_at THEN 'expired' ELSE 'counted' END AS verdict"
    " FROM unnest($2::text[], $3::timestamptz[]) WITH ORDINALITY AS u(wanted, used_at, place)"
    " LEFT JOIN held AS h ON h.id = u.wanted"
    "), good AS ("
    "SELECT wanted, count(*) AS n, (array_agg(used_at ORDER BY place DESC))[1] AS last_at"
    " FROM judged WHERE verdict = 'counted' GROUP BY wanted"
    "), counted AS ("
    "UPDATE {schema}.auth_keys AS k SET usage_count = k.usage_count + g.n, last_used_at = "
    "g.last_at,"
    " updated_at = g.last_at"
    " FROM good AS g WHERE k.id = ANY (ARRAY[g.wanted])"
    " RETURNING k.id, k.owner_kind, k.owner_id, k.usage_count"
    ") "
    "SELECT j.place, j.verdict, c.id IS NOT NULL, c.owner_kind, c.owner_id, c.usage_count"
    " FROM judged AS j LEFT JOIN counted AS c ON c.id = j.wanted";

static enum outcome read_counted(struct pg_row *reader, const struct usage_state *state,
                                 struct key_usage_result *result, const char *what, struct err *err)
{
    struct ref owner;

    owner.kind = pg_row_text(reader);
    owner.id = pg_row_text(reader);
    int64_t usage_count = pg_row_int(reader);
    enum outcome outcome = pg_row_done(reader, what, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!arena_copy_text(state->arena, owner.kind, &result->owner.kind) ||
        !arena_copy_text(state->arena, owner.id, &result->owner.id))
        return err_no_memory(err, what);
    result->usage_count = usage_count;
    return OUTCOME_OK;
}

static enum outcome usage_read(struct write *write, const struct rows *rows, size_t *ret_open,
                               struct err *err)
{
    struct usage_state *state = write->state;

    for (size_t i = 0; i < rows->row_count; i++) {
        struct pg_row reader;
        size_t position = 0;

        pg_row_init(&reader, rows, i, NULL);
        struct text id = pg_row_text(&reader);
        enum outcome outcome = store_position(state->positions, state->count, id, &position, err);
        if (outcome == OUTCOME_OK)
            outcome =
                read_counted(&reader, state, &state->results[position], "keys.record_usage", err);
        if (outcome != OUTCOME_OK)
            return outcome;
        for (size_t j = 0; j < state->usages[position].count; j++)
            state->results[position].results[j] = WRITE_UPDATED;
        state->answered[position] = true;
    }

    *ret_open = state->count - rows->row_count;
    return OUTCOME_OK;
}

/* One usage that waits for judgement. */
struct open_usage {
    size_t key;
    size_t usage;
};

static size_t count_open(const struct usage_state *state)
{
    size_t count = 0;

    for (size_t i = 0; i < state->count; i++)
        count += state->answered[i] ? 0 : state->usages[i].count;
    return count;
}

static enum outcome judge_prepare(const struct usage_state *state, struct open_usage *open,
                                  struct arena *arena, struct statement *ret_statement,
                                  struct err *err)
{
    struct pg_array ids;
    struct pg_array wanted;
    struct pg_array used_at;
    struct params params;
    size_t count = 0;

    pg_array_init(&ids, PG_TEXT_ARRAY, arena);
    pg_array_init(&wanted, PG_TEXT_ARRAY, arena);
    pg_array_init(&used_at, PG_TIMESTAMPTZ_ARRAY, arena);
    for (size_t i = 0; i < state->count; i++) {
        size_t key = state->positions[i].position;
        if (state->answered[key])
            continue;
        pg_array_text(&ids, state->usages[key].id);
        for (size_t j = 0; j < state->usages[key].count; j++) {
            pg_array_text(&wanted, state->usages[key].id);
            pg_array_time(&used_at, state->usages[key].used_at_us[j]);
            open[count++] = (struct open_usage){key, j};
        }
    }

    *ret_statement = (struct statement){.name = "keys.judge_usage", .sql = judge_sql};
    params_init(&params, arena, 3);
    params_array(&params, &ids);
    params_array(&params, &wanted);
    params_array(&params, &used_at);
    return params_done(&params, ret_statement) ? OUTCOME_OK
                                               : err_no_memory(err, ret_statement->name);
}

static enum outcome verdict_read(const struct usage_state *state, const struct rows *rows,
                                 size_t row, const struct open_usage *open, size_t open_count,
                                 struct err *err)
{
    struct pg_row reader;

    pg_row_init(&reader, rows, row, NULL);
    int64_t place = pg_row_int(&reader); /* from 1 */
    struct text verdict = pg_row_text(&reader);
    bool counted = pg_row_bool(&reader);
    if (place < 1 || (size_t)place > open_count)
        return err_set(err, OUTCOME_FATAL, "", "keys.judge_usage: no such usage");

    const struct open_usage *of = &open[place - 1];
    struct key_usage_result *result = &state->results[of->key];
    enum write_result *answer = &result->results[of->usage];
    if (text_is(verdict, "counted") && !counted)
        return refused_row_set_skipped(err, "keys.judge_usage");
    if (text_is(verdict, "counted")) {
        *answer = WRITE_UPDATED;
        return read_counted(&reader, state, result, "keys.judge_usage", err);
    }
    *answer = text_is(verdict, "revoked")   ? WRITE_REVOKED
              : text_is(verdict, "expired") ? WRITE_EXPIRED
                                            : WRITE_NOT_FOUND;
    return pg_row_done(&reader, "keys.judge_usage", err);
}

static enum outcome usage_settle(struct write *write, struct executor *db, struct arena *arena,
                                 struct err *err)
{
    const struct usage_state *state = write->state;
    size_t open_count = count_open(state);
    struct open_usage *open = ARENA_ARRAY(arena, struct open_usage, open_count);
    struct statement statement;
    struct rows rows;
    if (open == NULL)
        return err_no_memory(err, "keys.judge_usage");

    enum outcome outcome = judge_prepare(state, open, arena, &statement, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome == OUTCOME_OK && rows.row_count != open_count)
        outcome = err_set(err, OUTCOME_FATAL, "", "keys.judge_usage: not one row per usage");
    for (size_t i = 0; outcome == OUTCOME_OK && i < open_count; i++)
        outcome = verdict_read(state, &rows, i, open, open_count, err);
    return outcome;
}

static int64_t latest(const struct key_usage *usage)
{
    int64_t max_us = usage->used_at_us[0];

    for (size_t i = 1; i < usage->count; i++) {
        if (usage->used_at_us[i] > max_us)
            max_us = usage->used_at_us[i];
    }
    return max_us;
}

static bool usage_params(const struct key_usage *usages, const struct id_position *positions,
                         size_t count, struct arena *arena, struct statement *statement)
{
    struct pg_array n;
    struct pg_array last_at;
    struct pg_array max_at;
    struct params params;

    pg_array_init(&n, PG_INT8_ARRAY, arena);
    pg_array_init(&last_at, PG_TIMESTAMPTZ_ARRAY, arena);
    pg_array_init(&max_at, PG_TIMESTAMPTZ_ARRAY, arena);
    for (size_t i = 0; i < count; i++) {
        const struct key_usage *usage = &usages[positions[i].position];
        assert(usage->count > 0);
        pg_array_int8(&n, (int64_t)usage->count);
        pg_array_time(&last_at, usage->used_at_us[usage->count - 1]);
        pg_array_time(&max_at, latest(usage));
    }
    params_init(&params, arena, 4);
    store_ids_param(&params, positions, count);
    params_array(&params, &n);
    params_array(&params, &last_at);
    params_array(&params, &max_at);
    return params_done(&params, statement);
}

static struct id_position *usage_positions(const struct key_usage *usages, size_t count,
                                           struct arena *arena)
{
    struct text *ids = ARENA_ARRAY(arena, struct text, count);
    if (ids == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        ids[i] = usages[i].id;
    return store_positions(ids, count, arena);
}

enum outcome keys_record_usage_prepare(const struct key_usage *usages, size_t count,
                                       struct arena *arena, struct key_usage_result *ret_results,
                                       struct write *ret_write, struct err *err)
{
    struct usage_state *state = ARENA_NEW(arena, struct usage_state);
    bool *answered = ARENA_ARRAY(arena, bool, count);
    struct id_position *positions = usage_positions(usages, count, arena);
    struct write write = {
        .statement = {.name = "keys.record_usage", .sql = usage_sql},
        .read = usage_read,
        .settle = usage_settle,
        .state = state,
    };

    if (state == NULL || answered == NULL || positions == NULL)
        return err_no_memory(err, write.statement.name);
    assert(store_distinct(positions, count));
    if (!usage_params(usages, positions, count, arena, &write.statement))
        return err_no_memory(err, write.statement.name);
    *state = (struct usage_state){usages, count, positions, answered, arena, ret_results};
    *ret_write = write;
    return OUTCOME_OK;
}

enum outcome keys_record_usage(struct executor *db, const struct key_usage *usages, size_t count,
                               struct arena *arena, struct key_usage_result *ret_results,
                               struct err *err)
{
    struct write write;
    enum outcome outcome =
        keys_record_usage_prepare(usages, count, arena, ret_results, &write, err);
    return outcome == OUTCOME_OK ? write_run(db, &write, 1, arena, err) : outcome;
}
