#pragma once

#include "base/records.h"
#include "repo/pg/write.h"

/* auth_users. */

/* Inserts or replaces whole records. Results: CREATED, UPDATED.
 *
 * users        `count` records with distinct ids, borrowed until the write has run
 * ret_results  `count`, in the order of `users`
 *
 * FULL   the arena is full */
enum outcome users_upsert_prepare(const struct user *const *users, size_t count,
                                  struct arena *arena, enum write_result *ret_results,
                                  struct write *ret_write, struct err *err);

/* The same, run at once. Outcomes as executor_ops.run. */
enum outcome users_upsert(struct executor *db, const struct user *const *users, size_t count,
                          struct arena *arena, enum write_result *ret_results, struct err *err);

/* ret_users  one per id, in that order, in `arena`; NULL where there is no such user */
enum outcome users_get(struct executor *db, const struct text *ids, size_t count,
                       struct arena *arena, const struct user **ret_users, struct err *err);
