#pragma once

#include "base/records.h"
#include "repo/pg/write.h"

/* auth_orgs. Slugs are unique. */

/* Inserts or replaces whole records. Results: CREATED, UPDATED, DUPLICATE (the slug belongs to
 * another org; nothing changed). Two inputs of one write must not share a slug, nor take one that
 * another of them gives up. A slug taken by somebody else while the statement runs fails it with
 * REJECT 23505: run the transaction again. */
enum outcome orgs_upsert_prepare(const struct org *const *orgs, size_t count, struct arena *arena,
                                 enum write_result *ret_results, struct write *ret_write,
                                 struct err *err);
enum outcome orgs_upsert(struct executor *db, const struct org *const *orgs, size_t count,
                         struct arena *arena, enum write_result *ret_results, struct err *err);

/* NULL entries: no such org. */
enum outcome orgs_get(struct executor *db, const struct text *ids, size_t count,
                      struct arena *arena, const struct org **ret_orgs, struct err *err);
enum outcome orgs_get_by_slug(struct executor *db, struct text slug, struct arena *arena,
                              const struct org **ret_org, struct err *err);

/* The slugs that these orgs hold now, as a statement for the caller's own round trip and the
 * reading of its rows: what an upsert of the org would give up. Absent: no such org. */
enum outcome orgs_slugs_prepare(const struct text *ids, size_t count, struct arena *arena,
                                struct statement *ret_statement, struct err *err);
enum outcome orgs_slugs_read(const struct rows *rows, const struct text *ids, size_t count,
                             struct arena *arena, struct text *ret_slugs, struct err *err);
