#include "repo/keys_repo.h"

#include <assert.h>

#include "base/map.h"
#include "base/timestamp.h"
#include "repo/pg/refused_row.h"
#include "repo/record_store.h"
#include "repo/row_triggers.h"

DEFINE_STORE_GET(key)

/* --- issue ------------------------------------------------------------------------------- */

struct issue_state {
    const struct key *const *keys;
    size_t count;
    const struct id_position *positions;
    enum write_result *results; /* the caller's */
};

static enum outcome issue_read(struct write *write, const struct rows *rows, size_t *ret_open,
                               struct err *err)
{
    struct issue_state *state = write->state;

    for (size_t i = 0; i < state->count; i++)
        state->results[i] = WRITE_OPEN;
    for (size_t i = 0; i < rows->row_count; i++) {
        struct pg_row reader;
        size_t position = 0;

        pg_row_init(&reader, rows, i, NULL);
        struct text id = pg_row_text(&reader);
        enum outcome outcome = pg_row_done(&reader, "keys.issue", err);
        if (outcome == OUTCOME_OK)
            outcome = store_position(state->positions, state->count, id, &position, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        state->results[position] = WRITE_CREATED;
    }

    *ret_open = state->count - rows->row_count;
    return OUTCOME_OK;
}

/* Which of its two unique values was in the way of a key that was not inserted, whose key has the
 * hash, and could something else have been in the way: another unique index of the table? Where
 * triggers come before inserts as well, nobody can tell which of the two it was. */
static const char collisions_sql[] =
    "SELECT u.id,"
    " EXISTS (SELECT FROM {schema}.auth_keys AS k WHERE k.id = ANY (ARRAY[u.id])),"
    " (SELECT k.id FROM {schema}.auth_keys AS k WHERE k.hash = ANY (ARRAY[u.hash])),"
    " (SELECT count(*) > 2 FROM pg_index AS i WHERE i.indrelid = "
    "to_regclass('{schema_text}.auth_keys')"
    " AND (i.indisunique OR i.indisexclusion))"
    " AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = "
    "to_regclass('{schema_text}.auth_keys')"
    " AND " ROW_TRIGGER_BEFORE_INSERT ")"
    " FROM unnest($1::text[], $2::text[]) AS u(id, hash)";

/* The row that has the hash came from this very statement, which has no two keys with one hash: a
 * trigger gave it the id of another key of the statement. */
static bool is_renamed(const struct issue_state *state, struct text hash_owner)
{
    const struct id_position *at = id_positions_find(state->positions, state->count, hash_owner);
    return at != NULL && state->results[at->position] == WRITE_CREATED;
}

static enum outcome collisions_read(const struct issue_state *state, const struct rows *rows,
                                    struct err *err)
{
    for (size_t i = 0; i < rows->row_count; i++) {
        struct pg_row reader;
        size_t position = 0;

        pg_row_init(&reader, rows, i, NULL);
        struct text id = pg_row_text(&reader);
        bool same_id = pg_row_bool(&reader);
        struct text hash_owner = pg_row_text(&reader);
        bool other_index = pg_row_bool(&reader);
        enum outcome outcome = pg_row_done(&reader, "keys.collisions", err);
        if (outcome == OUTCOME_OK)
            outcome = store_position(state->positions, state->count, id, &position, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (!same_id && text_present(hash_owner) && is_renamed(state, hash_owner))
            return refused_row_set_renamed(err, "keys.issue");
        if (!same_id && !text_present(hash_owner) && !other_index)
            return refused_row_set_skipped(err, "keys.issue");
        state->results[position] = same_id                    ? WRITE_DUPLICATE_ID
                                   : text_present(hash_owner) ? WRITE_DUPLICATE_HASH
                                                              : WRITE_DUPLICATE;
    }
    return OUTCOME_OK;
}

static enum outcome issue_settle(struct write *write, struct executor *db, struct arena *arena,
                                 struct err *err)
{
    const struct issue_state *state = write->state;
    struct statement statement = {.name = "keys.collisions", .sql = collisions_sql};
    struct params params;
    struct pg_array ids;
    struct pg_array hashes;
    struct rows rows;

