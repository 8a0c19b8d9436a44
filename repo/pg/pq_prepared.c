#include "repo/pg/pq_prepared.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

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
    if (!array_reserve(&prepared->names, &prepared->capacity, prepared->count + 1,
                       sizeof(*prepared->names)))
        return false;
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
