#include "base/clock.h"
#include "events/audit_message.h"
#include "events/wire/msgpack_to_json.h"
#include "worker/apply/store_repo.h"
#include "worker/cli/interrupt.h"
#include "worker/cli/recover.h"

enum {
    CHUNK = 500,
    ATTEMPTS_MAX = 20, /* of one transaction that may succeed later */
    PAUSE_US = 500 * 1000,
};

/* How a transaction treats an answer of the database that is not the published one. */
enum mode {
    MODE_EXACT,      /* rolls back */
    MODE_AS_IT_IS,   /* keeps the change, and the published event */
    MODE_EVENT_ONLY, /* changes nothing: the database refuses the command's row */
};

struct replay {
    struct recovery *recovery;
    struct store_repo store;
    struct arena *scratch; /* of one attempt */
};

struct attempt {
    struct lost_command **items;
    size_t count;
    enum mode mode;
    const struct audit_event **known; /* by item */
    const struct command **commands;  /* those that are applied */
    struct lost_command **applied;    /* the same */
    struct command_result *results;   /* of those */
    size_t applied_count;
    bool differs;
};

static bool is_applied(const struct audit_event *event)
{
    return text_is(event->outcome, "applied");
}

static enum outcome find(struct replay *self, struct attempt *attempt, struct err *err)
{
    struct uuid *ids = ARENA_ARRAY(self->scratch, struct uuid, attempt->count);

    attempt->known = ARENA_ARRAY(self->scratch, const struct audit_event *, attempt->count);
    attempt->commands = ARENA_ARRAY(self->scratch, const struct command *, attempt->count);
    attempt->applied = ARENA_ARRAY(self->scratch, struct lost_command *, attempt->count);
    attempt->results = ARENA_ARRAY(self->scratch, struct command_result, attempt->count);
    if (ids == NULL || attempt->known == NULL || attempt->commands == NULL ||
        attempt->applied == NULL || attempt->results == NULL)
        return err_no_memory(err, "recover");
    for (size_t i = 0; i < attempt->count; i++)
        ids[i] = attempt->items[i]->event->id;
    return store_find(&self->store.port, ids, attempt->count, self->scratch, attempt->known, err);
}

static enum outcome apply(struct replay *self, struct attempt *attempt, struct err *err)
{
    for (size_t i = 0; i < attempt->count && attempt->mode != MODE_EVENT_ONLY; i++) {
        struct lost_command *item = attempt->items[i];
        if (attempt->known[i] != NULL || !is_applied(item->event))
            continue;
        attempt->commands[attempt->applied_count] = &item->command;
        attempt->applied[attempt->applied_count++] = item;
    }
    if (attempt->applied_count == 0)
        return OUTCOME_OK;
    return store_apply(&self->store.port, attempt->commands, attempt->applied_count, self->scratch,
                       attempt->results, err);
}

/* What the worker would answer now, next to what it has published. */
static enum outcome compare_one(struct replay *self, struct attempt *attempt, size_t index,
                                struct err *err)
{
    struct lost_command *item = attempt->applied[index];
    struct audit_event event;
    struct outgoing_record again;
    struct buffer json;

    enum outcome outcome =
        command_event(&item->command, &attempt->results[index], self->scratch, &event, err);
    if (outcome == OUTCOME_OK)
        outcome = audit_message_encode(&event, TEXT(""), self->scratch, &again, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (again.value.length == item->value.length &&
        memcmp(again.value.data, item->value.data, item->value.length) == 0)
        return OUTCOME_OK;
    attempt->differs = true;
    if (attempt->mode == MODE_EXACT)
        return OUTCOME_OK;
    buffer_init(&json, self->recovery->arena);
    msgpack_to_json(&json, again.value, JSON_SHOWN);
    if (json.full)
        return err_no_memory(err, "recover");
    item->answer = buffer_text(&json);
    return OUTCOME_OK;
}

static enum outcome record(struct replay *self, struct attempt *attempt, struct err *err)
{
    const struct audit_event **events =
        ARENA_ARRAY(self->scratch, const struct audit_event *, attempt->count);
    size_t count = 0;

    if (events == NULL)
        return err_no_memory(err, "recover");
    for (size_t i = 0; i < attempt->count; i++) {
        if (attempt->known[i] == NULL)
            events[count++] = attempt->items[i]->event;
    }
    enum outcome outcome =
        store_record(&self->store.port, events, count, NULL, 0, NULL, self->scratch, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < attempt->count; i++) {
        struct lost_command *item = attempt->items[i];
        if (attempt->known[i] != NULL)
            item->fate = FATE_KNOWN;
        else if (attempt->differs || attempt->mode == MODE_EVENT_ONLY)
            item->fate = FATE_DIFFERING;
        else
            item->fate = is_applied(item->event) ? FATE_APPLIED : FATE_REJECTED;
    }
    return outcome;
}

/* One transaction. OK and not committed where an answer differs in MODE_EXACT. */
static enum outcome attempt_once(struct replay *self, struct attempt *attempt, struct err *err)
{
    enum outcome outcome = find(self, attempt, err);

