/* Runs the lane's own code in simulated worlds, seed after seed, and judges each by the sequential
 * oracle.
 *
 *   sim_lanes [--seed S] [--schedules N] [--seconds T] [--mistake M] [--mutant] [--anew] [--outage]
 *
 * Exit 0: every schedule held (with --mistake or --mutant: the mistake was found); 1: a seed
 * failed, which it names. */

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "tests/sim/oracle.h"

/* The oracle's memory, for one topic and its answers. */
#define ORACLE_BYTES ((size_t)16 * 1024 * 1024)

enum { FAULTY_STEPS = 220, QUIET_STEPS = 200, QUIET_STEPS_MAX = 60000 };

/* Attempts that fail in a world with an outage of hours, and the steps that one may take. */
enum { OUTAGE_ATTEMPTS = 5000, OUTAGE_ATTEMPT_STEPS = 60 };

/* More than the reasons of a batch and one dead letter need. */
enum { SCRATCH_BYTES_MAX = 24 * 1024 };

static void lane_main(int index)
{
    struct sim_lane *lane = &sim.lanes[index];
    struct err err = {0};

    lane_run(lane->lane, &err);
    lane->done = true;
    for (;;)
        sim_yield();
}

static void lane_start(struct sim_lane *lane)
{
    static struct text topics[1];
    topics[0] = TEXT("commands");
    const struct lane_options options = {.index = lane->index,
                                         .audit_topic = TEXT("audit"),
                                         .dlq_suffix = TEXT(".dlq"),
                                         .group_id = TEXT("group"),
                                         .command_topics = topics,
                                         .command_topic_count = 1,
                                         .limits = sim.limits};
    struct err err = {0};

    memset(&lane->metrics, 0, sizeof(lane->metrics));
    sim_source_init(lane);
    sim_sink_init(lane);
    sim_store_init(lane);
    enum outcome outcome = lane_new(&options, &lane->source, &lane->sink, &lane->store,
                                    &lane->metrics, &lane->lane, &err);
    assert(outcome == OUTCOME_OK);
    getcontext(&lane->context); /* coroutines: POSIX threads would not be a schedule of ours */
    lane->context.uc_stack.ss_sp = lane->stack;
    lane->context.uc_stack.ss_size = SIM_STACK_BYTES;
    lane->context.uc_link = NULL;
    makecontext(&lane->context, (void (*)(void))lane_main, 1, lane->index);
    lane->alive = true;
    lane->done = false;
    lane->stalled = 0;
}

/* Attempts that fail must not add up: not in the batch arena, which would bury commands, and not
 * beside it. */
static void check_memory(const struct sim_lane *lane)
{
    if (arena_used(lane->lane->scratch) > SCRATCH_BYTES_MAX)
        sim.hoarded = true;
}

static void lane_end(struct sim_lane *lane)
{
    lane_free(lane->lane);
    lane->lane = NULL;
    lane->alive = false;
}

/* SIGKILL: the group and the transaction coordinator notice later, the database at once. */
static void lane_crash(struct sim_lane *lane)
{
    sim.crashes++;
    sim_store_crash(lane);
    lane_end(lane);
}

static void expel(int index)
{
    if (!sim.in_group[index])
        return;
    sim.in_group[index] = false;
    sim_rebalance();
}

static void something_happens(void)
{
    struct sim_lane *lane = &sim.lanes[sim_random(SIM_LANES)];

    switch (sim_random(12)) {
    case 0:
    case 1:
        if (lane->alive)
            lane_crash(lane);
        break;
    case 2:
    case 3:
        lane->stalled = 5 + (int)sim_random(60);
        sim.stalls++;
        break;
    case 4:
    case 5:
        if (!lane->alive || (lane->stalled > 0 && !sim.orderly))
            expel(lane->index); /* the session timed out: a zombie, if it comes back */
        break;
    case 6:
        sim_rebalance();
        break;
    case 7:
        if (!lane->alive) { /* the transaction timed out */
            sim_transaction_end(lane->index, false);
            sim.producer_epoch[lane->index]++;
        }
        break;
    default:
        if (!lane->alive)
            lane_start(lane);
        break;
    }
}

static void step(void)
{
    struct sim_lane *lane = &sim.lanes[sim_random(SIM_LANES)];

    sim.steps++;
    if (lane->stalled > 0)
        lane->stalled--;
    if (!lane->alive || lane->done || lane->stalled > 0)
        return;
    sim.running = lane;
    swapcontext(&sim.scheduler, &lane->context);
    check_memory(lane);
}

static bool caught_up(void)
{
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        if (sim.committed[p] < sim.topic_end[p])
            return false;
    }
    return true;
}

