/* The worker's path without Kafka: commands in memory, decoded beforehand, are found, applied and
 * recorded as a lane does it, one transaction a batch. A lane is a thread with a connection of its
 * own. With --decode the decoding counts too. */

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "repo/pg/executor_pq.h"
#include "tests/bench/mix_options.h"
#include "tests/bench/usage.h"
#include "worker/apply/store_repo.h"
#include "worker/lane/context.h"
#include "worker/lane/settle.h"

enum {
    RECORD_BYTES_MAX = 1000000,
    ARENA_BYTES_PER_COMMAND = 16 * 1024,
    SPARE_BYTES = 1024 * 1024,
};

struct options {
    const char *conninfo;
    const char *schema;
    struct mix_options mix;
    uint64_t commands;
    uint64_t batch;
    uint64_t lanes;
    bool decode;
    bool commits; /* tell when each batch was committed */
};

struct unit {
    const struct options *options;
    pthread_t thread;
    pthread_barrier_t *start;
    int32_t partition;

    struct executor_pq *db;
    struct store_repo store;
    struct lane lane;
    struct lane_metrics metrics;
    struct arena *input; /* messages and, unless --decode, what they decode into */
    struct arena *arena; /* of the batch at work */
    struct message *messages;
    size_t count;
    struct batch *batches;
    int64_t *committed_us; /* when each was, by the monotonic clock */
    size_t batch_count;
    int32_t topic_id;
};

static const struct text topic = {"bench", 5};

static struct executor *connect_to(struct unit *unit)
{
    const struct executor_pq_options options = {.conninfo = unit->options->conninfo,
                                                .schema = unit->options->schema,
                                                .application_name = "bench_apply"};
    struct err err;

    if (executor_pq_new(&options, &unit->db, &err) != OUTCOME_OK ||
        executor_recover(executor_pq_port(unit->db), &err) != OUTCOME_OK)
        die("connect: %s", err.text);
    return executor_pq_port(unit->db);
}

static void decode(struct unit *unit, size_t nth, struct arena *arena)
{
    size_t from = nth * unit->options->batch;
    size_t left = unit->count - from;
    size_t count = left < unit->options->batch ? left : (size_t)unit->options->batch;
    struct err err;

    if (batch_decode(&unit->batches[nth], &unit->lane, arena, unit->messages + from, count, &err) !=
        OUTCOME_OK)
        die("decode: %s", err.text);
}

/* The lane of a command: one entity's commands share one, as they share a partition of the topic.
 */
static bool is_mine(const struct unit *unit, const struct message *message)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < message->key.length; i++)
        hash = (hash ^ message->key.data[i]) * 16777619U;
    return hash % unit->options->lanes == (uint32_t)unit->partition;
}

static void take_messages(struct unit *unit, const struct mix *mix)
{
    struct err err;

    for (uint64_t i = 0; i < unit->options->commands; i++) {
        struct arena_mark mark = arena_mark(unit->input);
        struct message *message = &unit->messages[unit->count];
        if (mix_received(mix, i, unit->partition, unit->input, message, &err) != OUTCOME_OK)
            die("commands: %s", err.text);
        if (is_mine(unit, message))
            unit->count++;
        else
            arena_rewind(unit->input, mark);
    }
}

static void prepare(struct unit *unit, const struct mix *mix)
{
    struct published_offset floor = {.partition = unit->partition};
    struct err err;

    unit->input = arena_new((size_t)unit->options->commands * ARENA_BYTES_PER_COMMAND);
    unit->arena = arena_new((size_t)unit->options->batch * ARENA_BYTES_PER_COMMAND + SPARE_BYTES);
    unit->messages = calloc((size_t)unit->options->commands, sizeof(*unit->messages));
    if (unit->input == NULL || unit->arena == NULL || unit->messages == NULL)
        die("no memory");
    take_messages(unit, mix);
    unit->batch_count = (unit->count + unit->options->batch - 1) / unit->options->batch;
    unit->batches = calloc(unit->batch_count, sizeof(*unit->batches));
    unit->committed_us = calloc(unit->batch_count, sizeof(*unit->committed_us));
    if (unit->batches == NULL || unit->committed_us == NULL)
        die("no memory");

    store_repo_init(&unit->store, connect_to(unit));
    struct store *store = &unit->store.port;
    unit->lane = (struct lane){.options = {.audit_topic = TEXT("audit"),
                                           .command_topics = &topic,
                                           .command_topic_count = 1},
                               .store = store,
                               .metrics = &unit->metrics,
                               .scratch = unit->arena,
                               .topic_ids = &unit->topic_id,
                               .limits.max_record_bytes = RECORD_BYTES_MAX};
    if (store->ops->intern(store, &topic, 1, unit->arena, &unit->topic_id, &err) != OUTCOME_OK)
        die("intern: %s", err.text);
    floor.topic_id = unit->topic_id;
    if (progress_assigned(&unit->lane.progress, &floor, &floor, 1, &err) != OUTCOME_OK)
        die("published offsets: %s", err.text);

    for (size_t i = 0; i < unit->batch_count && !unit->options->decode; i++)
        decode(unit, i, unit->input);
}

