#include "worker/lane/confirm.h"

#include "base/log.h"
#include "worker/lane/context.h"

static void report_lost(const struct lane *lane, const struct position *committed,
                        int64_t acknowledged)
{
    metric_add(&lane->metrics->transactions_lost, 1);
    log_line(LOG_ERROR, "the brokers lost a transaction that they had acknowledged",
             LOG_INT("lane", lane->options.index), LOG_TEXT("topic", committed->topic),
             LOG_INT("partition", committed->partition), LOG_INT("committed", committed->offset),
             LOG_INT("acknowledged", acknowledged));
}

static enum outcome compare(struct lane *lane, struct err *err)
{
    size_t count;
    const struct published_offset *acknowledged =
        progress_acknowledged(&lane->progress, lane->scratch, &count);
    struct position *positions = ARENA_ARRAY(lane->scratch, struct position, count);
    bool lost = false;

    if (acknowledged == NULL || positions == NULL)
        return err_no_memory(err, "confirm");
    if (count == 0)
        return OUTCOME_OK;
    for (size_t i = 0; i < count; i++)
        positions[i] = (struct position){.topic = topic_of(lane, acknowledged[i].topic_id),
                                         .partition = acknowledged[i].partition};
    enum outcome outcome = source_committed(lane->source, positions, count, err);
    if (outcome != OUTCOME_OK)
        return OUTCOME_RETRY;
    for (size_t i = 0; i < count; i++) {
        if (progress_committed(&lane->progress, acknowledged[i].topic_id, acknowledged[i].partition,
                               positions[i].offset))
            continue;
        report_lost(lane, &positions[i], acknowledged[i].offset);
        lost = true;
    }
    if (!lost)
        return OUTCOME_OK;
    source_rewind(lane->source);
    return err_set(err, OUTCOME_REJECT, "", "an acknowledged transaction is lost");
}

enum outcome confirm_published(struct lane *lane, struct err *err)
{
    const struct arena_mark mark = arena_mark(lane->scratch);
    enum outcome outcome = compare(lane, err);

    arena_rewind(lane->scratch, mark);
    return outcome;
}
