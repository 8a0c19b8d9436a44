#pragma once

#include "base/slice.h"

/* Records as Kafka carries them. */

struct header {
    struct text name;
    struct slice value; /* data NULL: a header without a value */
};

/* A received record. Borrowed from the source until the batch is released. */
struct message {
    struct text topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* Unix milliseconds; -1: none */
    bool broker_time;     /* the broker gave the timestamp (LogAppendTime), not the publisher */
    struct slice key;     /* data NULL: no key */
    struct slice value;   /* data NULL: a tombstone */
    const struct header *headers;
    size_t header_count;
    bool headers_unreadable; /* there are some, and the client library does not give them out */
};

/* Most headers of a record that librdkafka gives out; one with more has none for its readers. */
enum { RECORD_HEADERS_MAX = 100000 };

/* Bytes of its key, value and headers. */
size_t message_bytes(const struct message *message);

/* A record to publish. Lives in the batch arena. */
struct outgoing_record {
    struct text topic;
    int64_t timestamp_ms; /* -1: the time of publication */
    struct slice key;
    struct slice value;
    const struct header *headers;
    size_t header_count;
};

/* What the record takes in a set of records, without the set's own framing; rather too much than
 * too little. */
size_t outgoing_bytes(const struct outgoing_record *record);

/* The last header of that name; NULL when there is none. */
const struct header *message_header(const struct message *message, const char *name);
