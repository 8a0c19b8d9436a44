#include "worker/kafka/kafka_reader.h"

#include <inttypes.h>
#include <stdlib.h>

#include "worker/kafka/kafka_client.h"
#include "worker/kafka/kafka_record.h"

enum { ASK_TIMEOUT_MS = 10000 };

struct kafka_reader {
    rd_kafka_t *consumer;
    rd_kafka_topic_partition_list_t *partitions; /* offset: where reading starts */
    int64_t *ends; /* one each: what stood behind its last record at the start; -1: read that far */
    size_t open_count; /* partitions not read that far yet */
    rd_kafka_message_t *received;
    struct message message; /* `received`, as it was given out */
};

/* --- where to start ----------------------------------------------------------------------------
 */

static enum outcome open_consumer(const struct config *config, const char *isolation,
                                  rd_kafka_t **ret_consumer, struct err *err)
{
    const struct kafka_setting own[] = {
        /* never joined: assigned partitions need none, but librdkafka wants its name */
        {"group.id", config->group_id},
        {"isolation.level", isolation},
    };
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    enum outcome outcome = kafka_conf_new(config, KAFKA_READER, "reader", own,
                                          sizeof(own) / sizeof(own[0]), &conf, err);
    return outcome == OUTCOME_OK ? kafka_new(RD_KAFKA_CONSUMER, &conf, ret_consumer, err) : outcome;
}

/* As `consumer` sees them: to a reader of committed records the end is where the oldest open
 * transaction begins. */
static enum outcome ask_ends(struct kafka_reader *reader, rd_kafka_t *consumer,
                             const struct kafka_reader_start *start, struct err *err)
{
    for (int i = 0; i < reader->partitions->cnt; i++) {
        rd_kafka_topic_partition_t *partition = &reader->partitions->elems[i];
        int64_t low, high;
        rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
            consumer, partition->topic, partition->partition, &low, &high, ASK_TIMEOUT_MS);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return kafka_fail(code, err, "end of topic %s partition %" PRId32, partition->topic,
                              partition->partition);
        partition->offset = start->beginning ? low : high;
        if (start->offsets != NULL)
            partition->offset = start->offsets[i] < low    ? low
                                : start->offsets[i] > high ? high
                                                           : start->offsets[i];
        reader->ends[i] = high;
    }
    return OUTCOME_OK;
}

static enum outcome ask_ends_past_open(struct kafka_reader *reader, const struct config *config,
                                       const struct kafka_reader_start *start, struct err *err)
{
    CLEANUP(rd_kafka_destroyp) rd_kafka_t *consumer = NULL;
    enum outcome outcome = open_consumer(config, "read_uncommitted", &consumer, err);
    return outcome == OUTCOME_OK ? ask_ends(reader, consumer, start, err) : outcome;
}

static enum outcome ask_times(struct kafka_reader *reader, int64_t from_us, struct err *err)
{
    /* record timestamps have milliseconds: the first at or after the time */
    int64_t from_ms = from_us / 1000 + (from_us % 1000 > 0 ? 1 : 0);
    CLEANUP(rd_kafka_topic_partition_list_destroyp)
    rd_kafka_topic_partition_list_t *times = rd_kafka_topic_partition_list_copy(reader->partitions);
    for (int i = 0; i < times->cnt; i++)
        times->elems[i].offset = from_ms > 0 ? from_ms : 0;

    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(reader->consumer, times, ASK_TIMEOUT_MS);
    for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < times->cnt; i++)
        code = times->elems[i].err;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(code, err, "offsets of a time");
    for (int i = 0; i < times->cnt; i++) {
        /* where nothing is as young as that: what comes from now on */
        if (times->elems[i].offset >= 0)
            reader->partitions->elems[i].offset = times->elems[i].offset;
    }
    return OUTCOME_OK;
}

