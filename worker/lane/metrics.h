#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "events/commands.h"
#include "events/dead_letter.h"
#include "worker/lane/lags.h"

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

/* What holds a lane up: why, since when, and the message that it is about. */
struct holdup {
    char code[sizeof(((struct err *)NULL)->code)]; /* SQLSTATE or name of a Kafka error; "" */
    char topic[256]; /* "": about no message. Kafka allows 249 characters */
    int32_t partition;
    int64_t offset;
    int64_t since_us; /* monotonic */
    int64_t recorded; /* by a database that was set back; `offset` is what the group committed */
};

/* A holdup that is read whole while it is written. */
enum { HOLDUP_WORDS = sizeof(struct holdup) / sizeof(uint64_t) };
struct shared_holdup {
    _Atomic uint32_t changes; /* odd: being written */
    _Atomic uint64_t words[HOLDUP_WORDS];
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
    struct shared_lags *lags;           /* NULL: nobody asks */
    _Atomic int64_t partitions;         /* of the lane; -1: it is joining the group */

    /* health */
    _Atomic int64_t progress_us; /* monotonic: last time the lane went round its loop or waited on
                                    purpose */
    _Atomic int waiting_for;     /* enum dependency */
    struct shared_holdup why;    /* of that */
    _Atomic int is_stuck;        /* a partition can not be read past some offset */
    struct shared_holdup stuck;  /* of that: the partition that is stuck longest */
    _Atomic int is_held;         /* the database was set back: nothing is written */
    struct shared_holdup held;   /* of that: the first partition that is behind */
    _Atomic int started;         /* it has polled once */
    _Atomic int stopped;         /* it has left its loop */
    _Atomic int publishing;      /* nothing but the producer's calls can hold it up */
};

static inline void metric_add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

/* By the lane's thread. */
void holdup_set(struct shared_holdup *shared, const struct holdup *holdup);
/* By any thread. */
struct holdup holdup_get(const struct shared_holdup *shared);

void histogram_observe(struct histogram *histogram, uint64_t value, const uint64_t *bounds);
extern const uint64_t duration_bounds_us[HISTOGRAM_BUCKETS - 1];
extern const uint64_t batch_bounds[HISTOGRAM_BUCKETS - 1];
