#include "worker/kafka/source_kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "worker/kafka/kafka_assignment.h"
#include "worker/kafka/kafka_client.h"
#include "worker/kafka/kafka_mark.h"
#include "worker/kafka/kafka_membership.h"
#include "worker/kafka/kafka_received.h"
#include "worker/kafka/kafka_record.h"

enum {
    COMMITTED_TIMEOUT_MS = 5000,
    ASSIGN_COMMITTED_TIMEOUT_MS = 1000, /* inside the rebalance callback */
    SEEK_TIMEOUT_MS = 5000,
    PROBE_TIMEOUT_MS = 200,
    PROBE_EVERY_US = 1000000,
    IDLE_PROBE_TIMEOUT_MS = 1000,
    IDLE_PROBE_EVERY_US = 5000000,
    WATERMARKS_TIMEOUT_MS = 5000,
    COMMIT_TIMEOUT_MS = 5000,
    COMMITTED_CHECKED_EVERY_US = 500000,
    ENDS_ASKED_EVERY_US = 1000000,
    ENDS_TIMEOUT_MS = 500,
    END_TOLD_EVERY_US = 1000000,
    CLOSE_TIMEOUT_MS = 10000,
    STUCK_TOLD_EVERY_US = 60000000,
};

struct source_kafka {
    struct source port;
    rd_kafka_t *consumer;
    char *group_id;

    struct assignment assignment;
    struct position *fresh; /* as take_assigned() tells them */
    size_t fresh_capacity;
    struct log_reset *resets; /* as take_resets() tells them */
    size_t reset_count;
    size_t reset_capacity;
    struct partition_lag *lags; /* as lags() tells them */
    size_t lag_capacity;
    struct position *ends; /* as ends() tells them */
    size_t end_capacity;
    int64_t ends_asked_us; /* monotonic */
    uint64_t generation;
    bool joined; /* the group has told which partitions are this member's, if any */
    bool paused;
    bool broken;        /* no memory for an assignment: its messages would go unseen */
    bool rewind;        /* positions do not hold: all partitions begin at the committed offsets */
    bool out_of_range;  /* so is a partition of the assignment */
    int64_t checked_us; /* monotonic: when the committed offsets were last asked for */

    rd_kafka_consumer_group_metadata_t *metadata; /* of the assignment; NULL: none */
    bool cooperative;

    struct received hand;     /* the batch of the last poll */
    uint64_t hand_generation; /* when it was polled */
    struct received stash;    /* arrived out of turn; first in the next batch */
    struct header *headers;   /* of the message that just arrived */
    size_t header_capacity;

    bool down; /* no broker answered the last time we heard of them */
    int64_t probed_us;
    rd_kafka_topic_t *probed; /* the first command topic */
    bool closed;
};

/* --- assignment --------------------------------------------------------------------------------
 */

/* The first error that the call or one of its partitions met. */
static rd_kafka_resp_err_t first_error(rd_kafka_resp_err_t code,
                                       const rd_kafka_topic_partition_list_t *partitions)
{
    for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < partitions->cnt; i++)
        code = partitions->elems[i].err;
    return code;
}

static rd_kafka_resp_err_t ask_committed(const struct source_kafka *self,
                                         rd_kafka_topic_partition_list_t *partitions,
                                         int timeout_ms)
{
    return first_error(rd_kafka_committed(self->consumer, partitions, timeout_ms), partitions);
}

/* Sets the offsets at which the partitions begin. Where the coordinator does not tell in time, the
 * first poll that finds them out goes there, and nothing is read before: left to librdkafka, a
 * partition whose committed offset is asked for while the coordinator moves is never fetched at all
 * (rd_kafka_assignment_apply_offsets() keeps it as "queried"; 2.0.2 to current). */
