#pragma once

#include "repo/users_repo.h"

/* Makes sure that the user exists and reads back what is stored, in `arena`. */
enum outcome welcome(struct executor *db, const struct user *user, struct arena *arena,
                     const struct user **ret_stored, struct err *err);
