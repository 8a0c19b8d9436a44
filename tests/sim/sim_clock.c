#include "base/clock.h"

#include "tests/sim/sim.h"

/* Stands in for base/clock.c: time is the world's, and sleeping is a turn of the scheduler. */

int64_t clock_wall_us(void)
{
    return 0;
}

int64_t clock_monotonic_us(void)
{
    return ++sim.now_us;
}

void clock_sleep_us(int64_t duration_us)
{
    sim.now_us += duration_us;
    sim_yield();
}