static void resolve_offsets(struct source_kafka *self, rd_kafka_topic_partition_list_t *partitions)
{
    if (partitions->cnt == 0)
        return;
    if (ask_committed(self, partitions, ASSIGN_COMMITTED_TIMEOUT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        self->rewind = true;
    for (int i = 0; i < partitions->cnt; i++) {
        rd_kafka_topic_partition_t *partition = &partitions->elems[i];
        if (self->rewind)
            partition->offset = RD_KAFKA_OFFSET_BEGINNING;
        else if (partition->offset < 0)
            partition->offset = 0; /* nothing is committed: where the log begins, it tells */
        partition->err = RD_KAFKA_RESP_ERR_NO_ERROR;
    }
}

static void drop_metadata(struct source_kafka *self)
{
    if (self->metadata != NULL)
        rd_kafka_consumer_group_metadata_destroy(self->metadata);
    self->metadata = NULL;
}

static void log_rebalance(struct source_kafka *self, const char *message,
                          const rd_kafka_topic_partition_list_t *partitions)
{
    log_line(LOG_INFO, message, LOG_STR("client", rd_kafka_name(self->consumer)),
             LOG_STR("group", self->group_id), LOG_INT("partitions", partitions->cnt),
             LOG_INT("now", self->assignment.count), LOG_INT("generation", self->generation));
}

static void report(struct source_kafka *self, const char *what, rd_kafka_error_t *error)
{
    if (error == NULL)
        return;
    log_line(LOG_ERROR, what, LOG_STR("client", rd_kafka_name(self->consumer)),
             LOG_STR("code", rd_kafka_err2name(rd_kafka_error_code(error))),
             LOG_STR("reason", rd_kafka_error_string(error)));
    rd_kafka_error_destroy(error);
}

static rd_kafka_error_t *error_of(rd_kafka_resp_err_t code)
{
    return code != RD_KAFKA_RESP_ERR_NO_ERROR
               ? rd_kafka_error_new(code, "%s", rd_kafka_err2str(code))
               : NULL;
}

static void assign(struct source_kafka *self, rd_kafka_topic_partition_list_t *partitions)
{
    CRASH_POINT(in_assign);
    resolve_offsets(self, partitions);
    drop_metadata(self);
    if (!self->cooperative)
        assignment_clear(&self->assignment);
    if (!assignment_add(&self->assignment, partitions))
        self->broken = true;

    report(self, "assigning partitions failed",
           self->cooperative ? rd_kafka_incremental_assign(self->consumer, partitions)
                             : error_of(rd_kafka_assign(self->consumer, partitions)));
    if (self->paused)
        report(self, "pausing partitions failed",
               error_of(rd_kafka_pause_partitions(self->consumer, partitions)));
    self->joined = true;
    log_rebalance(self, "partitions assigned", partitions);
}

static void revoke(struct source_kafka *self, rd_kafka_topic_partition_list_t *partitions)
{
    CRASH_POINT(in_revoke);
    self->generation++;
    if (!self->cooperative || rd_kafka_assignment_lost(self->consumer))
        self->joined = false;
    /* A partition that goes while it is paused would still be paused, and never be fetched, when it
     * comes back (seen in 2.0.2). */
    if (self->paused)
        report(self, "resuming partitions failed",
               error_of(rd_kafka_resume_partitions(self->consumer, partitions)));
    drop_metadata(self);
    received_drop_partitions(&self->stash, partitions);

    /* A batch in hand is dropped whole, with what it holds of partitions that stay: those have to
     * be read again too. */
    if (self->cooperative && self->hand.count > 0)
        self->rewind = true;

    if (self->cooperative)
        assignment_remove(&self->assignment, partitions);
    else
        assignment_clear(&self->assignment);
    report(self, "giving partitions back failed",
           self->cooperative ? rd_kafka_incremental_unassign(self->consumer, partitions)
                             : error_of(rd_kafka_assign(self->consumer, NULL)));
    log_rebalance(
        self, rd_kafka_assignment_lost(self->consumer) ? "partitions lost" : "partitions revoked",
        partitions);
}

static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct source_kafka *self = opaque;
    const char *protocol = rd_kafka_rebalance_protocol(consumer);
    self->cooperative = protocol != NULL && strcmp(protocol, "COOPERATIVE") == 0;

    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        assign(self, partitions);
    else
        revoke(self, partitions);
}

static void on_error(rd_kafka_t *consumer, int code, const char *reason, void *opaque)
{
    struct source_kafka *self = opaque;
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        self->down = true;
    kafka_log_error(consumer, code, reason);
}

static void unstick(struct assigned *assigned, int64_t next_offset)
{
    if (assigned->stuck_offset < 0 || next_offset == assigned->stuck_offset)
        return;
    log_line(LOG_INFO, "the partition can be read again", LOG_STR("topic", assigned->topic),
             LOG_INT("partition", assigned->partition), LOG_INT("offset", next_offset));
    assigned->stuck_offset = -1;
}

/* --- pausing -----------------------------------------------------------------------------------
 */

static void pause_all(struct source_kafka *self)
{
    self->paused = true;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = assignment_list(&self->assignment);
    if (list != NULL && list->cnt > 0)
        report(self, "pausing partitions failed",
               error_of(rd_kafka_pause_partitions(self->consumer, list)));
}

/* The group had committed an offset, and has none now: brokers forget the offsets of a topic that
 * is deleted. A topic of that name is another topic. */
static bool is_gone(const struct assigned *assigned, const rd_kafka_topic_partition_t *committed)
{
    return committed->offset < 0 && assigned->committed >= 0;
}

/* All partitions begin at their committed offsets: those that stayed through a revocation again,
 * because the batch that was dropped held messages of theirs too, and those whose committed offsets
 * were not told when they were assigned. */
static enum outcome seek_committed(struct source_kafka *self, struct err *err)
{
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = assignment_list(&self->assignment);
    if (list == NULL)
        return err_no_memory(err, "consumer positions");
    if (list->cnt == 0)
        return OUTCOME_OK;

    rd_kafka_resp_err_t code = ask_committed(self, list, COMMITTED_TIMEOUT_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(code, err, "committed offsets of group %s", self->group_id);

    for (int i = 0; i < list->cnt; i++) {
        if (is_gone(&self->assignment.items[i], &list->elems[i])) {
            list->elems[i].offset = self->assignment.items[i].committed;
            self->assignment.items[i].out_of_range = true;
            self->out_of_range = true;
        }
        if (list->elems[i].offset < 0)
            list->elems[i].offset = 0;
        self->assignment.items[i].next_offset = list->elems[i].offset;
        self->assignment.items[i].end_read = -1;
        unstick(&self->assignment.items[i], list->elems[i].offset);
    }
    rd_kafka_error_t *error = rd_kafka_seek_partitions(self->consumer, list, SEEK_TIMEOUT_MS);
    code = error != NULL ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (error != NULL)
        rd_kafka_error_destroy(error);
    code = first_error(code, list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return OUTCOME_OK;
    return err_set(err, OUTCOME_RETRY, rd_kafka_err2name(code),
                   "seek to the committed offsets of group %s: %s", self->group_id,
                   rd_kafka_err2str(code)); /* _STATE: a partition's fetcher only just begins */
}

/* --- logs that do not hold the position --------------------------------------------------------
 */

/* The broker told that a partition's log does not hold the offset that was asked for. librdkafka
 * has stopped fetching it. */
static void note_out_of_range(struct source_kafka *self, const rd_kafka_message_t *message)
{
    struct assigned *assigned =
        message->rkt != NULL ? assignment_find(&self->assignment, rd_kafka_topic_name(message->rkt),
                                               message->partition)
                             : NULL;

    if (assigned == NULL)
        return;
    assigned->out_of_range = true;
    self->out_of_range = true;
}

/* OK: *ret_reset tells how the log lies. RETRY: the leader does not answer. */
static enum outcome look_at_log(const struct source_kafka *self, const struct assigned *assigned,
                                struct log_reset *ret_reset, struct err *err)
{
    int64_t first = 0, end = 0;
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
        self->consumer, assigned->topic, assigned->partition, &first, &end, WATERMARKS_TIMEOUT_MS);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        kafka_fail(code, err, "first and last offset of %s[%" PRId32 "]", assigned->topic,
                   assigned->partition);
        err->outcome = OUTCOME_RETRY;
        return OUTCOME_RETRY;
    }
    *ret_reset = (struct log_reset){.topic = text_of(assigned->topic),
                                    .partition = assigned->partition,
                                    .position = assigned->next_offset,
                                    .first = first,
                                    .end = end};
    return OUTCOME_OK;
}

/* By this member: the broker fences it by the generation. */
static rd_kafka_resp_err_t commit_offsets(const struct source_kafka *self,
                                          const rd_kafka_topic_partition_list_t *list)
{
    CLEANUP(rd_kafka_queue_destroyp) rd_kafka_queue_t *queue = rd_kafka_queue_new(self->consumer);
    CLEANUP(rd_kafka_event_destroyp) rd_kafka_event_t *event = NULL;
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(self->consumer, list, queue, NULL, NULL);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return code;
    event = rd_kafka_queue_poll(queue, COMMIT_TIMEOUT_MS);
    return event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT
                         : first_error(rd_kafka_event_error(event),
                                       rd_kafka_event_topic_partition_list(event));
}

/* The group's committed offset is the position in the log that is gone. Later it would be taken for
 * an answer to "has this batch committed?". */
static enum outcome commit_resets(struct source_kafka *self, struct err *err)
{
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)self->reset_count + 1);

    if (list == NULL)
        return err_no_memory(err, "commit of offsets");
    for (size_t i = 0; i < self->reset_count; i++)
        rd_kafka_topic_partition_list_add(list, self->resets[i].topic.data,
                                          self->resets[i].partition)
            ->offset = self->resets[i].first;
    rd_kafka_resp_err_t code = commit_offsets(self, list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return OUTCOME_OK;
    return err_set(err, OUTCOME_RETRY, rd_kafka_err2name(code),
                   "commit the start of %.*s[%" PRId32 "], whose log went back: %s",
                   TEXT_ARG(self->resets[0].topic), self->resets[0].partition,
                   rd_kafka_err2str(code));
}

