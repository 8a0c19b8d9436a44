#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes. data NULL: absent (SQL NULL, no header, field not given); an empty text has
 * data and length 0. Not NUL-terminated unless its maker says so. */
struct slice {
    const uint8_t *data;
    size_t length;
};

/* The same for UTF-8 text. */
struct text {
    const char *data;
    size_t length;
};

/* Texts in order; items NULL: the list is absent. */
struct text_list {
    const struct text *items;
    size_t count;
};

#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})
/* TEXT() as the initialiser of a member of a static table. */
#define TEXT_INIT(literal)                                                                         \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }
#define TEXT_ABSENT ((struct text){NULL, 0})
/* printf("%.*s", TEXT_ARG(t)); an absent text prints nothing */
#define TEXT_ARG(t) (int)(t).length, (t).data != NULL ? (t).data : ""

static inline struct text text_of(const char *zero_terminated)
{
    return (struct text){zero_terminated, zero_terminated != NULL ? strlen(zero_terminated) : 0};
}

static inline bool text_present(struct text text)
{
    return text.data != NULL;
}

static inline bool text_equal(struct text a, struct text b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static inline bool text_is(struct text text, const char *literal)
{
    /* Most texts that differ do so in their first byte. */
    if (text.data == NULL || (text.length > 0 && text.data[0] != literal[0]))
        return false;
    return text.length == strlen(literal) && memcmp(text.data, literal, text.length) == 0;
}

static inline bool text_starts_with(struct text text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.data, prefix, length) == 0;
}

/* Bytewise, as COLLATE "C" orders: the lock order of set-wise statements. */
static inline int text_compare(struct text a, struct text b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
    if (order != 0)
        return order;
    return (a.length > b.length) - (a.length < b.length);
}

static inline struct slice slice_of_text(struct text text)
{
    return (struct slice){(const uint8_t *)text.data, text.length};
}

static inline struct text text_of_slice(struct slice slice)
{
    return (struct text){(const char *)slice.data, slice.length};
}
