#include "worker/cli/dead_letters.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/timestamp.h"
#include "worker/cli/interrupt.h"

enum {
    RECORD_ARENA_BYTES = 256 * 1024 * 1024, /* one record as JSON, every byte escaped */
    POLL_MS = 100,
    SILENCE_MAX_US = 120 * 1000 * 1000,
    PAUSE_US = 500 * 1000, /* before the brokers are asked again */
    FIRST_CAPACITY = 256,
};

/* --- coordinates -------------------------------------------------------------------------------
 */

/* The number between two places of a text. */
static bool parse_number(const char *from, const char *to, int64_t max, int64_t *ret_number)
{
    return decimal_parse((struct text){from, (size_t)(to - from)}, max, ret_number);
}

bool coordinates_parse(const char *text, struct coordinates *ret_coordinates)
{
    const char *last = strrchr(text, ':');
    if (last == NULL || last == text)
        return false;
    const char *first = last - 1;
    while (first > text && *first != ':')
        first--;
    int64_t partition;
    if (first == text || !parse_number(first + 1, last, INT32_MAX, &partition) ||
        !parse_number(last + 1, last + strlen(last), INT64_MAX, &ret_coordinates->offset))
        return false;
    ret_coordinates->topic = (struct text){text, (size_t)(first - text)};
    ret_coordinates->partition = (int32_t)partition;
    return true;
}

static bool is_among(const struct letter_filter *filter, const struct letter *letter)
{
    for (size_t i = 0; i < filter->coordinate_count; i++) {
        const struct coordinates *at = &filter->coordinates[i];
        if (at->partition == letter->partition && at->offset == letter->offset &&
            text_equal(at->topic, letter->topic))
            return true;
    }
    return filter->coordinate_count == 0;
}

static bool contains(struct text text, const char *part)
{
    size_t length = strlen(part);
    for (size_t i = 0; length <= text.length && i <= text.length - length; i++) {
        if (memcmp(text.data + i, part, length) == 0)
            return true;
    }
    return false;
}

bool letter_filter_takes(const struct letter_filter *filter, const struct letter *letter)
{
    bool timed = letter->timestamp_ms >= 0 && letter->timestamp_ms <= TIMESTAMP_MAX_US / 1000;
    int64_t us = timed ? letter->timestamp_ms * 1000 : 0;
    return (filter->origin == NULL || text_is(letter->origin_topic, filter->origin)) &&
           (filter->stage == NULL || text_is(letter->stage, filter->stage)) &&
           (filter->class_name == NULL || text_is(letter->class_name, filter->class_name)) &&
           (filter->message == NULL ||
            (text_present(letter->reason) && contains(letter->reason, filter->message))) &&
           (filter->since_us == TIMESTAMP_ABSENT || (timed && us >= filter->since_us)) &&
           (filter->until_us == TIMESTAMP_ABSENT || (timed && us < filter->until_us)) &&
           is_among(filter, letter);
}

/* --- reading -----------------------------------------------------------------------------------
 */

