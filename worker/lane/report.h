#pragma once

#include "worker/lane/batch.h"
#include "worker/lane/lane.h"

/* Counts what became of each message of a published batch, and logs dead letters and conflicts:
 * coordinates and rules, never values. */
void batch_report(const struct lane *lane, const struct batch *batch);
