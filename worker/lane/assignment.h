#pragma once

#include <stdbool.h>

#include "worker/lane/lane.h"

/* What the lane remembers of its partitions follows the assignment of the consumer group. */

/* Loads the published offsets of partitions that came, and forgets those of partitions that went,
 * after confirming and saving what was published of them. false: they are not known yet, the lane
 * stops or the partitions are gone again; the next turn tries again. */
bool assignment_follow(struct lane *lane, struct err *err);

/* The lane has nothing in hand: confirms what it has published, and tells the store. */
void assignment_idle(struct lane *lane);

/* The same before the lane leaves the group; takes some seconds at most when Kafka is away. */
void assignment_leave(struct lane *lane);
