#pragma once

#include "base/records.h"
#include "repo/pg/write.h"

/* auth_groups. */

/* Inserts or replaces whole records. Results: CREATED, UPDATED. */
enum outcome groups_upsert_prepare(const struct group *const *groups, size_t count,
                                   struct arena *arena, enum write_result *ret_results,
                                   struct write *ret_write, struct err *err);
enum outcome groups_upsert(struct executor *db, const struct group *const *groups, size_t count,
                           struct arena *arena, enum write_result *ret_results, struct err *err);

/* Results: REMOVED, NOT_FOUND. ret_removed: the rows as they were, in `arena`; set where REMOVED.
 */
enum outcome groups_delete_prepare(const struct text *ids, size_t count, struct arena *arena,
                                   enum write_result *ret_results, struct group *ret_removed,
                                   struct write *ret_write, struct err *err);
enum outcome groups_delete(struct executor *db, const struct text *ids, size_t count,
                           struct arena *arena, enum write_result *ret_results,
                           struct group *ret_removed, struct err *err);

/* NULL entries: no such group. */
enum outcome groups_get(struct executor *db, const struct text *ids, size_t count,
                        struct arena *arena, const struct group **ret_groups, struct err *err);

/* By slug, then id. */
enum outcome groups_list_by_org(struct executor *db, struct text org_id, struct arena *arena,
                                const struct group **ret_groups, size_t *ret_count,
                                struct err *err);