static bool all_done(void)
{
    for (int i = 0; i < SIM_LANES; i++) {
        if (!sim.lanes[i].done)
            return false;
    }
    return true;
}

static void all_start(void)
{
    for (int i = 0; i < SIM_LANES; i++) {
        if (!sim.lanes[i].alive)
            lane_start(&sim.lanes[i]);
        sim.lanes[i].stalled = 0;
    }
}

static int quiet_steps_max(void)
{
    unsigned attempts = sim.commit_refusals + sim.find_refusals + sim.load_refusals;
    return QUIET_STEPS_MAX + (int)attempts * OUTAGE_ATTEMPT_STEPS;
}

/* Lets everything come to an end without further faults. */
static void catch_up(int *steps)
{
    const int steps_max = quiet_steps_max();

    sim.faults = false;
    for (int i = 0; i < SIM_LANES; i++) {
        if (!sim.hanging[i])
            continue;
        /* an operator ends what hangs, with its producer out of the way */
        if (sim.lanes[i].alive)
            lane_crash(&sim.lanes[i]);
        sim_transaction_end(i, false);
    }
    all_start();
    while (!sim.flooded && (*steps < QUIET_STEPS || !caught_up()) && (*steps)++ < steps_max)
        step();
}

/* catch_up(), then the lanes are stopped as an operator would. */
static bool settle_down(char *ret_what)
{
    const int steps_max = quiet_steps_max();
    int steps = 0;

    catch_up(&steps);
    for (int i = 0; i < SIM_LANES; i++)
        lane_stop(sim.lanes[i].lane);
    while (!sim.flooded && !all_done() && steps++ < steps_max)
        step();
    for (int i = 0; i < SIM_LANES; i++)
        lane_end(&sim.lanes[i]);
    if (sim.overwritten) {
        snprintf(ret_what, 256, "a store that was set back is written to");
        return false;
    }
    if (sim.hoarded) {
        snprintf(ret_what, 256, "memory of attempts adds up");
        return false;
    }
    if (sim.flooded) {
        snprintf(ret_what, 256, "no end of records");
        return false;
    }
    if (steps >= steps_max) {
        snprintf(ret_what, 256, "no end after %d quiet steps", steps);
        return false;
    }
    return true;
}

/* Half of the lanes have arenas that hold little more than one batch. In a few worlds the brokers
 * refuse to commit, or the store to load, for as long as an outage of hours lasts. */
static void choose_limits(void)
{
    sim.limits = (struct batch_limits){.messages = 4, .bytes = 65536};
    if (sim_chance(50))
        sim.limits = (struct batch_limits){1 + (size_t)sim_random(4), 1 + (size_t)sim_random(2048)};
    if (!sim.outage && sim_random(1000) != 0)
        return;
    unsigned *const refusals[] = {&sim.commit_refusals, &sim.find_refusals, &sim.load_refusals};
    *refusals[sim_random(3)] = 1 + (unsigned)sim_random(OUTAGE_ATTEMPTS);
}

/* Brokers are restored, or topics made anew: known commands are neither applied nor published
 * again, new ones are, although their offsets lie below those that are known to be published. */
static bool goes_on_after_logs_went_back(struct oracle *oracle, char *ret_what)
{
    oracle_logs_go_back(oracle);
    sim.faults = true;
    all_start();
    for (int i = 0; i < FAULTY_STEPS; i++) {
        step();
        if (sim_random(100) < 6)
            something_happens();
    }
    return settle_down(ret_what) && oracle_holds(oracle, 1, ret_what);
}

/* In one world of three a backup of the store is restored in the middle, and after a while the
 * store is as it was again. Drawn from the steps, so that other worlds stay what they were. */
static void store_goes_back(uint64_t seed, int step)
{
    enum { REMEMBERED = FAULTY_STEPS / 8, BACK_STEPS = FAULTY_STEPS / 4 };
    static int until;

    if (seed % 3 != 2 || sim.steps == 0)
        return;
    if (step == REMEMBERED + (int)(seed / 3 % REMEMBERED)) {
        sim_store_remember();
        sim.sets_back = true;
    } else if (sim.sets_back && !sim.is_set_back && step % 16 == 0 && sim_store_set_back()) {
        sim.sets_back = false;
        until = step + BACK_STEPS;
    }
    if (sim.is_set_back && step >= until)
        sim_store_bring_back();
}

