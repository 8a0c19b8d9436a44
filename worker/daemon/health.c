#include "worker/daemon/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/json_writer.h"

/* The page, while it is written: {"status": "ok"}, or "unavailable" and the reasons. */
struct reasons {
    struct json_writer json;
    size_t count;
};

static struct reasons reasons_of(struct buffer *out)
{
    return (struct reasons){.json = json_writer_of(out)};
}

static void reason(struct reasons *reasons, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void reason(struct reasons *reasons, const char *format, ...)
{
    struct json_writer *json = &reasons->json;
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (reasons->count++ == 0) {
        json_begin_object(json, NULL);
        json_text(json, "status", TEXT("unavailable"));
        json_begin_array(json, "reasons");
    }
    json_append_string(json_value(json, NULL), text_of(text));
}

static bool done(struct reasons *reasons)
{
    struct json_writer *json = &reasons->json;

    if (reasons->count == 0) {
        json_begin_object(json, NULL);
        json_text(json, "status", TEXT("ok"));
    } else {
        json_end_array(json);
    }
    json_end_object(json);
    buffer_append_byte(json->out, '\n');
    return reasons->count == 0;
}

static void start_reasons(const struct health *health, struct reasons *reasons)
{
    if (!atomic_load(&health->checked)) {
        reason(reasons, "the checks at start are not done");
        return;
    }
    for (size_t i = 0; i < health->lane_count; i++) {
        if (!atomic_load(&health->lanes[i]->started))
            reason(reasons, "lane %zu has not polled yet", i);
    }
}

bool health_started(const struct health *health, struct buffer *out)
{
    struct reasons reasons = reasons_of(out);

    start_reasons(health, &reasons);
    return done(&reasons);
}

bool health_live(const struct health *health, int64_t now_us, struct buffer *out)
{
    struct reasons reasons = reasons_of(out);

    for (size_t i = 0; i < health->lane_count && atomic_load(&health->checked); i++) {
        int64_t idle_us = now_us - atomic_load(&health->lanes[i]->progress_us);
        bool waits = atomic_load(&health->lanes[i]->waiting_for) != (int)DEPENDENCY_NONE;
        if (idle_us > health->stuck_after_us && !waits)
            reason(&reasons, "lane %zu has made no progress for %" PRId64 " s", i,
                   idle_us / 1000000);
    }
    return done(&reasons);
}

static int64_t seconds_since(int64_t since_us)
{
    return (clock_monotonic_us() - since_us) / 1000000;
}

static void waiting_reason(struct reasons *reasons, size_t lane, int waiting_for,
                           const struct holdup *why)
{
    char code[sizeof(why->code) + 3] = "";
    char at[sizeof(why->topic) + 80] = "";

    if (why->code[0] != '\0')
        snprintf(code, sizeof(code), " (%s)", why->code);
    if (why->topic[0] != '\0')
        snprintf(at, sizeof(at), " with %s, partition %" PRId32 ", offset %" PRId64, why->topic,
                 why->partition, why->offset);
    reason(reasons, "lane %zu waits for %s%s%s for %" PRId64 " s", lane,
           dependency_name((enum dependency)waiting_for), code, at, seconds_since(why->since_us));
}

static void stuck_reason(struct reasons *reasons, size_t lane, const struct holdup *stuck)
{
    reason(reasons,
           "lane %zu can not read %s, partition %" PRId32 ", offset %" PRId64 " (%s) for %" PRId64
           " s",
           lane, stuck->topic, stuck->partition, stuck->offset, stuck->code,
           seconds_since(stuck->since_us));
}

static void held_reason(struct reasons *reasons, size_t lane, const struct holdup *held)
{
    reason(reasons,
           "lane %zu holds %s, partition %" PRId32
           ": the database was set back: it has recorded %" PRId64
           ", the group has committed %" PRId64 "; run catalyst-worker recover",
           lane, held->topic, held->partition, held->recorded, held->offset);
}

static void lane_reasons(struct reasons *reasons, size_t lane, const struct lane_metrics *metrics)
{
    int waiting_for = atomic_load(&metrics->waiting_for);

    if (waiting_for != (int)DEPENDENCY_NONE) {
        const struct holdup why = holdup_get(&metrics->why);
        waiting_reason(reasons, lane, waiting_for, &why);
    }
    if (waiting_for == (int)DEPENDENCY_NONE && atomic_load(&metrics->started) &&
        atomic_load(&metrics->partitions) < 0)
        reason(reasons, "lane %zu is joining the consumer group", lane);
    if (atomic_load(&metrics->is_stuck)) {
        const struct holdup stuck = holdup_get(&metrics->stuck);
        stuck_reason(reasons, lane, &stuck);
    }
    if (atomic_load(&metrics->is_held)) {
        const struct holdup held = holdup_get(&metrics->held);
        held_reason(reasons, lane, &held);
    }
    if (atomic_load(&metrics->stopped))
        reason(reasons, "lane %zu has ended", lane);
}

bool health_ready(const struct health *health, struct buffer *out)
{
    struct reasons reasons = reasons_of(out);

    start_reasons(health, &reasons);
    if (atomic_load(&health->stopping))
        reason(&reasons, "stopping");
    for (size_t i = 0; i < health->lane_count && atomic_load(&health->checked); i++)
        lane_reasons(&reasons, i, health->lanes[i]);
    return done(&reasons);
}
