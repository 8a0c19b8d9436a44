#pragma once

#include "base/err.h"
#include "events/message.h"

/* Port: where commands come from: one member of the consumer group. Real:
 * worker/kafka/source_kafka.h.
 *
 * Used by the lane's thread only. Rebalances happen inside poll(), keep_alive() and close(), never
 * elsewhere. */

struct batch_limits {
    size_t messages;
    size_t
        bytes; /* of keys, values and headers; one message larger than that is a batch of its own */
};

/* The offset behind what is done, for one partition. */
struct position {
    struct text topic;
    int32_t partition;
    int64_t offset; /* -1 as an answer: nothing committed */
    bool ours;      /* as an answer: the worker committed it, no operator and no other program */
};

/* A partition that can not be read past an offset: its records are damaged, or need more memory
 * than the client may take. Asked for again and again, and skipped by nobody but an operator. */
struct stuck {
    struct position at;
    const char *code; /* name of the Kafka error */
    int64_t since_us; /* monotonic */
};

/* A partition whose log does not hold the position of the group any more.
 *
 * position < first   retention or an operator removed first - position records that nobody had read
 * position >= first  the log went back: the topic was made anew, an unclean leader election,
 * brokers restored from a backup, or an operator who set the group's offset too high. The log may
 * have grown past the position since: `end` is where it is now
 *
 * The source begins the partition again at `first`, so that everything that the log holds now is
 * offered, and has committed that offset for the group. */
struct log_reset {
    struct text topic;
    int32_t partition;
    int64_t position; /* the next offset that the group wanted to read */
    int64_t first;    /* of the log, as it is now */
    int64_t end;      /* behind its last record */
};

/* How many records of a partition the group has not committed yet. */
struct partition_lag {
    struct text topic;
    int32_t partition;
    int64_t records; /* end of the log minus committed offset; -1: not known */
};

struct source {
    const struct source_ops *ops;
};

struct source_ops {
    /* Waits up to timeout_ms for a first message, then takes what is there already, up to the
     * limits.
     *
     * ret_messages  borrowed until release(), in consumption order
     * ret_count     0: none came
     * RETRY  the brokers are away (waiting goes on inside); REJECT a topic is gone or forbidden;
     * FATAL  the consumer is broken for good */
    enum outcome (*poll)(struct source *self, int timeout_ms, const struct batch_limits *limits,
                         const struct message **ret_messages, size_t *ret_count, struct err *err);

    /* The messages of the last poll are done with. */
    void (*release)(struct source *self);

    /* Keeps the membership of the group alive for timeout_ms without taking messages: for while a
     * dependency is away or a batch is still to be published. The batch in hand stays valid. */
    void (*keep_alive)(struct source *self, int timeout_ms);

    /* Changes whenever partitions were revoked or lost. A batch polled under another number no
     * longer belongs to this lane: drop it, its partitions begin again from their committed
     * offsets. */
    uint64_t (*generation)(struct source *self);

    /* Partitions that came to this member since the last call, each with the offset that the group
     * had committed for it (-1: none): everything below is published. Usually there are none.
     *
     * ret_positions  the source's, until the next call
     * RETRY  the coordinator is away: call again */
    enum outcome (*take_assigned)(struct source *self, const struct position **ret_positions,
                                  size_t *ret_count, struct err *err);

    /* The logs that were found so since the last call; usually none. Such a partition comes with
     * the next take_assigned() too, and the generation has changed.
     *
     * ret_resets  the source's, until the next call of any function */
    void (*take_resets)(struct source *self, const struct log_reset **ret_resets,
                        size_t *ret_count);

    /* The group's committed, stable offsets of these partitions: fills position.offset.
     * RETRY  the coordinator is away */
    enum outcome (*committed)(struct source *self, struct position *positions, size_t count,
                              struct err *err);

    /* The lag of each partition of this member. Asks the brokers at most once a second, and only
     * between keep_alive() and poll(), while nothing is fetched.
     *
     * ret_lags  the source's, until the next call
     * false     the member is joining the group: nothing is known */
    bool (*lags)(struct source *self, const struct partition_lag **ret_lags, size_t *ret_count);

    /* Partitions that are read to their end although the group's offset lies before it: between the
     * two are control records and those of aborted transactions. Each comes at most once a second.
     * Only between batches: everything that was polled is published.
     *
     * ret_positions  the source's, until the next poll(), keep_alive() or ends() */
    void (*ends)(struct source *self, const struct position **ret_positions, size_t *ret_count);

    /* Commits what ends() told, with the worker's mark, fenced by the membership.
     * RETRY  not committed; a later ends() tells them again */
    enum outcome (*commit_ends)(struct source *self, const struct position *positions, size_t count,
                                struct err *err);

    /* Whether the brokers answer, as far as known without asking. */
    bool (*connected)(struct source *self);

    /* Of a partition, all of whose messages before that offset have been polled; or with NULL the
     * one that is stuck longest. The others go on. false: it is not stuck, none is. The texts are
     * the source's, until its next call. */
    bool (*stuck)(struct source *self, const struct position *of, struct stuck *ret_stuck);

    /* Leaves the group. */
    void (*close)(struct source *self);

    /* With the next poll() every partition begins again at its committed offset. */
    void (*rewind)(struct source *self);
};

static inline enum outcome source_poll(struct source *source, int timeout_ms,
                                       const struct batch_limits *limits,
                                       const struct message **ret_messages, size_t *ret_count,
                                       struct err *err)
{
    return source->ops->poll(source, timeout_ms, limits, ret_messages, ret_count, err);
}

static inline void source_release(struct source *source)
{
    source->ops->release(source);
}

static inline void source_keep_alive(struct source *source, int timeout_ms)
{
    source->ops->keep_alive(source, timeout_ms);
}

static inline uint64_t source_generation(struct source *source)
{
    return source->ops->generation(source);
}

static inline enum outcome source_take_assigned(struct source *source,
                                                const struct position **ret_positions,
                                                size_t *ret_count, struct err *err)
{
    return source->ops->take_assigned(source, ret_positions, ret_count, err);
}

static inline void source_take_resets(struct source *source, const struct log_reset **ret_resets,
                                      size_t *ret_count)
{
    source->ops->take_resets(source, ret_resets, ret_count);
}

static inline enum outcome source_committed(struct source *source, struct position *positions,
                                            size_t count, struct err *err)
{
    return source->ops->committed(source, positions, count, err);
}

static inline bool source_stuck(struct source *source, const struct position *of,
                                struct stuck *ret_stuck)
{
    return source->ops->stuck(source, of, ret_stuck);
}

static inline void source_rewind(struct source *source)
{
    source->ops->rewind(source);
}

static inline bool source_lags(struct source *source, const struct partition_lag **ret_lags,
                               size_t *ret_count)
{
    return source->ops->lags(source, ret_lags, ret_count);
}

static inline void source_ends(struct source *source, const struct position **ret_positions,
                               size_t *ret_count)
{
    source->ops->ends(source, ret_positions, ret_count);
}

static inline enum outcome source_commit_ends(struct source *source,
                                              const struct position *positions, size_t count,
                                              struct err *err)
{
    return source->ops->commit_ends(source, positions, count, err);
}

static inline void source_close(struct source *source)
{
    source->ops->close(source);
}