/* librdkafka does not seek in a partition that it has stopped fetching: the assignment begins anew,
 * each partition at its position. */
static enum outcome assign_anew(struct source_kafka *self, struct err *err)
{
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = assignment_list(&self->assignment);
    rd_kafka_error_t *error = NULL;

    if (list == NULL)
        return err_no_memory(err, "consumer positions");
    if (!self->cooperative) {
        error = error_of(rd_kafka_assign(self->consumer, list));
    } else {
        error = rd_kafka_incremental_unassign(self->consumer, list);
        if (error == NULL)
            error = rd_kafka_incremental_assign(self->consumer, list);
    }
    if (error == NULL)
        return OUTCOME_OK;
    err_set(err, OUTCOME_RETRY, rd_kafka_err2name(rd_kafka_error_code(error)),
            "assign the partitions anew: %s", rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return OUTCOME_RETRY;
}

/* The position need not lie outside of the log any more: a log that went back may have grown past
 * it since the broker answered. What lies below the position is another record then all the same.
 */
static enum outcome find_resets(struct source_kafka *self, struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    self->reset_count = 0;
    if (!array_reserve(&self->resets, &self->reset_capacity, self->assignment.count,
                       sizeof(*self->resets)))
        return err_no_memory(err, "consumer positions");
    for (size_t i = 0; i < self->assignment.count && outcome == OUTCOME_OK; i++) {
        if (!self->assignment.items[i].out_of_range)
            continue;
        outcome =
            look_at_log(self, &self->assignment.items[i], &self->resets[self->reset_count], err);
        self->reset_count += outcome == OUTCOME_OK;
    }
    return outcome;
}

static void go_to(struct source_kafka *self, const struct log_reset *reset, int64_t offset)
{
    struct assigned *assigned =
        assignment_find(&self->assignment, reset->topic.data, reset->partition);

    assigned->next_offset = offset;
    assigned->end_read = -1;
}

static enum outcome begin_again(struct source_kafka *self, struct err *err)
{
    for (size_t i = 0; i < self->reset_count; i++)
        go_to(self, &self->resets[i], self->resets[i].first);
    enum outcome outcome = assign_anew(self, err);
    for (size_t i = 0; outcome != OUTCOME_OK && i < self->reset_count; i++)
        go_to(self, &self->resets[i], self->resets[i].position); /* for the next attempt */
    return outcome;
}

/* The partitions begin again where their logs do. What the lane remembers of any partition belongs
 * to another generation from here on. */
static enum outcome reset_positions(struct source_kafka *self, struct err *err)
{
    enum outcome outcome = find_resets(self, err);

