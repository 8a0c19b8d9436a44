#pragma once

/* The librdkafka at hand, "2.0.2", and as a number, 0x020002ff. */
const char *kafka_library_version(void);
int kafka_library_number(void);

/* From 2.4.0 on the main loop no longer spins before each timer. */
#define KAFKA_LIBRARY_CALM 0x02040000

/* Before 2.6.1 the library sends a nonce twice in SCRAM, which brokers from Kafka 4 on refuse. */
#define KAFKA_LIBRARY_SCRAM 0x020601ff
