#include "repo/groups_repo.h"

#include "repo/record_store.h"

DEFINE_STORE_POINTERS(group)
DEFINE_STORE_GET(group)

enum outcome groups_upsert_prepare(const struct group *const *groups, size_t count,
                                   struct arena *arena, enum write_result *ret_results,
                                   struct write *ret_write, struct err *err)
{
    const struct record_sql *sql = record_sql_of(&group_spec);
    const struct store_upsert upsert = {
        .spec = &group_spec,
        .name = "groups.upsert",
        .sql = sql != NULL ? sql->upsert : NULL,
    };
    return store_upsert_prepare(&upsert, group_pointers(groups, count, arena), count, arena,
                                ret_results, ret_write, err);
}

enum outcome groups_upsert(struct executor *db, const struct group *const *groups, size_t count,
                           struct arena *arena, enum write_result *ret_results, struct err *err)
{
    struct write write;
    enum outcome outcome = groups_upsert_prepare(groups, count, arena, ret_results, &write, err);
    return outcome == OUTCOME_OK ? write_run(db, &write, 1, arena, err) : outcome;
}

enum outcome groups_delete_prepare(const struct text *ids, size_t count, struct arena *arena,
                                   enum write_result *ret_results, struct group *ret_removed,
                                   struct write *ret_write, struct err *err)
{
    return store_remove_prepare(&group_spec, "groups.delete", ids, count, arena, ret_results,
                                ret_removed, ret_write, err);
}

enum outcome groups_delete(struct executor *db, const struct text *ids, size_t count,
                           struct arena *arena, enum write_result *ret_results,
                           struct group *ret_removed, struct err *err)
{
    struct write write;
    enum outcome outcome =
        groups_delete_prepare(ids, count, arena, ret_results, ret_removed, &write, err);
    return outcome == OUTCOME_OK ? write_run(db, &write, 1, arena, err) : outcome;
}

enum outcome groups_get(struct executor *db, const struct text *ids, size_t count,
                        struct arena *arena, const struct group **ret_groups, struct err *err)
{
    return group_get(db, "groups.get", ids, count, arena, ret_groups, err);
}

enum outcome groups_list_by_org(struct executor *db, struct text org_id, struct arena *arena,
                                const struct group **ret_groups, size_t *ret_count, struct err *err)
{
    struct store_query query;
    const void *groups;

    store_query_init(&query, &group_spec, "groups.list_by_org",
                     "WHERE org_id = $1 ORDER BY slug, id", arena);
    params_text(&query.params, org_id);
    enum outcome outcome = store_list(db, &query, arena, &groups, ret_count, err);
    if (outcome == OUTCOME_OK)
        *ret_groups = groups;
    return outcome;
}
