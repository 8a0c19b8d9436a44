#include "worker/lane/isolate.h"

#include <stdio.h>

#include "base/clock.h"
#include "worker/lane/context.h"
#include "worker/lane/settle.h"

enum { SQLSTATE_LENGTH = 5 };

static bool may_be_its_own(const char *code)
{
    static const char *const classes[] = {"08", "40", "53", "55", "57", "58"};

    if (strlen(code) != SQLSTATE_LENGTH)
        return false;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strncmp(code, classes[i], 2) == 0)
            return false;
    }
    return true;
}

bool isolate_suspects(const struct lane *lane, struct suspicion *suspicion, const struct err *err)
{
    int64_t now_us = clock_monotonic_us();

    if (strcmp(suspicion->code, err->code) != 0) {
        snprintf(suspicion->code, sizeof(suspicion->code), "%s", err->code);
        suspicion->since_us = now_us;
    }
    if (!may_be_its_own(err->code) || now_us - suspicion->since_us < lane->suspect_after_us)
        return false;
    suspicion->since_us = now_us; /* what can't be proved is looked at again after the same time */
    return true;
}

static bool has_rest(const struct batch *batch, size_t at)
{
    for (size_t i = at + 1; i < batch->count; i++) {
        if (batch->entries[i].state != ENTRY_DEAD)
            return true;
    }
    return false;
}

bool isolate_proves(struct lane *lane, struct batch *batch, size_t at)
{
    struct err err;

    if (has_rest(batch, at)) {
        enum outcome outcome = settle_range(lane, batch, at + 1, batch->count, &err);
        lane->recovered = lane->recovered || outcome != OUTCOME_OK;
        if (outcome == OUTCOME_OK || !may_be_its_own(err.code) ||
            store_recover(lane->store, &err) != OUTCOME_OK)
            return outcome == OUTCOME_OK;
        /* another message of that kind is among the rest, or a refused row: that proves nothing */
    }
    const struct arena_mark mark = arena_mark(lane->scratch);
    enum outcome outcome =
        store_probe(lane->store, &batch->entries[at].command, lane->scratch, &err);
    arena_rewind(lane->scratch, mark);
    return outcome == OUTCOME_OK;
}
