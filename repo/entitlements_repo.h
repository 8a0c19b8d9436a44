#pragma once

#include "base/records.h"
#include "repo/pg/write.h"

/* auth_entitlements. (subject_kind, subject_id, entitlement) is unique. */

/* Inserts or replaces whole records; with keep_created_at an existing row keeps its created_at.
 * Inputs of one write all have the same keep_created_at, and must not share a unique triple, nor
 * take one that another of them gives up. Results: CREATED, UPDATED, DUPLICATE (the triple belongs
 * to another row; nothing changed). A triple taken by somebody else meanwhile: REJECT 23505, run
 * again. */
enum outcome entitlements_upsert_prepare(const struct entitlement *const *entitlements,
                                         size_t count, struct arena *arena,
                                         enum write_result *ret_results, struct write *ret_write,
                                         struct err *err);
/* The same run at once; keep_created_at may differ from input to input. */
enum outcome entitlements_upsert(struct executor *db, const struct entitlement *const *entitlements,
                                 size_t count, struct arena *arena, enum write_result *ret_results,
                                 struct err *err);

/* Results: REMOVED, NOT_FOUND. ret_removed: the rows as they were; set where REMOVED. */
enum outcome entitlements_remove_prepare(const struct text *ids, size_t count, struct arena *arena,
                                         enum write_result *ret_results,
                                         struct entitlement *ret_removed, struct write *ret_write,
                                         struct err *err);
enum outcome entitlements_remove(struct executor *db, const struct text *ids, size_t count,
                                 struct arena *arena, enum write_result *ret_results,
                                 struct entitlement *ret_removed, struct err *err);

/* NULL entries: no such entitlement. */
enum outcome entitlements_get(struct executor *db, const struct text *ids, size_t count,
                              struct arena *arena, const struct entitlement **ret_entitlements,
                              struct err *err);

/* Oldest first (created_at, then id). */
enum outcome entitlements_list(struct executor *db, struct text subject_kind,
                               struct text subject_id, struct arena *arena,
                               const struct entitlement **ret_entitlements, size_t *ret_count,
                               struct err *err);

/* The triples that these entitlements hold now (only the three fields are set; id absent: no such
 * row), as a statement for the caller's own round trip: what an upsert or a removal would give up.
 */
enum outcome entitlements_triples_prepare(const struct text *ids, size_t count, struct arena *arena,
                                          struct statement *ret_statement, struct err *err);
enum outcome entitlements_triples_read(const struct rows *rows, const struct text *ids,
                                       size_t count, struct arena *arena,
                                       struct entitlement *ret_triples, struct err *err);
