#pragma once

#include "worker/lane/sink.h"
#include "worker/lane/source.h"
#include "worker/lane/store.h"

/* The three ports of a lane in a world of one test's own, simulated (tests/sim) or real: what the
 * tests of test_conformance.c say holds for both. A failure inside any of these functions fails the
 * test. */

enum { WORLD_PARTITIONS = 3, WORLD_LANES = 2 };

/* A lane's two ends at the brokers. */
struct ends {
    struct source *source;
    struct sink *sink; /* not open yet */
};

struct world;

struct maker {
    /* A command topic, an audit topic, a group that nobody is in, empty tables.
     * impatient: the group does without a member that is silent for some seconds */
    void (*setup)(struct world *world, bool impatient);
    void (*teardown)(struct world *world); /* frees what was started */

    /* Adds `count` records to a partition of the command topic. */
    void (*fill)(struct world *world, int partition, int count);

    /* A member of the group and the producer of this lane. */
    struct ends (*start)(struct world *world, int lane);

    /* Another producer under the same transactional id, fenced by the same membership. */
    struct sink *(*twin)(struct world *world, int lane);

    /* Lets the brokers find that the lane is silent; the real ones need time and another member. */
    void (*fall_silent)(struct world *world, int lane);

    /* Values on the audit topic that a read_committed consumer sees, separated by blanks; until the
     * next call. */
    const char *(*visible)(struct world *world);

    /* A connection of its own. */
    struct store *(*connect)(struct world *world, int lane);

    /* The connection breaks, and with it what is open. */
    void (*cut)(struct world *world, int lane);
};

struct world {
    const struct maker *maker;
    struct text commands; /* topics */
    struct text audit;
    struct arena *arena;
    void *own; /* the maker's */
};

extern const struct maker simulated_ports;
extern const struct maker real_ports;
