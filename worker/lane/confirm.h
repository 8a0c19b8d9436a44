#pragma once

#include "worker/lane/lane.h"

/* Compares the ends of the batches that the brokers acknowledged with the group's committed
 * offsets.
 *
 * Brokers can lose an acknowledged transaction (struct progress tells how). The group's committed
 * offset then lies before the acknowledged end. While the lane has the partition nobody else would
 * notice, and the events would be missing. So the lane asks after every transaction that did not
 * commit, and before an idle lane stores its published offsets. */

/* OK      nothing is missing; what was acknowledged is confirmed
 * RETRY   the coordinator is away
 * REJECT  a transaction is lost: the source begins again at the committed offsets, from where
 *         everything counts as unpublished
 * FULL    the arena is full */
enum outcome confirm_published(struct lane *lane, struct err *err);
