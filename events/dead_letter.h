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

/* What is wrong with a message, for counting: the class_name of its reason. */
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
