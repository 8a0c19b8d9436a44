#pragma once

#include "repo/pg/executor.h"

/* The two small tables of the protocol: catalyst_topics (topic_id smallint, name) and
 * catalyst_consumer_offsets (topic_id, partition, published_offset, recorded_offset). */

/* Small integers for topic names, the same for every lane and replica; new names are added. */
enum outcome topics_intern(struct executor *db, const struct text *names, size_t count,
                           struct arena *arena, int32_t *ret_topic_ids, struct err *err);

struct topic_number {
    int32_t topic_id;
    const char *name;
    int32_t partitions; /* that commands were read from: all below this one, or fewer */
};

/* All that were ever numbered, in `arena`. */
enum outcome topics_list(struct executor *db, struct arena *arena,
                         const struct topic_number **ret_topics, size_t *ret_count,
                         struct err *err);

/* How far the audit events of a partition are known to be published: the offset behind the last
 * one. reset: lower it too (the topic was made anew); otherwise it only grows.
 *
 * recorded: behind the last record of the partition that a committed transaction has dealt with;
 * 0: none is known. It only grows. */
struct stored_offset {
    int32_t topic_id;
    int32_t partition;
    int64_t offset;
    bool reset;
    int64_t recorded;
};

/* Statements for the caller's own round trip. load: the stored offsets of the given partitions
 * (`offset` and `recorded` are outputs: 0 where nothing is stored). */
enum outcome published_offsets_load(struct executor *db, struct stored_offset *offsets,
                                    size_t count, struct arena *arena, struct err *err);
enum outcome published_offsets_save_prepare(const struct stored_offset *offsets, size_t count,
                                            struct arena *arena, struct statement *ret_statement,
                                            struct err *err);
