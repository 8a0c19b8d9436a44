#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The names that the server has prepared on a connection. Zero-initialised: none. */
struct pq_prepared {
    char **names;
    size_t count;
    size_t capacity;
};

bool pq_prepared_has(const struct pq_prepared *prepared, const char *name);

/* false: no memory. */
bool pq_prepared_add(struct pq_prepared *prepared, const char *name);

void pq_prepared_clear(struct pq_prepared *prepared);
void pq_prepared_release(struct pq_prepared *prepared);
