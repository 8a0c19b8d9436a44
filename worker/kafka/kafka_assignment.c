#include "worker/kafka/kafka_assignment.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "worker/kafka/kafka_received.h"

struct assigned *assignment_find(struct assignment *assignment, const char *topic,
                                 int32_t partition)
{
    for (size_t i = 0; i < assignment->count; i++) {
        struct assigned *item = &assignment->items[i];
        if (item->partition == partition && strcmp(item->topic, topic) == 0)
            return item;
    }
    return NULL;
}

bool assignment_add(struct assignment *assignment,
                    const rd_kafka_topic_partition_list_t *partitions)
{
    for (int i = 0; i < partitions->cnt; i++) {
        if (!array_reserve(&assignment->items, &assignment->capacity, assignment->count + 1,
                           sizeof(struct assigned)))
            return false;
        char *topic = strdup(partitions->elems[i].topic);
        if (topic == NULL)
            return false;
        assignment->items[assignment->count++] =
            (struct assigned){.topic = topic,
                              .partition = partitions->elems[i].partition,
                              .next_offset = partitions->elems[i].offset,
                              .committed = -1,
                              .end_read = -1,
                              .end_asked = -1,
                              .stuck_offset = -1};
    }
    return true;
}

void assignment_remove(struct assignment *assignment,
                       const rd_kafka_topic_partition_list_t *partitions)
{
    size_t kept = 0;
    for (size_t i = 0; i < assignment->count; i++) {
        if (rd_kafka_topic_partition_list_find(partitions, assignment->items[i].topic,
                                               assignment->items[i].partition) != NULL) {
            free(assignment->items[i].topic);
            continue;
        }
        /* a new generation: whoever remembers something of the partitions that stay begins anew */
        assignment->items[kept] = assignment->items[i];
        assignment->items[kept++].taken = false;
    }
    assignment->count = kept;
}

rd_kafka_topic_partition_list_t *assignment_list(const struct assignment *assignment)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)assignment->count + 1);
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < assignment->count; i++) {
        const struct assigned *item = &assignment->items[i];
        rd_kafka_topic_partition_list_add(list, item->topic, item->partition)->offset =
            item->next_offset;
    }
    return list;
}

void assignment_clear(struct assignment *assignment)
{
    for (size_t i = 0; i < assignment->count; i++)
        free(assignment->items[i].topic);
    assignment->count = 0;
}

void assignment_release(struct assignment *assignment)
{
    assignment_clear(assignment);
    free(assignment->items);
}
