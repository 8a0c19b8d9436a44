#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "events/rejections.h"
#include "tests/sim/sim.h"

/* The tables: which users and keys there are, and how often a key was used. */
enum { ROWS_MAX = 64, STORED_BYTES = 1024 * 1024 };

enum row_kind { ROW_USER, ROW_KEY };

struct row {
    char id[32];
    enum row_kind kind;
    int64_t usage_count;
    int locked_by; /* lane + 1; 0: nobody */
};

struct sim_rows {
    struct row rows[ROWS_MAX];
    size_t count;
};

/* What a transaction has written and not committed. */
struct sim_overlay {
    struct sim_rows rows; /* new and changed rows */
};

static struct sim_lane *lane_of(struct store *store)
{
    return (struct sim_lane *)((char *)store - offsetof(struct sim_lane, store));
}

static struct row *row_find(struct sim_rows *rows, enum row_kind kind, struct text id)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->rows[i].kind == kind && text_is(id, rows->rows[i].id))
            return &rows->rows[i];
    }
    return NULL;
}

static struct row *row_add(struct sim_rows *rows, enum row_kind kind, struct text id)
{
    assert(rows->count < ROWS_MAX && id.length < sizeof(rows->rows[0].id));
    struct row *row = &rows->rows[rows->count++];
    *row = (struct row){.kind = kind};
    memcpy(row->id, id.data, id.length);
    return row;
}

void sim_rows_reset(void)
{
    if (sim.rows == NULL)
        sim.rows = malloc(sizeof(*sim.rows));
    assert(sim.rows != NULL);
    sim.rows->count = 0;
}

size_t sim_row_count(void)
{
    return sim.rows->count;
}

bool sim_user_exists(struct text id)
{
    return row_find(sim.rows, ROW_USER, id) != NULL;
}

int64_t sim_key_usage(struct text id)
{
    const struct row *row = row_find(sim.rows, ROW_KEY, id);
    return row != NULL ? row->usage_count : -1;
}

static void locks_release(int index)
{
    for (size_t i = 0; i < sim.rows->count; i++) {
        if (sim.rows->rows[i].locked_by == index + 1)
            sim.rows->rows[i].locked_by = 0;
    }
}

static void overlay_commit(struct sim_lane *lane)
{
    for (size_t i = 0; i < lane->overlay->rows.count; i++) {
        const struct row *from = &lane->overlay->rows.rows[i];
        struct row *to = row_find(sim.rows, from->kind, text_of(from->id));
        if (to == NULL)
            to = row_add(sim.rows, from->kind, text_of(from->id));
        to->usage_count = from->usage_count;
    }
}

static void roll_back(struct sim_lane *lane)
{
    if (sim.mistake == SIM_MISTAKE_DIRTY_ROLLBACK && lane->overlay != NULL)
        overlay_commit(lane);
    locks_release(lane->index);
    if (lane->overlay != NULL)
        lane->overlay->rows.count = 0;
    lane->begun = false;
}

void sim_store_crash(struct sim_lane *lane)
{
    roll_back(lane);
    lane->broken = true;
}

static enum outcome broken(struct sim_lane *lane, const char *code, struct err *err)
{
    roll_back(lane);
    lane->broken = true;
    return err_set(err, strcmp(code, "23505") == 0 ? OUTCOME_REJECT : OUTCOME_RETRY, code,
                   "simulated");
}

/* --- a store that goes back -------------------------------------------------------------------
 */

struct state {
    size_t stored_count; /* behind it the events lie untouched, as long as nobody writes */
    struct sim_rows rows;
    int64_t published[SIM_PARTITIONS];
    int64_t recorded[SIM_PARTITIONS];
};
static struct state remembered, newest;

static void state_save(struct state *state)
{
    state->stored_count = sim.stored_count;
    state->rows = *sim.rows;
    memcpy(state->published, sim.published, sizeof(sim.published));
    memcpy(state->recorded, sim.recorded, sizeof(sim.recorded));
}

static void state_load(const struct state *state)
{
    for (int i = 0; i < SIM_LANES; i++)
        sim_store_crash(&sim.lanes[i]);
    sim.stored_count = state->stored_count;
    *sim.rows = state->rows;
    for (size_t i = 0; i < sim.rows->count; i++)
        sim.rows->rows[i].locked_by = 0;
    memcpy(sim.published, state->published, sizeof(sim.published));
    memcpy(sim.recorded, state->recorded, sizeof(sim.recorded));
}

void sim_store_remember(void)
{
    state_save(&remembered);
}