/* As the lane does it, races and deadlocks included. */
static void settle_batch(struct unit *unit, struct batch *batch)
{
    struct store *store = &unit->store.port;
    struct err err;

    batch->arena = unit->arena;
    while (settle_range(&unit->lane, batch, 0, batch->count, &err) != OUTCOME_OK) {
        if (err.outcome == OUTCOME_FATAL || err.outcome == OUTCOME_FULL)
            die("settle: %s", err.text);
        metric_add(&unit->metrics.transaction_retries, 1);
        if (store->ops->recover(store, &err) != OUTCOME_OK)
            die("recover: %s", err.text);
    }
    progress_published(&unit->lane.progress, batch);
}

static void *work(void *context)
{
    struct unit *unit = context;

    pthread_barrier_wait(unit->start);
    for (size_t i = 0; i < unit->batch_count; i++) {
        arena_reset(unit->arena);
        if (unit->options->decode)
            decode(unit, i, unit->arena);
        settle_batch(unit, &unit->batches[i]);
        unit->committed_us[i] = clock_monotonic_us();
    }
    return NULL;
}

static void release(struct unit *unit)
{
    executor_pq_free(unit->db);
    progress_release(&unit->lane.progress);
    arena_free(unit->input);
    arena_free(unit->arena);
    free(unit->messages);
    free(unit->batches);
    free(unit->committed_us);
}

/* One JSON object: the start, and [microseconds, commands] of each batch, lane by lane. */
static void report_commits(const struct options *options, const struct unit *units,
                           int64_t started_us)
{
    const char *comma = "";

    printf("{\"started_us\": %" PRId64 ", \"commits\": [", started_us);
    for (uint64_t i = 0; i < options->lanes; i++) {
        for (size_t k = 0; k < units[i].batch_count; k++) {
            printf("%s[%" PRId64 ", %zu]", comma, units[i].committed_us[k],
                   units[i].batches[k].count);
            comma = ", ";
        }
    }
    printf("]}\n");
}

static struct options read_options(int argc, char **argv)
{
    static const struct option known[] = {{"conninfo", required_argument, NULL, 'c'},
                                          {"schema", required_argument, NULL, 's'},
                                          {"commands", required_argument, NULL, 'n'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"lanes", required_argument, NULL, 'l'},
                                          {"decode", no_argument, NULL, 'd'},
                                          {"commits", no_argument, NULL, 't'},
                                          MIX_LONG_OPTIONS,
                                          {NULL, 0, NULL, 0}};
    struct options options = {.conninfo = "",
                              .schema = "public",
                              .mix = {.seed = 1, .interval_us = 20},
                              .commands = 100000,
                              .batch = 2000,
                              .lanes = 2};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'c':
            options.conninfo = optarg;
            break;
        case 's':
            options.schema = optarg;
            break;
        case 'n':
            options.commands = number_of("commands", optarg, 1);
            break;
        case 'b':
            options.batch = number_of("batch", optarg, 1);
            break;
        case 'l':
            options.lanes = number_of("lanes", optarg, 1);
            break;
        case 'd':
            options.decode = true;
            break;
        case 't':
            options.commits = true;
            break;
        default:
            if (!mix_option_take(option, optarg, &options.mix))
                die("see the options in %s", __FILE__);
        }
    }
    return options;
}

int main(int argc, char **argv)
{
    struct options options = read_options(argc, argv);
    options.mix.first_us = clock_wall_us();
    CLEANUP(mix_freep) struct mix *mix = mix_new(&options.mix);
    struct unit *units = calloc(options.lanes, sizeof(*units));
    pthread_barrier_t start;
    if (mix == NULL || units == NULL ||
        pthread_barrier_init(&start, NULL, (unsigned)options.lanes + 1) != 0)
        die("no memory");
    for (uint64_t i = 0; i < options.lanes; i++) {
        units[i].options = &options;
        units[i].start = &start;
        units[i].partition = (int32_t)i;
        prepare(&units[i], mix);
        if (pthread_create(&units[i].thread, NULL, work, &units[i]) != 0)
            die("no thread");
    }

    struct stopwatch watch = stopwatch_start();
    int64_t started_us = clock_monotonic_us();
    pthread_barrier_wait(&start);
    for (uint64_t i = 0; i < options.lanes; i++)
        pthread_join(units[i].thread, NULL);
    report("apply", options.commands, stopwatch_since(watch));
    if (options.commits)
        report_commits(&options, units, started_us);

    for (uint64_t i = 0; i < options.lanes; i++)
        release(&units[i]);
    pthread_barrier_destroy(&start);
    free(units);
    return 0;
}
