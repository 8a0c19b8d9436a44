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
enum { MISSING_ASKS = 6, MISSING_PAUSE_MS = 500 };

static const char TOPIC_MISSING[] = "UNKNOWN_TOPIC_OR_PART";

struct checking {
    const struct startup *startup;
    struct arena *arena;
    struct executor_pq *db; /* NULL: not connected yet */
    struct kafka_admin *admin;
    struct kafka_topic_names names;
    int64_t record_bytes_max;
};

static enum outcome check_database(struct checking *checking, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    arena_reset(checking->arena);
    if (checking->db == NULL)
        outcome = database_open(checking->startup->config, "catalyst-worker start",
                                CHECK_TIMEOUT_MS, &checking->db, err);
    else
        outcome = executor_recover(executor_pq_port(checking->db), err);
    if (outcome == OUTCOME_OK)
        outcome = database_check_session(checking->startup->config, executor_pq_port(checking->db),
                                         checking->arena, err);
    if (outcome == OUTCOME_OK)
        outcome = migrate_check(executor_pq_port(checking->db), checking->arena, err);
    return outcome;
}

/* Appends what fits: the operator sees the first topics at least. */
static void list_add(char *list, size_t size, const char *name)
{
    size_t length = strlen(list);
    snprintf(list + length, size - length, "%s%s", length > 0 ? ", " : "", name);
}

static enum outcome judge_topics(struct checking *checking, const struct kafka_topic *topics,
                                 struct err *err)
{
    char missing[256] = "", forbidden[256] = "";

    for (size_t i = 0; i < checking->names.count; i++) {
        const struct kafka_topic_name *name = &checking->names.items[i];

        if (topics[i].state == KAFKA_TOPIC_MISSING)
            list_add(missing, sizeof(missing), name->name);
        else if (topics[i].state == KAFKA_TOPIC_FORBIDDEN)
            list_add(forbidden, sizeof(forbidden), name->name);
    }
    if (missing[0] != '\0')
        return err_set(err, OUTCOME_FATAL, TOPIC_MISSING,
                       "topics are missing: %s; make them with catalyst-worker migrate up --topics",
                       missing);
    if (forbidden[0] != '\0')
        return err_set(err, OUTCOME_FATAL, "TOPIC_AUTHORIZATION_FAILED",
                       "topics may not be described: %s", forbidden);
    checking->record_bytes_max = record_limit_among(&checking->names, topics);
    return OUTCOME_OK;
}

static enum outcome check_topics(struct checking *checking, struct err *err)
{
    arena_reset(checking->arena);
    struct kafka_topic *topics =
        ARENA_ARRAY(checking->arena, struct kafka_topic, checking->names.count);
    if (topics == NULL)
        return err_no_memory(err, "topics");
    enum outcome outcome = kafka_admin_describe_configured(checking->admin, &checking->names,
                                                           ASK_TIMEOUT_MS, topics, err);
    return outcome == OUTCOME_OK ? judge_topics(checking, topics, err) : outcome;
}

/* A broker that has just come back tells for a moment that topics are missing which are there: only
 * what it says several times counts. */
static enum outcome check_topics_again(struct checking *checking, struct err *err)
{
    enum outcome outcome = check_topics(checking, err);

    for (int asked = 1; asked < MISSING_ASKS && outcome == OUTCOME_FATAL &&
                        text_is(text_of(err->code), TOPIC_MISSING) &&
                        checking->startup->pause(checking->startup->context, MISSING_PAUSE_MS);
         asked++)
        outcome = check_topics(checking, err);
    return outcome;
}

/* Calls `check` until it answers something else than RETRY. */
static enum outcome persist(struct checking *checking, const char *dependency,
                            enum outcome (*check)(struct checking *, struct err *),
                            int64_t deadline_us, struct err *err)
{
    int64_t pause_ms = PAUSE_MIN_MS;

    for (;;) {
        enum outcome outcome = check(checking, err);
        if (outcome != OUTCOME_RETRY || clock_monotonic_us() + pause_ms * 1000 > deadline_us)
            return outcome;
        log_line(LOG_WARN, "waiting", LOG_STR("for", dependency), LOG_STR("error", err->text),
                 LOG_STR("code", err->code));
        if (!checking->startup->pause(checking->startup->context, pause_ms))
            return outcome;
        pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    }
}

static enum outcome check_all(struct checking *checking, struct err *err)
{
    const struct config *config = checking->startup->config;
    int64_t deadline_us = clock_monotonic_us() + config->startup_deadline_ms * 1000;

    checking->arena = arena_new(SCRATCH_BYTES);
    if (checking->arena == NULL)
        return err_no_memory(err, "checks at start");
    enum outcome outcome = kafka_topic_names(config, &checking->names, err);
    /* The admin handle connects in the background while the database is asked. */
    if (outcome == OUTCOME_OK)
        outcome = kafka_admin_new(config, &checking->admin, err);
    if (outcome == OUTCOME_OK)
        outcome = persist(checking, dependency_name(DEPENDENCY_DATABASE), check_database,
                          deadline_us, err);
    if (outcome == OUTCOME_OK)
        outcome = persist(checking, dependency_name(DEPENDENCY_BROKERS), check_topics_again,
                          deadline_us, err);
    return outcome;
}

static void checking_release(struct checking *checking)
{
    executor_pq_freep(&checking->db);
    kafka_admin_freep(&checking->admin);
    kafka_topic_names_release(&checking->names);
    arena_free(checking->arena);
}

enum outcome startup_check(const struct startup *startup, int64_t *ret_record_bytes_max,
                           struct err *err)
{
    struct checking checking = {.startup = startup};
    enum outcome outcome = check_all(&checking, err);

    *ret_record_bytes_max = checking.record_bytes_max;
    checking_release(&checking);
    return outcome;
}
