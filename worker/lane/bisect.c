#include "worker/lane/bisect.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/lane/context.h"
#include "worker/lane/isolate.h"
#include "worker/lane/publish.h"
#include "worker/lane/setback.h"
#include "worker/lane/settle.h"
#include "worker/lane/wait.h"

/* An id or a unique value that another lane takes while ours is under way: it is seen at the next
 * attempt. More than this many in a batch are something else, and it is split without delay; a
 * message that stands alone has attempts of its own, so that no good one is buried for a race. */
enum { RACES_MAX = 5, RACES_ALONE_MAX = 2 };

/* Failures in a row after which a range is split, and those for the parts of such a range. */
enum { PATIENCE = 4, PATIENCE_WITH_PARTS = 2 };

bool store_recover_until_done(struct lane *lane, uint64_t generation)
{
    struct err err;

    lane->recovered = true;
    while (store_recover(lane->store, &err) != OUTCOME_OK) {
        if (!wait_again(lane, DEPENDENCY_DATABASE, generation, &err))
            return false;
    }
    return true;
}

bool store_again(struct lane *lane, uint64_t generation, const struct err *err)
{
    metric_add(&lane->metrics->transaction_retries, 1);
    return wait_again(lane, DEPENDENCY_DATABASE, generation, err) &&
           store_recover_until_done(lane, generation);
}

static enum outcome dropped(struct err *err)
{
    return err_set(err, OUTCOME_REJECT, "", "batch dropped");
}

static enum outcome bury(struct lane *lane, struct entry *entry, struct err *err)
{
    struct refusal refusal = store_explain(lane->store, err);

    if (!entry_bury(lane, entry, DEAD_LETTER_APPLY, "sqlstate", refusal.reason))
        return err_no_memory(err, "settle");
    return OUTCOME_OK;
}

/* Ends the Kafka transaction that overlapped with a commit that failed. The locks in the database
 * go first: Kafka may keep the lane waiting. false: the batch is given up, for the reason that
 * `err` has then. */
static bool abort_overlap(struct lane *lane, struct batch *batch, struct err *err)
{
    struct err why;

    lane->recovered = true;
    if (batch->publication.begun)
        (void)store_recover(lane->store, &why);
    enum outcome outcome = publish_abort(lane, batch, &why);
    if (outcome == OUTCOME_OK)
        return true;
    *err = why;
    err->outcome = outcome;
    return false;
}

/* Whether the refusal may be a race, so that the range is run again. */
static bool is_race(struct lane *lane, struct batch *batch, bool alone, int *races_alone,
                    const struct err *err)
{
    const struct refusal refusal = store_explain(lane->store, err);
    int most = alone ? RACES_ALONE_MAX : RACES_MAX;

    if (!refusal.may_be_race && !refusal.once_more)
        return false;
    if (refusal.once_more)
        most = 1;
    if ((alone ? ++*races_alone : ++batch->races) > most)
        return false;
    metric_add(&lane->metrics->transaction_retries, 1);
    return true;
}

/* false: the store was set back, or the batch is given up while it does not answer. */
static bool may_write(struct lane *lane, uint64_t generation, struct err *err)
{
    enum outcome outcome;

    while ((outcome = setback_check(lane, err)) != OUTCOME_OK) {
        if (outcome == OUTCOME_REJECT || !store_again(lane, generation, err))
            return false;
    }
    return true;
}

enum verdict { SETTLED, SPLIT, REFUSED_ALONE, FAILED_ALONE, GIVEN_UP };

/* It failed for a minute, and the store works without it. */
static enum outcome bury_isolated(struct lane *lane, struct entry *entry, struct err *err)
{
    char reason[REFUSAL_REASON_BYTES];

    snprintf(reason, sizeof(reason), "fails with SQLSTATE %.5s, and nothing fails without it",
             err->code);
    log_line(LOG_WARN, "a message fails by itself: the batch goes on without it",
             LOG_INT("lane", lane->options.index), LOG_TEXT("topic", entry->message->topic),
             LOG_INT("partition", entry->message->partition),
             LOG_INT("offset", entry->message->offset), LOG_STR("code", err->code),
             LOG_INT("waited_ms", (clock_monotonic_us() - lane->wait.since_us) / 1000));
    wait_done(lane);
    return entry_bury(lane, entry, DEAD_LETTER_APPLY, "sqlstate", reason)
               ? OUTCOME_OK
               : err_no_memory(err, "settle");
}

