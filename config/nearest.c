#include "config/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein distance, one row of the matrix at a time. */
static size_t distance(const char *a, const char *b)
{
    enum { LENGTH_MAX = 64 };
    size_t row[LENGTH_MAX + 1];
    size_t width = strlen(b);

    if (width > LENGTH_MAX || strlen(a) > LENGTH_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t above = row[j];
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (same ? 0 : 1));
            diagonal = above;
        }
    }
    return row[width];
}

void nearest_offer(struct nearest *nearest, const char *name)
{
    size_t far = distance(nearest->typed, name);

    if (far <= nearest->distance_max && (nearest->name == NULL || far < nearest->distance)) {
        nearest->name = name;
        nearest->distance = far;
    }
}
