#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

/* Whether offsets sent with this metadata are fenced by the broker: it names a member and a
 * generation. Metadata without them is accepted as it is, whoever sends it. */
bool membership_is_fenced(const rd_kafka_consumer_group_metadata_t *metadata, const char *group_id);
