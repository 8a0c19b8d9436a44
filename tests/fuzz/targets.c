#include "targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events/audit_message.h"
#include "events/command_message.h"
#include "events/dead_letter.h"
#include "events/message_json.h"
#include "events/rejections.h"
#include "events/wire/json_to_msgpack.h"
#include "events/wire/msgpack_bounds.h"
#include "events/wire/msgpack_reader.h"
#include "events/wire/msgpack_to_json.h"
#include "events/wire/msgpack_writer.h"

/* Far more than one message may take: what costs more than this is a finding. */
static const size_t ARENA_BYTES = (size_t)64 * 1024 * 1024;

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static struct arena *fresh_arena(void)
{
    static struct arena *arena;

    if (arena == NULL)
        arena = arena_new(ARENA_BYTES);
    MUST(arena != NULL);
    arena_reset(arena);
    return arena;
}

static bool same(struct slice a, struct slice b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* Bounds, JSON text and the way back. */
static void run_value(const uint8_t *data, size_t size)
{
    struct arena *arena = fresh_arena();
    struct slice bytes = {data, size};
    struct msgpack_reader reader = msgpack_reader_of(bytes);
    struct msgpack_fault fault;
    struct slice whole;
    struct slice back;
    struct buffer shown;
    struct buffer json;
    struct buffer canonical;
    struct err err = {.text = ""};

    enum outcome outcome = msgpack_check(bytes, &fault);
    MUST(outcome == OUTCOME_OK || (outcome == OUTCOME_REJECT && fault.rule != NULL));
    if (outcome != OUTCOME_OK)
        return;
    MUST(msgpack_take(&reader, &whole) && same(whole, bytes));
    buffer_init(&shown, arena);
    MUST(msgpack_to_json(&shown, bytes, JSON_SHOWN) == NULL);
    buffer_init(&json, arena);
    if (msgpack_to_json(&json, bytes, JSON_STORED) != NULL)
        return;
    buffer_init(&canonical, arena);
    msgpack_write_canonical(&canonical, bytes);
    outcome = json_to_msgpack(buffer_text(&json), arena, &back, &err);
    if (outcome == OUTCOME_REJECT && canonical.length > MSGPACK_MAX_BYTES)
        return; /* floats of 32 bits grew */
    MUST(outcome == OUTCOME_OK && same(back, buffer_slice(&canonical)));
}

static void run_json(const uint8_t *data, size_t size)
{
    struct arena *arena = fresh_arena();
    struct slice value;
    struct slice back;
    struct buffer json;
    struct err err = {.text = ""};

    enum outcome outcome =
        json_to_msgpack((struct text){(const char *)data, size}, arena, &value, &err);
    MUST(outcome == OUTCOME_OK || outcome == OUTCOME_REJECT);
    if (outcome != OUTCOME_OK)
        return;
    buffer_init(&json, arena);
    MUST(msgpack_to_json(&json, value, JSON_STORED) == NULL);
    MUST(json_to_msgpack(buffer_text(&json), arena, &back, &err) == OUTCOME_OK &&
         same(back, value));
}

static void check_event(const struct audit_event *event, struct arena *arena)
{
    struct audit_event stored = *event;
    struct document *const documents[] = {&stored.actor, &stored.subject, &stored.resource,
                                          &stored.metadata, &stored.error};
    struct outgoing_record first;
    struct outgoing_record again;
    struct msgpack_fault fault;
    struct err err = {.text = ""};

    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++)
        documents[i]->packed = (struct slice){NULL, 0};
    MUST(audit_message_encode(event, TEXT("audit"), arena, &first, &err) == OUTCOME_OK);
    MUST(audit_message_encode(&stored, TEXT("audit"), arena, &again, &err) == OUTCOME_OK);
    MUST(same(first.value, again.value) && same(first.key, again.key));
    MUST(first.value.length > MSGPACK_MAX_BYTES ||
         msgpack_check(first.value, &fault) == OUTCOME_OK);
    MUST(first.key.length > 0);
}

static bool is_of_a_letter(struct text name)
{
    return text_starts_with(name, "__connect.errors.") || text_starts_with(name, "kafka_dlt-") ||
           text_starts_with(name, "catalyst-dlq-") || text_is(name, "catalyst-redrive-count") ||
           text_is(name, "catalyst-redrive-origin");
}

/* What goes back is what came, whatever the letter says. */
static void check_restored(const struct message *message, const struct letter *letter,
                           struct arena *arena)
{
    struct outgoing_record record;
    struct err err = {.text = ""};
    size_t kept = 0;

