#pragma once

#include "base/arena.h"
#include "config/config.h"
#include "events/dead_letter.h"
#include "worker/kafka/kafka_reader.h"

/* Finds dead letters in their topics. */

/* TOPIC:PARTITION:OFFSET of a letter. */
struct coordinates {
    struct text topic;
    int32_t partition;
    int64_t offset;
};

/* false: not that. ret borrows from the text. */
bool coordinates_parse(const char *text, struct coordinates *ret_coordinates);

/* What is asked for; everything that is given must hold. */
struct letter_filter {
    const char *origin; /* command topic; NULL: any, as the texts below */
    const char *stage;
    const char *class_name;
    const char *message;                   /* a part of the reason */
    int64_t since_us;                      /* of the record that failed; TIMESTAMP_ABSENT: any */
    int64_t until_us;                      /* not itself; TIMESTAMP_ABSENT: any */
    const struct coordinates *coordinates; /* one of them, when there are any */
    size_t coordinate_count;
};

bool letter_filter_takes(const struct letter_filter *filter, const struct letter *letter);

/* Sees one record of a dead-letter topic; `arena` is reset after it. *ret_stop ends the reading. */
typedef enum outcome letter_visitor(void *context, const struct message *message,
                                    struct arena *arena, bool *ret_stop, struct err *err);

struct letter_topics {
    const struct kafka_reader_topic *items;
    size_t count;
};

/* Shows every committed record there is now, of any topics. Transactions that are open now are
 * waited for, so that no letter comes without the mark that is there already. Brokers that are away
 * are waited for up to two minutes. start  where to begin; past_open must be set
 *
 * RETRY  also for an interruption. Else what the reader and the visitor fail with */
enum outcome topics_visit(const struct config *config, const struct letter_topics *topics,
                          const struct kafka_reader_start *start, letter_visitor *visitor,
                          void *context, struct err *err);
/* The same from the beginning of the topics. */
enum outcome letter_topics_visit(const struct config *config, const struct letter_topics *topics,
                                 letter_visitor *visitor, void *context, struct err *err);

/* The letters that the filter takes, by topic, partition and offset, with what is known of their
 * redrive; texts in the arena. */
struct letter_list {
    struct letter *items;
    size_t count;
};

enum outcome letter_list_read(const struct config *config, const struct letter_topics *topics,
                              const struct letter_filter *filter, struct arena *arena,
                              struct letter_list *ret_list, struct err *err);

/* The letter at these coordinates; NULL: it is not in the list. */
struct letter *letter_list_find(const struct letter_list *list, struct text topic,
                                int32_t partition, int64_t offset);
