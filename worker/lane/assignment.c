#include "worker/lane/assignment.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "worker/lane/bisect.h"
#include "worker/lane/confirm.h"
#include "worker/lane/context.h"
#include "worker/lane/wait.h"

/* Before the lane forgets a partition; each may take the source's time-out of some seconds when
 * Kafka is away. */
enum { CONFIRM_ATTEMPTS_MAX = 3 };

static bool save_once(struct lane *lane, struct err *err)
{
    size_t count;

    arena_reset(lane->scratch);
    struct published_offset *unsaved = progress_unsaved(&lane->progress, lane->scratch, &count);
    if (unsaved == NULL || count == 0)
        return true;
    CRASH_POINT(before_save);
    if (store_record(lane->store, NULL, 0, unsaved, count, NULL, lane->scratch, err) != OUTCOME_OK)
        return false;
    progress_saved(&lane->progress, unsaved, count);
    CRASH_POINT(after_save);
    return true;
}

/* Confirms what was published, so that the store can know it. Where a partition has just gone to
 * another lane, an open transaction of that lane may hold back the committed offsets for a moment:
 * hence the attempts. */
static void confirm_progress(struct lane *lane, int attempts)
{
    struct err err;

    for (int i = 0; i < attempts && !progress_is_confirmed(&lane->progress); i++) {
        arena_reset(lane->scratch);
        if (confirm_published(lane, &err) != OUTCOME_RETRY)
            return;
        log_line(LOG_DEBUG, "published offsets not confirmed yet",
                 LOG_INT("lane", lane->options.index), LOG_STR("code", err.code),
                 LOG_STR("error", err.text));
    }
}

/* Two attempts, the second on a recovered connection. What is not saved then is published a second
 * time at worst, and only after an operator resets the group's offsets. */
static void save_progress(struct lane *lane)
{
    struct err err;

    if (source_generation(lane->source) != lane->progress_generation)
        progress_revoked(&lane->progress);
    if (save_once(lane, &err))
        return;
    if (store_recover(lane->store, &err) == OUTCOME_OK && save_once(lane, &err))
        return;
    log_line(LOG_WARN, "published offsets not saved", LOG_INT("lane", lane->options.index),
             LOG_STR("code", err.code), LOG_STR("error", err.text));
}

static enum outcome take_assigned(struct lane *lane, enum dependency *ret_away, struct err *err)
{
    const struct position *positions;
    size_t count;

    *ret_away = DEPENDENCY_BROKERS;
    enum outcome outcome = source_take_assigned(lane->source, &positions, &count, err);
    if (outcome != OUTCOME_OK || count == 0)
        return outcome;

    *ret_away = DEPENDENCY_DATABASE;
    arena_reset(lane->scratch);
    struct published_offset *floors = ARENA_ARRAY(lane->scratch, struct published_offset, count);
    if (floors == NULL)
        return err_no_memory(err, "assigned partitions");
    for (size_t i = 0; i < count; i++) {
        floors[i] =
            (struct published_offset){.topic_id = topic_id_of(lane, positions[i].topic),
                                      .partition = positions[i].partition,
                                      .offset = positions[i].offset > 0 ? positions[i].offset : 0};
    }
    const struct arena_mark mark = arena_mark(lane->scratch);
    do {
        arena_rewind(lane->scratch, mark);
        outcome =
            progress_assigned(&lane->progress, floors, count, lane->store, lane->scratch, err);
    } while (outcome != OUTCOME_OK && store_again(lane, source_generation(lane->source), err));
    CRASH_POINT(after_assigned);
    return outcome;
}

static void report_reset(const struct lane *lane, const struct log_reset *reset)
{
    bool overtaken = reset->position < reset->first;
    int64_t removed = overtaken ? reset->first - reset->position : 0;

    metric_add(overtaken ? &lane->metrics->logs_overtaken : &lane->metrics->logs_gone_back, 1);
    metric_add(&lane->metrics->records_removed, (uint64_t)removed);
    log_line(LOG_ERROR,
             overtaken ? "records were removed from a command topic before they were read"
                       : "the log of a partition went back; all that it holds is read again",
             LOG_INT("lane", lane->options.index), LOG_TEXT("topic", reset->topic),
             LOG_INT("partition", reset->partition), LOG_INT("position", reset->position),
             LOG_INT("first", reset->first), LOG_INT("end", reset->end),
             LOG_INT("removed", removed));
}

/* The positions that the lane remembers of such a partition are those of another log. What the
 * store has of it stays: below its published offset a known command is published, and a new one
 * lowers it. */
static void follow_resets(struct lane *lane)
{
    const struct log_reset *resets;
    size_t count;

    source_take_resets(lane->source, &resets, &count);
    for (size_t i = 0; i < count; i++) {
        report_reset(lane, &resets[i]);
        progress_drop(&lane->progress, topic_id_of(lane, resets[i].topic), resets[i].partition);
    }
}

bool assignment_follow(struct lane *lane, struct err *err)
{
    follow_resets(lane);
    uint64_t generation = source_generation(lane->source);
    enum dependency away;

    if (generation != lane->progress_generation) {
        confirm_progress(lane, CONFIRM_ATTEMPTS_MAX);
        save_progress(lane);
        progress_forget(&lane->progress);
        lane->progress_generation = generation;
    }
    for (;;) {
        if (take_assigned(lane, &away, err) == OUTCOME_OK)
            return true;
        if (!wait_again(lane, away, generation, err))
            return false;
    }
}

void assignment_idle(struct lane *lane)
{
    confirm_progress(lane, 1);
    save_progress(lane);
}

void assignment_leave(struct lane *lane)
{
    confirm_progress(lane, CONFIRM_ATTEMPTS_MAX);
    save_progress(lane);
}
