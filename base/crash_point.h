#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Named points between the steps of the protocol at which a test build can be made to die, or to
 * freeze. Only where WORKER_CRASH_POINTS is defined (presets dev and asan); elsewhere the points
 * are nothing at all. tests/faults/campaign/crash_points.py drives them and reads this list.
 *
 * Where tests/model/protocol.pml names the same step, it has the same name. */
#define CRASH_POINTS(X)                                                                            \
    X(in_assign)           /* rebalance callback, before the partitions are taken */               \
    X(in_revoke)           /* rebalance callback, before the partitions are given back */          \
    X(after_assigned)      /* the lane knows what of its partitions is published */                \
    X(after_poll)          /* a batch is in hand */                                                \
    X(before_begin)        /* decoded, nothing asked of the database */                            \
    X(after_find)          /* it is known which commands are recorded */                           \
    X(after_apply)         /* rows are changed, uncommitted */                                     \
    X(before_record)       /* events are made, not recorded */                                     \
    X(commit_sent)         /* COMMIT is on its way, unanswered */                                  \
    X(after_commit)        /* the database has committed */                                        \
    X(after_begin)         /* a Kafka transaction is open */                                       \
    X(half_produced)       /* half of the batch's events are handed to the producer */             \
    X(after_produced)      /* all of them */                                                       \
    X(after_send_offsets)  /* nothing is missing but the commit */                                 \
    X(during_kafka_commit) /* up to three milliseconds after it was asked for */                   \
    X(after_kafka_commit)  /* acknowledged, nothing of it remembered */                            \
    X(before_reopen)       /* a producer is to be opened, or replaced */                           \
    X(after_reopen)        /* it is initialised */                                                 \
    X(before_save)         /* published offsets are to be saved by an idle lane */                 \
    X(after_save)          /* they are */

#ifdef WORKER_CRASH_POINTS

enum crash_point {
#define X(name) CRASH_##name,
    CRASH_POINTS(X)
#undef X
        CRASH_POINT_COUNT
};

extern bool crash_points_armed;

void crash_point_reached(enum crash_point point);

#define CRASH_POINT(name)                                                                          \
    do {                                                                                           \
        if (crash_points_armed)                                                                    \
            crash_point_reached(CRASH_##name);                                                     \
    } while (0)

/* From the environment: WORKER_CRASH_POINT=NAME[:NTH[:ACTION]][,...]; at the NTH time (1) that any
 * thread comes by, ACTION kill (SIGKILL, the default), stop (SIGSTOP) or hang (that thread alone),
 * after a line on stderr. To be called once, before there are threads.
 *
 * REJECT  no such point, or malformed: a test must not believe that it tests */
enum outcome crash_points_arm(struct err *err);

#else

#define CRASH_POINT(name) ((void)0)

static inline enum outcome crash_points_arm(struct err *err)
{
    (void)err;
    return OUTCOME_OK;
}

#endif