static enum outcome read_to_end(struct kafka_reader *reader, struct arena *arena,
                                letter_visitor *visitor, void *context, struct err *err)
{
    int64_t last_us = clock_monotonic_us();
    bool stop = false;
    while (!stop && !kafka_reader_at_end(reader)) {
        const struct message *message;
        bool beyond;
        if (interrupted())
            return err_set(err, OUTCOME_RETRY, "", "interrupted");
        if (clock_monotonic_us() - last_us > SILENCE_MAX_US)
            return err_set(err, OUTCOME_RETRY, "", "read topics: nothing came for two minutes");
        arena_reset(arena);
        enum outcome outcome = kafka_reader_next(reader, POLL_MS, arena, &message, &beyond, err);
        if (outcome == OUTCOME_OK && message != NULL) {
            last_us = clock_monotonic_us();
            if (!beyond)
                outcome = visitor(context, message, arena, &stop, err);
        }
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}

static enum outcome open_reader(const struct config *config, const struct letter_topics *topics,
                                const struct kafka_reader_start *start,
                                struct kafka_reader **ret_reader, struct err *err)
{
    int64_t deadline_us = clock_monotonic_us() + SILENCE_MAX_US;
    enum outcome outcome;
    while ((outcome = kafka_reader_new(config, topics->items, topics->count, start, ret_reader,
                                       err)) == OUTCOME_RETRY &&
           !interrupted() && clock_monotonic_us() < deadline_us)
        clock_sleep_us(PAUSE_US);
    return outcome;
}

enum outcome topics_visit(const struct config *config, const struct letter_topics *topics,
                          const struct kafka_reader_start *start, letter_visitor *visitor,
                          void *context, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(RECORD_ARENA_BYTES);
    CLEANUP(kafka_reader_freep) struct kafka_reader *reader = NULL;
    if (arena == NULL)
        return err_no_memory(err, "read topics");
    enum outcome outcome = open_reader(config, topics, start, &reader, err);
    return outcome == OUTCOME_OK ? read_to_end(reader, arena, visitor, context, err) : outcome;
}

enum outcome letter_topics_visit(const struct config *config, const struct letter_topics *topics,
                                 letter_visitor *visitor, void *context, struct err *err)
{
    const struct kafka_reader_start start = {
        .beginning = true, .from_us = TIMESTAMP_ABSENT, .past_open = true};
    return topics_visit(config, topics, &start, visitor, context, err);
}

/* --- lists -------------------------------------------------------------------------------------
 */

struct listing {
    const struct letter_filter *filter;
    struct arena *arena;
    struct letter_list letters;
    struct letter_list marks; /* topic, partition, offset of what they mark */
    size_t letter_capacity, mark_capacity;
};

static enum outcome list_append(struct letter_list *list, size_t *capacity, struct arena *arena,
                                const struct letter *letter, struct err *err)
{
    if (list->count == *capacity) {
        size_t larger = *capacity == 0 ? FIRST_CAPACITY : 2 * *capacity;
        struct letter *items = ARENA_ARRAY(arena, struct letter, larger);
        if (items == NULL)
            return err_no_memory(err, "dead letters");
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof(*items));
        list->items = items;
        *capacity = larger;
    }
    struct letter *copy = &list->items[list->count];
    *copy = *letter;
    if (!arena_copy_text(arena, letter->topic, &copy->topic) ||
        !arena_copy_text(arena, letter->origin_topic, &copy->origin_topic) ||
        !arena_copy_text(arena, letter->stage, &copy->stage) ||
        !arena_copy_text(arena, letter->class_name, &copy->class_name) ||
        !arena_copy_text(arena, letter->reason, &copy->reason) ||
        !arena_copy_text(arena, letter->changed, &copy->changed))
        return err_no_memory(err, "dead letters");
    list->count++;
    return OUTCOME_OK;
}

static enum outcome take_record(void *context, const struct message *message, struct arena *arena,
                                bool *ret_stop, struct err *err)
{
    (void)arena;
    (void)ret_stop;
    struct listing *listing = context;
    struct letter letter;
    int64_t marked;
    if (letter_mark_read(message, &marked)) {
        struct letter mark = {
            .topic = message->topic, .partition = message->partition, .offset = marked};
        return list_append(&listing->marks, &listing->mark_capacity, listing->arena, &mark, err);
    }
    if (!letter_read(message, &letter) || !letter_filter_takes(listing->filter, &letter))
        return OUTCOME_OK;
    return list_append(&listing->letters, &listing->letter_capacity, listing->arena, &letter, err);
}

static int compare_letters(const void *a, const void *b)
{
    const struct letter *left = a, *right = b;
    int order = text_compare(left->topic, right->topic);
    if (order != 0)
        return order;
    if (left->partition != right->partition)
        return left->partition < right->partition ? -1 : 1;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

struct letter *letter_list_find(const struct letter_list *list, struct text topic,
                                int32_t partition, int64_t offset)
{
    struct letter wanted = {.topic = topic, .partition = partition, .offset = offset};
    return list->count > 0
               ? bsearch(&wanted, list->items, list->count, sizeof(*list->items), compare_letters)
               : NULL;
}

enum outcome letter_list_read(const struct config *config, const struct letter_topics *topics,
                              const struct letter_filter *filter, struct arena *arena,
                              struct letter_list *ret_list, struct err *err)
{
    struct listing listing = {.filter = filter, .arena = arena};
    enum outcome outcome = letter_topics_visit(config, topics, take_record, &listing, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (listing.letters.count > 0)
        qsort(listing.letters.items, listing.letters.count, sizeof(struct letter), compare_letters);
    for (size_t i = 0; i < listing.marks.count; i++) {
        const struct letter *mark = &listing.marks.items[i];
        struct letter *letter =
            letter_list_find(&listing.letters, mark->topic, mark->partition, mark->offset);
        if (letter != NULL)
            letter->redriven = true;
    }
    *ret_list = listing.letters;
    return OUTCOME_OK;
}
