#include "worker/lane/bisect.h"

#include "worker/lane/context.h"
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

enum verdict { SETTLED, SPLIT, REFUSED_ALONE, GIVEN_UP };

/* Tries entries from..to until they are settled, or are to be split. */
static enum verdict persist(struct lane *lane, struct batch *batch, size_t from, size_t to,
                            int patience, struct err *err)
{
    uint64_t generation = batch->generation;
    bool alone = to - from == 1;
    int races_alone = 0;

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
    }
}

static enum outcome settle(struct lane *lane, struct batch *batch, size_t from, size_t to,
                           int patience, struct err *err)
{
    switch (persist(lane, batch, from, to, patience, err)) {
    case SETTLED:
        return OUTCOME_OK;
    case REFUSED_ALONE:
        return bury(lane, &batch->entries[from], err);
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
