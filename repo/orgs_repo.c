#include "repo/orgs_repo.h"

#include "repo/record_store.h"

DEFINE_STORE_POINTERS(org)
DEFINE_STORE_GET(org)

/* OFFSET 0 keeps this a look-up per row: without it the planner joins, and a join planned while the
 * table was small reads all of it when it no longer is. */
static const char slug_taken[] =
    "EXISTS (SELECT FROM {schema}.auth_orgs AS o WHERE o.slug = u.slug AND o.id <> u.id OFFSET 0)";

enum outcome orgs_upsert_prepare(const struct org *const *orgs, size_t count, struct arena *arena,
                                 enum write_result *ret_results, struct write *ret_write,
                                 struct err *err)
{
    const struct store_upsert upsert = {
        .spec = &org_spec,
        .name = "orgs.upsert",
        .sql = store_guarded_upsert_sql(&org_spec, slug_taken, false, arena),
        .taken = slug_taken,
        .taken_name = "orgs.slug_taken",
    };
    return store_upsert_prepare(&upsert, org_pointers(orgs, count, arena), count, arena,
                                ret_results, ret_write, err);
}

enum outcome orgs_upsert(struct executor *db, const struct org *const *orgs, size_t count,
                         struct arena *arena, enum write_result *ret_results, struct err *err)
{
    struct write write;
    enum outcome outcome = orgs_upsert_prepare(orgs, count, arena, ret_results, &write, err);
    return outcome == OUTCOME_OK ? write_run(db, &write, 1, arena, err) : outcome;
}

enum outcome orgs_get(struct executor *db, const struct text *ids, size_t count,
                      struct arena *arena, const struct org **ret_orgs, struct err *err)
{
    return org_get(db, "orgs.get", ids, count, arena, ret_orgs, err);
}

enum outcome orgs_get_by_slug(struct executor *db, struct text slug, struct arena *arena,
                              const struct org **ret_org, struct err *err)
{
    struct store_query query;
    const void *org;

    store_query_init(&query, &org_spec, "orgs.get_by_slug", "WHERE slug = $1", arena);
    params_text(&query.params, slug);
    enum outcome outcome = store_find(db, &query, arena, &org, err);
    if (outcome == OUTCOME_OK)
        *ret_org = org;
    return outcome;
}

enum outcome orgs_slugs_prepare(const struct text *ids, size_t count, struct arena *arena,
                                struct statement *ret_statement, struct err *err)
{
    struct params params;
    struct statement statement = {
        .name = "orgs.slugs",
        .sql = "SELECT id, slug FROM {schema}.auth_orgs WHERE id = ANY ($1::text[])",
    };

    params_init(&params, arena, 1);
    params_text_array(&params, ids, count);
    if (!params_done(&params, &statement))
        return err_no_memory(err, statement.name);
    *ret_statement = statement;
    return OUTCOME_OK;
}

static enum outcome read_slug(const struct rows *rows, size_t row, struct arena *arena,
                              struct text *ret_id, struct text *ret_slug, struct err *err)
{
    struct pg_row reader;

    pg_row_init(&reader, rows, row, arena);
    *ret_id = pg_row_text(&reader);
    struct text slug = pg_row_text(&reader);
    enum outcome outcome = pg_row_done(&reader, "orgs.slugs", err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return arena_copy_text(arena, slug, ret_slug) ? OUTCOME_OK : err_no_memory(err, "orgs.slugs");
}

enum outcome orgs_slugs_read(const struct rows *rows, const struct text *ids, size_t count,
                             struct arena *arena, struct text *ret_slugs, struct err *err)
{
    struct id_position *positions = store_positions(ids, count, arena);
    struct text *slugs = ARENA_ARRAY(arena, struct text, count);
    if (positions == NULL || slugs == NULL)
        return err_no_memory(err, "orgs.slugs");

    for (size_t i = 0; i < rows->row_count; i++) {
        struct text id;
        struct text slug;
        enum outcome outcome = read_slug(rows, i, arena, &id, &slug, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        const struct id_position *at = id_positions_find(positions, count, id);
        for (; at != NULL && at < positions + count && text_equal(at->id, id); at++)
            slugs[at->position] = slug;
    }
    memcpy(ret_slugs, slugs, count * sizeof(slugs[0]));
    return OUTCOME_OK;
}
