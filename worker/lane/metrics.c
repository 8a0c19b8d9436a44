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

static_assert(WAITING_CODE_WORDS * sizeof(uint64_t) == WAITING_CODE_BYTES, "all of the code");

void waiting_code_set(struct waiting_code *why, const char *code)
{
    uint64_t words[WAITING_CODE_WORDS] = {0};
    size_t length = strlen(code);

    memcpy(words, code, length < sizeof(words) ? length : sizeof(words) - 1);
    atomic_fetch_add(&why->changes, 1);
    for (size_t i = 0; i < WAITING_CODE_WORDS; i++)
        atomic_store(&why->words[i], words[i]);
    atomic_fetch_add(&why->changes, 1);
}

void waiting_code_get(const struct waiting_code *why, char ret_code[WAITING_CODE_BYTES])
{
    uint64_t words[WAITING_CODE_WORDS];
    uint32_t before;

    do {
        before = atomic_load(&why->changes);
        for (size_t i = 0; i < WAITING_CODE_WORDS; i++)
            words[i] = atomic_load(&why->words[i]);
    } while (before % 2 == 1 || atomic_load(&why->changes) != before);
    memcpy(ret_code, words, sizeof(words));
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