    MUST(letter_restore(message, letter, arena, &record, &err) == OUTCOME_OK);
    MUST(same(record.key, message->key) && same(record.value, message->value));
    MUST(text_equal(record.topic, letter->origin_topic));
    for (size_t i = 0; i < message->header_count; i++) {
        const struct header *received = &message->headers[i];
        if (is_of_a_letter(received->name))
            continue;
        MUST(text_equal(record.headers[kept].name, received->name) &&
             same(record.headers[kept].value, received->value));
        kept++;
    }
    MUST(record.header_count == kept + 2);
    MUST(text_is(record.headers[kept].name, "catalyst-redrive-count"));
    MUST(text_is(record.headers[kept + 1].name, "catalyst-redrive-origin"));
}

static void check_letter_of(const struct message *message, const struct outgoing_record *record,
                            struct arena *arena)
{
    struct message received = *message;
    struct letter letter;

    received.topic = record->topic;
    received.key = record->key;
    received.value = record->value;
    received.headers = record->headers;
    received.header_count = record->header_count;
    MUST(letter_read(&received, &letter));
    MUST(text_equal(letter.origin_topic, message->topic));
    MUST(letter.origin_partition == message->partition);
    MUST(letter.origin_offset == message->offset);
    MUST(letter.timestamp_ms == message->timestamp_ms);
    check_restored(&received, &letter, arena);
}

static void check_dead_letter(const struct message *message, const char *why, struct arena *arena)
{
    const struct dead_letter_reason reason = {DEAD_LETTER_DECODE, "field", why};
    const struct dead_letter_limits large = {TEXT(".dlq"), TEXT("g"), (size_t)16 * 1024 * 1024};
    const struct dead_letter_limits small = {TEXT(".dlq"), TEXT("g"), 3000};
    struct outgoing_record letter;
    struct text line;
    bool truncated;
    struct err err = {.text = ""};

    MUST(dead_letter_encode(message, &reason, &large, arena, &letter, &truncated, &err) ==
         OUTCOME_OK);
    MUST(!truncated);
    const struct header *redacted = NULL;
    for (size_t i = 0; i < letter.header_count; i++) {
        if (text_is(letter.headers[i].name, "catalyst-dlq-redacted"))
            redacted = &letter.headers[i];
    }
    MUST(redacted != NULL ||
         (same(letter.value, message->value) && same(letter.key, message->key)));
    check_letter_of(message, &letter, arena);

    /* what was redacted once has nothing left to redact but the replacement */
    struct message again = *message;
    again.key = letter.key;
    again.value = letter.value;
    again.headers = letter.headers;
    again.header_count = letter.header_count;
    struct outgoing_record second;
    MUST(dead_letter_encode(&again, &reason, &large, arena, &second, &truncated, &err) ==
         OUTCOME_OK);
    MUST(same(second.value, letter.value) && second.header_count == letter.header_count);

    MUST(dead_letter_encode(message, &reason, &small, arena, &letter, &truncated, &err) ==
         OUTCOME_OK);
    size_t bytes = letter.key.length + letter.value.length;
    for (size_t i = 0; i < letter.header_count; i++)
        bytes += letter.headers[i].name.length + letter.headers[i].value.length;
    MUST(bytes <= small.max_record_bytes);
    MUST(message_to_json(&again, arena, &line, &err) == OUTCOME_OK);
}

/* Whatever comes out of a decode is answered or set aside. */
static void check_message(const struct message *message, struct arena *arena)
{
    struct command command;
    struct audit_event event;
    struct err err = {.text = ""};

    enum outcome outcome = command_decode(message, arena, &command, &err);
    MUST(outcome == OUTCOME_OK || outcome == OUTCOME_REJECT);
    if (outcome == OUTCOME_REJECT) {
        MUST(err.text[0] != '\0' && err.code[0] != '\0');
        check_dead_letter(message, err.text, arena);
        return;
    }
    const struct command_result applied = {.created = true};
    MUST(command_event(&command, &applied, arena, &event, &err) == OUTCOME_OK);
    check_event(&event, arena);
    const struct command_result rejected = {.rejection = REJECTION_KEY_NOT_FOUND};
    MUST(command_event(&command, &rejected, arena, &event, &err) == OUTCOME_OK);
    check_event(&event, arena);
    MUST(command_conflict_event(&command, arena, &event, &err) == OUTCOME_OK);
    check_event(&event, arena);
}

/* The first byte chooses the command. */
static void run_command(const uint8_t *data, size_t size, const char *content_type)
{
    if (size < 1)
        return;
    const struct header headers[] = {
        {TEXT("ce_specversion"), slice_of_text(TEXT("1.0"))},
        {TEXT("ce_id"), slice_of_text(TEXT("c"))},
        {TEXT("ce_source"), slice_of_text(TEXT("s"))},
        {TEXT("ce_type"), slice_of_text(text_of(command_types[data[0] % COMMAND_KIND_COUNT].name))},
        {TEXT("ce_authtype"), slice_of_text(TEXT("user"))},
        {TEXT("ce_authid"), slice_of_text(TEXT("u"))},
        {TEXT("content-type"), slice_of_text(text_of(content_type))},
    };
    const struct message message = {.topic = TEXT("t"),
                                    .timestamp_ms = 1,
                                    .value = {data + 1, size - 1},
                                    .headers = headers,
                                    .header_count = sizeof(headers) / sizeof(headers[0])};
    check_message(&message, fresh_arena());
}