    pg_array_init(&ids, PG_TEXT_ARRAY, arena);
    pg_array_init(&hashes, PG_TEXT_ARRAY, arena);
    for (size_t i = 0; i < state->count; i++) {
        if (state->results[i] != WRITE_OPEN)
            continue;
        pg_array_text(&ids, state->keys[i]->id);
        pg_array_text(&hashes, state->keys[i]->hash);
    }
    params_init(&params, arena, 2);
    params_array(&params, &ids);
    params_array(&params, &hashes);
    if (!params_done(&params, &statement))
        return err_no_memory(err, statement.name);

    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    return outcome == OUTCOME_OK ? collisions_read(state, &rows, err) : outcome;
}

static bool distinct(struct text_list list)
{
    for (size_t i = 1; i < list.count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (text_equal(list.items[i], list.items[j]))
                return false;
        }
    }
    return true;
}

/* Few are compared with each other; a command may bring as many as its size allows. */
enum { SCOPES_COMPARED = 16 };

/* First-seen order. */
static bool deduplicate(struct text_list list, struct arena *arena, struct text_list *ret_list)
{
    struct text *items = ARENA_ARRAY(arena, struct text, list.count);
    struct map seen;
    size_t count = 0;

    if (items == NULL || !map_init(&seen, arena, list.count))
        return false;
    for (size_t i = 0; i < list.count; i++) {
        bool new = false;
        if (map_put(&seen, 0, list.items[i], &new) == NULL)
            return false;
        if (new)
            items[count++] = list.items[i];
    }
    *ret_list = (struct text_list){items, count};
    return true;
}

/* A new key has no past, whatever the input says. NULL: the arena is full. */
static const struct key *new_key(const struct key *given, struct arena *arena)
{
    struct key *key = ARENA_NEW(arena, struct key);
    if (key == NULL)
        return NULL;
    *key = *given;
    bool few = given->scopes.count <= SCOPES_COMPARED;
    if (!(few && distinct(given->scopes)) && !deduplicate(given->scopes, arena, &key->scopes))
        return NULL;
    key->status = TEXT("active");
    key->usage_count = 0;
    key->last_used_at_us = TIMESTAMP_ABSENT;
    key->revoked_at_us = TIMESTAMP_ABSENT;
    key->revoked_by = (struct ref){TEXT_ABSENT, TEXT_ABSENT};
    key->revocation_reason = TEXT_ABSENT;
    return key;
}

/* The new keys in order of id. NULL: the arena is full. */
static const void *const *new_keys(const struct key *const *keys, size_t count, struct arena *arena,
                                   struct id_position **ret_positions)
{
    const void **fresh = ARENA_ARRAY(arena, const void *, count);
    const void *const *sorted;

    if (fresh == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        fresh[i] = new_key(keys[i], arena);
        if (fresh[i] == NULL)
            return NULL;
    }
    if (!records_sorted(&key_spec, (const void *const *)fresh, count, arena, ret_positions,
                        &sorted))
        return NULL;
    assert(store_distinct(*ret_positions, count));
    return sorted;
}

static enum outcome issue_statement(const struct key *const *keys, size_t count,
                                    struct arena *arena, struct id_position **ret_positions,
                                    struct statement *ret_statement)
{
    const struct record_sql *sql = record_sql_of(&key_spec);
    const void *const *sorted = new_keys(keys, count, arena, ret_positions);
    struct params params;

