#include "events/dead_letter.h"

#include <inttypes.h>
#include <stdio.h>

#include "events/redaction.h"

static const char *const class_names[DEAD_CLASS_COUNT] = {
    [DEAD_ENVELOPE] = "envelope", [DEAD_BODY] = "body",     [DEAD_TYPE] = "type",
    [DEAD_FIELD] = "field",       [DEAD_SECRET] = "secret", [DEAD_POLICY] = "policy",
    [DEAD_SQLSTATE] = "sqlstate",
};

const char *dead_letter_class_name(enum dead_letter_class class)
{
    return class_names[class];
}

enum dead_letter_class dead_letter_class_of(const char *name)
{
    for (int i = 0; i < DEAD_CLASS_COUNT; i++) {
        if (strcmp(class_names[i], name) == 0)
            return (enum dead_letter_class)i;
    }
    return DEAD_BODY;
}

#define CONNECT "__connect.errors."
#define DLT "kafka_dlt-"
#define EXCEPTION_PACKAGE "dev.catalyst.worker."
#define FLAG_REDACTED "catalyst-dlq-redacted"
#define FLAG_TRUNCATED "catalyst-dlq-truncated"
#define FLAG_CHANGED "catalyst-dlq-changed"

enum {
    OWN_HEADERS_MAX = 20,
    /* What Kafka adds to the bytes of a header and of a record, at most. */
    HEADER_OVERHEAD_BYTES = 10,
    RECORD_OVERHEAD_BYTES = 128,
};

struct letter_maker {
    struct arena *arena;
    struct header *headers;
    size_t count;
    size_t received_bytes; /* of the value */
    bool full;             /* the arena is */
};

static void add_bytes(struct letter_maker *letter, const char *name, const void *bytes,
                      size_t length)
{
    uint8_t *copy = (uint8_t *)arena_copy(letter->arena, bytes, length);

    letter->full |= copy == NULL;
    letter->headers[letter->count++] = (struct header){text_of(name), {copy, length}};
}

static void add_text(struct letter_maker *letter, const char *name, struct text text)
{
    add_bytes(letter, name, text.data, text.length);
}

static void add_decimal(struct letter_maker *letter, const char *name, int64_t value)
{
    char *digits = arena_printf(letter->arena, "%" PRId64, value);

    letter->full |= digits == NULL;
    letter->headers[letter->count++] =
        (struct header){text_of(name), slice_of_text(text_of(digits))};
}

static void add_big_endian(struct letter_maker *letter, const char *name, int64_t value,
                           size_t size)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * (size - 1 - i)));
    add_bytes(letter, name, bytes, size);
}

/* Which parts of the received record the dead letter keeps. false and shorter: left out. */
struct portion {
    bool timestamp;
    bool headers;
    struct slice key;
    size_t value_bytes;
    bool key_changed, truncated, redacted;
};

static bool is_changed(const struct portion *portion)
{
    return !portion->timestamp || !portion->headers || portion->key_changed;
}

/* A name counts once it is said again by this failure. */
static bool is_replaced(struct text name, const struct portion *portion)
{
    return text_starts_with(name, CONNECT) || text_starts_with(name, DLT) ||
           (portion->redacted && text_is(name, FLAG_REDACTED)) ||
           (portion->truncated && text_is(name, FLAG_TRUNCATED)) ||
           (is_changed(portion) && text_is(name, FLAG_CHANGED));
}

static void add_received(struct letter_maker *letter, const struct message *message,
                         const struct portion *portion)
{
    for (size_t i = 0; i < message->header_count; i++) {
        if (!is_replaced(message->headers[i].name, portion))
            letter->headers[letter->count++] = message->headers[i];
    }
}

static void add_changed(struct letter_maker *letter, const struct portion *portion)
{
    char list[sizeof(",timestamp,key,headers")];

    snprintf(list, sizeof(list), "%s%s%s", portion->timestamp ? "" : ",timestamp",
             portion->key_changed ? ",key" : "", portion->headers ? "" : ",headers");
    add_text(letter, FLAG_CHANGED, text_of(list + 1));
}

/* Readers of Spring's and Connect's letters group by the class of an exception. */
static void add_exception_class(struct letter_maker *letter, const char *name,
                                const struct dead_letter_reason *reason)
{
    char *class = arena_printf(letter->arena, EXCEPTION_PACKAGE "%s", reason->class_name);

    letter->full |= class == NULL;
    letter->headers[letter->count++] =
        (struct header){text_of(name), slice_of_text(text_of(class))};
}

/* As Kafka's class TimestampType writes itself. */
static struct text timestamp_type(const struct message *message)
{
    if (message->timestamp_ms == -1)
        return TEXT("NoTimestampType");
    return message->broker_time ? TEXT("LogAppendTime") : TEXT("CreateTime");
}

static void add_own(struct letter_maker *letter, const struct message *message,
                    const struct dead_letter_reason *reason,
                    const struct dead_letter_limits *limits)
{
    const bool decoding = reason->stage == DEAD_LETTER_DECODE;
    const struct text why = text_of(reason->message);

    add_text(letter, CONNECT "topic", message->topic);
    add_decimal(letter, CONNECT "partition", message->partition);
    add_decimal(letter, CONNECT "offset", message->offset);
    add_text(letter, CONNECT "connector.name", limits->connector_name);
    add_decimal(letter, CONNECT "task.id", limits->task_id);
    add_text(letter, CONNECT "stage", text_of(decoding ? "VALUE_CONVERTER" : "TASK_PUT"));
    add_text(letter, CONNECT "class.name", text_of(reason->class_name));
    add_exception_class(letter, CONNECT "exception.class.name", reason);
    add_text(letter, CONNECT "exception.message", why);
    add_text(letter, DLT "original-topic", message->topic);
    add_big_endian(letter, DLT "original-partition", message->partition, 4);
    add_big_endian(letter, DLT "original-offset", message->offset, 8);
    add_big_endian(letter, DLT "original-timestamp", message->timestamp_ms, 8);
    add_text(letter, DLT "original-timestamp-type", timestamp_type(message));
    add_text(letter, DLT "original-consumer-group", limits->connector_name);
    add_exception_class(letter, DLT "exception-fqcn", reason);
    add_text(letter, DLT "exception-message", why);
}

