#include "repo/entitlements_repo.h"

#include <assert.h>

#include "repo/record_store.h"

DEFINE_STORE_POINTERS(entitlement)
DEFINE_STORE_GET(entitlement)

/* OFFSET 0 keeps this a look-up per row: without it the planner joins, and a join planned while the
 * table was small reads all of it when it no longer is. */
static const char triple_taken[] =
    "EXISTS (SELECT FROM {schema}.auth_entitlements AS e WHERE e.subject_kind = u.subject_kind"
    " AND e.subject_id = u.subject_id AND e.entitlement = u.entitlement AND e.id <> u.id OFFSET 0)";

static struct store_upsert upsert_form(bool keep, struct arena *arena)
{
    return (struct store_upsert){
        .spec = &entitlement_spec,
        .name = keep ? "entitlements.upsert_keep" : "entitlements.upsert",
        .sql = store_guarded_upsert_sql(&entitlement_spec, triple_taken, keep, arena),
        .taken = triple_taken,
        .taken_name = "entitlements.triple_taken",
    };
}

enum outcome entitlements_upsert_prepare(const struct entitlement *const *entitlements,
                                         size_t count, struct arena *arena,
                                         enum write_result *ret_results, struct write *ret_write,
                                         struct err *err)
{
    bool keep = count > 0 && entitlements[0]->keep_created_at;
    const struct store_upsert upsert = upsert_form(keep, arena);

    for (size_t i = 0; i < count; i++)
        assert(entitlements[i]->keep_created_at == keep);
    return store_upsert_prepare(&upsert, entitlement_pointers(entitlements, count, arena), count,
                                arena, ret_results, ret_write, err);
}

enum outcome entitlements_upsert(struct executor *db, const struct entitlement *const *entitlements,
                                 size_t count, struct arena *arena, enum write_result *ret_results,
                                 struct err *err)
{
    const struct store_keeping_upsert forms = {
        .replace = upsert_form(false, arena),
        .keep = upsert_form(true, arena),
        .keep_offset = offsetof(struct entitlement, keep_created_at),
        .lock_name = "entitlements.lock",
    };

    return store_keeping_upsert(db, &forms, entitlement_pointers(entitlements, count, arena), count,
                                arena, ret_results, err);
}

enum outcome entitlements_remove_prepare(const struct text *ids, size_t count, struct arena *arena,
                                         enum write_result *ret_results,
                                         struct entitlement *ret_removed, struct write *ret_write,
                                         struct err *err)
{
    return store_remove_prepare(&entitlement_spec, "entitlements.remove", ids, count, arena,
                                ret_results, ret_removed, ret_write, err);
}

enum outcome entitlements_remove(struct executor *db, const struct text *ids, size_t count,
                                 struct arena *arena, enum write_result *ret_results,
                                 struct entitlement *ret_removed, struct err *err)
{
    struct write write;
    enum outcome outcome =
        entitlements_remove_prepare(ids, count, arena, ret_results, ret_removed, &write, err);
    return outcome == OUTCOME_OK ? write_run(db, &write, 1, arena, err) : outcome;
}

enum outcome entitlements_get(struct executor *db, const struct text *ids, size_t count,
                              struct arena *arena, const struct entitlement **ret_entitlements,
                              struct err *err)
{
    return entitlement_get(db, "entitlements.get", ids, count, arena, ret_entitlements, err);
}

enum outcome entitlements_list(struct executor *db, struct text subject_kind,
                               struct text subject_id, struct arena *arena,
                               const struct entitlement **ret_entitlements, size_t *ret_count,
                               struct err *err)
{
    struct store_query query;
    const void *entitlements;

    store_query_init(&query, &entitlement_spec, "entitlements.list",
                     "WHERE subject_kind = $1 AND subject_id = $2 ORDER BY created_at, id", arena);
    params_text(&query.params, subject_kind);
    params_text(&query.params, subject_id);
    enum outcome outcome = store_list(db, &query, arena, &entitlements, ret_count, err);
    if (outcome == OUTCOME_OK)
        *ret_entitlements = entitlements;
    return outcome;
}

enum outcome entitlements_triples_prepare(const struct text *ids, size_t count, struct arena *arena,
                                          struct statement *ret_statement, struct err *err)
{
    struct params params;
    struct statement statement = {
        .name = "entitlements.triples",
        .sql = "SELECT id, subject_kind, subject_id, entitlement FROM {schema}.auth_entitlements"
               " WHERE id = ANY ($1::text[])",
    };

    params_init(&params, arena, 1);
    params_text_array(&params, ids, count);
    if (!params_done(&params, &statement))
        return err_no_memory(err, statement.name);
    *ret_statement = statement;
    return OUTCOME_OK;
}

static enum outcome read_triple(const struct rows *rows, size_t row, struct arena *arena,
                                struct entitlement *ret_triple, struct err *err)
{
    struct pg_row reader;

    record_clear(&entitlement_spec, ret_triple);
    pg_row_init(&reader, rows, row, arena);
    struct text id = pg_row_text(&reader);
    struct text kind = pg_row_text(&reader);
    struct text subject = pg_row_text(&reader);
    struct text name = pg_row_text(&reader);
    enum outcome outcome = pg_row_done(&reader, "entitlements.triples", err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!arena_copy_text(arena, id, &ret_triple->id) ||
        !arena_copy_text(arena, kind, &ret_triple->subject_kind) ||
        !arena_copy_text(arena, subject, &ret_triple->subject_id) ||
        !arena_copy_text(arena, name, &ret_triple->entitlement))
        return err_no_memory(err, "entitlements.triples");
    return OUTCOME_OK;
}

enum outcome entitlements_triples_read(const struct rows *rows, const struct text *ids,
                                       size_t count, struct arena *arena,
                                       struct entitlement *ret_triples, struct err *err)
{
    struct id_position *positions = store_positions(ids, count, arena);
    struct entitlement *triples = ARENA_ARRAY(arena, struct entitlement, count);
    if (positions == NULL || triples == NULL)
        return err_no_memory(err, "entitlements.triples");

    for (size_t i = 0; i < count; i++)
        record_clear(&entitlement_spec, &triples[i]);
    for (size_t i = 0; i < rows->row_count; i++) {
        struct entitlement triple;
        enum outcome outcome = read_triple(rows, i, arena, &triple, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        const struct id_position *at = id_positions_find(positions, count, triple.id);
        for (; at != NULL && at < positions + count && text_equal(at->id, triple.id); at++)
            triples[at->position] = triple;
    }
    memcpy(ret_triples, triples, count * sizeof(triples[0]));
    return OUTCOME_OK;
}
