#pragma once

#include "base/arena.h"
#include "base/slice.h"

/* Telling equal texts apart without an input that makes it slow: few are compared with each other,
 * many are sorted. */

/* Whether no two are equal. Reorders the texts. */
bool texts_distinct(struct text *texts, size_t count);

/* Removes every text that an earlier one equals; the others keep their order. false: the arena is
 * full. */
bool texts_deduplicate(struct text *texts, size_t *count, struct arena *arena);
