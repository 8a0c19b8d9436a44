#include "worker/daemon/supervisor.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "repo/pg/executor_pq.h"
#include "worker/apply/store_repo.h"
#include "worker/daemon/policies.h"
#include "worker/kafka/sink_kafka.h"
#include "worker/kafka/source_kafka.h"
#include "worker/lane/lane.h"

enum { PAUSE_SLICE_US = 50000 };

/* A transaction of one batch takes milliseconds; one that takes a minute waits for something. */
enum { STATEMENT_TIMEOUT_MS = 60000, CONNECT_TIMEOUT_S = 5 };

/* Counts the connections on the thread that makes them, so that the HTTP thread reads an atomic. */
struct counted_executor {
    struct executor port;
    struct executor_pq *inner;
    struct lane_metrics *metrics;
};

/* What one run of a lane is made of; a rebuild makes all of it anew. */
struct parts {
    struct executor_pq *db;
    struct counted_executor counted;
    struct store_repo store;
    struct source_kafka *source;
    struct sink_kafka *sink;
    struct lane *lane;
};

struct unit {
    struct supervisor *supervisor;
    int index;
    struct lane_metrics *metrics;
    pthread_t thread;
    bool joinable;
};

struct supervisor {
    const struct config *config;
    struct text *topics;
    struct policies policies;
    int64_t record_bytes_max;
    int64_t pause_min_ms;
    struct unit *units;
    const struct lane_metrics **metrics;
    size_t count;
    atomic_int stopping;
    atomic_int gave_up;
    atomic_size_t running;

    pthread_mutex_t lock; /* guards lanes */
    struct lane **lanes;  /* those that supervisor_stop() must reach; NULL: between two runs */
};

/* --- parts of a lane ---------------------------------------------------------------------------
 */

static enum outcome counted_run(struct executor *port, const struct statement *statements,
                                size_t count, struct overlap *overlap, struct arena *arena,
                                struct rows *ret_rows, struct err *err)
{
    struct counted_executor *self = (struct counted_executor *)port;
    return executor_run_overlapped(executor_pq_port(self->inner), statements, count, overlap, arena,
                                   ret_rows, err);
}

static enum outcome counted_copy(struct executor *port, const struct copy *copy, struct err *err)
{
    struct counted_executor *self = (struct counted_executor *)port;
    return executor_copy(executor_pq_port(self->inner), copy, err);
}

static enum outcome counted_recover(struct executor *port, struct err *err)
{
    struct counted_executor *self = (struct counted_executor *)port;
    uint64_t before = executor_pq_connects(self->inner);
    enum outcome outcome = executor_recover(executor_pq_port(self->inner), err);

    metric_add(&self->metrics->database_connects, executor_pq_connects(self->inner) - before);
    return outcome;
}

static const struct executor_ops counted_ops = {
    .run = counted_run, .copy = counted_copy, .recover = counted_recover};

/* What building got to; the rest is NULL. */
static void parts_release(struct parts *parts)
{
    lane_freep(&parts->lane);
    sink_kafka_freep(&parts->sink);
    source_kafka_freep(&parts->source);
    executor_pq_freep(&parts->db);
    *parts = (struct parts){0};
}

static enum outcome build_store(const struct unit *unit, struct parts *parts, struct err *err)
{
    char name[64];
    snprintf(name, sizeof(name), "catalyst-worker lane %d", unit->index);
    const struct executor_pq_options options = {
        .conninfo = unit->supervisor->config->database_url,
        .schema = unit->supervisor->config->database_schema,
        .application_name = name,
        .connect_timeout_s = CONNECT_TIMEOUT_S,
        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
    };
    enum outcome outcome = executor_pq_new(&options, &parts->db, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    parts->counted = (struct counted_executor){{&counted_ops}, parts->db, unit->metrics};
    store_repo_init(&parts->store, &parts->counted.port);
    return OUTCOME_OK;
}

static enum outcome build_lane(const struct unit *unit, struct parts *parts, struct err *err)
{
    const struct config *config = unit->supervisor->config;
    const struct lane_options options = {
        .index = unit->index,
        .audit_topic = text_of(config->audit_topic),
        .dlq_suffix = text_of(config->dlq_suffix),
        .group_id = text_of(config->group_id),
        .command_topics = unit->supervisor->topics,
        .command_topic_count = config->command_topic_count,
        .policies = unit->supervisor->policies.items,
        .policy_count = unit->supervisor->policies.count,
        .limits = {config->batch_max_messages, config->batch_max_bytes},
    };
    return lane_new(&options, source_kafka_port(parts->source), sink_kafka_port(parts->sink),
                    &parts->store.port, unit->metrics, &parts->lane, err);
}

static enum outcome parts_build(const struct unit *unit, struct parts *parts, struct err *err)
{
    const struct supervisor *supervisor = unit->supervisor;

