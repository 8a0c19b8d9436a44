#include "events/dead_letter.h"

#include <inttypes.h>

#include "events/redaction.h"

static const char *const class_names[DEAD_CLASS_COUNT] = {
    [DEAD_ENVELOPE] = "envelope", [DEAD_BODY] = "body",     [DEAD_TYPE] = "type",
    [DEAD_FIELD] = "field",       [DEAD_SECRET] = "secret", [DEAD_SQLSTATE] = "sqlstate",
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
#define FLAG_REDACTED "catalyst-dlq-redacted"
#define FLAG_TRUNCATED "catalyst-dlq-truncated"

enum {
    OWN_HEADERS_MAX = 15,
    /* What Kafka adds to the bytes of a header and of a record, at most. */
    HEADER_OVERHEAD_BYTES = 10,
    RECORD_OVERHEAD_BYTES = 128,
};

struct lettering {
    struct arena *arena;
    struct header *headers;
    size_t count;
    bool full; /* the arena is */
};

static void add_bytes(struct lettering *letter, const char *name, const void *bytes, size_t length)
{
    uint8_t *copy = (uint8_t *)arena_copy(letter->arena, bytes, length);

    letter->full |= copy == NULL;
    letter->headers[letter->count++] = (struct header){text_of(name), {copy, length}};
}

static void add_text(struct lettering *letter, const char *name, struct text text)
{
    add_bytes(letter, name, text.data, text.length);
}

static void add_decimal(struct lettering *letter, const char *name, int64_t value)
{
    char *digits = arena_printf(letter->arena, "%" PRId64, value);

    letter->full |= digits == NULL;
    letter->headers[letter->count++] =
        (struct header){text_of(name), slice_of_text(text_of(digits))};
}

static void add_big_endian(struct lettering *letter, const char *name, int64_t value, size_t size)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * (size - 1 - i)));
    add_bytes(letter, name, bytes, size);
}

/* A name counts once it is said again by this failure. */
static bool is_replaced(struct text name, bool redacted, bool truncated)
{
    return text_starts_with(name, CONNECT) || text_starts_with(name, DLT) ||
           (redacted && text_is(name, FLAG_REDACTED)) ||
           (truncated && text_is(name, FLAG_TRUNCATED));
}

static void add_received(struct lettering *letter, const struct message *message, bool redacted,
                         bool truncated)
{
    for (size_t i = 0; i < message->header_count; i++) {
        if (!is_replaced(message->headers[i].name, redacted, truncated))
            letter->headers[letter->count++] = message->headers[i];
    }
}

static void add_own(struct lettering *letter, const struct message *message,
                    const struct dead_letter_reason *reason,
                    const struct dead_letter_limits *limits)
{
    const bool decoding = reason->stage == DEAD_LETTER_DECODE;
    const struct text why = text_of(reason->message);

    add_text(letter, CONNECT "topic", message->topic);
    add_decimal(letter, CONNECT "partition", message->partition);
    add_decimal(letter, CONNECT "offset", message->offset);
    add_text(letter, CONNECT "connector.name", limits->connector_name);
    add_text(letter, CONNECT "stage", text_of(decoding ? "VALUE_CONVERTER" : "TASK_PUT"));
    add_text(letter, CONNECT "class.name", text_of(reason->class_name));
    add_text(letter, CONNECT "exception.message", why);
    add_text(letter, DLT "original-topic", message->topic);
    add_big_endian(letter, DLT "original-partition", message->partition, 4);
    add_big_endian(letter, DLT "original-offset", message->offset, 8);
    add_big_endian(letter, DLT "original-timestamp", message->timestamp_ms, 8);
    add_text(letter, DLT "exception-message", why);
}

static size_t headers_bytes(const struct lettering *letter)
{
    size_t bytes = 0;

    for (size_t i = 0; i < letter->count; i++)
        bytes += letter->headers[i].name.length + letter->headers[i].value.length +
                 HEADER_OVERHEAD_BYTES;
    return bytes;
}

/* How much of what was received is sent on. */
struct portion {
    bool headers;
    size_t key_bytes;
    size_t value_bytes;
};

/* The record's size without its value. */
static size_t write_headers(struct lettering *letter, const struct message *message,
                            const struct dead_letter_reason *reason,
                            const struct dead_letter_limits *limits, bool redacted, bool truncated,
                            const struct portion *portion)
{
    letter->count = 0;
    if (portion->headers)
        add_received(letter, message, redacted, truncated);
    add_own(letter, message, reason, limits);
    if (redacted)
        add_text(letter, FLAG_REDACTED, TEXT("true"));
    if (truncated)
        add_decimal(letter, FLAG_TRUNCATED, (int64_t)message->value.length);
    return portion->key_bytes + headers_bytes(letter) + RECORD_OVERHEAD_BYTES;
}

/* A record that Kafka does not take would come back for ever: the value gives way, then the headers
 * received, then the key. */
static bool write_within(struct lettering *letter, const struct message *message,
                         const struct dead_letter_reason *reason,
                         const struct dead_letter_limits *limits, bool redacted,
                         struct portion *portion)
{
    const size_t max = limits->max_record_bytes;

    size_t fixed = write_headers(letter, message, reason, limits, redacted, false, portion);
    if (fixed + portion->value_bytes <= max)
        return false;
    fixed = write_headers(letter, message, reason, limits, redacted, true, portion);
    if (fixed > max) {
        portion->headers = false;
        fixed = write_headers(letter, message, reason, limits, redacted, true, portion);
    }
    if (fixed > max) {
        size_t excess = fixed - max;
        size_t cut = excess < portion->key_bytes ? excess : portion->key_bytes;
        portion->key_bytes -= cut;
        fixed -= cut;
    }
    size_t room = fixed < max ? max - fixed : 0;
    if (portion->value_bytes > room)
        portion->value_bytes = room;
    return true;
}

enum outcome dead_letter_encode(const struct message *message,
                                const struct dead_letter_reason *reason,
                                const struct dead_letter_limits *limits, struct arena *arena,
                                struct outgoing *ret_record, bool *ret_truncated, struct err *err)
{
    struct lettering letter = {.arena = arena};
    struct slice value;
    bool redacted;

    enum outcome outcome = redact_secrets(message, arena, &value, &redacted, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    char *topic =
        arena_printf(arena, "%.*s%.*s", TEXT_ARG(message->topic), TEXT_ARG(limits->suffix));
    letter.headers = ARENA_ARRAY(arena, struct header, message->header_count + OWN_HEADERS_MAX);
    if (topic == NULL || letter.headers == NULL)
        return err_no_memory(err, "batch arena");

    struct portion portion = {true, message->key.length, value.length};
    *ret_truncated = write_within(&letter, message, reason, limits, redacted, &portion);
    if (letter.full)
        return err_no_memory(err, "batch arena");
    *ret_record = (struct outgoing){
        .topic = text_of(topic),
        .timestamp_ms = message->timestamp_ms,
        .key = {message->key.data, portion.key_bytes},
        .value = {value.data, portion.value_bytes},
        .headers = letter.headers,
        .header_count = letter.count,
    };
    return OUTCOME_OK;
}
