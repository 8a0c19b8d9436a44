#include "worker/lane/progress.h"

#include <stdlib.h>

#include "base/array.h"

struct partition_progress {
    int32_t topic_id;
    int32_t partition;
    int64_t published;       /* as the broker acknowledged */
    int64_t confirmed;       /* at most that, and certain: what the store may know */
    int64_t acknowledged;    /* end of the newest batch published under this assignment; 0: none */
    int64_t certain;         /* `acknowledged`, as soon as it is */
    int64_t before_lowering; /* `published` before a new command lowered it; 0: it was not */
    int64_t owed;            /* behind the last that was new below it and is not published yet */
    int64_t recorded;        /* the end of the newest batch that is known to be in the store */
    int64_t adopted;         /* what the store is to know as recorded, at least */
    int64_t unsure;          /* least offset below `published` whose event went out with the newest
                                batch, which is not certain; NONE */
    bool unsaved;            /* the store knows less than `confirmed` */
    bool reset;              /* lowered since it was last saved */
    bool claimed;            /* `published` was raised to `before_lowering`; not saved since */
};

enum { NONE = -1 };

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

void progress_drop(struct progress *progress, int32_t topic_id, int32_t partition)
{
    struct partition_progress *item = find(progress, topic_id, partition);

    if (item != NULL)
        *item = progress->items[--progress->count];
}

bool progress_has(const struct progress *progress, int32_t topic_id, int32_t partition)
{
    return find(progress, topic_id, partition) != NULL;
}

static struct partition_progress *of_entry(const struct progress *progress,
                                           const struct entry *entry)
{
    return find(progress, entry->topic_id, entry->message->partition);
}

static void assign(struct progress *progress, const struct published_offset *floor,
                   const struct published_offset *stored)
{
    struct partition_progress *item = find(progress, floor->topic_id, floor->partition);

    if (item == NULL)
        item = &progress->items[progress->count++];
    *item = (struct partition_progress){.topic_id = floor->topic_id,
                                        .partition = floor->partition,
                                        .published = stored->offset,
                                        .recorded = stored->recorded,
                                        .adopted = floor->recorded,
                                        .unsure = NONE,
                                        .unsaved = floor->offset > stored->offset ||
                                                   floor->recorded > stored->recorded};
    if (floor->offset > stored->offset)
        item->published = floor->offset;
    item->confirmed = item->published;
}

enum outcome progress_assigned(struct progress *progress, const struct published_offset *floors,
                               const struct published_offset *stored, size_t count, struct err *err)
{
    if (!array_reserve(&progress->items, &progress->capacity, progress->count + count,
                       sizeof(*progress->items)))
        return err_no_memory(err, "assigned partitions");
    for (size_t i = 0; i < count; i++)
        assign(progress, &floors[i], &stored[i]);
    return OUTCOME_OK;
}

bool progress_is_published(const struct progress *progress, const struct entry *entry)
{
    const struct partition_progress *item = of_entry(progress, entry);
    return item != NULL && entry->message->offset < item->published;
}

static void lower(struct partition_progress *item, int64_t offset)
{
    item->published = offset;
    item->claimed = false;
    if (item->confirmed > offset) {
        item->confirmed = offset;
        item->unsaved = true;
        item->reset = true;
    }
}

/* Until what lies at `offset` is published. */
static void lower_for_now(struct partition_progress *item, int64_t offset)
{
    if (item->published > item->before_lowering)
        item->before_lowering = item->published;
    lower(item, offset);
}

static void owe(struct partition_progress *item, int64_t end)
{
    if (item->owed < end)
        item->owed = end;
}

void progress_saw_new(struct progress *progress, const struct entry *entry)
{
    struct partition_progress *item = of_entry(progress, entry);
    int64_t offset = entry->message->offset;

    if (item == NULL)
        return;
    if (offset < item->published)
        lower_for_now(item, offset);
    if (offset < item->before_lowering)
        owe(item, offset + 1);
}

/* What lay above the new commands is as published as it was before. A batch that was given up,
 * because the one before it was lost, leaves new ones that come again. */
static void restore(struct partition_progress *item)
{
    if (item->published < item->owed)
        return;
    item->owed = 0;
    if (item->before_lowering > item->published) {
        item->published = item->before_lowering;
        item->claimed = true;
    }
    item->before_lowering = 0;
}

static void confirm(struct partition_progress *item)
{
    item->unsure = NONE;
    if (item->certain < item->acknowledged)
        item->certain = item->acknowledged;
    if (item->confirmed < item->published) {
        item->confirmed = item->published;
        item->unsaved = true;
    }
}

static bool is_of(const struct entry *entry, const struct partition_progress *item)
{
    return entry->topic_id == item->topic_id && entry->message->partition == item->partition;
}

/* Should the brokers lose the batch, its end tells nothing where `published` is beyond it. */
static void note_unsure(struct partition_progress *item, const struct batch *batch)
{
    if (item->acknowledged == 0 || item->published <= item->acknowledged)
        return;
    for (size_t i = 0; i < batch->count; i++) {
        const struct entry *entry = &batch->entries[i];
        int64_t offset = entry->message->offset;
        if (is_of(entry, item) && entry->event != NULL && offset < item->published &&
            (item->unsure == NONE || offset < item->unsure))
            item->unsure = offset;
    }
}

