#pragma once

#include "base/err.h"
#include "events/message.h"
#include "worker/lane/source.h"

/* Port: where audit events, dead letters and offsets go, in one Kafka transaction a batch. Real:
 * worker/kafka/sink_kafka.h. Used by the lane's thread only.
 *
 * What an outcome asks of the caller, for every operation:
 *   OK
 *   RETRY   make the same call again after a short wait
 *   REJECT  the transaction has failed: reopen(), then publish the batch again, if it is still this
 *           lane's
 *   FATAL   the producer is broken: reopen(), then find out whether the transaction committed
 *           before publishing again
 *
 * There is no abort. A producer that goes on after one gives the sequence numbers of records that
 * it threw away to the next ones (librdkafka 2.0.2); where a broker had taken the first late, it
 * takes the next for duplicates, acknowledges them, and they are lost. reopen() aborts what is open
 * and begins a new epoch. */

struct sink {
    const struct sink_ops *ops;
};

/* A record that the brokers refuse for good, whoever sends it. Which record it is they do not tell:
 * they refuse all that came with it for the same partition. */
enum sink_refused {
    SINK_REFUSED_NOTHING,
    SINK_REFUSED_TIMESTAMP, /* older or newer than the topic takes */
    SINK_REFUSED_RECORD,    /* for another reason, as a record without a key on a compacted topic */
};

struct sink_refusal {
    enum sink_refused refused;
    struct text topic; /* of the first; the sink's, until its next call */
};

struct sink_ops {
    enum outcome (*begin)(struct sink *self, struct err *err);

    /* Queues one record; it is borrowed for the call only. RETRY: the queue is full.
     * OUTCOME_REJECT with code MSG_SIZE_TOO_LARGE: this record can never be published. */
    enum outcome (*produce)(struct sink *self, const struct outgoing_record *record,
                            struct err *err);

    /* Moves the group's offsets within the transaction, fenced by the source's membership. REJECT
     * also when nobody answered: it cannot be taken up again. */
    enum outcome (*send_offsets)(struct sink *self, const struct position *positions, size_t count,
                                 struct err *err);

    /* Flushes and commits. On OK every record is visible and the offsets have moved. */
    enum outcome (*commit)(struct sink *self, struct err *err);

    /* A new producer under the same transactional.id: it ends what the old one left open. Also the
     * first opening. RETRY: the brokers are away. FATAL: they refuse us. */
    enum outcome (*reopen)(struct sink *self, struct err *err);

    /* Of the transaction that failed last, until the next begin(). */
    struct sink_refusal (*refusal)(struct sink *self);

    /* Serves callbacks; call it while waiting. */
    void (*serve)(struct sink *self);

    /* Largest record that can be published, in bytes, as far as is known: less after a refusal with
     * code MSG_SIZE_TOO_LARGE, more once the topics take more. May ask the brokers. */
    size_t (*record_bytes_max)(struct sink *self);
};

static inline enum outcome sink_begin(struct sink *sink, struct err *err)
{
    return sink->ops->begin(sink, err);
}

static inline enum outcome sink_produce(struct sink *sink, const struct outgoing_record *record,
                                        struct err *err)
{
    return sink->ops->produce(sink, record, err);
}

static inline enum outcome sink_send_offsets(struct sink *sink, const struct position *positions,
                                             size_t count, struct err *err)
{
    return sink->ops->send_offsets(sink, positions, count, err);
}

static inline enum outcome sink_commit(struct sink *sink, struct err *err)
{
    return sink->ops->commit(sink, err);
}

static inline enum outcome sink_reopen(struct sink *sink, struct err *err)
{
    return sink->ops->reopen(sink, err);
}

static inline struct sink_refusal sink_refusal(struct sink *sink)
{
    return sink->ops->refusal(sink);
}

static inline void sink_serve(struct sink *sink)
{
    sink->ops->serve(sink);
}

static inline size_t sink_record_bytes_max(struct sink *sink)
{
    return sink->ops->record_bytes_max(sink);
}
