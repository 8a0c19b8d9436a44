#pragma once

#include "base/arena.h"

/* A hash map from (kind, text) to a number, in an arena, for the length of a batch. Grows by
 * doubling. Keys are borrowed. Not hardened against chosen collisions: what comes in at once is
 * bounded by the batch. */
struct map_slot {
    uint64_t hash; /* 0: free */
    struct text key;
    uint32_t kind;
    size_t value;
};

struct map {
    struct arena *arena;
    struct map_slot *slots;
    size_t capacity; /* a power of two */
    size_t used;
};

/* false: the arena is full. `expected` keys fit without growing. */
bool map_init(struct map *map, struct arena *arena, size_t expected);

/* The slot of the key, made with value 0 when it is new; valid until the next call. NULL: the arena
 * is full. */
size_t *map_put(struct map *map, uint32_t kind, struct text key, bool *ret_new);

/* NULL: there is none. */
const size_t *map_get(const struct map *map, uint32_t kind, struct text key);