void progress_published(struct progress *progress, const struct batch *batch)
{
    for (size_t i = 0; i < progress->count; i++)
        confirm(&progress->items[i]);
    for (size_t i = 0; i < batch->count; i++) {
        const struct entry *entry = &batch->entries[i];
        struct partition_progress *item = of_entry(progress, entry);
        if (item == NULL)
            continue;
        if (entry->message->offset >= item->acknowledged)
            item->acknowledged = entry->message->offset + 1;
        if (entry->message->offset >= item->published)
            item->published = entry->message->offset + 1;
    }
    for (size_t i = 0; i < progress->count; i++) {
        restore(&progress->items[i]);
        note_unsure(&progress->items[i], batch);
    }
}

void progress_revoked(struct progress *progress)
{
    for (size_t i = 0; i < progress->count; i++) {
        if (progress->items[i].claimed)
            progress->items[i].confirmed = progress->items[i].certain;
    }
}

/* What the store knows as recorded once the transaction has committed that ends the batch. */
static int64_t recorded_with(const struct partition_progress *item, const struct batch *batch)
{
    int64_t recorded = item->recorded > item->adopted ? item->recorded : item->adopted;

    for (size_t i = 0; batch != NULL && i < batch->position_count; i++) {
        const struct position *end = &batch->positions[i];
        if (end->partition == item->partition && end->offset > recorded &&
            topic_id_of(batch->lane, end->topic) == item->topic_id)
            return end->offset;
    }
    return recorded;
}

struct published_offset *progress_unsaved(const struct progress *progress,
                                          const struct batch *batch, struct arena *arena,
                                          size_t *ret_count)
{
    struct published_offset *offsets = ARENA_ARRAY(arena, struct published_offset, progress->count);

    *ret_count = progress->count;
    if (offsets == NULL)
        return NULL;
    *ret_count = 0;
    for (size_t i = 0; i < progress->count; i++) {
        const struct partition_progress *item = &progress->items[i];
        int64_t recorded = recorded_with(item, batch);
        if (item->unsaved || recorded > item->recorded)
            offsets[(*ret_count)++] =
                (struct published_offset){.topic_id = item->topic_id,
                                          .partition = item->partition,
                                          .offset = item->unsaved ? item->confirmed : 0,
                                          .reset = item->reset,
                                          .recorded = recorded};
    }
    return offsets;
}

struct published_offset *progress_recorded(const struct progress *progress, struct arena *arena,
                                           size_t *ret_count)
{
    struct published_offset *offsets = ARENA_ARRAY(arena, struct published_offset, progress->count);

    *ret_count = progress->count;
    for (size_t i = 0; offsets != NULL && i < progress->count; i++)
        offsets[i] = (struct published_offset){.topic_id = progress->items[i].topic_id,
                                               .partition = progress->items[i].partition,
                                               .recorded = progress->items[i].recorded};
    return offsets;
}

void progress_adopt(struct progress *progress, int32_t topic_id, int32_t partition, int64_t offset)
{
    struct partition_progress *item = find(progress, topic_id, partition);

    if (item != NULL && item->adopted < offset)
        item->adopted = offset;
}

bool progress_is_recorded(const struct progress *progress, int32_t topic_id, int32_t partition,
                          int64_t offset)
{
    const struct partition_progress *item = find(progress, topic_id, partition);
    return item != NULL && item->recorded >= offset;
}

void progress_saved(struct progress *progress, const struct published_offset *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct partition_progress *item = find(progress, offsets[i].topic_id, offsets[i].partition);
        if (item != NULL && item->recorded < offsets[i].recorded)
            item->recorded = offsets[i].recorded;
        if (item != NULL && item->unsaved && item->confirmed == offsets[i].offset) {
            item->unsaved = false;
            item->reset = false;
            item->claimed = false;
        }
    }
}

struct published_offset *progress_acknowledged(const struct progress *progress, struct arena *arena,
                                               size_t *ret_count)
{
    struct published_offset *offsets = ARENA_ARRAY(arena, struct published_offset, progress->count);

    *ret_count = 0;
    for (size_t i = 0; offsets != NULL && i < progress->count; i++) {
        const struct partition_progress *item = &progress->items[i];
        if (item->acknowledged > 0)
            offsets[(*ret_count)++] = (struct published_offset){.topic_id = item->topic_id,
                                                                .partition = item->partition,
                                                                .offset = item->acknowledged};
    }
    return offsets;
}

bool progress_is_confirmed(const struct progress *progress)
{
    for (size_t i = 0; i < progress->count; i++) {
        if (progress->items[i].confirmed < progress->items[i].published)
            return false;
    }
    return true;
}

bool progress_committed(struct progress *progress, int32_t topic_id, int32_t partition,
                        int64_t committed)
{
    struct partition_progress *item = find(progress, topic_id, partition);

    if (item == NULL)
        return true;
    if (committed >= item->acknowledged) {
        confirm(item);
        return true;
    }
    /* Behind a published offset that an earlier assignment left, only what was new was published
     * now. */
    if (item->published == item->acknowledged) {
        lower(item, committed > 0 ? committed : 0);
    } else if (item->unsure != NONE) {
        lower_for_now(item, item->unsure);
        owe(item, item->acknowledged);
    }
    item->unsure = NONE;
    item->acknowledged = 0;
    return false;
}
