#pragma once

#include <stdbool.h>

#include "base/log.h"
#include "worker/lane/lane.h"

/* Waiting for a dependency without losing the group membership: what a lane does between two
 * attempts. */

/* After a failed attempt: logs it (the first, then ever more rarely), sleeps for a time that
 * doubles from 10 ms to 5 s with jitter, and keeps the membership alive in that time. false: give
 * up, the lane stops or `generation` is over. */
bool wait_again(struct lane *lane, enum dependency dependency, uint64_t generation,
                const struct err *err);

/* WARN for attempts 1, 2, 4, 8 ..., else DEBUG: a dependency that stays away fills no disk. */
enum log_level wait_log_level(int attempts);

/* The attempt succeeded. */
void wait_done(struct lane *lane);

/* Tells the metrics what the source knows of the lane's partitions: after each poll, and while the
 * lane waits. */
void wait_tell_lags(struct lane *lane);
