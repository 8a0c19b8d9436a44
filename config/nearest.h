#pragma once

#include <stddef.h>

/* "Did you mean ...?": the best of the names offered so far, at most `distance_max` edits away from
 * what was typed, letters of either case alike. */
struct nearest {
    const char *typed;
    size_t distance_max;
    const char *name; /* NULL: none is near */
    size_t distance;
};

void nearest_offer(struct nearest *nearest, const char *name);
