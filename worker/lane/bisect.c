#include "worker/lane/bisect.h"

/* An id or a unique value that another lane takes while ours is under way: it is seen at the next
 * attempt. More than this many in a batch are something else, and it is split without delay; a
 * message that stands alone has attempts of its own, so that no good one is buried for a race. */
enum { RACES_MAX = 5, RACES_ALONE_MAX = 2 };

/* Failures in a row after which a range is split, and those for the parts of such a range. */
enum { PATIENCE = 4, PATIENCE_WITH_PARTS = 2 };

bool is_no_memory(const struct err *err)
{
    return strcmp(err->code, ERR_NO_MEMORY) == 0;
}

bool store_recover(struct store *store, struct wait *wait, uint64_t generation)
{
    struct err err;

    while (store->ops->recover(store, &err) != OUTCOME_OK) {
        if (!wait_again(wait, DEPENDENCY_DATABASE, generation, &err))
            return false;
    }
    return true;
}

bool store_again(struct store *store, struct wait *wait, uint64_t generation, const struct err *err)
{
    metric_add(&wait->metrics->transaction_retries, 1);
    return wait_again(wait, DEPENDENCY_DATABASE, generation, err) &&
           store_recover(store, wait, generation);
}

static enum outcome dropped(struct err *err)
{
    return err_set(err, OUTCOME_REJECT, "", "batch dropped");
}

static struct refusal refusal_of(const struct store *store, const struct err *err)
{
    struct refusal refusal;

    store->ops->explain(store, err, &refusal);
    return refusal;
}

static enum outcome bury(const struct settling *settling, struct entry *entry, struct err *err)
{
    struct refusal refusal = refusal_of(settling->store, err);

    if (!entry_bury(entry, settling->batch->arena, DEAD_LETTER_APPLY, "sqlstate", refusal.reason))
        return err_no_memory(err, "settle");
    return OUTCOME_OK;
}

/* What went ahead of a commit that failed. The locks in the database go first: Kafka may keep us
 * waiting. false: the batch is given up, for the reason that `err` has then. */
static bool take_back(struct bisecting *bisecting, struct err *err)
{
    struct store *store = bisecting->settling->store;
    struct err why;

    if (bisecting->publishing == NULL)
        return true;
    if (bisecting->publishing->begun)
        (void)store->ops->recover(store, &why);
    enum outcome outcome = publish_take_back(bisecting->publishing, &why);
    if (outcome == OUTCOME_OK)
        return true;
    *err = why;
    err->outcome = outcome;
    return false;
}

/* Whether what was refused may be a race, to be run again. */
static bool is_race(struct bisecting *bisecting, bool alone, int *races, const struct err *err)
{
    if (!refusal_of(bisecting->settling->store, err).may_be_race)
        return false;
    if (alone ? ++*races > RACES_ALONE_MAX : ++bisecting->races > RACES_MAX)
        return false;
    metric_add(&bisecting->settling->metrics->transaction_retries, 1);
    return true;
}

enum verdict { SETTLED, SPLIT, REFUSED_ALONE, GIVEN_UP };

/* Tries entries from..to until they are settled, or are to be split. */
static enum verdict persist(struct bisecting *bisecting, size_t from, size_t to, int patience,
                            struct err *err)
{
    const struct settling *settling = bisecting->settling;
    uint64_t generation = settling->batch->generation;
    bool alone = to - from == 1;
    int races = 0;

    for (int failures = 1;; failures++) {
        enum outcome outcome = settle_range(settling, from, to, err);
        if (outcome == OUTCOME_OK) {
            wait_done(bisecting->wait);
            return SETTLED;
        }
        if (!take_back(bisecting, err))
            return GIVEN_UP;
        if (is_no_memory(err)) {
            store_recover(settling->store, bisecting->wait, generation);
            return GIVEN_UP;
        }
        bool refused = outcome == OUTCOME_REJECT;
        if (refused ? !store_recover(settling->store, bisecting->wait, generation)
                    : !store_again(settling->store, bisecting->wait, generation, err)) {
            dropped(err);
            return GIVEN_UP;
        }
        if (refused && !is_race(bisecting, alone, &races, err))
            return alone ? REFUSED_ALONE : SPLIT;
        if (!refused && !alone && failures >= patience)
            return SPLIT;
    }
}

static enum outcome settle(struct bisecting *bisecting, size_t from, size_t to, int patience,
                           struct err *err)
{
    const struct settling *settling = bisecting->settling;

    switch (persist(bisecting, from, to, patience, err)) {
    case SETTLED:
        return OUTCOME_OK;
    case REFUSED_ALONE:
        return bury(settling, &settling->batch->entries[from], err);
    case GIVEN_UP:
        return err->outcome;
    case SPLIT:
        break;
    }
    metric_add(&settling->metrics->bisections, 1);
    if (err->outcome != OUTCOME_REJECT)
        patience = PATIENCE_WITH_PARTS;
    size_t middle = from + (to - from) / 2;
    enum outcome outcome = settle(bisecting, from, middle, patience, err);
    return outcome == OUTCOME_OK ? settle(bisecting, middle, to, patience, err) : outcome;
}

enum outcome bisect_settle(struct bisecting *bisecting, struct err *err)
{
    return settle(bisecting, 0, bisecting->settling->batch->count, PATIENCE, err);
}
