#pragma once

#include <stdint.h>

/* Microseconds since 1970-01-01 UTC. For logs and reading statuses; never for anything stored from
 * a command: those times come from the command itself. */
int64_t clock_wall_us(void);

/* Microseconds of a clock that never steps. For durations and deadlines. */
int64_t clock_monotonic_us(void);

/* Returns early only when a signal handler ran. */
void clock_sleep_us(int64_t duration_us);
