#pragma once

#include "base/map.h"
#include "tests/sim/sim.h"

/* What must have come out, computed from the topic alone by applying its messages one by one. */

struct expected {
    char id[40]; /* of the audit event */
    const uint8_t *value;
    size_t length;
    int partition;
    bool anywhere; /* a duplicate of it lies in another partition: its place is free */
    int seen;
};

/* The state that the commands one by one lead to. */
struct model {
    struct map *users;
    struct map *keys;
    struct map contents; /* ce_id -> 1 + index into digests */
    struct map answered; /* audit ids */
    struct uuid digests[SIM_STORED_MAX];
    size_t digest_count;
};

struct oracle {
    struct arena *arena;
    struct model model;
    struct expected events[SIM_STORED_MAX];
    size_t event_count;
    struct map users; /* of the final rows: id -> anything */
    struct map keys;  /* id -> usage count + 1 */
};

/* Fills the world's topic from its seed, and tells what to expect. */
void oracle_write_topic(struct oracle *oracle);

/* The logs of some partitions go back: each loses its first records, the remaining records move to
 * lower offsets, and new commands follow. The logs then end before the group's offsets. A partition
 * with a dead letter stays as it is, since only the coordinates of its record identify the letter.
 */
void oracle_logs_go_back(struct oracle *oracle);

/* passes: how often the topic was read from its beginning: that often a dead letter is there,
 * because nothing but the group's offsets remembers it. false: something is missing, double, out of
 * order or different; ret_what says what (256 bytes). */
bool oracle_holds(struct oracle *oracle, int passes, char *ret_what);
