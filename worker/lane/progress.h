#pragma once

#include "worker/lane/batch.h"
#include "worker/lane/store.h"

/* How far the audit events of the lane's partitions are published.
 *
 * A command found in the audit log under its own coordinates was applied before. Below the
 * published offset its event was published too (an operator reset the group's offsets): the lane
 * publishes nothing. At or above it the Kafka transaction that would have moved the offset did not
 * commit: the lane publishes the stored event.
 *
 * The next batches' transactions record the published offsets in the store, but only those that are
 * certain. A commit that the broker acknowledged becomes certain when a later commit of the same
 * producer was acknowledged too, or when the group's committed offset was read at or past its end.
 *
 * The reason is KAFKA-20734. Kafka 4.3.0 to 4.4.0 can complete a transaction without writing its
 * markers to a partition that has no leader at that moment. The producer gets its acknowledgement,
 * and the group's committed offset falls back. Had the store the batch's end by then, the lane
 * would take the redelivered batch for published, and its events would be lost: 49 were, in the run
 * that found this. So the stored offsets may trail by two batches.
 *
 * A command that is new below the published offset shows that the topic was made anew. Then the
 * offset is lowered. */
struct progress {
    struct partition_progress *items;
    size_t count;
    size_t capacity;
};

void progress_release(struct progress *progress);

/* Whether the partition is the lane's. */
bool progress_has(const struct progress *progress, int32_t topic_id, int32_t partition);

/* Forgets everything: the partitions were revoked. */
void progress_forget(struct progress *progress);

/* Forgets one partition: its log went back. */
void progress_drop(struct progress *progress, int32_t topic_id, int32_t partition);

/* Partitions came to this lane, with what the store has of them. Everything below the offset that
 * the group has committed (`offset` of the floors; 0: nothing) is published too. What `recorded` of
 * a floor has above that of the store, the store is to learn.
 * FULL: no memory. */
enum outcome progress_assigned(struct progress *progress, const struct published_offset *floors,
                               const struct published_offset *stored, size_t count,
                               struct err *err);

/* The entry's event is known to be published. */
bool progress_is_published(const struct progress *progress, const struct entry *entry);

/* The entry is new: lowers the published offset where it lies above it. */
void progress_saw_new(struct progress *progress, const struct entry *entry);

/* The batch's transaction committed in Kafka. */
void progress_published(struct progress *progress, const struct batch *batch);

/* Somebody else has the partitions now, and may have recorded new commands since: what a new
 * command lowered is not raised again. The rest the group's committed offset says too. */
void progress_revoked(struct progress *progress);

/* What the store does not know yet, in `arena`; NULL with ret_count > 0: the arena is full.
 * batch  NULL, or the batch that ends with the very transaction that saves this */
struct published_offset *progress_unsaved(const struct progress *progress,
                                          const struct batch *batch, struct arena *arena,
                                          size_t *ret_count);

/* What the store is known to have recorded of each partition, in `arena`; NULL: it is full. */
struct published_offset *progress_recorded(const struct progress *progress, struct arena *arena,
                                           size_t *ret_count);

/* Everything below the offset is done, and the store is to know it as recorded. */
void progress_adopt(struct progress *progress, int32_t topic_id, int32_t partition, int64_t offset);

/* Whether the store does. */
bool progress_is_recorded(const struct progress *progress, int32_t topic_id, int32_t partition,
                          int64_t offset);

/* The unsaved ones, as they were given out, are stored now. */
void progress_saved(struct progress *progress, const struct published_offset *offsets,
                    size_t count);

/* The ends of the newest batches that were acknowledged under this assignment, by partition, in
 * `arena`; NULL: the arena is full. */
struct published_offset *progress_acknowledged(const struct progress *progress, struct arena *arena,
                                               size_t *ret_count);

/* All that was acknowledged is certain. */
bool progress_is_confirmed(const struct progress *progress);

/* The group's committed offset of a partition was read, with no transaction of the lane open.
 * false: it lies before what was acknowledged under this assignment; what is from there on counts
 * as unpublished. */
bool progress_committed(struct progress *progress, int32_t topic_id, int32_t partition,
                        int64_t committed);
