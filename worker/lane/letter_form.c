#include "worker/lane/letter_form.h"

#include "base/clock.h"

enum { REMEMBERED_US = 60 * 1000 * 1000 };

static int64_t now_ms(void)
{
    return clock_wall_us() / 1000;
}

static int64_t distance_ms(int64_t timestamp_ms, int64_t now)
{
    return timestamp_ms > now ? timestamp_ms - now : now - timestamp_ms;
}

struct dead_letter_changes letter_form_changes(struct letter_form *form)
{
    int64_t now = now_ms();

    if (form->learned_us != 0 && clock_monotonic_us() - form->learned_us > REMEMBERED_US)
        *form = (struct letter_form){0};
    return (struct dead_letter_changes){
        .timestamps = form->dated,
        .oldest_ms = form->age_max_ms < 0 ? INT64_MAX : now - form->age_max_ms,
        .newest_ms = form->age_max_ms < 0 ? INT64_MAX : now + form->age_max_ms,
        .keys = form->keys,
        .headers = form->headers,
    };
}

static bool is_letter_of(const struct entry *entry, struct text topic)
{
    return entry->state == ENTRY_DEAD && text_equal(entry->message->topic, topic);
}

/* Of the letters whose timestamp is still as received; -1: there is none. */
static int64_t farthest_ms(const struct letter_form *form, const struct batch *batch,
                           struct text topic)
{
    int64_t farthest = -1, now = now_ms();

    for (size_t i = 0; i < batch->count; i++) {
        const struct entry *entry = &batch->entries[i];
        if (!is_letter_of(entry, topic) || entry->message->timestamp_ms < 0)
            continue;
        int64_t distance = distance_ms(entry->message->timestamp_ms, now);
        if ((!form->dated || distance <= form->age_max_ms) && distance > farthest)
            farthest = distance;
    }
    return farthest;
}

static bool learn_timestamps(struct letter_form *form, const struct batch *batch, struct text topic,
                             bool all)
{
    int64_t farthest = farthest_ms(form, batch, topic);

    if (farthest < 0)
        return false;
    form->dated = true;
    form->age_max_ms = all || farthest < 2 ? -1 : farthest / 2;
    return true;
}

static bool learn_keys(struct letter_form *form, const struct batch *batch, struct text topic)
{
    if (form->keys)
        return false;
    for (size_t i = 0; i < batch->count; i++) {
        if (is_letter_of(&batch->entries[i], topic) && batch->entries[i].message->key.data == NULL)
            form->keys = true;
    }
    return form->keys;
}

static bool learn_headers(struct letter_form *form)
{
    bool before = form->headers;

    form->headers = true;
    return !before;
}

bool letter_form_learn(struct letter_form *form, const struct batch *batch, struct text topic,
                       enum sink_refused refused)
{
    bool learned =
        (refused == SINK_REFUSED_TIMESTAMP && learn_timestamps(form, batch, topic, false)) ||
        learn_keys(form, batch, topic) || learn_timestamps(form, batch, topic, true) ||
        learn_headers(form);

    if (learned)
        form->learned_us = clock_monotonic_us();
    return learned;
}
