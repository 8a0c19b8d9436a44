#include "repo/pg/pq_prepared.h"

#include <stdlib.h>
#include <string.h>

enum { NAMES_FIRST = 64 };

bool pq_prepared_has(const struct pq_prepared *prepared, const char *name)
{
    for (size_t i = 0; i < prepared->count; i++) {
        if (strcmp(prepared->names[i], name) == 0)
            return true;
    }
    return false;
}

bool pq_prepared_add(struct pq_prepared *prepared, const char *name)
{
    if (prepared->count == prepared->capacity) {
        size_t capacity = prepared->capacity > 0 ? 2 * prepared->capacity : (size_t)NAMES_FIRST;
        char **grown = realloc(prepared->names, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        prepared->names = grown;
        prepared->capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return false;
    prepared->names[prepared->count++] = copy;
    return true;
}

void pq_prepared_clear(struct pq_prepared *prepared)
{
    for (size_t i = 0; i < prepared->count; i++)
        free(prepared->names[i]);
    prepared->count = 0;
}

void pq_prepared_release(struct pq_prepared *prepared)
{
    pq_prepared_clear(prepared);
    free(prepared->names);
    *prepared = (struct pq_prepared){0};
}
