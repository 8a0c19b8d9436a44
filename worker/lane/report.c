#include "worker/lane/report.h"

#include "base/log.h"
#include "worker/lane/context.h"

/* Dead letters logged one by one per batch; the rest as a number. */
enum { DEAD_LETTERS_LOGGED = 5 };

static void report_dead(const struct lane *lane, const struct entry *entry, size_t nth)
{
    enum dead_letter_class class = dead_letter_class_of(entry->reason.class_name);

    metric_add(&lane->metrics->dead_letters[class], 1);
    if (nth >= DEAD_LETTERS_LOGGED)
        return;
    log_line(LOG_WARN, "dead letter", LOG_INT("lane", lane->options.index),
             LOG_TEXT("topic", entry->message->topic),
             LOG_INT("partition", entry->message->partition),
             LOG_INT("offset", entry->message->offset), LOG_STR("class", entry->reason.class_name),
             LOG_STR("reason", entry->reason.message));
}

static void report_answer(struct lane_metrics *metrics, const struct entry *entry)
{
    enum command_kind kind = entry->command.type->kind;

    metric_add(entry->result.rejection == NULL ? &metrics->applied[kind] : &metrics->rejected[kind],
               1);
}

static void report_conflict(struct lane_metrics *metrics, const struct entry *entry)
{
    metric_add(&metrics->conflicts, 1);
    log_line(LOG_WARN, "id conflict", LOG_TEXT("topic", entry->message->topic),
             LOG_INT("partition", entry->message->partition),
             LOG_INT("offset", entry->message->offset));
}

static void report_entry(struct lane_metrics *metrics, const struct entry *entry)
{
    switch (entry->state) {
    case ENTRY_NEW:
        report_answer(metrics, entry);
        break;
    case ENTRY_CONFLICT:
        report_conflict(metrics, entry);
        break;
    case ENTRY_REDELIVERED:
    case ENTRY_PUBLISHED:
        metric_add(&metrics->redeliveries, 1);
        break;
    case ENTRY_DUPLICATE:
        metric_add(&metrics->duplicates, 1);
        break;
    case ENTRY_DEAD:
        break;
    }
}

void batch_report(const struct lane *lane, const struct batch *batch)
{
    size_t dead = 0;

    for (size_t i = 0; i < batch->count; i++) {
        if (batch->entries[i].state == ENTRY_DEAD)
            report_dead(lane, &batch->entries[i], dead++);
        else
            report_entry(lane->metrics, &batch->entries[i]);
    }
    if (dead > DEAD_LETTERS_LOGGED)
        log_line(LOG_WARN, "more dead letters in this batch", LOG_INT("lane", lane->options.index),
                 LOG_INT("count", dead - DEAD_LETTERS_LOGGED));
    metric_add(&lane->metrics->batches, 1);
    histogram_observe(&lane->metrics->batch_messages, batch->count, batch_bounds);
}