bool sim_store_set_back(void)
{
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        if (!sim.ours[p] || sim.committed[p] <= remembered.recorded[p] ||
            sim.committed[p] < sim.recorded[p])
            return false;
    }
    state_save(&newest);
    state_load(&remembered);
    sim.is_set_back = true;
    return true;
}

/* What was written meanwhile would be lost: that nobody writes is what is tested. */
void sim_store_bring_back(void)
{
    if (!sim.is_set_back)
        return;
    if (!sim.spoilt)
        state_load(&newest);
    sim.is_set_back = false;
}

static struct sim_stored *stored_find(const struct uuid *id)
{
    for (size_t i = 0; i < sim.stored_count; i++) {
        if (uuid_equal(&sim.stored[i].event.id, id))
            return &sim.stored[i];
    }
    return NULL;
}

static enum outcome find(struct store *port, const struct uuid *ids, size_t count,
                         struct arena *arena, const struct audit_event **ret_events,
                         struct err *err)
{
    struct sim_lane *lane = lane_of(port);

    (void)arena;
    sim_yield();
    if (sim.find_refusals > 0) {
        sim.find_refusals--;
        return broken(lane, "57P03", err);
    }
    if (lane->broken || sim_chance(2))
        return broken(lane, "08006", err);
    lane->begun = true;
    for (size_t i = 0; i < count; i++) {
        const struct sim_stored *stored = stored_find(&ids[i]);
        ret_events[i] = stored != NULL ? &stored->event : NULL;
    }
    return OUTCOME_OK;
}

/* The row as this transaction sees it, locked; false: somebody else has it. */
static bool row_lock(struct sim_lane *lane, enum row_kind kind, struct text id, bool make,
                     struct row **ret_row)
{
    struct row *own = row_find(&lane->overlay->rows, kind, id);
    struct row *shared = row_find(sim.rows, kind, id);

    *ret_row = own;
    if (own != NULL)
        return true;
    if (shared != NULL && shared->locked_by != 0 && shared->locked_by != lane->index + 1)
        return false;
    if (shared == NULL && !make)
        return true;
    *ret_row = row_add(&lane->overlay->rows, kind, id);
    if (shared != NULL) {
        shared->locked_by = lane->index + 1;
        (*ret_row)->usage_count = shared->usage_count;
    }
    return true;
}

static bool exists(struct sim_lane *lane, enum row_kind kind, struct text id)
{
    return row_find(&lane->overlay->rows, kind, id) != NULL || row_find(sim.rows, kind, id) != NULL;
}

static bool apply_one(struct sim_lane *lane, const struct command *command, struct arena *arena,
                      struct command_result *ret_result, bool *ret_full)
{
    struct row *row;

    *ret_result = (struct command_result){0};
    if (command->type->kind == USER_UPSERT) {
        struct text id = ((const struct user *)command->record)->id;
        ret_result->created = !exists(lane, ROW_USER, id);
        return row_lock(lane, ROW_USER, id, true, &row);
    }
    if (command->type->kind == KEY_ISSUE_COMMAND) {
        struct text id = ((const struct key *)command->record)->id;
        ret_result->created = true;
        if (exists(lane, ROW_KEY, id))
            *ret_result = (struct command_result){.rejection = REJECTION_KEY_DUPLICATE_ID};
        return row_lock(lane, ROW_KEY, id, true, &row);
    }
    if (command->type->kind == AUDIT_APPEND_COMMAND)
        return true;
    assert(command->type->kind == KEY_RECORD_USAGE_COMMAND);
    const struct key *usage = command->record;
    if (!row_lock(lane, ROW_KEY, usage->id, false, &row))
        return false;
    if (row == NULL) {
        ret_result->rejection = REJECTION_KEY_NOT_FOUND;
        return true;
    }
    struct key *after = arena_alloc(arena, sizeof(*after));
    *ret_full = after == NULL;
    if (*ret_full)
        return false;
    *after = *usage;
    after->owner = (struct ref){TEXT("user"), TEXT("u")};
    after->usage_count = ++row->usage_count;
    ret_result->row = after;
    return true;
}

static bool is_user_of(const struct command *command, const char *email)
{
    return command->type->kind == USER_UPSERT &&
           text_is(((const struct user *)command->record)->email, email);
}

/* It fails each time, and no row of it is refused. */
static bool is_stubborn(const struct command *command)
{
    return is_user_of(command, "v98@example.com");
}

bool sim_refuses(const struct command *command)
{
    return is_user_of(command, "v99@example.com") || is_stubborn(command);
}

static enum outcome probe(struct store *port, const struct command *command, struct arena *arena,
                          struct err *err)
{
    struct sim_lane *lane = lane_of(port);

    (void)command;
    (void)arena;
    sim_yield();
    return lane->broken || sim.find_refusals > 0 || sim_chance(2) ? broken(lane, "08006", err)
                                                                  : OUTCOME_OK;
}

