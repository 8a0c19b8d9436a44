#include "worker/lane/settle.h"

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/map.h"
#include "events/audit_message.h"
#include "worker/lane/context.h"
#include "worker/lane/setback.h"

/* One id to look up, and the entries that have it. */
struct candidate {
    struct uuid id;
    size_t first; /* index of the first entry with this id */
    const struct audit_event *known;
};

/* Distinct ids of some entries of the range, in order of first appearance. */
struct candidates {
    struct candidate *items;
    size_t count;
    struct map by_id;
};

struct range {
    struct lane *lane;
    struct batch *batch;
    struct arena *arena;
    struct entry *entries; /* of the batch, from the range's first */
    size_t count;
    size_t *candidate_of; /* entry -> index of its candidate; set for those not dead */
};

static bool candidates_init(struct candidates *candidates, struct arena *arena, size_t expected)
{
    candidates->count = 0;
    candidates->items = ARENA_ARRAY(arena, struct candidate, expected);
    return candidates->items != NULL && map_init(&candidates->by_id, arena, expected);
}

/* `id` lives as long as the map. false: the arena is full. */
static bool candidates_add(struct candidates *candidates, const struct uuid *id, size_t entry,
                           size_t *ret_index)
{
    const struct text key = {(const char *)id->bytes, sizeof(id->bytes)};
    bool is_new;
    size_t *slot = map_put(&candidates->by_id, 0, key, &is_new);

    if (slot == NULL)
        return false;
    if (is_new) {
        *slot = candidates->count++;
        candidates->items[*slot] = (struct candidate){.id = *id, .first = entry};
    }
    *ret_index = *slot;
    return true;
}

static enum outcome candidates_find(struct candidates *candidates, const struct range *range,
                                    struct err *err)
{
    struct uuid *ids = ARENA_ARRAY(range->arena, struct uuid, candidates->count);
    const struct audit_event **known =
        ARENA_ARRAY(range->arena, const struct audit_event *, candidates->count);

    if (ids == NULL || known == NULL)
        return err_no_memory(err, "find");
    for (size_t i = 0; i < candidates->count; i++)
        ids[i] = candidates->items[i].id;
    enum outcome outcome =
        store_find(range->lane->store, ids, candidates->count, range->arena, known, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < candidates->count; i++)
        candidates->items[i].known = known[i];
    return outcome;
}

/* The entry answers with an event that is already recorded: its own, or one that another message
 * asked for. */
static void classify_known(const struct range *range, struct entry *entry,
                           const struct audit_event *known)
{
    bool own = known->topic_id == entry->topic_id && known->offset == entry->message->offset &&
               known->partition == entry->message->partition;

    if (!own) {
        entry->state = ENTRY_DUPLICATE;
    } else if (progress_is_published(&range->lane->progress, entry)) {
        entry->state = ENTRY_PUBLISHED;
    } else {
        entry->state = ENTRY_REDELIVERED;
        entry->event = known;
    }
}

/* NEW, CONFLICT (find_conflicts() may still change it), or what classify_known() says. */
static void classify(const struct range *range, size_t index, const struct candidate *candidate)
{
    struct entry *entry = &range->entries[index];
    const struct uuid *content = candidate->known != NULL
                                     ? &candidate->known->command_digest
                                     : &range->entries[candidate->first].command.digest;

    if (!uuid_equal(content, &entry->command.digest))
        entry->state = ENTRY_CONFLICT;
    else if (candidate->known != NULL)
        classify_known(range, entry, candidate->known);
    else
        entry->state = candidate->first == index ? ENTRY_NEW : ENTRY_DUPLICATE;
}

static enum outcome find_commands(struct range *range, size_t *ret_conflicts, struct err *err)
{
    struct candidates candidates;

    *ret_conflicts = 0;
    if (!candidates_init(&candidates, range->arena, range->count))
        return err_no_memory(err, "find");
    for (size_t i = 0; i < range->count; i++) {
        struct entry *entry = &range->entries[i];
        entry->event = NULL;
        if (entry->state != ENTRY_DEAD &&
            !candidates_add(&candidates, &entry->command.audit_id, i, &range->candidate_of[i]))
            return err_no_memory(err, "find");
    }
    if (candidates.count == 0)
        return OUTCOME_OK;
    enum outcome outcome = candidates_find(&candidates, range, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (size_t i = 0; i < range->count; i++) {
        if (range->entries[i].state == ENTRY_DEAD)
            continue;
        classify(range, i, &candidates.items[range->candidate_of[i]]);
        *ret_conflicts += range->entries[i].state == ENTRY_CONFLICT;
    }
    return OUTCOME_OK;
}

/* A conflict is an answer too, given once per content: its event has an id of its own, which may be
 * known already, or asked for twice in the range. */
static enum outcome find_conflicts(struct range *range, size_t conflict_count, struct err *err)
{
    struct candidates candidates;
    struct uuid *ids = ARENA_ARRAY(range->arena, struct uuid, conflict_count);
    size_t at = 0;