    if (outcome == OUTCOME_OK)
        outcome = apply(self, attempt, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < attempt->applied_count; i++)
        outcome = compare_one(self, attempt, i, err);
    if (outcome == OUTCOME_OK && !(attempt->differs && attempt->mode == MODE_EXACT))
        return record(self, attempt, err);
    return outcome;
}

/* REJECT: the database refuses a row. *ret_differs: nothing was committed for that. */
static enum outcome transact(struct replay *self, struct lost_command **items, size_t count,
                             enum mode mode, bool *ret_differs, struct err *err)
{
    enum outcome outcome = OUTCOME_RETRY;

    *ret_differs = false;
    for (int i = 0; outcome == OUTCOME_RETRY && i < ATTEMPTS_MAX; i++) {
        struct attempt attempt = {.items = items, .count = count, .mode = mode};
        if (interrupted())
            return err_set(err, OUTCOME_RETRY, "", "interrupted");
        if (i > 0)
            clock_sleep_us(PAUSE_US);
        arena_reset(self->scratch);
        outcome = attempt_once(self, &attempt, err);
        *ret_differs = outcome == OUTCOME_OK && attempt.differs && mode == MODE_EXACT;
        struct err why;
        if ((outcome != OUTCOME_OK || *ret_differs) &&
            store_recover(&self->store.port, &why) != OUTCOME_OK && outcome != OUTCOME_FATAL) {
            *err = why;
            outcome = OUTCOME_RETRY;
        }
    }
    return outcome;
}

/* Records what the database answers as it did; the others go on waiting. */
static enum outcome settle(struct replay *self, struct lost_command **items, size_t count,
                           struct err *err)
{
    bool differs;

    enum outcome outcome = transact(self, items, count, MODE_EXACT, &differs, err);
    if (outcome != OUTCOME_REJECT && (outcome != OUTCOME_OK || !differs))
        return outcome;
    if (count == 1)
        return OUTCOME_OK;
    outcome = settle(self, items, count / 2, err);
    return outcome == OUTCOME_OK ? settle(self, items + count / 2, count - count / 2, err)
                                 : outcome;
}

/* The event stands, whatever the database answers. */
static enum outcome give_in(struct replay *self, struct lost_command *item, struct err *err)
{
    bool differs;

    enum outcome outcome = transact(self, &item, 1, MODE_AS_IT_IS, &differs, err);
    if (outcome != OUTCOME_REJECT)
        return outcome;
    struct refusal refusal = store_explain(&self->store.port, err);
    char *text = arena_printf(self->recovery->arena, "\"%s\"", refusal.reason);
    if (text == NULL)
        return err_no_memory(err, "recover");
    item->answer = text_of(text);
    return transact(self, &item, 1, MODE_EVENT_ONLY, &differs, err);
}

static size_t collect(struct recovery *self, struct lost_command **waiting)
{
    size_t count = 0;

    for (size_t i = 0; i < self->count; i++) {
        if (self->commands[i]->fate == FATE_WAITING)
            waiting[count++] = self->commands[i];
    }
    return count;
}

static enum outcome pass(struct replay *self, struct lost_command **waiting, size_t count,
                         struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    for (size_t at = 0; outcome == OUTCOME_OK && at < count; at += CHUNK)
        outcome = settle(self, waiting + at, count - at < CHUNK ? count - at : CHUNK, err);
    return outcome;
}

static enum outcome apply_all(struct replay *self, struct lost_command **waiting, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;
    size_t before = SIZE_MAX, count;

    /* Partitions depend on each other: what differs is tried again after the others, as long as
     * that makes a difference. */
    while (outcome == OUTCOME_OK && (count = collect(self->recovery, waiting)) > 0 &&
           count < before) {
        before = count;
        outcome = pass(self, waiting, count, err);
    }
    for (size_t i = 0, left = collect(self->recovery, waiting); outcome == OUTCOME_OK && i < left;
         i++)
        outcome = give_in(self, waiting[i], err);
    return outcome;
}

enum outcome recover_apply(struct recovery *self, struct err *err)
{
    CLEANUP(arena_freep) struct arena *scratch = arena_new(SIZE_MAX);
    struct lost_command **waiting =
        ARENA_ARRAY(self->arena, struct lost_command *, self->count + 1);
    struct replay replay = {.recovery = self, .scratch = scratch};

    if (scratch == NULL || waiting == NULL)
        return err_no_memory(err, "recover");
    store_repo_init(&replay.store, self->db);
    enum outcome outcome = apply_all(&replay, waiting, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct recovery_range *ranges =
        ARENA_ARRAY(self->arena, struct recovery_range, self->ranges.count + 1);
    if (ranges == NULL)
        return err_no_memory(err, "recover");
    for (size_t i = 0; i < self->ranges.count; i++)
        ranges[i] = self->ranges.items[i].range;
    return recoveries_finish(self->db, ranges, self->ranges.count, self->arena, err);
}
