#include "worker/apply/apply.h"

#include <stdlib.h>

#include "events/rejections.h"
#include "repo/entitlements_repo.h"
#include "repo/groups_repo.h"
#include "repo/keys_repo.h"
#include "repo/memberships_repo.h"
#include "repo/orgs_repo.h"
#include "repo/users_repo.h"
#include "worker/apply/touched.h"
#include "worker/apply/waves.h"

/* The commands of one kind in one wave: one statement. */
struct group_run {
    enum command_kind kind;
    const struct command *const *commands;
    size_t count;
    struct command_result **results; /* where each command's result goes */
    struct arena *arena;

    /* between prepare and finish */
    enum write_result *answers;
    void *rows; /* removed records, owners or usages: the binding's own */
    struct write write;
};

/* How one kind of command meets its repository. */
struct binding {
    enum outcome (*prepare)(struct group_run *run, struct err *err);
    enum outcome (*finish)(struct group_run *run, struct err *err);
    struct {
        enum write_result answer;
        const char *rejection;
    } rejections[4];
};

static const struct binding bindings[COMMAND_KIND_COUNT];

static const char *rejection_of(enum command_kind kind, enum write_result answer)
{
    for (size_t i = 0; i < 4 && bindings[kind].rejections[i].rejection != NULL; i++) {
        if (bindings[kind].rejections[i].answer == answer)
            return bindings[kind].rejections[i].rejection;
    }
    return NULL;
}

static enum outcome answer_of(enum command_kind kind, enum write_result answer,
                              struct command_result *ret_result, struct err *err)
{
    const char *rejection = rejection_of(kind, answer);

    *ret_result = (struct command_result){.rejection = rejection};
    if (rejection != NULL)
        return OUTCOME_OK;
    ret_result->created = answer == WRITE_CREATED;
    if (answer == WRITE_CREATED || answer == WRITE_UPDATED || answer == WRITE_REMOVED)
        return OUTCOME_OK;
    return err_set(err, OUTCOME_FATAL, "", "apply %s: unexpected answer %d",
                   command_types[kind].name, (int)answer);
}