    if (ids == NULL || !candidates_init(&candidates, range->arena, conflict_count))
        return err_no_memory(err, "find");
    for (size_t i = 0; i < range->count; i++) {
        const struct command *command = &range->entries[i].command;
        if (range->entries[i].state != ENTRY_CONFLICT)
            continue;
        ids[at] = conflict_id_of(command->envelope.source, command->envelope.id, &command->digest);
        if (!candidates_add(&candidates, &ids[at++], i, &range->candidate_of[i]))
            return err_no_memory(err, "find");
    }
    enum outcome outcome = candidates_find(&candidates, range, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (size_t i = 0; i < range->count; i++) {
        struct entry *entry = &range->entries[i];
        if (entry->state != ENTRY_CONFLICT)
            continue;
        const struct candidate *candidate = &candidates.items[range->candidate_of[i]];
        if (candidate->known != NULL)
            classify_known(range, entry, candidate->known);
        else if (candidate->first != i)
            entry->state = ENTRY_DUPLICATE;
    }
    return OUTCOME_OK;
}

static enum outcome apply_new(struct range *range, struct err *err)
{
    const struct command **commands =
        ARENA_ARRAY(range->arena, const struct command *, range->count);
    struct command_result *results = ARENA_ARRAY(range->arena, struct command_result, range->count);
    size_t count = 0;

