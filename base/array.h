#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Room for `needed` elements of `size` bytes in a growing array on the heap, whose capacity at
 * least doubles. `items` points at the caller's pointer, NULL at first. false: no memory, nothing
 * changed. */
bool array_reserve(void *items, size_t *capacity, size_t needed, size_t size);
