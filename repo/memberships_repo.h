#pragma once

#include "base/records.h"
#include "repo/pg/write.h"

/* auth_memberships. */

/* Inserts or replaces whole records; with keep_created_at an existing row keeps its created_at.
 * Inputs of one write all have the same keep_created_at. Results: CREATED, UPDATED. */
enum outcome memberships_upsert_prepare(const struct membership *const *memberships, size_t count,
                                        struct arena *arena, enum write_result *ret_results,
                                        struct write *ret_write, struct err *err);
/* The same run at once; keep_created_at may differ from input to input. */
enum outcome memberships_upsert(struct executor *db, const struct membership *const *memberships,
                                size_t count, struct arena *arena, enum write_result *ret_results,
                                struct err *err);

/* Results: REMOVED, NOT_FOUND. ret_removed: the rows as they were; set where REMOVED. */
enum outcome memberships_remove_prepare(const struct text *ids, size_t count, struct arena *arena,
                                        enum write_result *ret_results,
                                        struct membership *ret_removed, struct write *ret_write,
                                        struct err *err);
enum outcome memberships_remove(struct executor *db, const struct text *ids, size_t count,
                                struct arena *arena, enum write_result *ret_results,
                                struct membership *ret_removed, struct err *err);

/* NULL entries: no such membership. */
enum outcome memberships_get(struct executor *db, const struct text *ids, size_t count,
                             struct arena *arena, const struct membership **ret_memberships,
                             struct err *err);

/* Oldest first (created_at, then id). */
enum outcome memberships_list_by_user(struct executor *db, struct text user_id, struct arena *arena,
                                      const struct membership **ret_memberships, size_t *ret_count,
                                      struct err *err);
enum outcome memberships_list_by_org(struct executor *db, struct text org_id, struct arena *arena,
                                     const struct membership **ret_memberships, size_t *ret_count,
                                     struct err *err);
