#include "worker/daemon/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct reasons {
    struct buffer *out;
    size_t count;
};

static void reason(struct reasons *reasons, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The texts are ours and need no escaping. */
static void reason(struct reasons *reasons, const char *format, ...)
{
    char text[128];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    buffer_append_literal(reasons->out, reasons->count++ == 0
                                            ? "{\"status\":\"unavailable\",\"reasons\":[\""
                                            : ",\"");
    buffer_append_literal(reasons->out, text);
    buffer_append_byte(reasons->out, '"');
}

static bool done(struct reasons *reasons)
{
    buffer_append_literal(reasons->out, reasons->count == 0 ? "{\"status\":\"ok\"}\n" : "]}\n");
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
    struct reasons reasons = {out, 0};

    start_reasons(health, &reasons);
    return done(&reasons);
}

bool health_live(const struct health *health, int64_t now_us, struct buffer *out)
{
    struct reasons reasons = {out, 0};

    for (size_t i = 0; i < health->lane_count && atomic_load(&health->checked); i++) {
        int64_t idle_us = now_us - atomic_load(&health->lanes[i]->progress_us);
        bool waits = atomic_load(&health->lanes[i]->waiting_for) != (int)DEPENDENCY_NONE;
        if (idle_us > HEALTH_STUCK_AFTER_US && !waits)
            reason(&reasons, "lane %zu has made no progress for %" PRId64 " s", i,
                   idle_us / 1000000);
    }
    return done(&reasons);
}

static void waiting_reason(struct reasons *reasons, size_t lane, int waiting_for,
                           const struct waiting_code *why)
{
    char code[WAITING_CODE_BYTES];

    waiting_code_get(why, code);
    reason(reasons, "lane %zu waits for %s%s%s%s", lane,
           dependency_name((enum dependency)waiting_for), code[0] != '\0' ? " (" : "", code,
           code[0] != '\0' ? ")" : "");
}

bool health_ready(const struct health *health, struct buffer *out)
{
    struct reasons reasons = {out, 0};

    start_reasons(health, &reasons);
    if (atomic_load(&health->stopping))
        reason(&reasons, "stopping");
    for (size_t i = 0; i < health->lane_count && atomic_load(&health->checked); i++) {
        int waiting_for = atomic_load(&health->lanes[i]->waiting_for);
        if (waiting_for != (int)DEPENDENCY_NONE)
            waiting_reason(&reasons, i, waiting_for, &health->lanes[i]->why);
        if (atomic_load(&health->lanes[i]->stopped))
            reason(&reasons, "lane %zu has ended", i);
    }
    return done(&reasons);
}
