#include "events/wire/distinct.h"

#include <stdlib.h>

/* Up to here comparing all pairs is quicker than sorting. */
enum { FEW = 16 };

/* By length first: most unequal texts differ in it, and it costs no look at the bytes. */
static int compare(struct text a, struct text b)
{
    if (a.length != b.length)
        return a.length < b.length ? -1 : 1;
    return a.length > 0 ? memcmp(a.data, b.data, a.length) : 0;
}

static int compare_texts(const void *a, const void *b)
{
    return compare(*(const struct text *)a, *(const struct text *)b);
}

bool texts_distinct(struct text *texts, size_t count)
{
    if (count <= FEW) {
        for (size_t i = 1; i < count; i++) {
            for (size_t j = 0; j < i; j++) {
                if (text_equal(texts[i], texts[j]))
                    return false;
            }
        }
        return true;
    }
    qsort(texts, count, sizeof(*texts), compare_texts);
    for (size_t i = 1; i < count; i++) {
        if (text_equal(texts[i - 1], texts[i]))
            return false;
    }
    return true;
}

struct place {
    struct text text;
    size_t index;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *left = a;
    const struct place *right = b;
    int order = compare(left->text, right->text);

    if (order != 0)
        return order;
    return (left->index > right->index) - (left->index < right->index);
}

static void deduplicate_few(struct text *texts, size_t *count)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        bool seen = false;
        for (size_t j = 0; j < kept && !seen; j++)
            seen = text_equal(texts[j], texts[i]);
        if (!seen)
            texts[kept++] = texts[i];
    }
    *count = kept;
}

bool texts_deduplicate(struct text *texts, size_t *count, struct arena *arena)
{
    if (*count <= FEW) {
        deduplicate_few(texts, count);
        return true;
    }

    struct place *places = ARENA_ARRAY(arena, struct place, *count);
    bool *repeated = ARENA_ARRAY(arena, bool, *count);
    if (places == NULL || repeated == NULL)
        return false;
    for (size_t i = 0; i < *count; i++)
        places[i] = (struct place){texts[i], i};
    qsort(places, *count, sizeof(*places), compare_places);
    for (size_t i = 1; i < *count; i++)
        repeated[places[i].index] = text_equal(places[i - 1].text, places[i].text);

    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (!repeated[i])
            texts[kept++] = texts[i];
    }
    *count = kept;
    return true;
}
