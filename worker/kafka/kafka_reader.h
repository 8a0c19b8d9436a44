#pragma once

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/timestamp.h"
#include "config/config.h"
#include "events/message.h"

/* Reads topics from a chosen place on, committed records only, as a member of no group: nothing is
 * committed and nobody is disturbed. For `tail` and `dlq`. */
struct kafka_reader;

struct kafka_reader_topic {
    const char *name;
    int partitions;
};

struct kafka_reader_start {
    bool beginning; /* else the end */
    int64_t
        from_us; /* records with this timestamp or a later one; TIMESTAMP_ABSENT: not asked for */
    /* One per partition, topic by topic: where to begin, or at the nearest offset that there is;
     * NULL: not asked for. */
    const int64_t *offsets;
    /* To read up to is what stands on the partitions at the start, also where an open transaction
     * is in front of it: that one is waited for. Else what is committed and before the first open
     * transaction. */
    bool past_open;
};

/* Connects and finds the place to start.
 *
 * RETRY   no broker answers
 * REJECT  librdkafka refuses the configuration, or the brokers refuse us
 * FULL    no memory */
enum outcome kafka_reader_new(const struct config *config, const struct kafka_reader_topic *topics,
                              size_t count, const struct kafka_reader_start *start,
                              struct kafka_reader **ret_reader, struct err *err);
void kafka_reader_free(struct kafka_reader *reader);
DEFINE_CLEANUP(struct kafka_reader *, kafka_reader_free)

/* The next record; those of one partition come in their order.
 *
 * ret_message  borrowed until the next call, its headers in `arena`; NULL: none came in time
 * ret_beyond   it was not there yet when the reader started
 *
 * REJECT  a topic is gone or forbidden. Brokers that are away are waited for. FATAL the arena is
 * full, or the consumer is broken */
enum outcome kafka_reader_next(struct kafka_reader *reader, int timeout_ms, struct arena *arena,
                               const struct message **ret_message, bool *ret_beyond,
                               struct err *err);

/* Everything that was there when the reader started has been read. */
bool kafka_reader_at_end(const struct kafka_reader *reader);
