#include "base/array.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 16 };

bool array_reserve(void *items, size_t *capacity, size_t needed, size_t size)
{
    void *array;

    if (needed <= *capacity)
        return true;
    size_t larger = *capacity < CAPACITY_MIN ? CAPACITY_MIN : *capacity * 2;
    if (larger < needed)
        larger = needed;
    /* the caller's pointer has a type of its own: copied, not cast */
    memcpy(&array, items, sizeof(array));
    void *extended = realloc(array, larger * size);
    if (extended == NULL)
        return false;
    memcpy(items, &extended, sizeof(extended));
    *capacity = larger;
    /* cppcheck-suppress memleak ; the caller's pointer is a copy of it */
    return true;
}
