#include "worker/daemon/startup.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "repo/schema/migrate.h"
#include "worker/daemon/database.h"
#include "worker/kafka/kafka_admin.h"
#include "worker/kafka/record_limit.h"
#include "worker/lane/metrics.h"

enum { PAUSE_MIN_MS = 200, PAUSE_MAX_MS = 5000, ASK_TIMEOUT_MS = 5000, CHECK_TIMEOUT_MS = 10000 };
enum { SCRATCH_BYTES = 4 * 1024 * 1024 };

struct start_state {
    const struct startup *startup;
    struct arena *arena;
    struct executor_pq *db; /* NULL: not connected yet */
    struct kafka_admin *admin;
    struct kafka_topic_names names;
    int64_t record_bytes_max;
};

static enum outcome check_database(struct start_state *start_state, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    arena_reset(start_state->arena);
    if (start_state->db == NULL)
        outcome = database_open(start_state->startup->config, "catalyst-worker start",
                                CHECK_TIMEOUT_MS, &start_state->db, err);
    else
        outcome = executor_recover(executor_pq_port(start_state->db), err);
    if (outcome == OUTCOME_OK)
        outcome =
            database_check_session(start_state->startup->config, executor_pq_port(start_state->db),
                                   start_state->arena, err);
    if (outcome == OUTCOME_OK)
        outcome = migrate_check(executor_pq_port(start_state->db), start_state->arena, err);
    return outcome;
}

/* Appends what fits: the operator sees the first topics at least. */
static void list_add(char *list, size_t size, const char *name)
{
    size_t length = strlen(list);
    snprintf(list + length, size - length, "%s%s", length > 0 ? ", " : "", name);
}

static enum outcome judge_topics(struct start_state *start_state, const struct kafka_topic *topics,
                                 struct err *err)
{
    char missing[256] = "", forbidden[256] = "";

    for (size_t i = 0; i < start_state->names.count; i++) {
        const struct kafka_topic_name *name = &start_state->names.items[i];

        if (topics[i].state == KAFKA_TOPIC_MISSING)
            list_add(missing, sizeof(missing), name->name);
        else if (topics[i].state == KAFKA_TOPIC_FORBIDDEN)
            list_add(forbidden, sizeof(forbidden), name->name);
    }
    if (missing[0] != '\0')
        return err_set(err, OUTCOME_FATAL, "UNKNOWN_TOPIC_OR_PART",
                       "topics are missing: %s; make them with catalyst-worker migrate up --topics",
                       missing);
    if (forbidden[0] != '\0')
        return err_set(err, OUTCOME_FATAL, "TOPIC_AUTHORIZATION_FAILED",
                       "topics may not be described: %s", forbidden);
    start_state->record_bytes_max = record_limit_among(&start_state->names, topics);
    return OUTCOME_OK;
}

static enum outcome check_topics(struct start_state *start_state, struct err *err)
{
    arena_reset(start_state->arena);
    struct kafka_topic *topics =
        ARENA_ARRAY(start_state->arena, struct kafka_topic, start_state->names.count);
    if (topics == NULL)
        return err_no_memory(err, "topics");
    enum outcome outcome = kafka_admin_describe_settled(start_state->admin, &start_state->names,
                                                        ASK_TIMEOUT_MS, start_state->startup->pause,
                                                        start_state->startup->context, topics, err);
    return outcome == OUTCOME_OK ? judge_topics(start_state, topics, err) : outcome;
}

/* Calls `check` until it answers something else than RETRY. */
static enum outcome persist(struct start_state *start_state, const char *dependency,
                            enum outcome (*check)(struct start_state *, struct err *),
                            int64_t deadline_us, struct err *err)
{
    int64_t pause_ms = PAUSE_MIN_MS;

    for (;;) {
        enum outcome outcome = check(start_state, err);
        if (outcome != OUTCOME_RETRY || clock_monotonic_us() + pause_ms * 1000 > deadline_us)
            return outcome;
        log_line(LOG_WARN, "waiting", LOG_STR("for", dependency), LOG_STR("error", err->text),
                 LOG_STR("code", err->code));
        if (!start_state->startup->pause(start_state->startup->context, pause_ms))
            return outcome;
        pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    }
}

static enum outcome check_all(struct start_state *start_state, struct err *err)
{
    const struct config *config = start_state->startup->config;
    int64_t deadline_us = clock_monotonic_us() + config->startup_deadline_ms * 1000;

    start_state->arena = arena_new(SCRATCH_BYTES);
    if (start_state->arena == NULL)
        return err_no_memory(err, "checks at start");
    enum outcome outcome = kafka_topic_names(config, &start_state->names, err);
    /* The admin handle connects in the background while the database is asked. */
    if (outcome == OUTCOME_OK)
        outcome = kafka_admin_new(config, &start_state->admin, err);
    if (outcome == OUTCOME_OK)
        outcome = persist(start_state, dependency_name(DEPENDENCY_DATABASE), check_database,
                          deadline_us, err);
    if (outcome == OUTCOME_OK)
        outcome = persist(start_state, dependency_name(DEPENDENCY_BROKERS), check_topics,
                          deadline_us, err);
    return outcome;
}

static void checking_release(struct start_state *start_state)
{
    executor_pq_freep(&start_state->db);
    kafka_admin_freep(&start_state->admin);
    kafka_topic_names_release(&start_state->names);
    arena_free(start_state->arena);
}

enum outcome startup_check(const struct startup *startup, int64_t *ret_record_bytes_max,
                           struct err *err)
{
    struct start_state start_state = {.startup = startup};
    enum outcome outcome = check_all(&start_state, err);

    *ret_record_bytes_max = start_state.record_bytes_max;
    checking_release(&start_state);
    return outcome;
}
