#include "repo/memberships_repo.h"

#include <assert.h>

#include "repo/record_store.h"

DEFINE_STORE_POINTERS(membership)
DEFINE_STORE_GET(membership)

static struct store_keeping_upsert upsert_forms(void)
{
    const struct record_sql *sql = record_sql_of(&membership_spec);

    return (struct store_keeping_upsert){
        .replace = {.spec = &membership_spec,
                    .name = "memberships.upsert",
                    .sql = sql != NULL ? sql->upsert : NULL},
        .keep = {.spec = &membership_spec,
                 .name = "memberships.upsert_keep",
                 .sql = sql != NULL ? sql->upsert_keep : NULL},
        .keep_offset = offsetof(struct membership, keep_created_at),
        .lock_name = "memberships.lock",
    };
}

enum outcome memberships_upsert_prepare(const struct membership *const *memberships, size_t count,
                                        struct arena *arena, enum write_result *ret_results,
                                        struct write *ret_write, struct err *err)
{
    const struct store_keeping_upsert forms = upsert_forms();
    bool keep = count > 0 && memberships[0]->keep_created_at;

    for (size_t i = 0; i < count; i++)
        assert(memberships[i]->keep_created_at == keep);
    return store_upsert_prepare(keep ? &forms.keep : &forms.replace,
                                membership_pointers(memberships, count, arena), count, arena,
                                ret_results, ret_write, err);
}

enum outcome memberships_upsert(struct executor *db, const struct membership *const *memberships,
                                size_t count, struct arena *arena, enum write_result *ret_results,
                                struct err *err)
{
    const struct store_keeping_upsert forms = upsert_forms();

    return store_keeping_upsert(db, &forms, membership_pointers(memberships, count, arena), count,
                                arena, ret_results, err);
}

enum outcome memberships_remove_prepare(const struct text *ids, size_t count, struct arena *arena,
                                        enum write_result *ret_results,
                                        struct membership *ret_removed, struct write *ret_write,
                                        struct err *err)
{
    return store_remove_prepare(&membership_spec, "memberships.remove", ids, count, arena,
                                ret_results, ret_removed, ret_write, err);
}

enum outcome memberships_remove(struct executor *db, const struct text *ids, size_t count,
                                struct arena *arena, enum write_result *ret_results,
                                struct membership *ret_removed, struct err *err)
{
    struct write write;
    enum outcome outcome =
        memberships_remove_prepare(ids, count, arena, ret_results, ret_removed, &write, err);
    return outcome == OUTCOME_OK ? write_run(db, &write, 1, arena, err) : outcome;
}

enum outcome memberships_get(struct executor *db, const struct text *ids, size_t count,
                             struct arena *arena, const struct membership **ret_memberships,
                             struct err *err)
{
    return membership_get(db, "memberships.get", ids, count, arena, ret_memberships, err);
}

static enum outcome list(struct executor *db, struct store_query *query, struct text parent_id,
                         struct arena *arena, const struct membership **ret_memberships,
                         size_t *ret_count, struct err *err)
{
    const void *memberships;

    params_text(&query->params, parent_id);
    enum outcome outcome = store_list(db, query, arena, &memberships, ret_count, err);
    if (outcome == OUTCOME_OK)
        *ret_memberships = memberships;
    return outcome;
}

enum outcome memberships_list_by_user(struct executor *db, struct text user_id, struct arena *arena,
                                      const struct membership **ret_memberships, size_t *ret_count,
                                      struct err *err)
{
    struct store_query query;

    store_query_init(&query, &membership_spec, "memberships.list_by_user",
                     "WHERE user_id = $1 ORDER BY created_at, id", arena);
    return list(db, &query, user_id, arena, ret_memberships, ret_count, err);
}

enum outcome memberships_list_by_org(struct executor *db, struct text org_id, struct arena *arena,
                                     const struct membership **ret_memberships, size_t *ret_count,
                                     struct err *err)
{
    struct store_query query;

    store_query_init(&query, &membership_spec, "memberships.list_by_org",
                     "WHERE org_id = $1 ORDER BY created_at, id", arena);
    return list(db, &query, org_id, arena, ret_memberships, ret_count, err);
}
