#pragma once

#include "worker/lane/batch.h"
#include "worker/lane/store.h"

/* What a lane remembers of its partitions: how far their audit events are published.
 *
 * A command found in the audit log under its own coordinates was applied before. Below the
 * published offset its event was published too (an operator went back in the topic): publish
 * nothing. At or above it the Kafka transaction that would have moved the offset never committed:
 * publish the stored event.
 *
 * The offsets are recorded by the next batches' transactions. The store is told only what is
 * certain: a commit that the broker acknowledged is, once a later one of the same producer was
 * acknowledged too, or the group's committed offset was seen there. (Brokers have lost acknowledged
 * transactions in which a partition had no leader, KAFKA-20734. The offset then falls back; with
 * its end in the store, the redelivered batch would be taken for published, and be lost.) So the
 * stored offsets may trail by two batches.
 *
 * A command that is new below the published offset tells that the topic was made anew: the
 * offset is then lowered. */
struct progress {
    struct partition_progress *items;
    size_t count;
    size_t capacity;
};

void progress_release(struct progress *progress);

/* Forgets everything: the partitions were revoked. */
void progress_forget(struct progress *progress);

/* Partitions came to this lane: loads their stored offsets. Everything below the offset that the
 * group has committed (`offset` of the floors; 0: nothing) is published too. Outside a transaction.
 * Outcomes as store_ops; FATAL also: no memory. */
enum outcome progress_assigned(struct progress *progress, const struct published_offset *floors,
                               size_t count, struct store *store, struct arena *arena,
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

/* What the store does not know yet, in `arena`; NULL with ret_count > 0: the arena is full. */
struct published_offset *progress_unsaved(const struct progress *progress, struct arena *arena,
                                          size_t *ret_count);

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
