#include "worker/lane/lags.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"

/* Without memory nothing is known. */
void lags_set(struct shared_lags *lags, const struct partition_lag *items, size_t count)
{
    pthread_mutex_lock(&lags->lock);
    lags->count = 0;
    if (array_reserve(&lags->items, &lags->capacity, count, sizeof(*lags->items))) {
        for (size_t i = 0; i < count; i++) {
            struct lag *lag = &lags->items[lags->count++];
            snprintf(lag->topic, sizeof(lag->topic), "%.*s", TEXT_ARG(items[i].topic));
            lag->partition = items[i].partition;
            lag->records = items[i].records;
        }
    }
    pthread_mutex_unlock(&lags->lock);
}

void lags_each(struct shared_lags *lags, void (*visit)(const struct lag *lag, void *context),
               void *context)
{
    pthread_mutex_lock(&lags->lock);
    for (size_t i = 0; i < lags->count; i++)
        visit(&lags->items[i], context);
    pthread_mutex_unlock(&lags->lock);
}

void lags_release(struct shared_lags *lags)
{
    free(lags->items);
    *lags = (struct shared_lags){.items = NULL};
}
