#include "worker/lane/wait.h"

#include "base/clock.h"
#include "base/log.h"

enum { FIRST_MS = 10, LONGEST_MS = 5000 };

/* Waits shorter than this only sleep: pausing the partitions throws away what is prefetched. */
enum { KEEP_ALIVE_FROM_MS = 300 };

/* xorshift64: only spreads the attempts of many lanes. */
static uint64_t next_random(struct wait *wait)
{
    wait->random ^= wait->random << 13;
    wait->random ^= wait->random >> 7;
    wait->random ^= wait->random << 17;
    return wait->random;
}

static int next_delay_ms(struct wait *wait)
{
    int shift = wait->attempts < 10 ? wait->attempts : 10;
    int64_t delay_ms = (int64_t)FIRST_MS << shift;

    if (delay_ms > LONGEST_MS)
        delay_ms = LONGEST_MS;
    return (int)(delay_ms / 2 + (int64_t)(next_random(wait) % (uint64_t)(delay_ms / 2 + 1)));
}

static void log_attempt(const struct wait *wait, const struct err *err)
{
    /* attempts 1, 2, 4, 8 ...: a dependency that stays away fills no disk */
    enum log_level level = (wait->attempts & (wait->attempts - 1)) == 0 ? LOG_WARN : LOG_DEBUG;

    log_line(level, "waiting for a dependency", LOG_INT("lane", wait->lane),
             LOG_STR("dependency", dependency_name(wait->dependency)),
             LOG_INT("attempt", wait->attempts), LOG_STR("code", err->code),
             LOG_STR("error", err->text));
}

bool wait_again(struct wait *wait, enum dependency dependency, uint64_t generation,
                const struct err *err)
{
    if (wait->attempts == 0 || wait->dependency != dependency) {
        wait->since_us = clock_monotonic_us();
        wait->attempts = 0;
        wait->dependency = dependency;
    }
    wait->attempts++;
    log_attempt(wait, err);
    if (wait->attempts > 1) {
        waiting_code_set(&wait->metrics->why, err->code);
        atomic_store(&wait->metrics->waiting_for, (int)dependency);
    }

    int delay_ms = next_delay_ms(wait);
    if (delay_ms >= KEEP_ALIVE_FROM_MS)
        source_keep_alive(wait->source, delay_ms);
    else
        clock_sleep_us((int64_t)delay_ms * 1000);
    wait->sink->ops->serve(wait->sink);
    atomic_store(&wait->metrics->progress_us, clock_monotonic_us());
    return !atomic_load(wait->stopping) && source_generation(wait->source) == generation;
}

void wait_done(struct wait *wait)
{
    if (wait->attempts > 1) {
        log_line(LOG_INFO, "dependency is back", LOG_INT("lane", wait->lane),
                 LOG_STR("dependency", dependency_name(wait->dependency)),
                 LOG_INT("waited_ms", (clock_monotonic_us() - wait->since_us) / 1000));
    }
    wait->attempts = 0;
    wait->dependency = DEPENDENCY_NONE;
    atomic_store(&wait->metrics->waiting_for, (int)DEPENDENCY_NONE);
}
