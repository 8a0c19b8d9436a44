#pragma once

#include <stdbool.h>

#include "worker/lane/lane.h"

/* Skipping: what an operator asked for with `catalyst-worker skip`. The lane that holds the
 * partition publishes one audit event, partition.skipped, and moves the group's offset past what
 * can't be read, in one Kafka transaction. The event is recorded first, by the protocol of every
 * other command: its id follows from partition and offsets, so that a crash at any instruction
 * leaves one event. */

/* Looks for requests now and then, and carries out those of the lane's partitions.
 * messages, count  polled and not processed yet. Nothing of the
 * polled messages may be processed after true: the partitions begin again at their committed
 * offsets. */
bool skip_follow(struct lane *lane, const struct message *messages, size_t count,
                 uint64_t generation);
