#include "worker/kafka/kafka_topics.h"

#include <stdlib.h>

enum { METADATA_TIMEOUT_MS = 2000 };

struct kafka_topic_handle {
    char *name;
    rd_kafka_topic_t *handle;
};

/* Only speed hangs on it. */
static void ask_for_leaders(rd_kafka_t *producer, rd_kafka_topic_t *topic)
{
    const struct rd_kafka_metadata *metadata = NULL;
    if (rd_kafka_metadata(producer, 0, topic, &metadata, METADATA_TIMEOUT_MS) ==
        RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
}

rd_kafka_topic_t *kafka_topic_handle(struct kafka_topic_handles *handles, rd_kafka_t *producer,
                                     struct text name)
{
    for (size_t i = 0; i < handles->count; i++) {
        if (text_is(name, handles->items[i].name))
            return handles->items[i].handle;
    }

    struct kafka_topic_handle *moved =
        realloc(handles->items, (handles->count + 1) * sizeof(*moved));
    if (moved == NULL)
        return NULL;
    handles->items = moved;
    char *copy = strndup(name.data, name.length);
    rd_kafka_topic_t *handle = copy != NULL ? rd_kafka_topic_new(producer, copy, NULL) : NULL;
    if (handle == NULL) {
        free(copy);
        return NULL;
    }
    handles->items[handles->count++] = (struct kafka_topic_handle){copy, handle};
    ask_for_leaders(producer, handle);
    return handle;
}

void kafka_topic_handles_release(struct kafka_topic_handles *handles)
{
    for (size_t i = 0; i < handles->count; i++) {
        rd_kafka_topic_destroy(handles->items[i].handle);
        free(handles->items[i].name);
    }
    free(handles->items);
    *handles = (struct kafka_topic_handles){NULL, 0};
}
