#include "worker/kafka/kafka_version.h"

#include <librdkafka/rdkafka.h>

const char *kafka_library_version(void)
{
    return rd_kafka_version_str();
}

int kafka_library_number(void)
{
    return rd_kafka_version();
}
