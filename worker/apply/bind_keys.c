#include "worker/apply/bindings.h"

#include "repo/keys_repo.h"

/* The commands on keys: issue, usage and revocation. */

enum outcome prepare_key_issue(struct group_run *run, struct err *err)
{
    const void **keys = records_of(run);
    if (keys == NULL)
        return err_no_memory(err, "apply key issues");
    return keys_issue_prepare((const struct key *const *)keys, run->count, run->arena, run->answers,
                              &run->write, err);
}

enum outcome prepare_key_revoke(struct group_run *run, struct err *err)
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

enum outcome finish_key_revoke(struct group_run *run, struct err *err)
{
    const struct ref *owners = run->rows;

    for (size_t i = 0; i < run->count; i++) {
        enum outcome outcome = answer_read(run->type, run->answers[i], run->results[i], err);
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

enum outcome prepare_key_usage(struct group_run *run, struct err *err)
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
enum outcome finish_key_usage(struct group_run *run, struct err *err)
{
    const struct merged_usages *merged = run->rows;
    int64_t *accepted_left = ARENA_ARRAY(run->arena, int64_t, merged->count);

    if (accepted_left == NULL)
        return err_no_memory(err, "apply key usages");
    for (size_t i = run->count; i-- > 0;) {
        size_t k = merged->key_of[i];
        const struct key_usage_result *of_key = &merged->results[k];
        enum write_result answer = of_key->results[merged->place_of[i]];
        enum outcome outcome = answer_read(run->type, answer, run->results[i], err);
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
