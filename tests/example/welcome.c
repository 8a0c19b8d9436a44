#include "welcome.h"

enum outcome welcome(struct executor *db, const struct user *user, struct arena *arena,
                     const struct user **ret_stored, struct err *err)
{
    enum write_result result;

    enum outcome outcome = users_upsert(db, &user, 1, arena, &result, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return users_get(db, &user->id, 1, arena, ret_stored, err);
}
