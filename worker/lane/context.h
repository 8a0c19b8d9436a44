#pragma once

#include <stdatomic.h>

#include "events/dead_letter.h"
#include "worker/lane/batch.h"
#include "worker/lane/lane.h"
#include "worker/lane/letter_form.h"
#include "worker/lane/progress.h"

/* The one struct that every file of this room works on. Private to the room, its tests and its
 * benchmark: the rest of the program knows lane.h.
 *
 * A function of the room takes the lane, and the batch where it is about one. What belongs to one
 * batch lives in struct batch; what outlives it lives here. */

/* The wait that the lane is in, between two attempts at a dependency. */
struct wait {
    enum dependency dependency; /* DEPENDENCY_NONE: the lane does not wait */
    int attempts;
    int64_t since_us; /* monotonic */
};

struct lane {
    struct lane_options options;
    struct source *source;
    struct sink *sink;
    struct store *store;
    struct lane_metrics *metrics;

    struct arena *arena; /* of the batch in hand, reset before each */
    /* Reasons of the batch's dead letters, and memory of single attempts, which each attempt gives
     * back: retries cost nothing. No ceiling: it holds one record, or some bytes a partition. */
    struct arena *scratch;
    int32_t *topic_ids; /* numbers of options.command_topics in the store */
    struct progress progress;
    uint64_t progress_generation;     /* of the source, that `progress` is about */
    struct dead_letter_limits limits; /* max_record_bytes shrinks when the brokers refuse a size */
    struct letter_form *forms;        /* of the dead letters of each command topic */
    struct wait wait;
    int unsaved_failures;  /* of saving published offsets, in a row */
    bool recovered;        /* the store, since setback_check() last looked */
    bool set_back;         /* it was: the partitions are to be taken again */
    int64_t held_since_us; /* monotonic; while the lane holds its partitions */
    int64_t held_told_us;
    const struct message *hand;  /* the first message of what is settled or published now; NULL */
    uint64_t random;             /* spreads the attempts of many lanes */
    int64_t looked_for_skips_us; /* monotonic */
    int64_t suspect_after_us;    /* so long a message may fail in the same way, see isolate.h */
    atomic_int stopping;
};
