#include "base/map.h"

/* FNV-1a, 64 bits. Source: Fowler, Noll, Vo */
static uint64_t hash_key(uint32_t kind, struct text key)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ kind;

    hash *= UINT64_C(1099511628211);
    for (size_t i = 0; i < key.length; i++) {
        hash ^= (uint8_t)key.data[i];
        hash *= UINT64_C(1099511628211);
    }
    hash ^= hash >> 32; /* the table looks at the low bits */
    return hash != 0 ? hash : 1;
}

bool map_init(struct map *map, struct arena *arena, size_t expected)
{
    size_t capacity = 16;

    while (capacity / 2 < expected)
        capacity *= 2;
    *map = (struct map){.arena = arena, .capacity = capacity};
    map->slots = ARENA_ARRAY(arena, struct map_slot, capacity);
    return map->slots != NULL;
}

static struct map_slot *find(const struct map *map, uint64_t hash, uint32_t kind, struct text key)
{
    size_t mask = map->capacity - 1;
    size_t at = (size_t)hash & mask;

    while (map->slots[at].hash != 0) {
        struct map_slot *slot = &map->slots[at];
        if (slot->hash == hash && slot->kind == kind && text_equal(slot->key, key))
            return slot;
        at = (at + 1) & mask;
    }
    return &map->slots[at];
}

static bool grow(struct map *map)
{
    struct map larger;

    if (!map_init(&larger, map->arena, map->capacity))
        return false;
    for (size_t i = 0; i < map->capacity; i++) {
        const struct map_slot *slot = &map->slots[i];
        if (slot->hash != 0)
            *find(&larger, slot->hash, slot->kind, slot->key) = *slot;
    }
    larger.used = map->used;
    *map = larger;
    return true;
}

size_t *map_put(struct map *map, uint32_t kind, struct text key, bool *ret_new)
{
    uint64_t hash = hash_key(kind, key);
    struct map_slot *slot = find(map, hash, kind, key);

    *ret_new = slot->hash == 0;
    if (slot->hash != 0)
        return &slot->value;
    if (map->used + 1 > map->capacity / 2) {
        if (!grow(map))
            return NULL;
        slot = find(map, hash, kind, key);
    }
    *slot = (struct map_slot){.hash = hash, .key = key, .kind = kind};
    map->used++;
    return &slot->value;
}

const size_t *map_get(const struct map *map, uint32_t kind, struct text key)
{
    const struct map_slot *slot = find(map, hash_key(kind, key), kind, key);
    return slot->hash != 0 ? &slot->value : NULL;
}