    if (commands == NULL || results == NULL)
        return err_no_memory(err, "apply");
    for (size_t i = 0; i < range->count; i++) {
        if (range->entries[i].state == ENTRY_NEW)
            commands[count++] = &range->entries[i].command;
    }
    if (count == 0)
        return OUTCOME_OK;
    enum outcome outcome =
        store_apply(range->lane->store, commands, count, range->arena, results, err);
    for (size_t i = range->count; outcome == OUTCOME_OK && i-- > 0;) {
        if (range->entries[i].state == ENTRY_NEW)
            range->entries[i].result = results[--count];
    }
    return outcome;
}

/* Its event is not recorded yet. */
static bool is_fresh(const struct entry *entry)
{
    return entry->state == ENTRY_NEW || entry->state == ENTRY_CONFLICT;
}

static enum outcome answer(const struct range *range, struct entry *entry,
                           struct audit_event *event, struct err *err)
{
    enum outcome outcome =
        entry->state == ENTRY_NEW
            ? command_event(&entry->command, &entry->result, range->arena, event, err)
            : command_conflict_event(&entry->command, range->arena, event, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    event->topic_id = entry->topic_id;
    event->partition = entry->message->partition;
    event->offset = entry->message->offset;
    entry->event = event;
    return OUTCOME_OK;
}

/* Room for what Kafka adds to a set of one record. */
enum { RECORD_OVERHEAD_BYTES = 512 };

static enum outcome encode(const struct range *range, struct entry *entry, struct err *err)
{
    enum outcome outcome = audit_message_encode(entry->event, range->lane->options.audit_topic,
                                                range->arena, &entry->record, err);
    if (outcome == OUTCOME_OK && outgoing_bytes(&entry->record) + RECORD_OVERHEAD_BYTES >
                                     range->lane->limits.max_record_bytes)
        return err_set(err, OUTCOME_REJECT, "",
                       "data: its audit event would be larger than message.max.bytes");
    return outcome;
}

/* Makes the events and encodes whatever is to be published. An event that cannot be published must
 * not be applied either: its entry is buried and *ret_buried tells to settle the range anew. */
static enum outcome make_events(struct range *range, const struct audit_event **events,
                                size_t *ret_count, bool *ret_buried, struct err *err)
{
    struct audit_event *made = ARENA_ARRAY(range->arena, struct audit_event, range->count);
    size_t count = 0;

    *ret_buried = false;
    if (made == NULL)
        return err_no_memory(err, "make audit events");
    for (size_t i = 0; i < range->count; i++) {
        struct entry *entry = &range->entries[i];
        enum outcome outcome = OUTCOME_OK;
        bool fresh = is_fresh(entry);
        if (fresh) {
            outcome = answer(range, entry, &made[count], err);
            events[count] = &made[count];
            count++;
        }
        if (outcome == OUTCOME_OK && entry->event != NULL)
            outcome = encode(range, entry, err);
        if (outcome == OUTCOME_REJECT) {
            if (!entry_bury(range->lane, entry, DEAD_LETTER_APPLY, "field", err->text))
                return err_no_memory(err, "make audit events");
            *ret_buried = *ret_buried || fresh;
            outcome = OUTCOME_OK;
        }
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    *ret_count = count;
    return OUTCOME_OK;
}

/* The overlapping callback publishes every entry of the batch: a part of the batch runs without. */
static struct overlap *overlap_of(const struct range *range)
{
    bool whole = range->count == range->batch->count;
    return whole && range->batch->overlap.run != NULL ? &range->batch->overlap : NULL;
}

/* Ends the batch with it where the range is its last. */
static enum outcome record_offsets(struct lane *lane, struct batch *batch, bool ends_batch,
                                   const struct audit_event *const *events, size_t count,
                                   struct overlap *overlap, struct arena *arena, struct err *err)
{
    size_t unsaved_count;
    struct published_offset *unsaved =
        progress_unsaved(&lane->progress, ends_batch ? batch : NULL, arena, &unsaved_count);

    if (unsaved == NULL)
        return err_no_memory(err, "record");
    enum outcome outcome =
        store_record(lane->store, events, count, unsaved, unsaved_count, overlap, arena, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    progress_saved(&lane->progress, unsaved, unsaved_count);
    batch->recorded = batch->recorded || ends_batch;
    return OUTCOME_OK;
}

static enum outcome record_events(struct range *range, const struct audit_event *const *events,
                                  size_t count, struct err *err)
{
    struct lane *lane = range->lane;
    struct batch *batch = range->batch;
    bool ends_batch = range->entries + range->count == batch->entries + batch->count;

    for (size_t i = 0; i < range->count; i++) {
        if (is_fresh(&range->entries[i]))
            progress_saw_new(&lane->progress, &range->entries[i]);
    }
    return record_offsets(lane, batch, ends_batch, events, count, overlap_of(range), range->arena,
                          err);
}

static void observe(const struct range *range, enum step step, int64_t *since_us)
{
    int64_t now_us = clock_monotonic_us();
    histogram_observe(&range->lane->metrics->steps[step], (uint64_t)(now_us - *since_us),
                      duration_bounds_us);
    *since_us = now_us;
}

/* STEP_RECORD is the time that the lane waited for the store, without the overlapping callback. */
static void observe_record(const struct range *range, int64_t since_us)
{
    const struct overlap *overlap = overlap_of(range);

    if (overlap != NULL && overlap->took_us > 0) {
        histogram_observe(&range->lane->metrics->steps[STEP_OVERLAP], (uint64_t)overlap->took_us,
                          duration_bounds_us);
        since_us += overlap->took_us;
    }
    observe(range, STEP_RECORD, &since_us);
}

static enum outcome settle_once(struct range *range, bool *ret_buried, struct err *err)
{
    const struct audit_event **events =
        ARENA_ARRAY(range->arena, const struct audit_event *, range->count);
    size_t event_count = 0;
    size_t conflicts;
    int64_t since_us = clock_monotonic_us();

    range->candidate_of = ARENA_ARRAY(range->arena, size_t, range->count);
    if (events == NULL || range->candidate_of == NULL)
        return err_no_memory(err, "settle");
    CRASH_POINT(before_begin);
    enum outcome outcome = find_commands(range, &conflicts, err);
    if (outcome == OUTCOME_OK && conflicts > 0)
        outcome = find_conflicts(range, conflicts, err);
    CRASH_POINT(after_find);
    observe(range, STEP_FIND, &since_us);
    if (outcome == OUTCOME_OK)
        outcome = apply_new(range, err);
    CRASH_POINT(after_apply);
    observe(range, STEP_APPLY, &since_us);
    if (outcome == OUTCOME_OK)
        outcome = make_events(range, events, &event_count, ret_buried, err);
    if (outcome != OUTCOME_OK || *ret_buried)
        return outcome;
    CRASH_POINT(before_record);
    range->batch->overlap.took_us = 0;
    outcome = record_events(range, events, event_count, err);
    if (outcome == OUTCOME_OK)
        CRASH_POINT(after_commit);
    observe_record(range, since_us);
    return outcome;
}

/* A failure to recover says nothing about the messages of the range: whatever it is, the lane tries
 * again later. */
static enum outcome recover(struct lane *lane, struct err *err)
{
    lane->recovered = true;
    if (store_recover(lane->store, err) == OUTCOME_OK && setback_check(lane, err) == OUTCOME_OK)
        return OUTCOME_OK;
    err->outcome = OUTCOME_RETRY;
    return OUTCOME_RETRY;
}

static void mark_settled(const struct range *range)
{
    for (size_t i = 0; i < range->count; i++)
        range->entries[i].settled = range->entries[i].state != ENTRY_DEAD;
}

enum outcome settle_range(struct lane *lane, struct batch *batch, size_t from, size_t to,
                          struct err *err)
{
    struct range range = {.lane = lane,
                          .batch = batch,
                          .arena = batch->arena,
                          .entries = batch->entries + from,
                          .count = to - from};
    const struct arena_mark mark = arena_mark(range.arena);
    bool buried = true;
    enum outcome outcome = OUTCOME_OK;

    while (outcome == OUTCOME_OK && buried) {
        buried = false;
        outcome = settle_once(&range, &buried, err);
        if (buried && outcome == OUTCOME_OK)
            outcome = recover(lane, err);
        if (buried || outcome != OUTCOME_OK)
            arena_rewind(range.arena, mark); /* attempts must not add up */
    }
    if (outcome == OUTCOME_OK)
        mark_settled(&range);
    return outcome;
}

enum outcome settle_end(struct lane *lane, struct batch *batch, struct err *err)
{
    const struct arena_mark mark = arena_mark(lane->scratch);
    enum outcome outcome = record_offsets(lane, batch, true, NULL, 0, NULL, lane->scratch, err);

    arena_rewind(lane->scratch, mark);
    return outcome;
}
