#pragma once

#include "base/records.h"
#include "repo/pg/write.h"

/* auth_keys. Hashes are unique. */

/* Inserts new keys: status active, usage_count 0, scopes deduplicated in first-seen order.
 * Inputs of one write have distinct ids and distinct hashes.
 * Results: CREATED, DUPLICATE_ID (also when both collide), DUPLICATE_HASH, DUPLICATE (the row in
 * the way was gone when asked for). */
enum outcome keys_issue_prepare(const struct key *const *keys, size_t count, struct arena *arena,
                                enum write_result *ret_results, struct write *ret_write,
                                struct err *err);
enum outcome keys_issue(struct executor *db, const struct key *const *keys, size_t count,
                        struct arena *arena, enum write_result *ret_results, struct err *err);

/* The same by COPY, inside BEGIN ... COMMIT, for a quarter less of the server's time: all of the
 * keys or, ret_issued false, none. Why not shows when they are issued the other way: a duplicate, a
 * refused value, a table that takes no COPY (row level security). ret_results: CREATED, set when
 * issued. RETRY and FATAL as executor_ops.run. */
enum outcome keys_issue_copy(struct executor *db, const struct key *const *keys, size_t count,
                             struct arena *arena, enum write_result *ret_results, bool *ret_issued,
                             struct err *err);

/* All the usages of one key in this write, in order. */
struct key_usage {
    struct text id;
    const int64_t *used_at_us;
    size_t count; /* at least 1 */
};

/* What became of one key. */
struct key_usage_result {
    enum write_result *results; /* the caller's, one per usage: UPDATED, NOT_FOUND, REVOKED, EXPIRED
                                   (judged at its own used_at) */
    struct ref owner;           /* set when any was UPDATED */
    int64_t usage_count;        /* after the last of them */
};

/* Counts usages: usage_count grows by the number of accepted ones; last_used_at and updated_at
 * become the last accepted used_at, in input order. Keys are distinct within a write. One statement
 * when every usage is accepted. */
enum outcome keys_record_usage_prepare(const struct key_usage *usages, size_t count,
                                       struct arena *arena, struct key_usage_result *ret_results,
                                       struct write *ret_write, struct err *err);
enum outcome keys_record_usage(struct executor *db, const struct key_usage *usages, size_t count,
                               struct arena *arena, struct key_usage_result *ret_results,
                               struct err *err);

/* Revokes: of each input id, revoked_at_us, revoked_by and revocation_reason count; updated_at
 * becomes revoked_at. Results: UPDATED, NOT_FOUND, ALREADY_REVOKED. ret_owners: set where UPDATED.
 */
enum outcome keys_revoke_prepare(const struct key *const *revocations, size_t count,
                                 struct arena *arena, enum write_result *ret_results,
                                 struct ref *ret_owners, struct write *ret_write, struct err *err);
enum outcome keys_revoke(struct executor *db, const struct key *const *revocations, size_t count,
                         struct arena *arena, enum write_result *ret_results,
                         struct ref *ret_owners, struct err *err);

/* NULL entries: no such key. */
enum outcome keys_get(struct executor *db, const struct text *ids, size_t count,
                      struct arena *arena, const struct key **ret_keys, struct err *err);
enum outcome keys_get_by_hash(struct executor *db, struct text hash, struct arena *arena,
                              const struct key **ret_key, struct err *err);

struct key_list_options {
    bool include_revoked;
    bool include_expired;
    int64_t now_us; /* at which status is judged */
};

/* Newest first (created_at descending, then id). */
enum outcome keys_list_by_owner(struct executor *db, struct ref owner,
                                const struct key_list_options *options, struct arena *arena,
                                const struct key **ret_keys, size_t *ret_count, struct err *err);
