#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/lane/source.h"

/* The lag of each partition of a lane. The lane's thread writes, the HTTP thread reads. Memory that
 * is all zero is an empty one. */

struct lag {
    char topic[256]; /* Kafka allows 249 characters */
    int32_t partition;
    int64_t records; /* -1: not known */
};

struct shared_lags {
    pthread_mutex_t lock;
    struct lag *items;
    size_t count;
    size_t capacity;
};

void lags_set(struct shared_lags *lags, const struct partition_lag *items, size_t count);

/* Calls `visit` for each, which must not wait. */
void lags_each(struct shared_lags *lags, void (*visit)(const struct lag *lag, void *context),
               void *context);

void lags_release(struct shared_lags *lags);