static enum outcome finish_plain(struct group_run *run, struct err *err)
{
    for (size_t i = 0; i < run->count; i++) {
        enum outcome outcome = answer_of(run->kind, run->answers[i], run->results[i], err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}

/* The records of the group's commands, as the repositories take them. */
static const void **records_of(const struct group_run *run)
{
    const void **records = ARENA_ARRAY(run->arena, const void *, run->count);
    for (size_t i = 0; records != NULL && i < run->count; i++)
        records[i] = run->commands[i]->record;
    return records;
}

static enum outcome prepare_users(struct group_run *run, struct err *err)
{
    const void **users = records_of(run);
    if (users == NULL)
        return err_no_memory(err, "apply users");
    return users_upsert_prepare((const struct user *const *)users, run->count, run->arena,
                                run->answers, &run->write, err);
}

static enum outcome prepare_orgs(struct group_run *run, struct err *err)
{
    const void **orgs = records_of(run);
    if (orgs == NULL)
        return err_no_memory(err, "apply orgs");
    return orgs_upsert_prepare((const struct org *const *)orgs, run->count, run->arena,
                               run->answers, &run->write, err);
}

static enum outcome prepare_groups(struct group_run *run, struct err *err)
{
    const void **groups = records_of(run);
    if (groups == NULL)
        return err_no_memory(err, "apply groups");
    return groups_upsert_prepare((const struct group *const *)groups, run->count, run->arena,
                                 run->answers, &run->write, err);
}

static enum outcome prepare_memberships(struct group_run *run, struct err *err)
{
    const void **memberships = records_of(run);
    if (memberships == NULL)
        return err_no_memory(err, "apply memberships");
    return memberships_upsert_prepare((const struct membership *const *)memberships, run->count,
                                      run->arena, run->answers, &run->write, err);
}

static enum outcome prepare_entitlements(struct group_run *run, struct err *err)
{
    const void **entitlements = records_of(run);
    if (entitlements == NULL)
        return err_no_memory(err, "apply entitlements");
    return entitlements_upsert_prepare((const struct entitlement *const *)entitlements, run->count,
                                       run->arena, run->answers, &run->write, err);
}

static enum outcome prepare_issue(struct group_run *run, struct err *err)
{
    const void **keys = records_of(run);
    if (keys == NULL)
        return err_no_memory(err, "apply key issues");
    return keys_issue_prepare((const struct key *const *)keys, run->count, run->arena, run->answers,
                              &run->write, err);
}

/* The id of a command's record: every record has it as its declared field "id". */
static struct text record_id(const struct command *command)
{
    const struct field_spec *id = record_field(command->type->record, "id");
    return *(const struct text *)field_of_const(id, command->record);
}

static struct text *ids_of(const struct group_run *run)
{
    struct text *ids = ARENA_ARRAY(run->arena, struct text, run->count);
    for (size_t i = 0; ids != NULL && i < run->count; i++)
        ids[i] = record_id(run->commands[i]);
    return ids;
}

static enum outcome prepare_group_delete(struct group_run *run, struct err *err)
{
    struct text *ids = ids_of(run);
    run->rows = ARENA_ARRAY(run->arena, struct group, run->count);
    if (ids == NULL || run->rows == NULL)
        return err_no_memory(err, "apply group deletions");
    return groups_delete_prepare(ids, run->count, run->arena, run->answers, run->rows, &run->write,
                                 err);
}

static enum outcome prepare_membership_remove(struct group_run *run, struct err *err)
{
    struct text *ids = ids_of(run);
    run->rows = ARENA_ARRAY(run->arena, struct membership, run->count);
    if (ids == NULL || run->rows == NULL)
        return err_no_memory(err, "apply membership removals");
    return memberships_remove_prepare(ids, run->count, run->arena, run->answers, run->rows,
                                      &run->write, err);
}

static enum outcome prepare_entitlement_remove(struct group_run *run, struct err *err)
{
    struct text *ids = ids_of(run);
    run->rows = ARENA_ARRAY(run->arena, struct entitlement, run->count);
    if (ids == NULL || run->rows == NULL)
        return err_no_memory(err, "apply entitlement removals");
    return entitlements_remove_prepare(ids, run->count, run->arena, run->answers, run->rows,
                                       &run->write, err);
}

static enum outcome finish_removal(struct group_run *run, struct err *err)
{
    size_t size = command_types[run->kind].record->size;

    for (size_t i = 0; i < run->count; i++) {
        enum outcome outcome = answer_of(run->kind, run->answers[i], run->results[i], err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (run->answers[i] == WRITE_REMOVED)
            run->results[i]->row = (const char *)run->rows + i * size;
    }
    return OUTCOME_OK;
}

static enum outcome prepare_revoke(struct group_run *run, struct err *err)
{
    const void **keys = records_of(run);
    run->rows = ARENA_ARRAY(run->arena, struct ref, run->count);
    if (keys == NULL || run->rows == NULL)
        return err_no_memory(err, "apply key revocations");
    return keys_revoke_prepare((const struct key *const *)keys, run->count, run->arena,
                               run->answers, run->rows, &run->write, err);
}

/* A key as its command and its row together tell it: what the audit event needs of it. */
static const struct key *key_after(const struct group_run *run, size_t i, struct ref owner,
                                   int64_t usage_count)
{
    struct key *after = arena_alloc(run->arena, sizeof(*after));
    if (after == NULL)
        return NULL;
    *after = *(const struct key *)run->commands[i]->record;
    after->owner = owner;
    after->usage_count = usage_count;
    return after;
}

static enum outcome finish_revoke(struct group_run *run, struct err *err)
{
    const struct ref *owners = run->rows;

    for (size_t i = 0; i < run->count; i++) {
        enum outcome outcome = answer_of(run->kind, run->answers[i], run->results[i], err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (run->answers[i] != WRITE_UPDATED)
            continue;
        run->results[i]->row = key_after(run, i, owners[i], 0);
        if (run->results[i]->row == NULL)
            return err_no_memory(err, "apply key revocations");
    }
    return OUTCOME_OK;
}

/* The usages of a wave, merged by key. */
struct merged_usages {
    struct key_usage *usages;
    struct key_usage_result *results;
    size_t count;     /* distinct keys */
    size_t *key_of;   /* command -> index of its key */
    size_t *place_of; /* command -> its place among the usages of that key */
    int64_t *used_at; /* grouped by key */
};

static bool merged_new(struct merged_usages *merged, const struct group_run *run)
{
    merged->usages = ARENA_ARRAY(run->arena, struct key_usage, run->count);
    merged->results = ARENA_ARRAY(run->arena, struct key_usage_result, run->count);
    merged->key_of = ARENA_ARRAY(run->arena, size_t, run->count);
    merged->place_of = ARENA_ARRAY(run->arena, size_t, run->count);
    merged->used_at = ARENA_ARRAY(run->arena, int64_t, run->count);
    return merged->usages != NULL && merged->results != NULL && merged->key_of != NULL &&
           merged->place_of != NULL && merged->used_at != NULL;
}

/* First pass: which keys, how many usages each, each command's place among them. */
static bool merged_count(struct merged_usages *merged, const struct group_run *run)
{
    struct map keys;
    bool is_new;

    if (!map_init(&keys, run->arena, run->count))
        return false;
    for (size_t i = 0; i < run->count; i++) {
        const struct key *key = run->commands[i]->record;
        size_t *index = map_put(&keys, RESOURCE_KEY, key->id, &is_new);
        if (index == NULL)
            return false;
        if (is_new) {
            *index = merged->count++;
            merged->usages[*index].id = key->id;
        }
        merged->key_of[i] = *index;
        merged->place_of[i] = merged->usages[*index].count++;
    }
    return true;
}

/* Second pass: the times and answers of one key lie side by side. */
static void merged_fill(struct merged_usages *merged, const struct group_run *run)
{
    size_t first = 0;

    for (size_t k = 0; k < merged->count; k++) {
        merged->usages[k].used_at_us = merged->used_at + first;
        merged->results[k].results = run->answers + first;
        first += merged->usages[k].count;
    }
    for (size_t i = 0; i < run->count; i++) {
        const struct key *key = run->commands[i]->record;
        size_t start = (size_t)(merged->usages[merged->key_of[i]].used_at_us - merged->used_at);
        merged->used_at[start + merged->place_of[i]] = key->last_used_at_us;
    }
}

static enum outcome prepare_usage(struct group_run *run, struct err *err)
{
    struct merged_usages *merged = ARENA_NEW(run->arena, struct merged_usages);

    if (merged == NULL || !merged_new(merged, run) || !merged_count(merged, run))
        return err_no_memory(err, "apply key usages");
    merged_fill(merged, run);
    run->rows = merged;
    return keys_record_usage_prepare(merged->usages, merged->count, run->arena, merged->results,
                                     &run->write, err);
}

/* Each accepted usage tells the count as it was after itself: the key's final count less the
 * accepted ones behind it. */
static enum outcome finish_usage(struct group_run *run, struct err *err)
{
    const struct merged_usages *merged = run->rows;
    int64_t *accepted_left = ARENA_ARRAY(run->arena, int64_t, merged->count);

    if (accepted_left == NULL)
        return err_no_memory(err, "apply key usages");
    for (size_t i = run->count; i-- > 0;) {
        size_t k = merged->key_of[i];
        const struct key_usage_result *of_key = &merged->results[k];
        enum write_result answer = of_key->results[merged->place_of[i]];
        enum outcome outcome = answer_of(run->kind, answer, run->results[i], err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (answer != WRITE_UPDATED)
            continue;
        run->results[i]->row =
            key_after(run, i, of_key->owner, of_key->usage_count - accepted_left[k]++);
        if (run->results[i]->row == NULL)
            return err_no_memory(err, "apply key usages");
    }
    return OUTCOME_OK;
}

/* audit.append has no row here: its validation is its answer. */
static enum outcome finish_append(struct group_run *run, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < run->count; i++) {
        *run->results[i] =
            (struct command_result){.rejection = audit_entry_rejection(run->commands[i]->record)};
    }
    return OUTCOME_OK;
}

static const struct binding bindings[COMMAND_KIND_COUNT] = {
    [USER_UPSERT] = {prepare_users, finish_plain, {{0}}},
    [ORG_UPSERT] = {prepare_orgs, finish_plain, {{WRITE_DUPLICATE, REJECTION_ORG_DUPLICATE_SLUG}}},
    [GROUP_UPSERT] = {prepare_groups, finish_plain, {{0}}},
    [GROUP_DELETE] = {prepare_group_delete,
                      finish_removal,
                      {{WRITE_NOT_FOUND, REJECTION_GROUP_NOT_FOUND}}},
    [MEMBERSHIP_UPSERT] = {prepare_memberships, finish_plain, {{0}}},
    [MEMBERSHIP_REMOVE] = {prepare_membership_remove,
                           finish_removal,
                           {{WRITE_NOT_FOUND, REJECTION_MEMBERSHIP_NOT_FOUND}}},
    [ENTITLEMENT_UPSERT] = {prepare_entitlements,
                            finish_plain,
                            {{WRITE_DUPLICATE, REJECTION_ENTITLEMENT_DUPLICATE}}},
    [ENTITLEMENT_REMOVE] = {prepare_entitlement_remove,
                            finish_removal,
                            {{WRITE_NOT_FOUND, REJECTION_ENTITLEMENT_NOT_FOUND}}},
    [KEY_ISSUE_COMMAND] = {prepare_issue,
                           finish_plain,
                           {{WRITE_DUPLICATE_ID, REJECTION_KEY_DUPLICATE_ID},
                            {WRITE_DUPLICATE_HASH, REJECTION_KEY_DUPLICATE_HASH},
                            {WRITE_DUPLICATE, REJECTION_KEY_DUPLICATE}}},
    [KEY_RECORD_USAGE_COMMAND] = {prepare_usage,
                                  finish_usage,
                                  {{WRITE_NOT_FOUND, REJECTION_KEY_NOT_FOUND},
                                   {WRITE_REVOKED, REJECTION_KEY_REVOKED},
                                   {WRITE_EXPIRED, REJECTION_KEY_EXPIRED}}},
    [KEY_REVOKE_COMMAND] = {prepare_revoke,
                            finish_revoke,
                            {{WRITE_NOT_FOUND, REJECTION_KEY_NOT_FOUND},
                             {WRITE_ALREADY_REVOKED, REJECTION_KEY_ALREADY_REVOKED}}},
    [AUDIT_APPEND_COMMAND] = {NULL, finish_append, {{0}}},
};

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
    switch (command->type->kind) {
    case MEMBERSHIP_UPSERT:
        return ((const struct membership *)command->record)->keep_created_at ? 1 : 0;
    case ENTITLEMENT_UPSERT:
        return ((const struct entitlement *)command->record)->keep_created_at ? 1 : 0;
    case USER_UPSERT:
    case ORG_UPSERT:
    case GROUP_UPSERT:
    case GROUP_DELETE:
    case MEMBERSHIP_REMOVE:
    case ENTITLEMENT_REMOVE:
    case KEY_ISSUE_COMMAND:
    case KEY_RECORD_USAGE_COMMAND:
    case KEY_REVOKE_COMMAND:
    case AUDIT_APPEND_COMMAND:
    case COMMAND_KIND_COUNT:
        break;
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
    run->kind = commands[placed[0].index]->type->kind;
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
    if (run->kind != KEY_ISSUE_COMMAND || run->count < COPY_MIN)
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

    if (bindings[run->kind].prepare == NULL)
        return OUTCOME_OK;
    if (may_copy(applier, run)) {
        outcome = trip_run(trip, applier->db, run->arena, err);
        if (outcome == OUTCOME_OK)
            outcome = copy_keys(applier, run, &stored, err);
    }
    if (outcome != OUTCOME_OK || stored)
        return outcome;
    outcome = bindings[run->kind].prepare(run, err);
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
        outcome = bindings[runs[i].kind].finish(&runs[i], err);
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