static enum outcome apply(struct store *port, const struct command *const *commands, size_t count,
                          struct arena *arena, struct command_result *ret_results, struct err *err)
{
    struct sim_lane *lane = lane_of(port);

    sim_yield();
    if (lane->broken || sim_chance(2))
        return broken(lane, "57P01", err);
    assert(lane->begun);
    for (size_t i = 0; i < count; i++) {
        if (is_stubborn(commands[i]))
            return broken(lane, "P0001", err);
        if (sim_refuses(commands[i])) {
            broken(lane, "22021", err);
            return OUTCOME_REJECT;
        }
        bool full = false;
        if (!apply_one(lane, commands[i], arena, &ret_results[i], &full))
            return full ? err_no_memory(err, "apply") : broken(lane, "40P01", err);
    }
    return OUTCOME_OK;
}

static struct text keep(struct arena *memory, struct text text)
{
    struct text copy;
    bool done = arena_copy_text(memory, text, &copy);
    assert(done);
    return copy;
}

/* As the table keeps it: JSON only. */
static void stored_add(const struct audit_event *event)
{
    assert(sim.stored_count < SIM_STORED_MAX);
    struct sim_stored *stored = &sim.stored[sim.stored_count++];
    stored->memory = arena_new(STORED_BYTES);
    assert(stored->memory != NULL);
    stored->event = *event;
    struct text *const texts[] = {
        &stored->event.category,
        &stored->event.action,
        &stored->event.outcome,
        &stored->event.correlation_id,
        &stored->event.entity,
        &stored->event.command_source,
        &stored->event.command_id,
        &stored->event.command_type,
        &stored->event.traceparent,
        &stored->event.tracestate,
        &stored->event.carried_correlation_id,
    };
    struct document *const documents[] = {&stored->event.actor, &stored->event.subject,
                                          &stored->event.resource, &stored->event.metadata,
                                          &stored->event.error};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        *texts[i] = keep(stored->memory, *texts[i]);
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        documents[i]->json = keep(stored->memory, documents[i]->json);
        documents[i]->packed = (struct slice){NULL, 0};
    }
    stored->times = 1;
}

static bool record_all(const struct audit_event *const *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sim_stored *there = stored_find(&events[i]->id);
        for (size_t k = 0; k < i; k++) {
            if (uuid_equal(&events[k]->id, &events[i]->id)) {
                sim.doubled = true;
                return false;
            }
        }
        if (there == NULL)
            continue;
        if (sim.mistake != SIM_MISTAKE_NO_UNIQUE_IDS)
            return false;
        there->times++;
    }
    for (size_t i = 0; i < count; i++) {
        if (stored_find(&events[i]->id) == NULL)
            stored_add(events[i]);
    }
    return true;
}

/* Whether a store that was set back is written to. A lane whose partitions went may still save that
 * it has published what the store holds. A zombie that has seen nothing of its partition commit can
 * not tell: see README.md. */
static bool says_too_much(const struct sim_lane *lane, size_t event_count,
                          const struct published_offset *offsets, size_t offset_count)
{
    bool found = event_count > 0;

    if (lane->member_generation != sim.generation || !sim.in_group[lane->index])
        return false;
    for (size_t i = 0; i < offset_count; i++) {
        int64_t recorded = sim.recorded[offsets[i].partition];
        found = found || offsets[i].recorded > recorded || offsets[i].offset > recorded;
    }
    return sim.is_set_back && found;
}

static enum outcome record(struct store *port, const struct audit_event *const *events,
                           size_t event_count, const struct published_offset *offsets,
                           size_t offset_count, struct overlap *overlap, struct arena *arena,
                           struct err *err)
{
    struct sim_lane *lane = lane_of(port);
    bool before = sim_chance(50); /* the lane is as fast as the server, or slower */

    (void)arena;
    sim_yield();
    if (lane->broken)
        return broken(lane, "08006", err);
    if (sim_chance(50)) { /* many events */
        overlap_set_runs_again(overlap, true);
        overlap_run(overlap);
        overlap_set_runs_again(overlap, false);
    }
    if (before)
        overlap_run(overlap);
    if (lane->broken || sim_chance(2)) /* broken: the store went back meanwhile */
        return broken(lane, "08006", err);
    if (!record_all(events, event_count))
        return broken(lane, "23505", err);
    overlay_commit(lane);
    sim.spoilt |= sim.is_set_back && event_count > 0;
    sim.overwritten |= says_too_much(lane, event_count, offsets, offset_count);
    for (size_t i = 0; i < offset_count; i++) {
        int64_t *published = &sim.published[offsets[i].partition];
        if (offsets[i].reset || offsets[i].offset > *published)
            *published = offsets[i].offset;
        int64_t *recorded = &sim.recorded[offsets[i].partition];
        if (offsets[i].recorded > *recorded)
            *recorded = offsets[i].recorded;
    }
    locks_release(lane->index);
    lane->overlay->rows.count = 0;
    lane->begun = false;
    sim_yield(); /* committed, nobody told yet */
    if (!before)
        overlap_run(overlap);
    if (sim_chance(3)) {
        sim.lost_answers++;
        lane->broken = true;
        return err_set(err, OUTCOME_RETRY, "08006", "answer lost: simulated");
    }
    return OUTCOME_OK;
}

