#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/slice.h"

/* Memory that lives until the next reset: one arena per batch.
 *
 * Grows by blocks up to `ceiling_bytes`, then every allocation answers NULL: what a batch may cost
 * is decided by configuration, not by input. A reset keeps blocks up to 16 MiB and returns the
 * rest, so a burst does not stay resident. Not thread-safe: one thread owns it. */
struct arena;

/* NULL when there is no memory. */
struct arena *arena_new(size_t ceiling_bytes);
void arena_free(struct arena *arena);
DEFINE_CLEANUP(struct arena *, arena_free)

/* Everything allocated before is gone. */
void arena_reset(struct arena *arena);

/* A point to come back to: rewinding frees what was allocated since, for work that is tried again.
 */
struct arena_mark {
    void *block;
    size_t block_used;
    size_t used;
};
struct arena_mark arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, struct arena_mark mark);

/* `size` bytes aligned for any type, not cleared. NULL: the ceiling is reached. size 0 gives a
 * valid pointer. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((malloc, alloc_size(2)));

/* Makes the latest allocation, of `size` bytes, `longer` bytes long where it lies; the new bytes
 * are not cleared. The same address, by which it is to be reached from now on; NULL: it is not the
 * latest, or its block has no room: allocate and copy. */
void *arena_extend(struct arena *arena, void *allocation, size_t size, size_t longer);

/* Gives back what an allocation of `size` bytes has beyond `shorter`, when it is the latest; else
 * the bytes stay taken. false: they do. */
bool arena_trim(struct arena *arena, void *allocation, size_t size, size_t shorter);

/* `count` elements of `size` bytes, cleared; NULL also when count * size overflows. */
void *arena_calloc(struct arena *arena, size_t count, size_t size) __attribute__((malloc));

/* A copy of the bytes with a NUL behind it (not counted in the length). */
char *arena_copy(struct arena *arena, const void *bytes, size_t length);

/* A copy of the text; an absent text stays absent. false: the arena is full. */
bool arena_copy_text(struct arena *arena, struct text text, struct text *ret_copy);

/* Zero-terminated; NULL when the arena is full. */
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Bytes handed out since the last reset, and bytes held from the system. */
size_t arena_used(const struct arena *arena);
size_t arena_held(const struct arena *arena);

#define ARENA_NEW(arena, type) ((type *)arena_calloc((arena), 1, sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_calloc((arena), (count), sizeof(type)))
