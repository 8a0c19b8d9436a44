#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "events/message.h"

/* A record that cannot be taken, sent on as it came, with its origin and the reason.
 *
 * Key, value, timestamp and headers as received, plus two families of headers that existing tools
 * read; error headers already there are replaced:
 *   __connect.errors.{topic,partition,offset,connector.name,task.id,stage,class.name,
 *   exception.class.name,exception.message}, text
 *   kafka_dlt-original-{topic,partition,offset,timestamp} (partition int32, offset and timestamp
 *   int64, big-endian), kafka_dlt-original-{timestamp-type,consumer-group} and
 *   kafka_dlt-exception-{fqcn,message}, text
 *   catalyst-dlq-redacted "true": the values of secret, token, plaintext were replaced
 *   catalyst-dlq-truncated "<bytes of the original value>": the value did not fit
 *   catalyst-dlq-changed "timestamp,key,headers": which of these are not as received, because the
 *     record would not be taken otherwise. The timestamp received is in
 *     kafka_dlt-original-timestamp; the key is TOPIC:PARTITION:OFFSET of the origin where there was
 *     none, or a part of the key received; the headers received are left out */

enum dead_letter_stage {
    DEAD_LETTER_DECODE, /* not a valid command: __connect.errors.stage VALUE_CONVERTER */
    DEAD_LETTER_APPLY,  /* PostgreSQL refused what every check let pass: TASK_PUT; reason holds the
                           SQLSTATE */
};

/* The classes of reasons why a message becomes a dead letter: one counter each. */
enum dead_letter_class {
    DEAD_ENVELOPE,
    DEAD_BODY,
    DEAD_TYPE,
    DEAD_FIELD,
    DEAD_SECRET,
    DEAD_POLICY,
    DEAD_SQLSTATE,
    DEAD_CLASS_COUNT
};

const char *dead_letter_class_name(enum dead_letter_class class);

/* DEAD_BODY for a name that is none. */
enum dead_letter_class dead_letter_class_of(const char *name);

struct dead_letter_reason {
    enum dead_letter_stage stage;
    const char *class_name; /* "envelope", "body", "type", "field", "secret", "policy",
                               "sqlstate" */
    const char *message;    /* field and rule, never a value */
};

/* How letters are changed because the brokers refuse them for good. Zero: they are not. */
struct dead_letter_changes {
    bool timestamps; /* outside oldest_ms..newest_ms: the time of publication in their place */
    int64_t oldest_ms, newest_ms;
    bool keys;    /* a letter without a key gets one */
    bool headers; /* those received are left out */
};

struct dead_letter_limits {
    struct text suffix;         /* of the topic: ".dlq" */
    struct text connector_name; /* the consumer group */
    size_t max_record_bytes;    /* key + value + headers and what Kafka adds; a longer value is
                                   truncated; headers, then the key, when they alone are too long */
    struct dead_letter_changes changes;
    int task_id;     /* number of the lane within its process */
    bool no_secrets; /* none is expected: nothing is redacted */
};

/* ret_record      in the arena, or borrowed from the message
 * ret_truncated   the value had to be cut
 *
 * FULL   the arena is full */
enum outcome dead_letter_encode(const struct message *message,
                                const struct dead_letter_reason *reason,
                                const struct dead_letter_limits *limits, struct arena *arena,
                                struct outgoing_record *ret_record, bool *ret_truncated,
                                struct err *err);

/* --- reading -----------------------------------------------------------------------------------
 *
 * A dead letter read back, and the way back to its topic of origin.
 *
 * A dead-letter topic holds letters and marks. A mark says that a letter of
 * the same partition was redriven; it is published in the transaction that redrove it, with the
 * header catalyst-dlq-redriven "<offset of the letter>". Behind its letter in the same partition
 * it cannot be deleted by retention before the letter is. */

struct letter {
    struct text topic; /* of the letter */
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* of the record that failed; -1: none */
    struct text origin_topic;
    int32_t origin_partition; /* -1: not told */
    int64_t origin_offset;    /* -1: not told */
    struct text stage;        /* "decode", "apply", or as the header says; absent: not told */
    struct text class_name;
    struct text reason;
    int64_t redrive_count; /* how often it went back before it failed here; -1: unreadable */
    bool redacted;
    bool truncated;
    struct text changed; /* catalyst-dlq-changed: what of the record is not as received; absent: all
                            is */
    bool redriven;       /* by a mark; false from letter_read() */
};

/* Reads what the headers say; texts are borrowed from the message. false: the record is no letter
 * of the worker (a mark, or something foreign). */
bool letter_read(const struct message *message, struct letter *ret_letter);

/* Whether the record is a mark, and of which offset of its partition. */
bool letter_mark_read(const struct message *message, int64_t *ret_offset);

/* TOPIC:PARTITION:OFFSET of the letter, and of the record that failed; NULL: the arena is full. */
char *letter_name(const struct letter *letter, struct arena *arena);
char *letter_origin(const struct letter *letter, struct arena *arena);

/* Why it cannot go back to `origin`; NULL: it can. */
const char *letter_fault(const struct letter *letter, struct text origin, int64_t max_redrives);

/* The record as the worker received it, also where timestamp and key of the letter were changed:
 * key, value, timestamp and headers, without the error headers, and with two more:
 *
 * - catalyst-redrive-count: how often it went back, this time included
 * - catalyst-redrive-origin: TOPIC:PARTITION:OFFSET where it failed first
 *
 * ret_record  borrowed from the message, or in the arena
 * FULL        the arena is full */
enum outcome letter_restore(const struct message *message, const struct letter *letter,
                            struct arena *arena, struct outgoing_record *ret_record,
                            struct err *err);

/* The mark of a letter. FULL: the arena is full */
enum outcome letter_mark(const struct letter *letter, struct arena *arena,
                         struct outgoing_record *ret_record, struct err *err);

/* ce_source of the events that letter_audit() makes. */
#define LETTER_AUDIT_SOURCE "catalyst-worker/dlq"

/* The audit.append command that reports the redrive. Its id is a function of the letter's
 * coordinates and the count.
 *
 * REJECT  the coordinates or the reason are too long for an audit event
 * FULL    the arena is full */
enum outcome letter_audit(const struct letter *letter, struct text topic, int64_t now_us,
                          struct arena *arena, struct outgoing_record *ret_record, struct err *err);