    enum outcome outcome = build_store(unit, parts, err);
    if (outcome == OUTCOME_OK)
        outcome = source_kafka_new(supervisor->config, unit->index, &parts->source, err);
    if (outcome == OUTCOME_OK)
        outcome = sink_kafka_new(supervisor->config, unit->index, parts->source,
                                 supervisor->record_bytes_max, &parts->sink, err);
    if (outcome == OUTCOME_OK)
        outcome = build_lane(unit, parts, err);
    return outcome;
}

/* --- the thread of a lane ----------------------------------------------------------------------
 */

/* From here on supervisor_stop() reaches the lane. */
static void publish_lane(struct unit *unit, struct lane *lane)
{
    struct supervisor *supervisor = unit->supervisor;

    pthread_mutex_lock(&supervisor->lock);
    supervisor->lanes[unit->index] = lane;
    if (lane != NULL && atomic_load(&supervisor->stopping))
        lane_stop(lane);
    pthread_mutex_unlock(&supervisor->lock);
}

static enum outcome run_once(struct unit *unit, struct err *err)
{
    struct parts parts = {0};
    enum outcome outcome = parts_build(unit, &parts, err);

    if (outcome == OUTCOME_OK) {
        atomic_store(&unit->metrics->stopped, 0);
        publish_lane(unit, parts.lane);
        outcome = lane_run(parts.lane, err);
        publish_lane(unit, NULL);
    }
    parts_release(&parts);
    return outcome;
}

static int64_t pause_ms(const struct supervisor *supervisor, int attempt)
{
    int64_t pause = supervisor->pause_min_ms;

    for (int i = 1; i < attempt && pause < SUPERVISOR_PAUSE_MAX_MS; i++)
        pause *= 2;
    return pause < SUPERVISOR_PAUSE_MAX_MS ? pause : SUPERVISOR_PAUSE_MAX_MS;
}

/* The lane is at rest on purpose: it says so, for /health/live. */
static void rest(struct unit *unit, int64_t duration_ms)
{
    int64_t until_us = clock_monotonic_us() + duration_ms * 1000;

    while (!atomic_load(&unit->supervisor->stopping) && clock_monotonic_us() < until_us) {
        atomic_store(&unit->metrics->progress_us, clock_monotonic_us());
        clock_sleep_us(PAUSE_SLICE_US);
    }
}

static void log_failure(const struct unit *unit, int attempt, const struct err *err)
{
    log_line(LOG_ERROR, "lane failed", LOG_INT("lane", unit->index), LOG_STR("error", err->text),
             LOG_STR("code", err->code), LOG_INT("attempt", attempt),
             LOG_INT("attempts", SUPERVISOR_ATTEMPTS));
}

static void supervise(struct unit *unit)
{
    struct supervisor *supervisor = unit->supervisor;
    uint64_t batches = 0;
    struct err err;

    for (int attempt = 1; !atomic_load(&supervisor->stopping); attempt++) {
        if (run_once(unit, &err) == OUTCOME_OK)
            return;
        uint64_t finished = atomic_load(&unit->metrics->batches);
        if (finished > batches)
            attempt = 1;
        batches = finished;
        log_failure(unit, attempt, &err);
        if (attempt == SUPERVISOR_ATTEMPTS) {
            atomic_store(&supervisor->gave_up, 1);
            return;
        }
        rest(unit, pause_ms(supervisor, attempt));
    }
}

static void *thread_main(void *context)
{
    struct unit *unit = context;

    supervise(unit);
    atomic_store(&unit->metrics->stopped, 1);
    atomic_fetch_sub(&unit->supervisor->running, 1);
    kill(getpid(), SIGUSR1);
    return NULL;
}

/* --- the supervisor ----------------------------------------------------------------------------
 */

static bool allocate(struct supervisor *supervisor)
{
    const struct config *config = supervisor->config;

    supervisor->count = config->lanes;
    supervisor->topics = calloc(config->command_topic_count, sizeof(*supervisor->topics));
    supervisor->units = calloc(supervisor->count, sizeof(*supervisor->units));
    supervisor->metrics = calloc(supervisor->count, sizeof(struct lane_metrics *));
    supervisor->lanes = calloc(supervisor->count, sizeof(struct lane *));
    if (supervisor->topics == NULL || supervisor->units == NULL || supervisor->metrics == NULL ||
        supervisor->lanes == NULL)
        return false;
    if (!policies_init(&supervisor->policies, config))
        return false;
    for (size_t i = 0; i < config->command_topic_count; i++)
        supervisor->topics[i] = text_of(config->command_topics[i]);
    for (size_t i = 0; i < supervisor->count; i++) {
        struct lane_metrics *metrics = calloc(1, sizeof(*metrics));
        if (metrics == NULL)
            return false;
        metrics->lags = calloc(1, sizeof(*metrics->lags));
        atomic_store(&metrics->partitions, -1);
        supervisor->units[i] =
            (struct unit){.supervisor = supervisor, .index = (int)i, .metrics = metrics};
        supervisor->metrics[i] = metrics;
    }
    return true;
}

enum outcome supervisor_new(const struct config *config, struct supervisor **ret_supervisor,
                            struct err *err)
{
    CLEANUP(supervisor_freep) struct supervisor *supervisor = calloc(1, sizeof(*supervisor));