static bool run_schedule(uint64_t seed, enum sim_mistake mistake, struct oracle *oracle,
                         char *ret_what)
{
    for (int i = 0; i < SIM_LANES; i++) {
        if (sim.lanes[i].alive)
            lane_end(&sim.lanes[i]);
    }
    sim_world_clear(seed, mistake);
    sim.orderly = sim_chance(30);
    if (sim_chance(20)) {
        sim.topic_bytes_max = SIM_SMALL_RECORD_BYTES;
        sim.limit_told = sim_chance(50);
    } else if (sim_chance(5)) {
        sim.topic_bytes_max = SIM_TINY_RECORD_BYTES;
    }
    choose_limits();
    sim.letters_need_keys = sim_chance(10);
    if (sim_chance(10))
        sim.letter_age_max_ms = (int64_t)sim_random(SIM_AGE_MAX_MS);
    oracle_write_topic(oracle);
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        if ((sim.anew || sim.orderly) && sim_chance(20)) /* the topic was made anew */
            sim.published[p] = 1 + (int64_t)sim_random(SIM_MESSAGES_MAX);
    }
    all_start();
    sim.sets_back = false;
    for (int i = 0; i < FAULTY_STEPS; i++) {
        step();
        store_goes_back(seed, i);
        if (sim_random(100) < 6)
            something_happens();
    }
    sim_store_bring_back();
    if (sim.spoilt && !sim.overwritten)
        return true; /* what a zombie did is not looked at */
    if (sim.topic_bytes_max == SIM_TINY_RECORD_BYTES)
        sim.topic_bytes_max = SIM_RECORD_BYTES; /* mended */
    bool logs_go_back = (sim.anew || sim.orderly) && sim_random(2) == 0;
    if (logs_go_back && sim_random(2) == 0) { /* under lanes that run, and have published */
        int steps = 0;
        catch_up(&steps);
        if (caught_up())
            return goes_on_after_logs_went_back(oracle, ret_what);
    }
    if (!settle_down(ret_what) || !oracle_holds(oracle, 1, ret_what))
        return false;

    if (logs_go_back)
        return goes_on_after_logs_went_back(oracle, ret_what);
    /* an operator goes back to the beginning: nothing is applied or published again */
    memset(sim.committed, 0, sizeof(sim.committed));
    if (sim.unreadable)
        sim.skip.to = sim.skip_to; /* it has to be skipped once more */
    return settle_down(ret_what) && oracle_holds(oracle, 2, ret_what);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct arguments {
    uint64_t seed;
    unsigned long schedules;
    double seconds;
    enum sim_mistake mistake;
    bool mutant; /* this program's lane has a mistake */
};

static bool parse(int argc, char **argv, struct arguments *ret_arguments)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},    {"schedules", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 't'}, {"mistake", required_argument, NULL, 'm'},
        {"anew", no_argument, NULL, 'a'},          {"outage", no_argument, NULL, 'o'},
        {"mutant", no_argument, NULL, 'u'},        {NULL, 0, NULL, 0}};
    int option;

    *ret_arguments = (struct arguments){.schedules = 1000000000, .seconds = 5};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            ret_arguments->seed = strtoull(optarg, NULL, 10);
        else if (option == 'n')
            ret_arguments->schedules = strtoul(optarg, NULL, 10);
        else if (option == 't')
            ret_arguments->seconds = strtod(optarg, NULL);
        else if (option == 'm')
            ret_arguments->mistake = (enum sim_mistake)strtol(optarg, NULL, 10);
        else if (option == 'a')
            sim.anew = true;
        else if (option == 'o')
            sim.outage = true;
        else if (option == 'u')
            ret_arguments->mutant = true;
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct oracle oracle;
    struct arguments arguments;
    char what[256] = "";

    if (!parse(argc, argv, &arguments))
        return 64;
    /* Nothing: a lost transaction is an error that a lane may log, and the simulation makes many.
     */
    log_configure((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
    oracle.arena = arena_new(ORACLE_BYTES);
    assert(oracle.arena != NULL);
    for (int i = 0; i < SIM_LANES; i++) {
        sim.lanes[i].index = i;
        sim.lanes[i].stack = malloc(SIM_STACK_BYTES);
        assert(sim.lanes[i].stack != NULL);
    }

    double start = now_s();
    unsigned long ran = 0;
    bool held = true;
    while (held && ran < arguments.schedules && now_s() - start < arguments.seconds) {
        held = run_schedule(arguments.seed + ran, arguments.mistake, &oracle, what);
        ran++;
    }
    printf("%lu schedules from seed %lu in %.1f s: %lu crashes, %lu stalls, %lu rebalances, "
           "%lu lost answers, %lu aborted, %lu fenced and %lu hanging transactions\n",
           ran, (unsigned long)arguments.seed, now_s() - start, sim.crashes, sim.stalls,
           sim.rebalances, sim.lost_answers, sim.aborts, sim.fenced, sim.hung);
    if (!held)
        printf("seed %lu: %s\n", (unsigned long)(arguments.seed + ran - 1), what);
    return held == (arguments.mistake == SIM_MISTAKE_NONE && !arguments.mutant) ? 0 : 1;
}
