#include "worker/lane/metrics.h"

#include <assert.h>
#include <string.h>

/* A command's way takes 0.5 ms to some ms; the long end shows a dependency that is slow or away. */
const uint64_t duration_bounds_us[HISTOGRAM_BUCKETS - 1] = {
    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};

/* Up to the largest batch that can be configured. */
const uint64_t batch_bounds[HISTOGRAM_BUCKETS - 1] = {1,   2,    5,    10,   20,   50,   100,  200,
                                                      500, 1000, 1500, 2000, 3000, 5000, 10000};

void histogram_observe(struct histogram *histogram, uint64_t value, const uint64_t *bounds)
{
    size_t bucket = 0;

    while (bucket < HISTOGRAM_BUCKETS - 1 && value > bounds[bucket])
        bucket++;
    metric_add(&histogram->buckets[bucket], 1);
    metric_add(&histogram->sum, value);
}

static_assert(HOLDUP_WORDS * sizeof(uint64_t) == sizeof(struct holdup), "all of the holdup");

void holdup_set(struct shared_holdup *shared, const struct holdup *holdup)
{
    uint64_t words[HOLDUP_WORDS];

    memcpy(words, holdup, sizeof(words));
    atomic_fetch_add(&shared->changes, 1);
    for (size_t i = 0; i < HOLDUP_WORDS; i++)
        atomic_store(&shared->words[i], words[i]);
    atomic_fetch_add(&shared->changes, 1);
}

struct holdup holdup_get(const struct shared_holdup *shared)
{
    uint64_t words[HOLDUP_WORDS] = {0};
    struct holdup holdup;
    uint32_t before;

    do {
        before = atomic_load(&shared->changes);
        for (size_t i = 0; i < HOLDUP_WORDS; i++)
            words[i] = atomic_load(&shared->words[i]);
    } while (before % 2 == 1 || atomic_load(&shared->changes) != before);
    memcpy(&holdup, words, sizeof(holdup));
    return holdup;
}

const char *dependency_name(enum dependency dependency)
{
    switch (dependency) {
    case DEPENDENCY_DATABASE:
        return "postgresql";
    case DEPENDENCY_BROKERS:
        return "kafka";
    case DEPENDENCY_NONE:
        break;
    }
    return "nothing";
}
