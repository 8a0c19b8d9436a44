#include <stdlib.h>

#include "tests/sim/sim.h"

struct sim sim;

uint64_t sim_random(uint64_t below)
{
    sim.random ^= sim.random << 13;
    sim.random ^= sim.random >> 7;
    sim.random ^= sim.random << 17;
    return (sim.random >> 11) % below;
}

bool sim_chance(unsigned percent)
{
    return sim.faults && sim_random(100) < percent;
}

void sim_yield(void)
{
    struct sim_lane *lane = sim.running;
    if (lane != NULL)
        swapcontext(&lane->context, &sim.scheduler);
}

void sim_world_clear(uint64_t seed, enum sim_mistake mistake)
{
    for (size_t i = 0; i < sim.record_count; i++) {
        free(sim.records[i].value);
        free(sim.records[i].key);
    }
    for (size_t i = 0; i < sim.stored_count; i++)
        arena_free(sim.stored[i].memory);
    sim.record_count = 0;
    sim.stored_count = 0;
    sim_rows_reset();
    sim.random = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);
    sim.mistake = mistake;
    sim.now_us = 0;
    sim.faults = true;
    sim.steps = 0;
    sim.flooded = false;
    sim.hoarded = false;
    sim.doubled = false;
    sim.is_set_back = false;
    sim.overwritten = false;
    sim.spoilt = false;
    sim.topic_name_count = 0;
    sim.topic_bytes_max = SIM_RECORD_BYTES;
    sim.limit_told = true;
    sim.skip = (struct skip_request){0};
    sim.unreadable = false;
    sim.letters_need_keys = false;
    sim.letter_age_max_ms = INT64_MAX;
    sim.commit_refusals = 0;
    sim.find_refusals = 0;
    sim.load_refusals = 0;
    sim.generation = 0;
    sim.preparing = false;
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        sim.owner[p] = -1;
        sim.committed[p] = -1;
        sim.ours[p] = false;
        sim.published[p] = 0;
        sim.recorded[p] = 0;
        sim.topic_end[p] = 0;
    }
    for (int i = 0; i < SIM_LANES; i++) {
        sim.in_group[i] = false;
        sim.producer_epoch[i] = 0;
        sim.transaction_open[i] = false;
        sim.transaction_committed[i] = false;
        sim.hanging[i] = false;
        for (int p = 0; p < SIM_PARTITIONS; p++)
            sim.pending[i][p] = -1;
    }
}
