#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

/* The metadata string that the worker commits its offsets with. It tells them from the offsets that
 * an operator, another program or an earlier version of the worker has committed. */

/* Before the offset is sent. false: no memory. */
bool kafka_mark(rd_kafka_topic_partition_t *offset);

/* Of an offset that was read. */
bool kafka_mark_is_ours(const rd_kafka_topic_partition_t *offset);
