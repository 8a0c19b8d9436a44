#include "worker/progress.h"

#include <stdlib.h>

struct partition_progress {
    int32_t topic_id;
    int32_t partition;
    int64_t published;
    bool unsaved;
    bool reset; /* lowered since it was last saved */
};

void progress_release(struct progress *progress)
{
    free(progress->items);
    *progress = (struct progress){0};
}

void progress_forget(struct progress *progress)
{
    progress->count = 0;
}

static struct partition_progress *find(const struct progress *progress, int32_t topic_id,
                                       int32_t partition)
{
    for (size_t i = 0; i < progress->count; i++) {
        if (progress->items[i].topic_id == topic_id && progress->items[i].partition == partition)
            return &progress->items[i];
    }
    return NULL;
}

static struct partition_progress *of_entry(const struct progress *progress,
                                           const struct entry *entry)
{
    return find(progress, entry->topic_id, entry->message->partition);
}

static bool reserve(struct progress *progress, size_t more)
{
    if (progress->capacity - progress->count >= more)
        return true;
    size_t capacity = 2 * (progress->count + more);
    struct partition_progress *items = realloc(progress->items, capacity * sizeof(*items));
    if (items == NULL)
        return false;
    progress->items = items;
    progress->capacity = capacity;
    return true;
}

/* The partitions of the batch that are not known yet, each once. */
static size_t unknown(const struct progress *progress, const struct batch *batch,
                      struct published_offset *offsets)
{
    size_t count = 0;

    for (size_t i = 0; i < batch->count && count < batch->position_count; i++) {
        const struct entry *entry = &batch->entries[i];
        bool listed = of_entry(progress, entry) != NULL;
        for (size_t k = 0; k < count && !listed; k++) {
            listed = offsets[k].topic_id == entry->topic_id &&
                     offsets[k].partition == entry->message->partition;
        }
        if (!listed)
            offsets[count++] = (struct published_offset){.topic_id = entry->topic_id,
                                                         .partition = entry->message->partition};
    }
    return count;
}

static bool all_known(const struct progress *progress, const struct batch *batch)
{
    const struct partition_progress *last = NULL;

    for (size_t i = 0; i < batch->count; i++) {
        const struct entry *entry = &batch->entries[i];
        if (last != NULL && last->topic_id == entry->topic_id &&
            last->partition == entry->message->partition)
            continue; /* neighbours mostly come from the same partition */
        last = of_entry(progress, entry);
        if (last == NULL)
            return false;
    }
    return true;
}

enum outcome progress_load(struct progress *progress, const struct batch *batch,
                           struct store *store, struct err *err)
{
    if (all_known(progress, batch))
        return OUTCOME_OK;

    struct published_offset *offsets =
        ARENA_ARRAY(batch->arena, struct published_offset, batch->position_count);
    if (offsets == NULL)
        return err_no_memory(err, "load published offsets");
    size_t count = unknown(progress, batch, offsets);
    if (!reserve(progress, count))
        return err_no_memory(err, "load published offsets");
    enum outcome outcome = store->ops->load_published(store, offsets, count, batch->arena, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        progress->items[progress->count++] =
            (struct partition_progress){.topic_id = offsets[i].topic_id,
                                        .partition = offsets[i].partition,
                                        .published = offsets[i].offset};
    }
    return outcome;
}

bool progress_is_published(const struct progress *progress, const struct entry *entry)
{
    const struct partition_progress *item = of_entry(progress, entry);
    return item != NULL && entry->message->offset < item->published;
}

void progress_saw_new(struct progress *progress, const struct entry *entry)
{
    struct partition_progress *item = of_entry(progress, entry);

    if (item == NULL || entry->message->offset >= item->published)
        return;
    item->published = entry->message->offset;
    item->unsaved = true;
    item->reset = true;
}

void progress_published(struct progress *progress, const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct entry *entry = &batch->entries[i];
        struct partition_progress *item = of_entry(progress, entry);
        if (item == NULL || entry->message->offset < item->published)
            continue;
        item->published = entry->message->offset + 1;
        item->unsaved = true;
    }
}

struct published_offset *progress_unsaved(const struct progress *progress, struct arena *arena,
                                          size_t *ret_count)
{
    size_t count = 0;

    for (size_t i = 0; i < progress->count; i++)
        count += progress->items[i].unsaved;
    *ret_count = count;
    struct published_offset *offsets = ARENA_ARRAY(arena, struct published_offset, count);
    if (offsets == NULL)
        return NULL;
    size_t at = 0;
    for (size_t i = 0; i < progress->count; i++) {
        const struct partition_progress *item = &progress->items[i];
        if (item->unsaved)
            offsets[at++] = (struct published_offset){.topic_id = item->topic_id,
                                                      .partition = item->partition,
                                                      .offset = item->published,
                                                      .reset = item->reset};
    }
    return offsets;
}

void progress_saved(struct progress *progress, const struct published_offset *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct partition_progress *item = find(progress, offsets[i].topic_id, offsets[i].partition);
        if (item != NULL && item->published == offsets[i].offset) {
            item->unsaved = false;
            item->reset = false;
        }
    }
}