/* The store works without the message. What held it up may have ended just now: once more. */
static enum verdict try_last(struct lane *lane, struct batch *batch, size_t at,
                             const struct err *before, struct err *err)
{
    if (settle_range(lane, batch, at, at + 1, err) == OUTCOME_OK) {
        wait_done(lane);
        return SETTLED;
    }
    if (!abort_overlap(lane, batch, err))
        return GIVEN_UP;
    bool same = strcmp(err->code, before->code) == 0;
    if (!store_recover_until_done(lane, batch->generation)) {
        dropped(err);
        return GIVEN_UP;
    }
    return same ? FAILED_ALONE : SPLIT;
}

/* SPLIT: the cause was looked for in vain, and the store is ready for the next attempt. */
static enum verdict look_for_cause(struct lane *lane, struct batch *batch, size_t at,
                                   struct err *err)
{
    const struct err before = *err;

    if (!may_write(lane, batch->generation, err)) {
        dropped(err);
        return GIVEN_UP;
    }
    if (isolate_proves(lane, batch, at))
        return try_last(lane, batch, at, &before, err);
    *err = before;
    if (store_recover_until_done(lane, batch->generation))
        return SPLIT;
    dropped(err);
    return GIVEN_UP;
}

/* Of entries that were settled while the cause of another's failure was looked for. */
static bool are_settled(const struct batch *batch, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (!batch->entries[i].settled && batch->entries[i].state != ENTRY_DEAD)
            return false;
    }
    return batch->entries[from].settled || batch->entries[to - 1].settled;
}

/* Tries entries from..to until they are settled, or are to be split. */
static enum verdict persist(struct lane *lane, struct batch *batch, size_t from, size_t to,
                            int patience, struct err *err)
{
    uint64_t generation = batch->generation;
    bool alone = to - from == 1;
    int races_alone = 0;
    struct suspicion suspicion = {.code = ""};

    lane->hand = batch->entries[from].message;
    for (int failures = 1;; failures++) {
        if (!may_write(lane, generation, err)) {
            dropped(err);
            return GIVEN_UP;
        }
        enum outcome outcome = settle_range(lane, batch, from, to, err);
        if (outcome == OUTCOME_OK) {
            wait_done(lane);
            return SETTLED;
        }
        if (!abort_overlap(lane, batch, err))
            return GIVEN_UP;
        if (outcome == OUTCOME_FULL) {
            store_recover_until_done(lane, generation);
            return GIVEN_UP;
        }
        bool refused = outcome == OUTCOME_REJECT;
        if (refused ? !store_recover_until_done(lane, generation)
                    : !store_again(lane, generation, err)) {
            dropped(err);
            return GIVEN_UP;
        }
        if (refused && !is_race(lane, batch, alone, &races_alone, err))
            return alone ? REFUSED_ALONE : SPLIT;
        if (!refused && !alone && failures >= patience)
            return SPLIT;
        if (!refused && alone && isolate_suspects(lane, &suspicion, err)) {
            enum verdict verdict = look_for_cause(lane, batch, from, err);
            if (verdict != SPLIT)
                return verdict;
        }
    }
}

static enum outcome settle(struct lane *lane, struct batch *batch, size_t from, size_t to,
                           int patience, struct err *err)
{
    if (are_settled(batch, from, to))
        return OUTCOME_OK;
    switch (persist(lane, batch, from, to, patience, err)) {
    case SETTLED:
        return OUTCOME_OK;
    case REFUSED_ALONE:
        return bury(lane, &batch->entries[from], err);
    case FAILED_ALONE:
        return bury_isolated(lane, &batch->entries[from], err);
    case GIVEN_UP:
        return err->outcome;
    case SPLIT:
        break;
    }
    metric_add(&lane->metrics->bisections, 1);
    if (err->outcome != OUTCOME_REJECT)
        patience = PATIENCE_WITH_PARTS;
    size_t middle = from + (to - from) / 2;
    enum outcome outcome = settle(lane, batch, from, middle, patience, err);
    return outcome == OUTCOME_OK ? settle(lane, batch, middle, to, patience, err) : outcome;
}

enum outcome bisect_end(struct lane *lane, struct batch *batch, struct err *err)
{
    while (!batch->recorded) {
        if (!may_write(lane, batch->generation, err))
            return dropped(err);
        if (settle_end(lane, batch, err) != OUTCOME_OK &&
            !store_again(lane, batch->generation, err))
            return dropped(err);
    }
    wait_done(lane);
    return OUTCOME_OK;
}

enum outcome bisect_settle(struct lane *lane, struct batch *batch, struct err *err)
{
    enum outcome outcome = settle(lane, batch, 0, batch->count, PATIENCE, err);

    return outcome == OUTCOME_OK ? bisect_end(lane, batch, err) : outcome;
}
