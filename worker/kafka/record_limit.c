#include "worker/kafka/record_limit.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    MESSAGE_MAX_BYTES = 1000000, /* librdkafka's default of message.max.bytes */
    ASK_TIMEOUT_MS = 2000,
    UNEXPLAINED_MAX = 3, /* a limit that was raised takes a moment to reach every broker */
};
static const int64_t LEARN_AGAIN_US = 60 * (int64_t)1000 * 1000;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

struct record_limit record_limit_new(const struct config *config, int64_t topics)
{
    const char *text = config_kafka_value(config, "message.max.bytes");
    int64_t own = text != NULL ? strtoll(text, NULL, 10) : MESSAGE_MAX_BYTES;
    return (struct record_limit){
        .config = config,
        .own = own,
        .now = topics >= KAFKA_RECORD_BYTES_LEAST ? smaller(topics, own) : own,
        .learned_us = clock_monotonic_us(),
    };
}

void record_limit_refused(struct record_limit *limit)
{
    limit->refused = true;
}

void record_limit_passed(struct record_limit *limit)
{
    limit->unexplained = 0;
}

int64_t record_limit_among(const struct kafka_topic_names *names, const struct kafka_topic *topics)
{
    int64_t least = 0;
    for (size_t i = 0; i < names->count; i++) {
        int64_t bytes = topics[i].max_message_bytes;
        if (bytes != KAFKA_NOT_TOLD && names->items[i].use != KAFKA_COMMAND_TOPIC)
            least = least == 0 ? bytes : smaller(least, bytes);
    }
    return least;
}

static enum outcome ask_for(const struct config *config, const struct kafka_topic_names *names,
                            int64_t *ret_bytes, struct err *err)
{
    CLEANUP(kafka_admin_freep) struct kafka_admin *admin = NULL;
    struct kafka_topic *topics = calloc(names->count, sizeof(*topics));

    if (topics == NULL)
        return err_no_memory(err, "ask for max.message.bytes");
    enum outcome outcome = kafka_admin_new(config, &admin, err);
    if (outcome == OUTCOME_OK)
        outcome = kafka_admin_describe_configured(admin, names, ASK_TIMEOUT_MS, topics, err);
    if (outcome == OUTCOME_OK)
        *ret_bytes = record_limit_among(names, topics);
    free(topics);
    return outcome;
}

/* ret_bytes  0: the brokers do not tell
 * RETRY      they do not answer now */
static enum outcome ask(const struct record_limit *limit, int64_t *ret_bytes, struct err *err)
{
    struct kafka_topic_names names;

    enum outcome outcome = kafka_topic_names(limit->config, &names, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    outcome = ask_for(limit->config, &names, ret_bytes, err);
    kafka_topic_names_release(&names);
    return outcome;
}

static int64_t half_of(const struct record_limit *limit)
{
    int64_t half = limit->now / 2;
    return half > KAFKA_RECORD_BYTES_LEAST ? half : smaller(limit->now, KAFKA_RECORD_BYTES_LEAST);
}

/* What the limit is from now on, by what the brokers tell. */
static int64_t judge(struct record_limit *limit, int64_t told)
{
    if (told == 0)
        return limit->refused ? half_of(limit) : limit->own;
    if (told < KAFKA_RECORD_BYTES_LEAST)
        return limit->own;
    if (limit->refused && told >= limit->now && ++limit->unexplained >= UNEXPLAINED_MAX)
        return half_of(limit);
    return smaller(told, limit->own);
}

int64_t record_limit_get(struct record_limit *limit)
{
    struct err err;
    int64_t told = 0, now_us = clock_monotonic_us();

    bool due = limit->now < limit->own && now_us - limit->learned_us > LEARN_AGAIN_US;
    if (!limit->refused && !due)
        return limit->now;
    limit->learned_us = now_us;
    enum outcome outcome = ask(limit, &told, &err);
    if (outcome != OUTCOME_OK && outcome != OUTCOME_REJECT)
        return limit->now; /* a refusal makes it ask again the next time */

    int64_t before = limit->now;
    limit->now = judge(limit, told);
    limit->refused = false;
    if (limit->now != before)
        log_line(LOG_WARN, "largest record", LOG_INT("bytes", limit->now),
                 LOG_INT("before", before));
    return limit->now;
}
