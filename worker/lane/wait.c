#include "worker/lane/wait.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/lane/context.h"

enum { FIRST_MS = 10, LONGEST_MS = 5000 };

/* Waits shorter than this only sleep: pausing the partitions throws away what is prefetched. */
enum { KEEP_ALIVE_FROM_MS = 300 };

/* xorshift64: only spreads the attempts of many lanes. */
static uint64_t next_random(struct lane *lane)
{
    lane->random ^= lane->random << 13;
    lane->random ^= lane->random >> 7;
    lane->random ^= lane->random << 17;
    return lane->random;
}

static int next_delay_ms(struct lane *lane)
{
    int shift = lane->wait.attempts < 10 ? lane->wait.attempts : 10;
    int64_t delay_ms = (int64_t)FIRST_MS << shift;

    if (delay_ms > LONGEST_MS)
        delay_ms = LONGEST_MS;
    return (int)(delay_ms / 2 + (int64_t)(next_random(lane) % (uint64_t)(delay_ms / 2 + 1)));
}

static struct holdup holdup_of(const struct lane *lane, const struct err *err)
{
    const struct message *hand = lane->hand;
    struct holdup holdup = {.since_us = lane->wait.since_us};

    snprintf(holdup.code, sizeof(holdup.code), "%s", err->code);
    if (hand == NULL)
        return holdup;
    snprintf(holdup.topic, sizeof(holdup.topic), "%.*s", TEXT_ARG(hand->topic));
    holdup.partition = hand->partition;
    holdup.offset = hand->offset;
    return holdup;
}

enum log_level wait_log_level(int attempts)
{
    return (attempts & (attempts - 1)) == 0 ? LOG_WARN : LOG_DEBUG;
}

static void log_attempt(const struct lane *lane, const struct holdup *holdup, const struct err *err)
{
    const struct wait *wait = &lane->wait;
    const struct log_field fields[] = {
        LOG_INT("lane", lane->options.index),
        LOG_STR("dependency", dependency_name(wait->dependency)),
        LOG_INT("attempt", wait->attempts),
        LOG_INT("waited_ms", (clock_monotonic_us() - wait->since_us) / 1000),
        LOG_STR("code", err->code),
        LOG_STR("error", err->text),
        LOG_STR("topic", holdup->topic), /* of the message in hand */
        LOG_INT("partition", holdup->partition),
        LOG_INT("offset", holdup->offset),
    };
    size_t count = sizeof(fields) / sizeof(fields[0]) - (holdup->topic[0] == '\0' ? 3 : 0);

    log_write(wait_log_level(wait->attempts), "waiting for a dependency", fields, count);
}

void wait_tell_lags(struct lane *lane)
{
    const struct partition_lag *items = NULL;
    size_t count;

    bool known = source_lags(lane->source, &items, &count);
    if (lane->metrics->lags != NULL)
        lags_set(lane->metrics->lags, items, count);
    atomic_store(&lane->metrics->partitions, known ? (int64_t)count : -1);
}

bool wait_again(struct lane *lane, enum dependency dependency, uint64_t generation,
                const struct err *err)
{
    struct wait *wait = &lane->wait;

    if (wait->attempts == 0 || wait->dependency != dependency)
        *wait = (struct wait){.dependency = dependency, .since_us = clock_monotonic_us()};
    wait->attempts++;
    const struct holdup holdup = holdup_of(lane, err);
    log_attempt(lane, &holdup, err);
    if (wait->attempts > 1) {
        holdup_set(&lane->metrics->why, &holdup);
        atomic_store(&lane->metrics->waiting_for, (int)dependency);
    }

    int delay_ms = next_delay_ms(lane);
    if (delay_ms >= KEEP_ALIVE_FROM_MS)
        source_keep_alive(lane->source, delay_ms);
    else
        clock_sleep_us((int64_t)delay_ms * 1000);
    sink_serve(lane->sink);
    wait_tell_lags(lane);
    atomic_store(&lane->metrics->progress_us, clock_monotonic_us());
    return !atomic_load(&lane->stopping) && source_generation(lane->source) == generation;
}

void wait_done(struct lane *lane)
{
    const struct wait *wait = &lane->wait;

    if (wait->attempts > 1) {
        log_line(LOG_INFO, "dependency is back", LOG_INT("lane", lane->options.index),
                 LOG_STR("dependency", dependency_name(wait->dependency)),
                 LOG_INT("waited_ms", (clock_monotonic_us() - wait->since_us) / 1000));
    }
    lane->wait = (struct wait){0};
    atomic_store(&lane->metrics->waiting_for, (int)DEPENDENCY_NONE);
}