    if (sql == NULL || sorted == NULL)
        return OUTCOME_FULL;
    ret_statement->sql = arena_printf(arena, "%s ON CONFLICT DO NOTHING RETURNING id", sql->insert);
    params_init(&params, arena, sql->param_count);
    record_sql_params(&key_spec, sorted, count, &params);
    return params_done(&params, ret_statement) && ret_statement->sql != NULL ? OUTCOME_OK
                                                                             : OUTCOME_FULL;
}

enum outcome keys_issue_prepare(const struct key *const *keys, size_t count, struct arena *arena,
                                enum write_result *ret_results, struct write *ret_write,
                                struct err *err)
{
    struct issue_state *state = ARENA_NEW(arena, struct issue_state);
    struct write write = {
        .statement = {.name = "keys.issue"},
        .read = issue_read,
        .settle = issue_settle,
        .state = state,
    };
    struct id_position *positions;

    if (state == NULL ||
        issue_statement(keys, count, arena, &positions, &write.statement) != OUTCOME_OK)
        return err_no_memory(err, "keys.issue");
    *state = (struct issue_state){keys, count, positions, ret_results};
    *ret_write = write;
    return OUTCOME_OK;
}

enum outcome keys_issue(struct executor *db, const struct key *const *keys, size_t count,
                        struct arena *arena, enum write_result *ret_results, struct err *err)
{
    struct write write;
    enum outcome outcome = keys_issue_prepare(keys, count, arena, ret_results, &write, err);
    return outcome == OUTCOME_OK ? write_run(db, &write, 1, arena, err) : outcome;
}

/* --- issue, by COPY ---------------------------------------------------------------------- */

/* What a row of a key takes, roughly; more is taken as needed. */
enum { KEY_ROW_BYTES = 512 };

static enum outcome issue_copy(const struct key *const *keys, size_t count, struct arena *arena,
                               struct copy *ret_copy)
{
    const struct record_sql *sql = record_sql_of(&key_spec);
    struct id_position *positions;
    const void *const *sorted = new_keys(keys, count, arena, &positions);
    struct pg_copy rows;

    if (sql == NULL || sorted == NULL)
        return OUTCOME_FULL;
    /* The savepoint stays until COMMIT: that rows are missing is seen behind the COPY. */
    ret_copy->sql = arena_printf(arena, "SAVEPOINT keys_issue; %s", sql->copy);
    ret_copy->row_count = count;
    pg_copy_init(&rows, arena, count * KEY_ROW_BYTES);
    for (size_t i = 0; i < count; i++)
        record_sql_copy(&key_spec, sorted[i], &rows);
    return pg_copy_done(&rows, &ret_copy->rows) && ret_copy->sql != NULL ? OUTCOME_OK
                                                                         : OUTCOME_FULL;
}

enum outcome keys_issue_copy(struct executor *db, const struct key *const *keys, size_t count,
                             struct arena *arena, enum write_result *ret_results, bool *ret_issued,
                             struct err *err)
{
    static const struct statement undo = {.name = "keys.issue_undo",
                                          .sql = "ROLLBACK TO SAVEPOINT keys_issue"};
    struct copy copy = {.name = "keys.issue_copy"};
    struct rows rows;

    struct arena_mark mark = arena_mark(arena);
    if (issue_copy(keys, count, arena, &copy) != OUTCOME_OK)
        return err_no_memory(err, copy.name);
    enum outcome outcome = executor_copy(db, &copy, err);
    arena_rewind(arena, mark); /* a batch of rows is the largest thing in its arena */
    if (outcome == OUTCOME_RETRY)
        return outcome;
    *ret_issued = outcome == OUTCOME_OK;
    if (!*ret_issued)
        return executor_run(db, &undo, arena, &rows, err);
    for (size_t i = 0; i < count; i++)
        ret_results[i] = WRITE_CREATED;
    return OUTCOME_OK;
}

/* --- revoke ------------------------------------------------------------------------------ */

struct revoke_state {
    size_t count;
    const struct id_position *positions;
    struct arena *arena;
    enum write_result *results; /* the caller's */
    struct ref *owners;         /* the caller's */
};

static const char revoke_sql[] =
    "UPDATE {schema}.auth_keys AS k SET status = 'revoked', revoked_at = u.revoked_at,"
    " updated_at = u.revoked_at, revoked_by_kind = u.by_kind, revoked_by_id = u.by_id,"
    " revocation_reason = u.reason"
    " FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[])"
    " AS u(wanted, revoked_at, by_kind, by_id, reason)"
    " WHERE k.id = ANY (ARRAY[u.wanted]) AND k.status <> 'revoked' AND k.revoked_at IS NULL"
    " RETURNING k.id, k.owner_kind, k.owner_id";

static enum outcome revoke_read(struct write *write, const struct rows *rows, size_t *ret_open,
                                struct err *err)
{
    struct revoke_state *state = write->state;

