#include "worker/lane/assignment.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "worker/lane/bisect.h"
#include "worker/lane/confirm.h"
#include "worker/lane/context.h"
#include "worker/lane/setback.h"
#include "worker/lane/wait.h"

/* Before the lane forgets a partition; each may take the source's time-out of some seconds when
 * Kafka is away. */
enum { CONFIRM_ATTEMPTS_MAX = 3 };

static bool save_once(struct lane *lane, struct err *err)
{
    size_t count;

    arena_reset(lane->scratch);
    struct published_offset *unsaved =
        progress_unsaved(&lane->progress, NULL, lane->scratch, &count);
    if (unsaved == NULL || count == 0)
        return true;
    CRASH_POINT(before_save);
    if (store_record(lane->store, NULL, 0, unsaved, count, NULL, lane->scratch, err) != OUTCOME_OK)
        return false;
    progress_saved(&lane->progress, unsaved, count);
    CRASH_POINT(after_save);
    return true;
}

/* false: also when the store was set back, and nothing may be written. */
static bool save_level(struct lane *lane, struct err *err)
{
    return setback_check(lane, err) == OUTCOME_OK && save_once(lane, err);
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
    bool saved = save_level(lane, &err) || lane->set_back;
    if (!saved) {
        lane->recovered = true;
        saved = store_recover(lane->store, &err) == OUTCOME_OK && save_level(lane, &err);
    }
    if (saved) {
        lane->unsaved_failures = 0;
        return;
    }
    int failures = ++lane->unsaved_failures;
    log_line(wait_log_level(failures), "published offsets not saved",
             LOG_INT("lane", lane->options.index), LOG_INT("attempt", failures),
             LOG_STR("code", err.code), LOG_STR("error", err.text));
}

static enum outcome load_stored(struct lane *lane, const struct position *positions, size_t count,
                                struct published_offset *stored, struct err *err)
{
    const struct arena_mark mark = arena_mark(lane->scratch);
    enum outcome outcome;

    for (size_t i = 0; i < count; i++)
        stored[i] = (struct published_offset){.topic_id = topic_id_of(lane, positions[i].topic),
                                              .partition = positions[i].partition};
    do {
        arena_rewind(lane->scratch, mark);
        outcome = store_load_published(lane->store, stored, count, lane->scratch, err);
    } while (outcome != OUTCOME_OK && store_again(lane, source_generation(lane->source), err));
    return outcome;
}

