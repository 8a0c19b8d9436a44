#include "repo/users_repo.h"

#include "repo/record_store.h"

DEFINE_STORE_POINTERS(user)
DEFINE_STORE_GET(user)

enum outcome users_upsert_prepare(const struct user *const *users, size_t count,
                                  struct arena *arena, enum write_result *ret_results,
                                  struct write *ret_write, struct err *err)
{
    const struct record_sql *sql = record_sql_of(&user_spec);
    const struct store_upsert upsert = {
        .spec = &user_spec,
        .name = "users.upsert",
        .sql = sql != NULL ? sql->upsert : NULL,
    };
    return store_upsert_prepare(&upsert, user_pointers(users, count, arena), count, arena,
                                ret_results, ret_write, err);
}

enum outcome users_upsert(struct executor *db, const struct user *const *users, size_t count,
                          struct arena *arena, enum write_result *ret_results, struct err *err)
{
    struct write write;
    enum outcome outcome = users_upsert_prepare(users, count, arena, ret_results, &write, err);
    return outcome == OUTCOME_OK ? write_run(db, &write, 1, arena, err) : outcome;
}

enum outcome users_get(struct executor *db, const struct text *ids, size_t count,
                       struct arena *arena, const struct user **ret_users, struct err *err)
{
    return user_get(db, "users.get", ids, count, arena, ret_users, err);
}