static enum outcome recover(struct store *port, struct err *err)
{
    struct sim_lane *lane = lane_of(port);

    sim_yield();
    if (sim_chance(5))
        return err_set(err, OUTCOME_RETRY, "08001", "simulated");
    roll_back(lane);
    lane->broken = false;
    return OUTCOME_OK;
}

static void explain(const struct store *port, const struct err *err, struct refusal *ret_refusal)
{
    (void)port;
    *ret_refusal = (struct refusal){.may_be_race = strcmp(err->code, "23505") == 0};
    snprintf(ret_refusal->reason, sizeof(ret_refusal->reason), "refused: simulated");
}

static int32_t topic_id(struct text name)
{
    size_t i = 0;

    while (i < sim.topic_name_count && !text_is(name, sim.topic_names[i]))
        i++;
    if (i == sim.topic_name_count) {
        assert(i < SIM_TOPIC_NAMES_MAX && name.length < sizeof(sim.topic_names[i]));
        memcpy(sim.topic_names[i], name.data, name.length);
        sim.topic_names[i][name.length] = '\0';
        sim.topic_name_count++;
    }
    return (int32_t)i + 1;
}

static enum outcome intern(struct store *port, const struct text *names, size_t count,
                           struct arena *arena, int32_t *ret_topic_ids, struct err *err)
{
    (void)port;
    (void)arena;
    (void)err;
    for (size_t i = 0; i < count; i++)
        ret_topic_ids[i] = topic_id(names[i]);
    return OUTCOME_OK;
}

static enum outcome load_published(struct store *port, struct published_offset *offsets,
                                   size_t count, struct arena *arena, struct err *err)
{
    struct sim_lane *lane = lane_of(port);

    sim_yield();
    /* The real store has its parameters there. */
    if (ARENA_ARRAY(arena, int64_t, count) == NULL)
        return err_no_memory(err, "load_published");
    if (sim.load_refusals > 0) {
        sim.load_refusals--;
        return broken(lane, "42501", err);
    }
    if (lane->broken || sim_chance(2))
        return broken(lane, "08006", err);
    for (size_t i = 0; i < count; i++) {
        offsets[i].offset = sim.published[offsets[i].partition];
        offsets[i].recorded = sim.recorded[offsets[i].partition];
    }
    return OUTCOME_OK;
}

static enum outcome load_skips(struct store *port, struct arena *arena,
                               const struct skip_request **ret_skips, size_t *ret_count,
                               struct err *err)
{
    struct sim_lane *lane = lane_of(port);

    sim_yield();
    if (lane->broken || sim_chance(2))
        return broken(lane, "08006", err);
    struct skip_request *skips = ARENA_ARRAY(arena, struct skip_request, 1);
    assert(skips != NULL);
    *skips = sim.skip;
    *ret_skips = skips;
    *ret_count = sim.skip.to > 0;
    return OUTCOME_OK;
}

static enum outcome delete_skip(struct store *port, const struct skip_request *skip,
                                struct arena *arena, struct err *err)
{
    struct sim_lane *lane = lane_of(port);

    (void)arena;
    sim_yield();
    if (lane->broken || sim_chance(10))
        return broken(lane, "08006", err);
    if (skip->from == sim.skip.from && skip->to == sim.skip.to)
        sim.skip.to = 0;
    return OUTCOME_OK;
}

void sim_store_init(struct sim_lane *lane)
{
    static const struct store_ops ops = {.find = find,
                                         .apply = apply,
                                         .record = record,
                                         .recover = recover,
                                         .probe = probe,
                                         .explain = explain,
                                         .intern = intern,
                                         .load_published = load_published,
                                         .load_skips = load_skips,
                                         .delete_skip = delete_skip};

    lane->store.ops = &ops;
    lane->broken = true;
    lane->begun = false;
    if (lane->overlay == NULL)
        lane->overlay = malloc(sizeof(*lane->overlay));
    assert(lane->overlay != NULL);
    lane->overlay->rows.count = 0;
}