    if (supervisor == NULL)
        return err_no_memory(err, "lanes");
    supervisor->config = config;
    pthread_mutex_init(&supervisor->lock, NULL);
    if (!allocate(supervisor))
        return err_no_memory(err, "lanes");
    *ret_supervisor = TAKE(supervisor);
    return OUTCOME_OK;
}

void supervisor_free(struct supervisor *supervisor)
{
    if (supervisor == NULL)
        return;
    supervisor_stop(supervisor);
    for (size_t i = 0; supervisor->units != NULL && i < supervisor->count; i++) {
        if (supervisor->units[i].joinable)
            pthread_join(supervisor->units[i].thread, NULL);
        if (supervisor->units[i].metrics != NULL && supervisor->units[i].metrics->lags != NULL) {
            lags_release(supervisor->units[i].metrics->lags);
            free(supervisor->units[i].metrics->lags);
        }
        free(supervisor->units[i].metrics);
    }
    pthread_mutex_destroy(&supervisor->lock);
    free(supervisor->topics);
    policies_release(&supervisor->policies);
    free(supervisor->units);
    free(supervisor->metrics);
    free(supervisor->lanes);
    free(supervisor);
}

const struct lane_metrics *const *supervisor_metrics(const struct supervisor *supervisor)
{
    return supervisor->metrics;
}

size_t supervisor_lane_count(const struct supervisor *supervisor)
{
    return supervisor->count;
}

enum outcome supervisor_start(struct supervisor *supervisor, int64_t record_bytes_max,
                              int64_t pause_min_ms, struct err *err)
{
    supervisor->pause_min_ms = pause_min_ms;
    supervisor->record_bytes_max = record_bytes_max;
    for (size_t i = 0; i < supervisor->count; i++) {
        struct unit *unit = &supervisor->units[i];

        atomic_store(&unit->metrics->progress_us, clock_monotonic_us());
        atomic_fetch_add(&supervisor->running, 1);
        if (pthread_create(&unit->thread, NULL, thread_main, unit) != 0) {
            atomic_fetch_sub(&supervisor->running, 1);
            return err_set(err, OUTCOME_FATAL, "", "lane %zu: no thread can be made", i);
        }
        unit->joinable = true;
    }
    return OUTCOME_OK;
}

void supervisor_stop(struct supervisor *supervisor)
{
    pthread_mutex_lock(&supervisor->lock);
    atomic_store(&supervisor->stopping, 1);
    for (size_t i = 0; supervisor->lanes != NULL && i < supervisor->count; i++) {
        if (supervisor->lanes[i] != NULL)
            lane_stop(supervisor->lanes[i]);
    }
    pthread_mutex_unlock(&supervisor->lock);
}

size_t supervisor_running(struct supervisor *supervisor)
{
    return atomic_load(&supervisor->running);
}

bool supervisor_gave_up(struct supervisor *supervisor)
{
    return atomic_load(&supervisor->gave_up) != 0;
}