static size_t headers_bytes(const struct letter_maker *letter)
{
    size_t bytes = 0;

    for (size_t i = 0; i < letter->count; i++)
        bytes += letter->headers[i].name.length + letter->headers[i].value.length +
                 HEADER_OVERHEAD_BYTES;
    return bytes;
}

/* The record's size without its value. */
static size_t write_headers(struct letter_maker *letter, const struct message *message,
                            const struct dead_letter_reason *reason,
                            const struct dead_letter_limits *limits, const struct portion *portion)
{
    letter->count = 0;
    if (portion->headers)
        add_received(letter, message, portion);
    add_own(letter, message, reason, limits);
    if (portion->redacted)
        add_text(letter, FLAG_REDACTED, TEXT("true"));
    if (portion->truncated)
        add_decimal(letter, FLAG_TRUNCATED, (int64_t)letter->received_bytes);
    if (is_changed(portion))
        add_changed(letter, portion);
    return portion->key.length + headers_bytes(letter) + RECORD_OVERHEAD_BYTES;
}

/* A record that Kafka does not take would come back for ever: the value gives way, then the headers
 * received, then the key. */
static void write_within(struct letter_maker *letter, const struct message *message,
                         const struct dead_letter_reason *reason,
                         const struct dead_letter_limits *limits, struct portion *portion)
{
    const size_t max = limits->max_record_bytes;

    size_t fixed = write_headers(letter, message, reason, limits, portion);
    if (fixed + portion->value_bytes <= max)
        return;
    portion->truncated = true;
    fixed = write_headers(letter, message, reason, limits, portion);
    if (fixed > max) {
        portion->headers = false;
        fixed = write_headers(letter, message, reason, limits, portion);
    }
    if (fixed > max) {
        portion->key_changed = true;
        fixed = write_headers(letter, message, reason, limits, portion);
        size_t excess = fixed - max;
        size_t cut = excess < portion->key.length ? excess : portion->key.length;
        portion->key.length -= cut;
        fixed -= cut;
    }
    size_t room = fixed < max ? max - fixed : 0;
    if (portion->value_bytes > room)
        portion->value_bytes = room;
}

/* What of the record is sent on before its size is known. false: the arena is full. */
static bool choose(const struct message *message, const struct dead_letter_changes *changes,
                   struct arena *arena, struct portion *ret_portion)
{
    int64_t timestamp_ms = message->timestamp_ms;
    bool old = timestamp_ms < changes->oldest_ms || timestamp_ms > changes->newest_ms;
    /* with more headers the letter could not be read */
    bool many = message->header_count > RECORD_HEADERS_MAX - OWN_HEADERS_MAX;
    char *key = NULL;

    *ret_portion =
        (struct portion){.timestamp = !(changes->timestamps && old && timestamp_ms >= 0),
                         .headers = !changes->headers && !many && !message->headers_unreadable,
                         .key = message->key};
    if (!changes->keys || message->key.data != NULL)
        return true;
    key = arena_printf(arena, "%.*s:%" PRId32 ":%" PRId64, TEXT_ARG(message->topic),
                       message->partition, message->offset);
    if (key == NULL)
        return false;
    ret_portion->key = slice_of_text(text_of(key));
    ret_portion->key_changed = true;
    return true;
}

enum outcome dead_letter_encode(const struct message *message,
                                const struct dead_letter_reason *reason,
                                const struct dead_letter_limits *limits, struct arena *arena,
                                struct outgoing_record *ret_record, bool *ret_truncated,
                                struct err *err)
{
    struct letter_maker letter = {.arena = arena, .received_bytes = message->value.length};
    struct message kept = *message; /* the received record, its secrets replaced */
    struct portion portion;
    bool redacted = false;
    enum outcome outcome = OUTCOME_OK;

    if (!limits->no_secrets)
        outcome = redact_secrets(message, arena, &kept, &redacted, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!choose(&kept, &limits->changes, arena, &portion))
        return err_no_memory(err, "batch arena");
    portion.redacted = redacted;
    char *topic =
        arena_printf(arena, "%.*s%.*s", TEXT_ARG(message->topic), TEXT_ARG(limits->suffix));
    letter.headers = ARENA_ARRAY(arena, struct header, message->header_count + OWN_HEADERS_MAX);
    if (topic == NULL || letter.headers == NULL)
        return err_no_memory(err, "batch arena");

    portion.value_bytes = kept.value.length;
    write_within(&letter, &kept, reason, limits, &portion);
    *ret_truncated = portion.truncated;
    if (letter.full)
        return err_no_memory(err, "batch arena");
    *ret_record = (struct outgoing_record){
        .topic = text_of(topic),
        .timestamp_ms = portion.timestamp ? message->timestamp_ms : -1,
        .key = portion.key,
        .value = {kept.value.data, portion.value_bytes},
        .headers = letter.headers,
        .header_count = letter.count,
    };
    return OUTCOME_OK;
}
