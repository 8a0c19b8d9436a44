#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "events/commands.h"
#include "events/dead_letter.h"

/* What a lane tells about itself. The lane's thread writes, the HTTP thread reads; every number is
 * an atomic of its own, so a scrape is not a snapshot. */

/* OVERLAP: publishing while the database commits. RECORD: the rest of the wait for that commit. */
enum step {
    STEP_DECODE,
    STEP_FIND,
    STEP_APPLY,
    STEP_RECORD,
    STEP_OVERLAP,
    STEP_PUBLISH,
    STEP_COUNT
};

enum dependency { DEPENDENCY_NONE, DEPENDENCY_DATABASE, DEPENDENCY_BROKERS };

/* One word per dependency in logs, metrics and health pages. */
const char *dependency_name(enum dependency dependency);

/* Upper bounds are fixed in metrics.c; the last bucket has none. */
enum { HISTOGRAM_BUCKETS = 16 };
struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum; /* microseconds, or messages */
};

/* A SQLSTATE or the name of a Kafka error, read whole while it is written. */
enum { WAITING_CODE_BYTES = sizeof(((struct err *)NULL)->code), WAITING_CODE_WORDS = 5 };
struct waiting_code {
    _Atomic uint32_t changes; /* odd: being written */
    _Atomic uint64_t words[WAITING_CODE_WORDS];
};

struct lane_metrics {
    _Atomic uint64_t applied[COMMAND_KIND_COUNT];
    _Atomic uint64_t rejected[COMMAND_KIND_COUNT];
    _Atomic uint64_t conflicts;
    _Atomic uint64_t dead_letters[DEAD_CLASS_COUNT];
    _Atomic uint64_t dead_letters_truncated;
    _Atomic uint64_t duplicates;
    _Atomic uint64_t redeliveries;
    _Atomic uint64_t batches;
    _Atomic uint64_t batches_dropped; /* partitions revoked while in hand */
    _Atomic uint64_t bisections;      /* transactions split: a row refused, or failing on and on */
    _Atomic uint64_t
        transaction_retries; /* PostgreSQL: deadlock, race for an id, lost connection */
    _Atomic uint64_t transactions_aborted; /* Kafka */
    _Atomic uint64_t transactions_lost; /* partitions that fell back behind an acknowledged one */
    _Atomic uint64_t producers_reopened;
    _Atomic uint64_t logs_gone_back;  /* partitions whose log ended before the group's position */
    _Atomic uint64_t logs_overtaken;  /* partitions whose log began behind it */
    _Atomic uint64_t records_removed; /* before they were read, in those */
    _Atomic uint64_t database_connects;
    struct histogram batch_messages;
    struct histogram steps[STEP_COUNT]; /* microseconds */
    _Atomic int64_t lag;                /* -1 unknown */

    /* health */
    _Atomic int64_t progress_us; /* monotonic: last time the lane went round its loop or waited on
                                    purpose */
    _Atomic int waiting_for;     /* enum dependency */
    struct waiting_code why;     /* of that */
    _Atomic int started;         /* it has polled once */
    _Atomic int stopped;         /* it has left its loop */
    _Atomic int publishing;      /* nothing but the producer's calls can hold it up */
};

static inline void metric_add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

/* By the lane's thread, with a text that ends within WAITING_CODE_BYTES. */
void waiting_code_set(struct waiting_code *why, const char *code);
/* By any thread. */
void waiting_code_get(const struct waiting_code *why, char ret_code[WAITING_CODE_BYTES]);

void histogram_observe(struct histogram *histogram, uint64_t value, const uint64_t *bounds);
extern const uint64_t duration_bounds_us[HISTOGRAM_BUCKETS - 1];
extern const uint64_t batch_bounds[HISTOGRAM_BUCKETS - 1];
