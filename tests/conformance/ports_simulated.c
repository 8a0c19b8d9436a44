#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/conformance/ports.h"
#include "tests/sim/sim.h"

/* The simulated broker and store without scheduler and faults: every call goes through. */

static struct sim_lane twins[WORLD_LANES];

static void setup(struct world *world, bool impatient)
{
    (void)impatient;
    sim_world_clear(0, SIM_MISTAKE_NONE);
    sim.faults = false;
    for (int p = 0; p < WORLD_PARTITIONS; p++)
        sim.topic_end[p] = 0;
    for (int i = 0; i < SIM_LANES; i++)
        sim.lanes[i].index = i;
    world->commands = TEXT("commands");
    world->audit = TEXT("audit");
}

static void teardown(struct world *world)
{
    (void)world;
    for (int i = 0; i < SIM_LANES; i++) {
        free(sim.lanes[i].overlay);
        sim.lanes[i].overlay = NULL;
    }
}

static void fill(struct world *world, int partition, int count)
{
    for (int i = 0; i < count; i++) {
        int64_t offset = sim.topic_end[partition]++;
        sim.topic[partition][offset] =
            (struct sim_message){.message = {.topic = world->commands,
                                             .partition = partition,
                                             .offset = offset,
                                             .timestamp_ms = 1,
                                             .value = slice_of_text(TEXT("value"))}};
    }
}

static struct ends start(struct world *world, int lane)
{
    (void)world;
    sim_source_init(&sim.lanes[lane]);
    sim_sink_init(&sim.lanes[lane]);
    return (struct ends){&sim.lanes[lane].source, &sim.lanes[lane].sink};
}

static struct sink *twin(struct world *world, int lane)
{
    (void)world;
    twins[lane] = sim.lanes[lane];
    sim_sink_init(&twins[lane]);
    return &twins[lane].sink;
}

static void fall_silent(struct world *world, int lane)
{
    (void)world;
    sim.in_group[lane] = false;
    sim_rebalance();
}

static const char *visible(struct world *world)
{
    const char *all = "";

    for (size_t i = 0; i < sim.record_count; i++) {
        const struct sim_record *record = &sim.records[i];
        if (record->state == RECORD_COMMITTED)
            all = arena_printf(world->arena, "%s%s%.*s", all, *all != '\0' ? " " : "",
                               (int)record->value_length, (const char *)record->value);
    }
    return all;
}

static struct store *connect_store(struct world *world, int lane)
{
    struct err err;

    (void)world;
    sim_store_init(&sim.lanes[lane]);
    struct store *store = &sim.lanes[lane].store;
    assert_int_equal(store->ops->recover(store, &err), OUTCOME_OK);
    return store;
}

static void cut(struct world *world, int lane)
{
    (void)world;
    sim_store_crash(&sim.lanes[lane]);
}

const struct maker simulated_ports = {setup,       teardown, fill,          start, twin,
                                      fall_silent, visible,  connect_store, cut};