static enum outcome choose_offsets(struct kafka_reader *reader, const struct config *config,
                                   const struct kafka_reader_start *start, struct err *err)
{
    enum outcome outcome = start->past_open ? ask_ends_past_open(reader, config, start, err)
                                            : ask_ends(reader, reader->consumer, start, err);
    if (outcome == OUTCOME_OK && start->from_us != TIMESTAMP_ABSENT)
        outcome = ask_times(reader, start->from_us, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    for (int i = 0; i < reader->partitions->cnt; i++) {
        if (reader->partitions->elems[i].offset >= reader->ends[i])
            reader->ends[i] = -1;
        else
            reader->open_count++;
    }
    return OUTCOME_OK;
}

/* --- making ------------------------------------------------------------------------------------
 */

static bool list_partitions(struct kafka_reader *reader, const struct kafka_reader_topic *topics,
                            size_t count)
{
    int total = 0;
    for (size_t i = 0; i < count; i++)
        total += topics[i].partitions;
    reader->partitions = rd_kafka_topic_partition_list_new(total);
    reader->ends = calloc((size_t)total + 1, sizeof(*reader->ends));
    if (reader->partitions == NULL || reader->ends == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add_range(reader->partitions, topics[i].name, 0,
                                                topics[i].partitions - 1);
    return true;
}

static enum outcome begin(struct kafka_reader *reader, const struct config *config,
                          const struct kafka_reader_start *start, struct err *err)
{
    enum outcome outcome = open_consumer(config, "read_committed", &reader->consumer, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    rd_kafka_poll_set_consumer(reader->consumer);
    outcome = choose_offsets(reader, config, start, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    rd_kafka_resp_err_t code = rd_kafka_assign(reader->consumer, reader->partitions);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? OUTCOME_OK
                                              : kafka_fail(code, err, "assign partitions");
}

enum outcome kafka_reader_new(const struct config *config, const struct kafka_reader_topic *topics,
                              size_t count, const struct kafka_reader_start *start,
                              struct kafka_reader **ret_reader, struct err *err)
{
    struct kafka_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return err_no_memory(err, "reader");

    enum outcome outcome = list_partitions(reader, topics, count)
                               ? begin(reader, config, start, err)
                               : err_no_memory(err, "reader");
    if (outcome != OUTCOME_OK) {
        kafka_reader_free(reader);
        return outcome;
    }
    *ret_reader = reader;
    return OUTCOME_OK;
}

static void drop_received(struct kafka_reader *reader)
{
    if (reader->received != NULL)
        rd_kafka_message_destroy(reader->received);
    reader->received = NULL;
}

void kafka_reader_free(struct kafka_reader *reader)
{
    drop_received(reader);
    if (reader->consumer != NULL)
        rd_kafka_destroy(reader->consumer);
    if (reader->partitions != NULL)
        rd_kafka_topic_partition_list_destroy(reader->partitions);
    free(reader->ends);
    free(reader);
}

/* --- reading -----------------------------------------------------------------------------------
 */

static int index_of(const struct kafka_reader *reader, const rd_kafka_message_t *received)
{
    const char *topic = rd_kafka_topic_name(received->rkt);
    int i = 0;
    while (i < reader->partitions->cnt - 1 &&
           (reader->partitions->elems[i].partition != received->partition ||
            strcmp(reader->partitions->elems[i].topic, topic) != 0))
        i++;
    return i;
}

/* The partition is read to its end as of the start. */
static void note_end(struct kafka_reader *reader, int index)
{
    if (reader->ends[index] >= 0)
        reader->open_count--;
    reader->ends[index] = -1;
}

/* What came in place of a record. What passes by itself is waited for, as librdkafka's log lines
 * tell. */
static enum outcome take_error(struct kafka_reader *reader, const rd_kafka_message_t *received,
                               struct err *err)
{
    if (received->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        int index = index_of(reader, received);
        /* An open transaction may hide what is before the end. */
        if (received->offset >= reader->ends[index])
            note_end(reader, index);
        return OUTCOME_OK;
    }
    if (received->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        return OUTCOME_OK; /* of the group that is never joined: librdkafka asks for it all the same
                            */
    enum outcome outcome = received->rkt != NULL ? kafka_fail(received->err, err, "read topic %s",
                                                              rd_kafka_topic_name(received->rkt))
                                                 : kafka_fail(received->err, err, "read");
    return outcome == OUTCOME_RETRY ? OUTCOME_OK : outcome;
}

enum outcome kafka_reader_next(struct kafka_reader *reader, int timeout_ms, struct arena *arena,
                               const struct message **ret_message, bool *ret_beyond,
                               struct err *err)
{
    *ret_message = NULL;
    drop_received(reader);
    reader->received = rd_kafka_consumer_poll(reader->consumer, timeout_ms);
    if (reader->received == NULL)
        return OUTCOME_OK;
    if (reader->received->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return take_error(reader, reader->received, err);

    struct header *headers =
        ARENA_ARRAY(arena, struct header, kafka_header_count(reader->received));
    if (headers == NULL)
        return err_no_memory(err, "read");
    int index = index_of(reader, reader->received);
    reader->message = kafka_message_of(reader->received, headers);
    *ret_message = &reader->message;
    *ret_beyond = reader->message.offset >= reader->ends[index];
    if (reader->message.offset + 1 >= reader->ends[index])
        note_end(reader, index);
    return OUTCOME_OK;
}

bool kafka_reader_at_end(const struct kafka_reader *reader)
{
    return reader->open_count == 0;
}