static void run_command_msgpack(const uint8_t *data, size_t size)
{
    run_command(data, size, "application/vnd.msgpack");
}

static void run_command_json(const uint8_t *data, size_t size)
{
    run_command(data, size, "application/json");
}

static void run_structured(const uint8_t *data, size_t size)
{
    const struct header header = {TEXT("content-type"),
                                  slice_of_text(TEXT("application/cloudevents+json"))};
    const struct message message = {.topic = TEXT("t"),
                                    .timestamp_ms = 1,
                                    .value = {data, size},
                                    .headers = &header,
                                    .header_count = 1};
    check_message(&message, fresh_arena());
}

enum { HEADERS_MAX = 24 };

/* Headers as they come: length of a name, name, length of a value, value ...; a length of 255 ends
 * them, and of a value means none. What is left is the record's value. */
static struct message message_of(const uint8_t *data, size_t size, struct header *headers)
{
    size_t count = 0;
    size_t at = 0;

    while (count < HEADERS_MAX && at < size && data[at] != 255) {
        struct slice parts[2] = {{NULL, 0}, {NULL, 0}};
        for (size_t i = 0; i < 2 && at < size; i++) {
            size_t length = data[at++];
            if (i == 1 && length == 255)
                break;
            if (length > size - at)
                length = size - at;
            parts[i] = (struct slice){data + at, length};
            at += length;
        }
        headers[count++] = (struct header){text_of_slice(parts[0]), parts[1]};
    }
    if (at < size)
        at++;
    return (struct message){.topic = TEXT("t"),
                            .offset = 7,
                            .timestamp_ms = 1,
                            .key = {data, size < 10 ? size : 10},
                            .value = {data + at, size - at},
                            .headers = headers,
                            .header_count = count};
}

static void run_headers(const uint8_t *data, size_t size)
{
    struct header headers[HEADERS_MAX];
    const struct message message = message_of(data, size, headers);

    check_message(&message, fresh_arena());
}

static struct message as_received(const struct outgoing_record *record, int64_t offset)
{
    return (struct message){.topic = record->topic,
                            .offset = offset,
                            .timestamp_ms = 1,
                            .key = record->key,
                            .value = record->value,
                            .headers = record->headers,
                            .header_count = record->header_count};
}

/* A record of a dead-letter topic, by whomever. */
static void run_letter(const uint8_t *data, size_t size)
{
    struct arena *arena = fresh_arena();
    struct header headers[HEADERS_MAX];
    const struct message message = message_of(data, size, headers);
    struct letter letter;
    struct outgoing_record record;
    struct message received;
    int64_t marked = -1;
    struct err err = {.text = ""};

    bool is_mark = letter_mark_read(&message, &marked);
    MUST(!is_mark || (marked >= 0 && marked < message.offset));
    if (!letter_read(&message, &letter))
        return;
    MUST(!is_mark && !letter.redriven);
    check_restored(&message, &letter, arena);

    MUST(letter_mark(&letter, arena, &record, &err) == OUTCOME_OK);
    received = as_received(&record, message.offset + 1);
    MUST(letter_mark_read(&received, &marked) && marked == message.offset);
    MUST(!letter_read(&received, &letter));

    MUST(letter_read(&message, &letter));
    if (letter_fault(&letter, letter.origin_topic, INT64_MAX) != NULL)
        return;
    enum outcome outcome = letter_audit(&letter, TEXT("t"), 1, arena, &record, &err);
    MUST(outcome == OUTCOME_OK || outcome == OUTCOME_REJECT);
    if (outcome != OUTCOME_OK)
        return;
    received = as_received(&record, 0);
    check_message(&received, arena);
}

static void run_line(const uint8_t *data, size_t size)
{
    struct arena *arena = fresh_arena();
    struct outgoing_record record;
    struct command command;
    struct err err = {.text = ""};

    enum outcome outcome = command_message_from_json((struct text){(const char *)data, size},
                                                     TEXT("t"), 1, arena, &record, &command, &err);
    MUST(outcome == OUTCOME_OK || outcome == OUTCOME_REJECT);
    if (outcome != OUTCOME_OK)
        return;
    const struct message message = {.topic = TEXT("t"),
                                    .timestamp_ms = 1,
                                    .key = record.key,
                                    .value = record.value,
                                    .headers = record.headers,
                                    .header_count = record.header_count};
    check_message(&message, arena);
}

const struct target targets[] = {
    {"value", run_value},
    {"json", run_json},
    {"msgpack", run_command_msgpack},
    {"body", run_command_json},
    {"structured", run_structured},
    {"headers", run_headers},
    {"letter", run_letter},
    {"line", run_line},
};
const size_t target_count = sizeof(targets) / sizeof(targets[0]);
