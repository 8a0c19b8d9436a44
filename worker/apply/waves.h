#pragma once

#include "base/map.h"

/* Which commands of a batch may be applied at once.
 *
 * Commands are placed in order. Each declares the rows it touches; its wave is one more than the
 * highest wave of an earlier command touching one of the same rows, or that same wave where both
 * touch the row in a way that may be merged (usages of one key). Commands of one wave touch
 * distinct rows, so that set-wise statements, in any order, do what the commands one by one would
 * do. */

enum resource_kind {
    RESOURCE_NONE,
    RESOURCE_USER,
    RESOURCE_ORG,
    RESOURCE_ORG_SLUG,
    RESOURCE_GROUP,
    RESOURCE_MEMBERSHIP,
    RESOURCE_ENTITLEMENT,
    RESOURCE_ENTITLEMENT_TRIPLE,
    RESOURCE_KEY,
    RESOURCE_KEY_HASH,
};

struct resource {
    enum resource_kind kind;
    struct text name;
    bool merges; /* with another touch of the row that merges */
};

struct waves {
    struct map last; /* resource -> 1 + 2 * last wave + (last touch merges) */
    size_t count;    /* waves so far */
};

/* false: the arena is full. */
bool waves_init(struct waves *waves, struct arena *arena, size_t expected_commands);

/* Places the next command. false: the arena is full. */
bool waves_place(struct waves *waves, const struct resource *touched, size_t count,
                 size_t *ret_wave);
