#include "worker/lane/setback.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/lane/context.h"

enum { LOOK_AGAIN_MS = 5000, SLICE_MS = 250, TELL_EVERY_S = 60 };

enum standing standing_of(const struct position *committed, int64_t recorded)
{
    if (committed->offset <= recorded)
        return STANDING_LEVEL;
    return committed->ours ? STANDING_SET_BACK : STANDING_MOVED;
}

static void report(const struct lane *lane, const struct position *committed, int64_t recorded)
{
    log_line(
        LOG_ERROR,
        "the database was set back: it lacks commands that the group has committed; nothing is "
        "written until `catalyst-worker recover` has run",
        LOG_INT("lane", lane->options.index), LOG_TEXT("topic", committed->topic),
        LOG_INT("partition", committed->partition), LOG_INT("recorded", recorded),
        LOG_INT("committed", committed->offset));
}

static void tell_health(struct lane *lane, const struct position *committed, int64_t recorded,
                        int64_t since_us)
{
    struct holdup held = {.partition = committed->partition,
                          .offset = committed->offset,
                          .recorded = recorded,
                          .since_us = since_us};

    snprintf(held.topic, sizeof(held.topic), "%.*s", TEXT_ARG(committed->topic));
    holdup_set(&lane->metrics->held, &held);
    atomic_store(&lane->metrics->is_held, 1);
}

bool setback_found(struct lane *lane, const struct position *committed,
                   const struct published_offset *stored, size_t count)
{
    int64_t now_us = clock_monotonic_us();
    bool was_held = atomic_load(&lane->metrics->is_held) != 0;
    bool tell = !was_held || now_us - lane->held_told_us >= (int64_t)TELL_EVERY_S * 1000000;
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        if (standing_of(&committed[i], stored[i].recorded) != STANDING_SET_BACK)
            continue;
        if (tell)
            report(lane, &committed[i], stored[i].recorded);
        if (!was_held)
            lane->held_since_us = now_us;
        if (!found)
            tell_health(lane, &committed[i], stored[i].recorded, lane->held_since_us);
        found = true;
    }
    if (found && tell)
        lane->held_told_us = now_us;
    return found;
}

bool setback_wait(struct lane *lane, uint64_t generation)
{
    for (int waited_ms = 0; waited_ms < LOOK_AGAIN_MS; waited_ms += SLICE_MS) {
        if (atomic_load(&lane->stopping) || source_generation(lane->source) != generation)
            return false;
        source_keep_alive(lane->source, SLICE_MS);
        sink_serve(lane->sink);
        atomic_store(&lane->metrics->progress_us, clock_monotonic_us());
    }
    return !atomic_load(&lane->stopping) && source_generation(lane->source) == generation;
}

void setback_over(struct lane *lane)
{
    if (atomic_exchange(&lane->metrics->is_held, 0) != 0)
        log_line(LOG_INFO, "the database is level with the group: the lane goes on",
                 LOG_INT("lane", lane->options.index));
}

static enum outcome compare(struct lane *lane, struct err *err)
{
    size_t count;
    const struct published_offset *seen = progress_recorded(&lane->progress, lane->scratch, &count);
    struct published_offset *stored = ARENA_ARRAY(lane->scratch, struct published_offset, count);

    if (seen == NULL || stored == NULL)
        return err_no_memory(err, "compare recorded offsets");
    memcpy(stored, seen, count * sizeof(*stored));
    enum outcome outcome = store_load_published(lane->store, stored, count, lane->scratch, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        if (stored[i].recorded < seen[i].recorded)
            outcome = err_set(err, OUTCOME_REJECT, "", "the database was set back");
    }
    return outcome;
}

enum outcome setback_check(struct lane *lane, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    if (!lane->recovered)
        return OUTCOME_OK;
    if (lane->progress.count > 0) {
        const struct arena_mark mark = arena_mark(lane->scratch);
        outcome = compare(lane, err);
        arena_rewind(lane->scratch, mark);
    }
    lane->recovered = outcome != OUTCOME_OK;
    if (outcome == OUTCOME_REJECT && !lane->set_back) {
        lane->set_back = true;
        source_rewind(lane->source);
    }
    return outcome;
}
