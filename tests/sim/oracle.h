#pragma once

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

struct oracle {
    struct arena *arena;
    struct expected events[SIM_STORED_MAX];
    size_t event_count;
    size_t poisons;
};

/* Fills the world's topic from its seed, and tells what to expect. */
void oracle_write_topic(struct oracle *oracle);

/* false: something is missing, double, out of order or different; ret_what says what (256 bytes).
 */
bool oracle_holds(struct oracle *oracle, bool after_reset, char *ret_what);
