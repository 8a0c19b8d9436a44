#include "worker/apply/apply.h"

#include <stdlib.h>

#include "repo/keys_repo.h"
#include "worker/apply/bindings.h"
#include "worker/apply/waves.h"

enum outcome apply_check(struct err *err)
{
    enum outcome outcome = commands_check(err);
    return outcome == OUTCOME_OK ? bindings_check(err) : outcome;
}

/* One command's place in the plan: commands are sorted by wave, then kind, then variant. The order
 * of kinds is the order in which tables are locked. */
struct placed {
    size_t wave;
    size_t group; /* kind and variant */
    size_t index; /* in the caller's order */
};

static int compare_placed(const void *a, const void *b)
{
    const struct placed *x = a;
    const struct placed *y = b;

    if (x->wave != y->wave)
        return x->wave < y->wave ? -1 : 1;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Upserts that keep an existing created_at are another statement than those that replace it. */
static size_t variant_of(const struct command *command)
{
    const struct record_spec *record = command->type->record;

    for (size_t i = 0; i < record->field_count; i++) {
        const struct field_spec *field = &record->fields[i];
        if (field->absent == ABSENT_KEEP && field->use[command->type->use] != FIELD_NOT_GIVEN)
            return *(const bool *)((const char *)command->record + field->keep_offset) ? 1 : 0;
    }
    return 0;
}

static enum outcome plan(struct executor *db, const struct command *const *commands, size_t count,
                         struct arena *arena, struct placed *ret_placed, struct err *err)
{
    struct touched touched;
    struct waves waves;

    if (!waves_init(&waves, arena, count))
        return err_no_memory(err, "plan waves");
    enum outcome outcome = touched_open(&touched, db, commands, count, arena, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (size_t i = 0; i < count; i++) {
        const struct resource *resources;
        size_t resource_count;

        if (!touched_by(&touched, commands[i], &resources, &resource_count) ||
            !waves_place(&waves, resources, resource_count, &ret_placed[i].wave))
            return err_no_memory(err, "plan waves");
        ret_placed[i].group = 2 * (size_t)commands[i]->type->kind + variant_of(commands[i]);
        ret_placed[i].index = i;
    }
    qsort(ret_placed, count, sizeof(*ret_placed), compare_placed);
    return OUTCOME_OK;
}

static bool group_run_init(struct group_run *run, const struct command *const *commands,
                           const struct placed *placed, size_t count, struct arena *arena,
                           struct command_result *results)
{
    const struct command **members = ARENA_ARRAY(arena, const struct command *, count);

    *run = (struct group_run){.count = count, .arena = arena};
    run->type = commands[placed[0].index]->type;
    run->results = ARENA_ARRAY(arena, struct command_result *, count);
    run->answers = ARENA_ARRAY(arena, enum write_result, count);
    if (members == NULL || run->results == NULL || run->answers == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        members[i] = commands[placed[i].index];
        run->results[i] = &results[placed[i].index];
    }
    run->commands = members;
    return true;
}

enum { GROUPS_MAX = 2 * COMMAND_KIND_COUNT };

/* Keys are new rows, unless somebody uses an id or a hash again. COPY stores them for the least,
 * but all or none. Few are not worth its round trips; and after a refusal the next groups do not
 * try, so that a stream full of duplicates costs a hundredth more, not twice as much. */
enum { COPY_MIN = 32, COPY_HOLDOFF_GROUPS = 100 };

static bool may_copy(struct applier *applier, const struct group_run *run)
{
    if (run->type->kind != KEY_ISSUE_COMMAND || run->count < COPY_MIN || applier->triggers.keys)
        return false;
    if (applier->copy_holdoff == 0)
        return true;
    applier->copy_holdoff--;
    return false;
}

static enum outcome copy_keys(struct applier *applier, struct group_run *run, bool *ret_stored,
                              struct err *err)
{
    const void **keys = records_of(run);
    if (keys == NULL)
        return err_no_memory(err, "apply key issues");
    enum outcome outcome = keys_issue_copy(applier->db, (const struct key *const *)keys, run->count,
                                           run->arena, run->answers, ret_stored, err);
    if (outcome == OUTCOME_OK && !*ret_stored)
        applier->copy_holdoff = COPY_HOLDOFF_GROUPS;
    return outcome;
}

/* Statements that go to the server together. */
struct trip {
    struct write writes[GROUPS_MAX];
    size_t count;
};

static enum outcome trip_run(struct trip *trip, struct executor *db, struct arena *arena,
                             struct err *err)
{
    size_t count = trip->count;

    trip->count = 0;
    return count > 0 ? write_run(db, trip->writes, count, arena, err) : OUTCOME_OK;
}

/* A copy stands by itself between the statements of the kinds before it and those behind it. */
static enum outcome run_group(struct applier *applier, struct group_run *run, struct trip *trip,
                              struct err *err)
{
    enum outcome outcome = OUTCOME_OK;
    bool stored = false;

    if (bindings[run->type->kind].row == RESOURCE_NONE)
        return OUTCOME_OK;
    if (may_copy(applier, run)) {
        outcome = trip_run(trip, applier->db, run->arena, err);
        if (outcome == OUTCOME_OK)
            outcome = copy_keys(applier, run, &stored, err);
    }
    if (outcome != OUTCOME_OK || stored)
        return outcome;
    outcome = bindings[run->type->kind].prepare(run, err);
    trip->writes[trip->count++] = run->write;
    return outcome;
}

static enum outcome run_wave(struct applier *applier, struct group_run *runs, size_t run_count,
                             struct arena *arena, struct err *err)
{
    struct trip trip = {.count = 0};
    enum outcome outcome = OUTCOME_OK;

    for (size_t i = 0; i < run_count && outcome == OUTCOME_OK; i++)
        outcome = run_group(applier, &runs[i], &trip, err);
    if (outcome == OUTCOME_OK)
        outcome = trip_run(&trip, applier->db, arena, err);
    for (size_t i = 0; i < run_count && outcome == OUTCOME_OK; i++)
        outcome = bindings[runs[i].type->kind].finish(&runs[i], err);
    return outcome;
}

enum outcome apply_commands(struct applier *applier, const struct command *const *commands,
                            size_t count, struct arena *arena, struct command_result *ret_results,
                            struct err *err)
{
    if (count == 0)
        return OUTCOME_OK;

    struct placed *placed = ARENA_ARRAY(arena, struct placed, count);
    if (placed == NULL)
        return err_no_memory(err, "plan waves");
    enum outcome outcome = plan(applier->db, commands, count, arena, placed, err);

    for (size_t from = 0; from < count && outcome == OUTCOME_OK;) {
        struct group_run runs[GROUPS_MAX];
        size_t run_count = 0;
        size_t wave = placed[from].wave;

        while (from < count && placed[from].wave == wave) {
            size_t to = from + 1;
            while (to < count && placed[to].wave == wave && placed[to].group == placed[from].group)
                to++;
            if (!group_run_init(&runs[run_count++], commands, placed + from, to - from, arena,
                                ret_results))
                return err_no_memory(err, "plan waves");
            from = to;
        }
        outcome = run_wave(applier, runs, run_count, arena, err);
    }
    return outcome;
}

enum outcome apply_nothing(struct applier *applier, const struct command *command,
                           struct arena *arena, struct err *err)
{
    struct group_run run = {.type = command->type,
                            .commands = &command,
                            .results = ARENA_ARRAY(arena, struct command_result *, 0),
                            .answers = ARENA_ARRAY(arena, enum write_result, 0),
                            .arena = arena};
    const struct binding *binding = &bindings[command->type->kind];

    if (run.results == NULL || run.answers == NULL)
        return err_no_memory(err, "apply nothing");
    if (binding->row == RESOURCE_NONE)
        return OUTCOME_OK;
    enum outcome outcome = binding->prepare(&run, err);
    return outcome == OUTCOME_OK ? write_run(applier->db, &run.write, 1, arena, err) : outcome;
}