    for (size_t i = 0; i < state->count; i++)
        state->results[i] = WRITE_OPEN;
    for (size_t i = 0; i < rows->row_count; i++) {
        struct pg_row reader;
        struct ref owner;
        size_t position = 0;

        pg_row_init(&reader, rows, i, NULL);
        struct text id = pg_row_text(&reader);
        owner.kind = pg_row_text(&reader);
        owner.id = pg_row_text(&reader);
        enum outcome outcome = pg_row_done(&reader, "keys.revoke", err);
        if (outcome == OUTCOME_OK)
            outcome = store_position(state->positions, state->count, id, &position, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (!arena_copy_text(state->arena, owner.kind, &state->owners[position].kind) ||
            !arena_copy_text(state->arena, owner.id, &state->owners[position].id))
            return err_no_memory(err, "keys.revoke");
        state->results[position] = WRITE_UPDATED;
    }

    *ret_open = state->count - rows->row_count;
    return OUTCOME_OK;
}

/* A key that was not revoked now and is there was revoked before, or the update skipped it. */
static enum outcome revoke_settle(struct write *write, struct executor *db, struct arena *arena,
                                  struct err *err)
{
    const struct revoke_state *state = write->state;
    struct statement statement = {
        .name = "keys.exist",
        .sql = "SELECT id, status = 'revoked' OR revoked_at IS NOT NULL FROM {schema}.auth_keys"
               " WHERE id = ANY ($1::text[])",
    };
    struct params params;
    struct pg_array ids;
    struct rows rows;

    pg_array_init(&ids, PG_TEXT_ARRAY, arena);
    for (size_t i = 0; i < state->count; i++) {
        if (state->results[state->positions[i].position] == WRITE_OPEN)
            pg_array_text(&ids, state->positions[i].id);
    }
    params_init(&params, arena, 1);
    params_array(&params, &ids);
    if (!params_done(&params, &statement))
        return err_no_memory(err, statement.name);
    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    for (size_t i = 0; i < rows.row_count; i++) {
        struct pg_row reader;
        size_t position = 0;

        pg_row_init(&reader, &rows, i, NULL);
        outcome =
            store_position(state->positions, state->count, pg_row_text(&reader), &position, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (!pg_row_bool(&reader))
            return refused_row_set_skipped(err, "keys.revoke");
        state->results[position] = WRITE_ALREADY_REVOKED;
    }
    for (size_t i = 0; i < state->count; i++) {
        if (state->results[i] == WRITE_OPEN)
            state->results[i] = WRITE_NOT_FOUND;
    }
    return OUTCOME_OK;
}

static bool revoke_params(const struct key *const *revocations, const struct id_position *positions,
                          size_t count, struct arena *arena, struct statement *statement)
{
    struct pg_array revoked_at;
    struct pg_array by_kind;
    struct pg_array by_id;
    struct pg_array reason;
    struct params params;

    pg_array_init(&revoked_at, PG_TIMESTAMPTZ_ARRAY, arena);
    pg_array_init(&by_kind, PG_TEXT_ARRAY, arena);
    pg_array_init(&by_id, PG_TEXT_ARRAY, arena);
    pg_array_init(&reason, PG_TEXT_ARRAY, arena);
    for (size_t i = 0; i < count; i++) {
        const struct key *revocation = revocations[positions[i].position];
        pg_array_time(&revoked_at, revocation->revoked_at_us);
        pg_array_text(&by_kind, revocation->revoked_by.kind);
        pg_array_text(&by_id, revocation->revoked_by.id);
        pg_array_text(&reason, revocation->revocation_reason);
    }
    params_init(&params, arena, 5);
    store_ids_param(&params, positions, count);
    params_array(&params, &revoked_at);
    params_array(&params, &by_kind);
    params_array(&params, &by_id);
    params_array(&params, &reason);
    return params_done(&params, statement);
}

static struct id_position *key_positions(const struct key *const *keys, size_t count,
                                         struct arena *arena)
{
    struct text *ids = ARENA_ARRAY(arena, struct text, count);
    if (ids == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        ids[i] = keys[i]->id;
    return store_positions(ids, count, arena);
}

enum outcome keys_revoke_prepare(const struct key *const *revocations, size_t count,
                                 struct arena *arena, enum write_result *ret_results,
                                 struct ref *ret_owners, struct write *ret_write, struct err *err)
{
    struct revoke_state *state = ARENA_NEW(arena, struct revoke_state);
    struct id_position *positions = key_positions(revocations, count, arena);
    struct write write = {
        .statement = {.name = "keys.revoke", .sql = revoke_sql},
        .read = revoke_read,
        .settle = revoke_settle,
        .state = state,
    };