/* What is stored of the partitions, once it shows that the database is not behind the group. */
static enum outcome wait_until_level(struct lane *lane, const struct position *positions,
                                     size_t count, struct published_offset *stored, struct err *err)
{
    uint64_t generation = source_generation(lane->source);

    for (;;) {
        enum outcome outcome = load_stored(lane, positions, count, stored, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (!setback_found(lane, positions, stored, count))
            break;
        if (!setback_wait(lane, generation))
            return err_set(err, OUTCOME_RETRY, "", "the database was set back");
    }
    setback_over(lane);
    return OUTCOME_OK;
}

static void report_moved(const struct lane *lane, const struct position *position, int64_t recorded)
{
    /* 0: the rows are those of a version that recorded nothing, or there is none */
    log_line(recorded == 0 ? LOG_INFO : LOG_WARN,
             recorded == 0
                 ? "the group's committed offset is adopted"
                 : "the group was moved past what is recorded, by hand or by an older version",
             LOG_INT("lane", lane->options.index), LOG_TEXT("topic", position->topic),
             LOG_INT("partition", position->partition), LOG_INT("recorded", recorded),
             LOG_INT("committed", position->offset));
}

/* Brokers forget the offsets of a topic that is deleted. Another group of the same database, at its
 * first start, looks the same. */
static void report_begun(const struct lane *lane, const struct position *position, int64_t recorded)
{
    log_line(
        LOG_WARN,
        "the group has no offset of a partition that the database knows; the partition is read "
        "from its start",
        LOG_INT("lane", lane->options.index), LOG_TEXT("topic", position->topic),
        LOG_INT("partition", position->partition), LOG_INT("recorded", recorded));
}

/* The partitions are the lane's from now on. */
static enum outcome begin_partitions(struct lane *lane, const struct position *positions,
                                     size_t count, struct err *err)
{
    struct published_offset *floors = ARENA_ARRAY(lane->scratch, struct published_offset, count);
    struct published_offset *stored = ARENA_ARRAY(lane->scratch, struct published_offset, count);

    if (floors == NULL || stored == NULL)
        return err_no_memory(err, "assigned partitions");
    enum outcome outcome = wait_until_level(lane, positions, count, stored, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (size_t i = 0; i < count; i++) {
        if (positions[i].offset < 0 && stored[i].recorded > 0)
            report_begun(lane, &positions[i], stored[i].recorded);
        bool moved = standing_of(&positions[i], stored[i].recorded) == STANDING_MOVED;
        if (moved)
            report_moved(lane, &positions[i], stored[i].recorded);
        floors[i] =
            (struct published_offset){.topic_id = stored[i].topic_id,
                                      .partition = positions[i].partition,
                                      .offset = positions[i].offset > 0 ? positions[i].offset : 0,
                                      .recorded = moved ? positions[i].offset : 0};
    }
    return progress_assigned(&lane->progress, floors, stored, count, err);
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
    outcome = begin_partitions(lane, positions, count, err);
    CRASH_POINT(after_assigned);
    return outcome;
}

/* The database was set back while the lane had partitions: it begins with them anew. Where the
 * group has committed nothing that the database lacks, that is all: what it lacks is delivered
 * again. */
static enum outcome take_again(struct lane *lane, enum dependency *ret_away, struct err *err)
{
    size_t count;

    arena_reset(lane->scratch);
    const struct published_offset *items =
        progress_recorded(&lane->progress, lane->scratch, &count);
    struct position *positions = ARENA_ARRAY(lane->scratch, struct position, count);
    if (items == NULL || positions == NULL)
        return err_no_memory(err, "assigned partitions");
    for (size_t i = 0; i < count; i++)
        positions[i] = (struct position){.topic = topic_of(lane, items[i].topic_id),
                                         .partition = items[i].partition};
    *ret_away = DEPENDENCY_BROKERS;
    enum outcome outcome =
        count > 0 ? source_committed(lane->source, positions, count, err) : OUTCOME_OK;
    if (outcome != OUTCOME_OK)
        return outcome;
    *ret_away = DEPENDENCY_DATABASE;
    outcome = begin_partitions(lane, positions, count, err);
    if (outcome == OUTCOME_OK) {
        lane->set_back = false;
        lane->recovered = false;
    }
    return outcome;
}

static enum outcome take_partitions(struct lane *lane, enum dependency *ret_away, struct err *err)
{
    enum outcome outcome = lane->set_back ? take_again(lane, ret_away, err) : OUTCOME_OK;

    return outcome == OUTCOME_OK ? take_assigned(lane, ret_away, err) : outcome;
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
    enum dependency away = DEPENDENCY_BROKERS;

    if (generation != lane->progress_generation) {
        confirm_progress(lane, CONFIRM_ATTEMPTS_MAX);
        save_progress(lane);
        progress_forget(&lane->progress);
        lane->progress_generation = generation;
        lane->set_back = false; /* taking partitions finds it out */
        atomic_store(&lane->metrics->is_held, 0);
    }
    for (;;) {
        if (take_partitions(lane, &away, err) == OUTCOME_OK)
            return true;
        if (!wait_again(lane, away, generation, err))
            return false;
    }
}

static void adopt_ends(struct lane *lane, const struct position *ends, size_t count)
{
    for (size_t i = 0; i < count; i++)
        progress_adopt(&lane->progress, topic_id_of(lane, ends[i].topic), ends[i].partition,
                       ends[i].offset);
}

/* The store knows them first: a group that is ahead of the store with the worker's mark shows a
 * database that was set back. */
static void commit_ends(struct lane *lane, const struct position *ends, size_t count)
{
    struct err err;

    for (size_t i = 0; i < count; i++) {
        if (!progress_is_recorded(&lane->progress, topic_id_of(lane, ends[i].topic),
                                  ends[i].partition, ends[i].offset))
            return;
    }
    if (count > 0 && source_commit_ends(lane->source, ends, count, &err) != OUTCOME_OK)
        log_line(LOG_DEBUG, "ends of partitions not committed yet",
                 LOG_INT("lane", lane->options.index), LOG_STR("code", err.code),
                 LOG_STR("error", err.text));
}

void assignment_idle(struct lane *lane)
{
    const struct position *ends = NULL;
    size_t count = 0;

    confirm_progress(lane, 1);
    if (progress_is_confirmed(&lane->progress))
        source_ends(lane->source, &ends, &count);
    adopt_ends(lane, ends, count);
    save_progress(lane);
    commit_ends(lane, ends, count);
}

void assignment_leave(struct lane *lane)
{
    confirm_progress(lane, CONFIRM_ATTEMPTS_MAX);
    save_progress(lane);
}
