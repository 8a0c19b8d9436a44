#pragma once

#include "base/buffer.h"
#include "base/err.h"

/* What `check` has found. */

enum finding_level {
    FINDING_INFO,    /* good to know */
    FINDING_WARNING, /* works, but not as well or as safely as it could */
    FINDING_AWAY,    /* broker or database did not answer: what depends on it is not checked */
    FINDING_ERROR,   /* run would refuse to start, or a guarantee would not hold */
};

struct finding {
    enum finding_level level;
    const char *where;
    const char *what;
};

struct findings {
    struct arena *arena;
    struct finding *items;
    size_t count;
    size_t capacity;
    bool full; /* some did not fit into the arena */
};

void finding_add(struct findings *findings, enum finding_level level, const char *where,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* What failed: AWAY where it may be tried again, else an error. */
void finding_add_failure(struct findings *findings, const char *where, const struct err *err);

/* How many there are of that level. */
size_t findings_of(const struct findings *findings, enum finding_level level);

/* [{"level", "where", "what"}, ...] */
void findings_json(const struct findings *findings, struct buffer *out);