    if (state == NULL || positions == NULL ||
        !revoke_params(revocations, positions, count, arena, &write.statement))
        return err_no_memory(err, write.statement.name);
    assert(store_distinct(positions, count));
    *state = (struct revoke_state){count, positions, arena, ret_results, ret_owners};
    *ret_write = write;
    return OUTCOME_OK;
}

enum outcome keys_revoke(struct executor *db, const struct key *const *revocations, size_t count,
                         struct arena *arena, enum write_result *ret_results,
                         struct ref *ret_owners, struct err *err)
{
    struct write write;
    enum outcome outcome =
        keys_revoke_prepare(revocations, count, arena, ret_results, ret_owners, &write, err);
    return outcome == OUTCOME_OK ? write_run(db, &write, 1, arena, err) : outcome;
}

/* --- reads ------------------------------------------------------------------------------- */

enum outcome keys_get(struct executor *db, const struct text *ids, size_t count,
                      struct arena *arena, const struct key **ret_keys, struct err *err)
{
    return key_get(db, "keys.get", ids, count, arena, ret_keys, err);
}

enum outcome keys_get_by_hash(struct executor *db, struct text hash, struct arena *arena,
                              const struct key **ret_key, struct err *err)
{
    struct store_query query;
    const void *key;

    store_query_init(&query, &key_spec, "keys.get_by_hash", "WHERE hash = $1", arena);
    params_text(&query.params, hash);
    enum outcome outcome = store_find(db, &query, arena, &key, err);
    if (outcome == OUTCOME_OK)
        *ret_key = key;
    return outcome;
}

enum outcome keys_list_by_owner(struct executor *db, struct ref owner,
                                const struct key_list_options *options, struct arena *arena,
                                const struct key **ret_keys, size_t *ret_count, struct err *err)
{
    struct store_query query;
    const void *keys;

    /* The status as key_status() reads it. */
    store_query_init(&query, &key_spec, "keys.list_by_owner",
                     "WHERE owner_kind = $1 AND owner_id = $2"
                     " AND CASE WHEN status = 'revoked' OR revoked_at IS NOT NULL THEN $3"
                     " WHEN status = 'expired' OR expires_at <= $5 THEN $4 ELSE true END"
                     " ORDER BY created_at DESC, id",
                     arena);
    params_text(&query.params, owner.kind);
    params_text(&query.params, owner.id);
    params_bool(&query.params, options->include_revoked);
    params_bool(&query.params, options->include_expired);
    params_time(&query.params, options->now_us);
    enum outcome outcome = store_list(db, &query, arena, &keys, ret_count, err);
    if (outcome == OUTCOME_OK)
        *ret_keys = keys;
    return outcome;
}
