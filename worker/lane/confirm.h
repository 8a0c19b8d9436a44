#pragma once

#include "worker/lane/lane.h"

/* Compares what the lane believes to be published with the group's committed offsets.
 *
 * An acknowledged Kafka transaction is final, and yet brokers have lost some: KAFKA-20734, and
 * whatever truncates a log. The group's offset then lies before what was acknowledged. As long as
 * the lane has the partition nobody else would notice, and the events would be missing; so it asks
 * after every transaction that did not commit, and before the store is told that it is idle. */

/* OK      nothing is missing; what was acknowledged is confirmed
 * RETRY   the coordinator is away
 * REJECT  a transaction is lost: the source begins again at the committed offsets, from where
 *         everything counts as unpublished
 * FULL    the arena is full */
enum outcome confirm_published(struct lane *lane, struct err *err);
