#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Blocks grow from 64 KiB to 1 MiB: small programs stay small, a full batch needs few of them. */
enum { BLOCK_MIN = 64 * 1024, BLOCK_MAX = 1024 * 1024 };

/* What a reset keeps: an ordinary batch of 2,000 commands needs less. */
enum { KEPT_BYTES = 16 * 1024 * 1024 };

struct block {
    struct block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) unsigned char bytes[];
};

struct arena {
    size_t ceiling;
    size_t used;          /* handed out since the last reset */
    size_t held;          /* sum of block sizes */
    struct block *blocks; /* all blocks, the current one first */
    struct block *spare;  /* kept by a reset, empty */
};

struct arena *arena_new(size_t ceiling_bytes)
{
    struct arena *arena = calloc(1, sizeof(*arena));
    if (arena != NULL)
        arena->ceiling = ceiling_bytes;
    return arena;
}

static void blocks_free(struct block *block)
{
    while (block != NULL) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    blocks_free(arena->blocks);
    blocks_free(arena->spare);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    struct block *block = arena->blocks;

    arena->blocks = NULL;
    while (block != NULL) {
        struct block *next = block->next;
        block->used = 0;
        block->next = arena->spare;
        arena->spare = block;
        block = next;
    }
    arena->used = 0;

    size_t kept = 0;
    struct block **slot = &arena->spare;
    while (*slot != NULL) {
        if (kept + (*slot)->size <= KEPT_BYTES) {
            kept += (*slot)->size;
            slot = &(*slot)->next;
        } else {
            struct block *surplus = *slot;
            *slot = surplus->next;
            arena->held -= surplus->size;
            free(surplus);
        }
    }
}

struct arena_mark arena_mark(const struct arena *arena)
{
    return (struct arena_mark){arena->blocks, arena->blocks != NULL ? arena->blocks->used : 0,
                               arena->used};
}

void arena_rewind(struct arena *arena, struct arena_mark mark)
{
    while (arena->blocks != mark.block) {
        struct block *block = arena->blocks;
        arena->blocks = block->next;
        block->used = 0;
        block->next = arena->spare;
        arena->spare = block;
    }
    if (arena->blocks != NULL)
        arena->blocks->used = mark.block_used;
    arena->used = mark.used;
}

static struct block *spare_take(struct arena *arena, size_t size)
{
    for (struct block **slot = &arena->spare; *slot != NULL; slot = &(*slot)->next) {
        if ((*slot)->size >= size) {
            struct block *block = *slot;
            *slot = block->next;
            return block;
        }
    }
    return NULL;
}

static struct block *block_add(struct arena *arena, size_t size)
{
    struct block *block = spare_take(arena, size);

    if (block == NULL) {
        size_t wanted = arena->held < BLOCK_MIN ? BLOCK_MIN : arena->held;
        if (wanted > BLOCK_MAX)
            wanted = BLOCK_MAX;
        if (wanted < size)
            wanted = size;
        if (wanted > arena->ceiling - arena->held)
            wanted = size; /* the last block before the ceiling may be a small one */
        if (arena->held > arena->ceiling || wanted > arena->ceiling - arena->held)
            return NULL;
        block = malloc(sizeof(*block) + wanted);
        if (block == NULL)
            return NULL;
        block->size = wanted;
        block->used = 0;
        arena->held += wanted;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

static size_t round_up(size_t size)
{
    return (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t rounded = round_up(size);
    struct block *block = arena->blocks;

    if (rounded < size || rounded > arena->ceiling)
        return NULL;
    if (block == NULL || block->size - block->used < rounded) {
        block = block_add(arena, rounded);
        if (block == NULL)
            return NULL;
    }
    void *bytes = block->bytes + block->used;
    block->used += rounded;
    arena->used += rounded;
    return bytes;
}

void *arena_extend(struct arena *arena, void *allocation, size_t size, size_t longer)
{
    struct block *block = arena->blocks;
    size_t more = round_up(longer) - round_up(size);

    if (longer < size || round_up(longer) < longer || block == NULL ||
        (unsigned char *)allocation + round_up(size) != block->bytes + block->used ||
        block->size - block->used < more)
        return NULL;
    block->used += more;
    arena->used += more;
    return allocation;
}

bool arena_trim(struct arena *arena, void *allocation, size_t size, size_t shorter)
{
    struct block *block = arena->blocks;
    size_t less = round_up(size) - round_up(shorter);

    if (shorter > size || block == NULL ||
        (unsigned char *)allocation + round_up(size) != block->bytes + block->used)
        return false;
    block->used -= less;
    arena->used -= less;
    return true;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    void *bytes = arena_alloc(arena, count * size);
    if (bytes != NULL)
        memset(bytes, 0, count * size);
    return bytes;
}

char *arena_copy(struct arena *arena, const void *bytes, size_t length)
{
    char *copy = length < SIZE_MAX ? arena_alloc(arena, length + 1) : NULL;
    if (copy == NULL)
        return NULL;
    if (length > 0)
        memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

bool arena_copy_text(struct arena *arena, struct text text, struct text *ret_copy)
{
    if (text.data == NULL) {
        *ret_copy = TEXT_ABSENT;
        return true;
    }
    char *copy = arena_copy(arena, text.data, text.length);
    if (copy == NULL)
        return false;
    *ret_copy = (struct text){copy, text.length};
    return true;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_list again;

    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (text != NULL)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}

size_t arena_held(const struct arena *arena)
{
    return arena->held;
}
