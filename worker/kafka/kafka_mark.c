#include "worker/kafka/kafka_mark.h"

#include <string.h>

static const char mark[] = "catalyst-worker/1";
enum { MARK_LENGTH = sizeof(mark) - 1 };

/* The list that holds the offset frees the copy. */
bool kafka_mark(rd_kafka_topic_partition_t *offset)
{
    offset->metadata = strdup(mark);
    offset->metadata_size = offset->metadata != NULL ? MARK_LENGTH : 0;
    return offset->metadata != NULL;
}

bool kafka_mark_is_ours(const rd_kafka_topic_partition_t *offset)
{
    return offset->metadata != NULL && offset->metadata_size == MARK_LENGTH &&
           memcmp(offset->metadata, mark, MARK_LENGTH) == 0;
}