    if (outcome == OUTCOME_OK && self->reset_count > 0)
        outcome = commit_resets(self, err);
    if (outcome == OUTCOME_OK)
        outcome = begin_again(self, err);
    if (outcome != OUTCOME_OK) {
        self->reset_count = 0;
        return outcome;
    }
    for (size_t i = 0; i < self->assignment.count; i++) {
        if (self->assignment.items[i].out_of_range)
            self->assignment.items[i].committed = self->assignment.items[i].next_offset;
        self->assignment.items[i].out_of_range = false;
        self->assignment.items[i].taken = false;
        unstick(&self->assignment.items[i], self->assignment.items[i].next_offset);
    }
    self->out_of_range = false;
    self->generation++;
    return OUTCOME_OK;
}

/* librdkafka goes on behind the last message that it handed out. The seek comes after the
 * resumption, which makes anything fetched in between outdated. */
static enum outcome resume_all(struct source_kafka *self, struct err *err)
{
    if (self->paused) {
        CLEANUP(rd_kafka_topic_partition_list_destroyp)
        rd_kafka_topic_partition_list_t *list = assignment_list(&self->assignment);
        if (list == NULL)
            return err_no_memory(err, "consumer positions");
        if (list->cnt > 0)
            report(self, "resuming partitions failed",
                   error_of(rd_kafka_resume_partitions(self->consumer, list)));
        self->paused = false;
        for (size_t i = 0; i < self->assignment.count; i++)
            self->assignment.items[i].end_asked = -1;
    }
    if (self->rewind) {
        received_clear(&self->stash);
        enum outcome outcome = seek_committed(self, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        self->rewind = false;
    }
    return self->out_of_range ? reset_positions(self, err) : OUTCOME_OK;
}

/* --- poll --------------------------------------------------------------------------------------
 */

/* Whether brokers that were away answer again, and whether those of an idle consumer still do:
 * librdkafka reports that all are down, but not always, and never that they are back. */
static void probe(struct source_kafka *self)
{
    int64_t now_us = clock_monotonic_us();
    if (now_us - self->probed_us < (self->down ? PROBE_EVERY_US : IDLE_PROBE_EVERY_US))
        return;
    self->probed_us = now_us;

    const struct rd_kafka_metadata *metadata = NULL;
    if (rd_kafka_metadata(self->consumer, 0, self->probed, &metadata,
                          self->down ? PROBE_TIMEOUT_MS : IDLE_PROBE_TIMEOUT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        self->down = true;
        return;
    }
    rd_kafka_metadata_destroy(metadata);
    self->down = false;
}

static bool keep(struct source_kafka *self, const rd_kafka_message_t *message)
{
    if (!array_reserve(&self->headers, &self->header_capacity, kafka_header_count(message),
                       sizeof(struct header)))
        return false;
    const struct message borrowed = kafka_message_of(message, self->headers);
    return received_push(&self->stash, &borrowed);
}

/* Takes a message into the stash, in order; what is not this member's, or was taken before, falls.
 */
static enum outcome take(struct source_kafka *self, const rd_kafka_message_t *message,
                         struct err *err)
{
    struct assigned *assigned =
        assignment_find(&self->assignment, rd_kafka_topic_name(message->rkt), message->partition);
    if (assigned == NULL || (assigned->next_offset >= 0 && message->offset < assigned->next_offset))
        return OUTCOME_OK;
    if (!keep(self, message)) {
        self->rewind = true; /* reads it again */
        return err_no_memory(err, "received messages");
    }
    assigned->next_offset = message->offset + 1;
    unstick(assigned, assigned->next_offset);
    return OUTCOME_OK;
}

/* Whether the error says that the records of one partition can not be read, by any attempt. */
static bool is_unreadable(const rd_kafka_message_t *message)
{
    switch ((int)message->err) {
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION: /* damaged, or larger than receive.message.max.bytes */
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED: /* a codec that this library was built without */
    case RD_KAFKA_RESP_ERR__UNDERFLOW:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
        return message->rkt != NULL && message->partition >= 0;
    default:
        return false;
    }
}

static void report_stuck(const struct source_kafka *self, const struct assigned *assigned)
{
    log_line(LOG_ERROR, "a partition can not be read: it waits for catalyst-worker skip",
             LOG_STR("client", rd_kafka_name(self->consumer)), LOG_STR("topic", assigned->topic),
             LOG_INT("partition", assigned->partition), LOG_INT("offset", assigned->stuck_offset),
             LOG_STR("code", assigned->stuck_code),
             LOG_INT("waited_s", (clock_monotonic_us() - assigned->stuck_since_us) / 1000000));
}

/* The fetcher asks again by itself, every half second; the other partitions go on meanwhile. */
static void stick(struct source_kafka *self, const rd_kafka_message_t *message)
{
    int64_t now_us = clock_monotonic_us();
    struct assigned *assigned =
        assignment_find(&self->assignment, rd_kafka_topic_name(message->rkt), message->partition);

    if (assigned == NULL)
        return;
    int64_t offset = assigned->next_offset >= 0 ? assigned->next_offset : message->offset;
    if (assigned->stuck_offset != offset) {
        assigned->stuck_offset = offset;
        assigned->stuck_code = rd_kafka_err2name(message->err);
        assigned->stuck_since_us = now_us;
        assigned->stuck_told_us = 0;
    }
    if (assigned->stuck_told_us != 0 && now_us - assigned->stuck_told_us < STUCK_TOLD_EVERY_US)
        return;
    assigned->stuck_told_us = now_us;
    report_stuck(self, assigned);
}

/* Everything below the offset was handed out, or is no message: a control record, or one of an
 * aborted transaction. */
static void note_end(struct source_kafka *self, const rd_kafka_message_t *message)
{
    struct assigned *assigned =
        assignment_find(&self->assignment, rd_kafka_topic_name(message->rkt), message->partition);

    if (assigned != NULL)
        assigned->end_read = message->offset;
}

/* An error that the consumer reports in place of a message. OK: nothing to be told. */
static enum outcome consumer_error(struct source_kafka *self, const rd_kafka_message_t *message,
                                   struct err *err)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        note_end(self, message);
        return OUTCOME_OK;
    }
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        note_out_of_range(self, message);
        return OUTCOME_OK;
    }
    if (message->err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        self->down = true;
    if (is_unreadable(message)) {
        stick(self, message);
        return OUTCOME_OK;
    }
    if (message->err == RD_KAFKA_RESP_ERR__FATAL) {
        char reason[256];
        rd_kafka_resp_err_t code = rd_kafka_fatal_error(self->consumer, reason, sizeof(reason));
        return err_set(err, OUTCOME_FATAL, rd_kafka_err2name(code), "consumer: %s", reason);
    }

    const char *topic = message->rkt != NULL ? rd_kafka_topic_name(message->rkt) : "";
    enum outcome outcome = *topic != '\0' ? kafka_fail(message->err, err, "topic %s", topic)
                                          : kafka_fail(message->err, err, "%s",
                                                       rd_kafka_message_errstr(message) != NULL
                                                           ? rd_kafka_message_errstr(message)
                                                           : "consumer");
    /* The consumer goes on after everything but the fatal error above. */
    if (outcome == OUTCOME_FATAL)
        outcome = err->outcome = OUTCOME_RETRY;
    return outcome;
}

/* An error that the lane is not told. Most come again if they last; that a topic may not be read,
 * librdkafka says once. */
static void report_passed_over(const struct source_kafka *self, const struct err *err)
{
    log_line(LOG_WARN, "consumer error", LOG_STR("client", rd_kafka_name(self->consumer)),
             LOG_STR("code", err->code), LOG_STR("error", err->text));
}

/* Polls once. ret_came false: no message came, nor the end of a partition. */
static enum outcome poll_once(struct source_kafka *self, int timeout_ms, bool *ret_came,
                              struct err *err)
{
    *ret_came = false;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(self->consumer, timeout_ms);
    if (message == NULL)
        return OUTCOME_OK;
    bool is_message = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
    *ret_came = is_message || message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    if (is_message)
        self->down = false;
    enum outcome outcome =
        is_message ? take(self, message, err) : consumer_error(self, message, err);
    rd_kafka_message_destroy(message);
    return outcome;
}

/* Polls until the stash holds what a batch may have, or nothing is there any more. Polling goes
 * through the stash because a revocation in the middle takes messages away again. */
static enum outcome fill_stash(struct source_kafka *self, int timeout_ms,
                               const struct batch_limits *limits, struct err *err)
{
    while (self->stash.count < limits->messages && self->stash.bytes < limits->bytes) {
        bool came;
        enum outcome outcome = poll_once(self, self->stash.count > 0 ? 0 : timeout_ms, &came, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (!came)
            return OUTCOME_OK;
    }
    return OUTCOME_OK;
}

/* A topic that was made anew and has grown past the position is read at the position, and no broker
 * says that this is another log. But the group has no offset in it. Asked before the messages are
 * handed out: the batch would commit one. Asked at most twice a second, which a lane with much to
 * do does not feel: a fetch that meets a deleted topic waits that long, too. */
static enum outcome check_committed(struct source_kafka *self, struct err *err)
{
    int64_t now_us = clock_monotonic_us();

    if (now_us - self->checked_us < COMMITTED_CHECKED_EVERY_US)
        return OUTCOME_OK;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = assignment_list(&self->assignment);
    if (list == NULL)
        return err_no_memory(err, "committed offsets");
    rd_kafka_resp_err_t code = ask_committed(self, list, COMMITTED_TIMEOUT_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(code, err, "committed offsets of group %s", self->group_id);
    self->checked_us = clock_monotonic_us();
    for (int i = 0; i < list->cnt; i++)
        self->rewind = self->rewind || is_gone(&self->assignment.items[i], &list->elems[i]);
    return OUTCOME_OK;
}

/* Moves the first messages of the stash, up to the limits, into the hand. */
static enum outcome take_in_hand(struct source_kafka *self, const struct batch_limits *limits,
                                 struct err *err)
{
    size_t count = self->stash.count, bytes = self->stash.bytes;
    while (count > 1 && (count > limits->messages || bytes > limits->bytes))
        bytes -= message_bytes(&self->stash.items[--count]);
    if (!received_move(&self->stash, count, &self->hand)) {
        self->rewind = true; /* reads the lost ones again */
        return err_no_memory(err, "received messages");
    }
    self->hand_generation = self->generation;
    return OUTCOME_OK;
}

static void release(struct source *port)
{
    struct source_kafka *self = (struct source_kafka *)port;
    received_clear(&self->hand);
}

static enum outcome poll(struct source *port, int timeout_ms, const struct batch_limits *limits,
                         const struct message **ret_messages, size_t *ret_count, struct err *err)
{
    struct source_kafka *self = (struct source_kafka *)port;
    *ret_count = 0;
    release(port);
    if (self->broken)
        return err_no_memory(err, "consumer assignment");

    enum outcome outcome = resume_all(self, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    outcome = fill_stash(self, timeout_ms, limits, err);
    if (outcome != OUTCOME_FATAL && self->stash.count > 0 && !self->rewind) {
        struct err check;
        if (check_committed(self, &check) != OUTCOME_OK) {
            *err = check;
            return check.outcome;
        }
    }
    if (self->rewind) /* meanwhile: what came is not known to follow the committed offsets */
        received_clear(&self->stash);
    self->hand_generation = self->generation;
    if (self->stash.count == 0) {
        probe(self);
        if (outcome == OUTCOME_OK && self->down)
            return err_set(err, OUTCOME_RETRY, "_ALL_BROKERS_DOWN", "no broker answers");
        return outcome;
    }
    if (outcome == OUTCOME_FATAL)
        return outcome;
    if (outcome != OUTCOME_OK) /* what came before the error is taken first */
        report_passed_over(self, err);

    outcome = take_in_hand(self, limits, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    *ret_messages = self->hand.items;
    *ret_count = self->hand.count;
    return OUTCOME_OK;
}

/* What librdkafka knows of the ends of logs comes with what it fetches, and it fetches nothing. */
static void ask_ends(struct source_kafka *self)
{
    int64_t now_us = clock_monotonic_us();

    if (self->down || self->assignment.count == 0 ||
        now_us - self->ends_asked_us < ENDS_ASKED_EVERY_US)
        return;
    self->ends_asked_us = now_us;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = assignment_list(&self->assignment);
    if (list == NULL)
        return;
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = RD_KAFKA_OFFSET_END;
    if (rd_kafka_offsets_for_times(self->consumer, list, ENDS_TIMEOUT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    for (int i = 0; i < list->cnt; i++) {
        if (list->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR)
            self->assignment.items[i].end_asked = list->elems[i].offset;
    }
}

static void keep_alive(struct source *port, int timeout_ms)
{
    struct source_kafka *self = (struct source_kafka *)port;
    int64_t end_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    int remaining_ms = timeout_ms;

    if (!self->paused)
        pause_all(self);
    do {
        bool came;
        struct err err;
        if (poll_once(self, remaining_ms, &came, &err) == OUTCOME_RETRY)
            report_passed_over(self, &err);
        remaining_ms = (int)((end_us - clock_monotonic_us()) / 1000);
    } while (remaining_ms > 0);
    probe(self);
    ask_ends(self);
}

/* --- the rest ----------------------------------------------------------------------------------
 */

static uint64_t generation(struct source *port)
{
    return ((struct source_kafka *)port)->generation;
}

static enum outcome not_a_member(struct err *err)
{
    return err_set(err, OUTCOME_REJECT, "UNKNOWN_MEMBER_ID",
                   "offsets cannot be sent: not a member of the group at the moment");
}

enum outcome source_kafka_membership(struct source_kafka *source,
                                     const struct rd_kafka_consumer_group_metadata_s **ret_metadata,
                                     struct err *err)
{
    if (source->hand_generation != source->generation)
        return err_set(err, OUTCOME_REJECT, "ILLEGAL_GENERATION",
                       "offsets cannot be sent: the batch's partitions were revoked");
    if (source->consumer == NULL || source->closed || rd_kafka_assignment_lost(source->consumer))
        return not_a_member(err);

    /* Eager: an assignment has one generation. Cooperative: generations change under partitions
     * that stay, and a partition that goes is still ours until the callback, so the newest counts.
     */
    if (source->metadata != NULL && source->cooperative)
        drop_metadata(source);
    if (source->metadata == NULL)
        source->metadata = rd_kafka_consumer_group_metadata(source->consumer);
    if (source->metadata == NULL)
        return not_a_member(err);
    if (!membership_is_fenced(source->metadata, source->group_id)) {
        drop_metadata(source);
        return not_a_member(err);
    }
    *ret_metadata = source->metadata;
    return OUTCOME_OK;
}

void source_kafka_committed(struct source_kafka *source,
                            const rd_kafka_topic_partition_list_t *offsets)
{
    for (int i = 0; i < offsets->cnt; i++) {
        struct assigned *assigned = assignment_find(&source->assignment, offsets->elems[i].topic,
                                                    offsets->elems[i].partition);
        if (assigned != NULL && offsets->elems[i].offset >= 0)
            assigned->committed = offsets->elems[i].offset;
    }
}

static enum outcome committed(struct source *port, struct position *positions, size_t count,
                              struct err *err)
{
    struct source_kafka *self = (struct source_kafka *)port;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count + 1);
    if (list == NULL)
        return err_no_memory(err, "committed offsets");
    for (size_t i = 0; i < count; i++) {
        char topic[256]; /* Kafka allows 249 characters */
        snprintf(topic, sizeof(topic), "%.*s", TEXT_ARG(positions[i].topic));
        rd_kafka_topic_partition_list_add(list, topic, positions[i].partition);
    }

    /* isolation.level=read_committed: a transaction still open makes the broker answer "unstable",
     * and librdkafka asks again until the time is up. */
    rd_kafka_resp_err_t code = ask_committed(self, list, COMMITTED_TIMEOUT_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(code, err, "committed offsets of group %s", self->group_id);

    source_kafka_committed(self, list);
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_topic_partition_t *answer = &list->elems[i];
        positions[i].offset = answer->offset >= 0 ? answer->offset : -1;
        positions[i].ours = answer->offset >= 0 && kafka_mark_is_ours(answer);
    }
    return OUTCOME_OK;
}

/* Nothing of a partition is published under this assignment before it is told here, so its
 * committed offset is still the one that it began from. */
static enum outcome take_assigned(struct source *port, const struct position **ret_positions,
                                  size_t *ret_count, struct err *err)
{
    struct source_kafka *self = (struct source_kafka *)port;
    size_t count = 0;

    if (!array_reserve(&self->fresh, &self->fresh_capacity, self->assignment.count,
                       sizeof(struct position)))
        return err_no_memory(err, "assigned partitions");
    for (size_t i = 0; i < self->assignment.count; i++) {
        if (!self->assignment.items[i].taken)
            self->fresh[count++] =
                (struct position){.topic = text_of(self->assignment.items[i].topic),
                                  .partition = self->assignment.items[i].partition,
                                  .offset = -1};
    }
    if (count > 0) {
        enum outcome outcome = committed(port, self->fresh, count, err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    for (size_t i = 0; i < self->assignment.count; i++)
        self->assignment.items[i].taken = true;
    *ret_positions = self->fresh;
    *ret_count = count;
    return OUTCOME_OK;
}

static void take_resets(struct source *port, const struct log_reset **ret_resets, size_t *ret_count)
{
    struct source_kafka *self = (struct source_kafka *)port;

    *ret_resets = self->resets;
    *ret_count = self->reset_count;
    self->reset_count = 0;
}

static int64_t lag_of(const struct source_kafka *self, const struct assigned *assigned)
{
    int64_t low, high;

    if (!assigned->taken || self->rewind || assigned->out_of_range ||
        rd_kafka_get_watermark_offsets(self->consumer, assigned->topic, assigned->partition, &low,
                                       &high) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return -1;
    int64_t end = high > assigned->end_asked ? high : assigned->end_asked;
    int64_t from = assigned->committed > low ? assigned->committed : low;
    if (end < 0)
        return -1;
    if (from < 0)
        return end;
    return end > from ? end - from : 0;
}

static bool lags(struct source *port, const struct partition_lag **ret_lags, size_t *ret_count)
{
    struct source_kafka *self = (struct source_kafka *)port;

    *ret_count = 0;
    if (!self->joined || !array_reserve(&self->lags, &self->lag_capacity, self->assignment.count,
                                        sizeof(*self->lags)))
        return false;
    for (size_t i = 0; i < self->assignment.count; i++) {
        const struct assigned *assigned = &self->assignment.items[i];
        self->lags[i] = (struct partition_lag){.topic = text_of(assigned->topic),
                                               .partition = assigned->partition,
                                               .records = lag_of(self, assigned)};
    }
    *ret_lags = self->lags;
    *ret_count = self->assignment.count;
    return true;
}

static bool is_at_end(const struct assigned *assigned)
{
    return assigned->taken && assigned->stuck_offset < 0 && assigned->end_read > 0 &&
           assigned->end_read > assigned->committed && assigned->end_read >= assigned->next_offset;
}

static void ends(struct source *port, const struct position **ret_positions, size_t *ret_count)
{
    struct source_kafka *self = (struct source_kafka *)port;
    int64_t now_us = clock_monotonic_us();

    *ret_count = 0;
    if (self->rewind || self->out_of_range || self->stash.count > 0 || self->hand.count > 0 ||
        !array_reserve(&self->ends, &self->end_capacity, self->assignment.count,
                       sizeof(*self->ends)))
        return;
    for (size_t i = 0; i < self->assignment.count; i++) {
        struct assigned *assigned = &self->assignment.items[i];
        if (!is_at_end(assigned) || now_us - assigned->end_told_us < END_TOLD_EVERY_US)
            continue;
        assigned->end_told_us = now_us;
        self->ends[(*ret_count)++] = (struct position){.topic = text_of(assigned->topic),
                                                       .partition = assigned->partition,
                                                       .offset = assigned->end_read};
    }
    *ret_positions = self->ends;
}

static enum outcome commit_ends(struct source *port, const struct position *positions, size_t count,
                                struct err *err)
{
    struct source_kafka *self = (struct source_kafka *)port;
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count + 1);

    if (list == NULL)
        return err_no_memory(err, "commit of positions");
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *offset = rd_kafka_topic_partition_list_add(
            list, positions[i].topic.data, positions[i].partition);
        offset->offset = positions[i].offset;
        if (!kafka_mark(offset))
            return err_no_memory(err, "commit of positions");
    }
    rd_kafka_resp_err_t code = rd_kafka_assignment_lost(self->consumer)
                                   ? RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
                                   : commit_offsets(self, list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return err_set(err, OUTCOME_RETRY, rd_kafka_err2name(code),
                       "commit the end of %.*s[%" PRId32 "]: %s", TEXT_ARG(positions[0].topic),
                       positions[0].partition, rd_kafka_err2str(code));
    source_kafka_committed(self, list);
    return OUTCOME_OK;
}

static bool connected(struct source *port)
{
    return !((struct source_kafka *)port)->down;
}

static bool is_of(const struct assigned *assigned, const struct position *of)
{
    return of == NULL ||
           (assigned->partition == of->partition && text_is(of->topic, assigned->topic));
}

/* What came before the error is still to be handed out. */
static bool has_stashed(const struct source_kafka *self, const struct assigned *assigned)
{
    for (size_t i = 0; i < self->stash.count; i++) {
        const struct message *message = &self->stash.items[i];
        if (message->partition == assigned->partition && text_is(message->topic, assigned->topic))
            return true;
    }
    return false;
}

static bool stuck(struct source *port, const struct position *of, struct stuck *ret_stuck)
{
    struct source_kafka *self = (struct source_kafka *)port;
    const struct assigned *longest = NULL;

    for (size_t i = 0; i < self->assignment.count; i++) {
        const struct assigned *assigned = &self->assignment.items[i];
        if (assigned->stuck_offset >= 0 && is_of(assigned, of) &&
            (longest == NULL || assigned->stuck_since_us < longest->stuck_since_us))
            longest = assigned;
    }
    if (longest != NULL && of != NULL && (self->rewind || has_stashed(self, longest)))
        return false;
    if (longest != NULL)
        *ret_stuck = (struct stuck){.at = {.topic = text_of(longest->topic),
                                           .partition = longest->partition,
                                           .offset = longest->stuck_offset},
                                    .code = longest->stuck_code,
                                    .since_us = longest->stuck_since_us};
    return longest != NULL;
}

/* Bounded: without an answer from the coordinator the group finds out by the session timeout. */
static void close_source(struct source *port)
{
    struct source_kafka *self = (struct source_kafka *)port;
    if (self->closed)
        return;
    received_clear(&self->hand);
    received_clear(&self->stash);

    CLEANUP(rd_kafka_queue_destroyp) rd_kafka_queue_t *queue = rd_kafka_queue_new(self->consumer);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(self->consumer, queue);
    if (error != NULL) {
        report(self, "leaving the group failed", error);
        self->closed = true;
        return;
    }
    int64_t end_us = clock_monotonic_us() + (int64_t)CLOSE_TIMEOUT_MS * 1000;
    while (!rd_kafka_consumer_closed(self->consumer) && clock_monotonic_us() < end_us) {
        CLEANUP(rd_kafka_event_destroyp) rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 100);
        /* On a queue of our own a rebalance comes as an event, not as a callback. */
        if (event != NULL && rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE)
            on_rebalance(self->consumer, rd_kafka_event_error(event),
                         rd_kafka_event_topic_partition_list(event), self);
    }
    self->closed = true;
}

static void rewind_all(struct source *port)
{
    ((struct source_kafka *)port)->rewind = true;
}

/* --- making ------------------------------------------------------------------------------------
 */

static const struct source_ops ops = {
    .poll = poll,
    .release = release,
    .keep_alive = keep_alive,
    .generation = generation,
    .take_assigned = take_assigned,
    .take_resets = take_resets,
    .committed = committed,
    .lags = lags,
    .ends = ends,
    .commit_ends = commit_ends,
    .connected = connected,
    .stuck = stuck,
    .close = close_source,
    .rewind = rewind_all,
};

static enum outcome subscribe(struct source_kafka *self, const struct config *config,
                              struct err *err)
{
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *topics =
        rd_kafka_topic_partition_list_new((int)config->command_topic_count + 1);
    if (topics == NULL)
        return err_no_memory(err, "consumer");
    for (size_t i = 0; i < config->command_topic_count; i++)
        rd_kafka_topic_partition_list_add(topics, config->command_topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(self->consumer, topics);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(code, err, "subscribe");
    return OUTCOME_OK;
}

static enum outcome open_consumer(struct source_kafka *self, const struct config *config, int lane,
                                  struct err *err)
{
    self->group_id = strdup(config->group_id);
    if (self->group_id == NULL)
        return err_no_memory(err, "consumer");

    char suffix[32];
    snprintf(suffix, sizeof(suffix), "%d-consumer", lane);
    const struct kafka_setting own[] = {{"group.id", self->group_id}};
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    enum outcome outcome = kafka_conf_new(config, KAFKA_LANE_CONSUMER, suffix, own, 1, &conf, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    rd_kafka_conf_set_opaque(conf, self);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_error_cb(conf, on_error);

    outcome = kafka_new(RD_KAFKA_CONSUMER, &conf, &self->consumer, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    self->closed = false;
    rd_kafka_poll_set_consumer(self->consumer);
    self->probed = rd_kafka_topic_new(self->consumer, config->command_topics[0], NULL);
    return subscribe(self, config, err);
}

enum outcome source_kafka_new(const struct config *config, int lane,
                              struct source_kafka **ret_source, struct err *err)
{
    struct source_kafka *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return err_no_memory(err, "consumer");
    self->port.ops = &ops;
    self->closed = true; /* until there is a consumer */

    enum outcome outcome = open_consumer(self, config, lane, err);
    if (outcome != OUTCOME_OK) {
        source_kafka_free(self);
        return outcome;
    }
    *ret_source = self;
    return OUTCOME_OK;
}

void source_kafka_free(struct source_kafka *source)
{
    close_source(&source->port);
    received_release(&source->hand);
    received_release(&source->stash);
    drop_metadata(source);
    if (source->probed != NULL)
        rd_kafka_topic_destroy(source->probed);
    if (source->consumer != NULL)
        rd_kafka_destroy_flags(source->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    assignment_release(&source->assignment);
    free(source->fresh);
    free(source->resets);
    free(source->lags);
    free(source->ends);
    free(source->headers);
    free(source->group_id);
    free(source);
}

struct source *source_kafka_port(struct source_kafka *source)
{
    return &source->port;
}
