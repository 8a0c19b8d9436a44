#include "events/dead_letter.h"

#include <inttypes.h>

#include "base/decimal.h"
#include "base/json_writer.h"
#include "base/utf8.h"
#include "base/uuid.h"
#include "events/command_message.h"

#define CONNECT "__connect.errors."
#define DLT "kafka_dlt-"
#define FLAG_PREFIX "catalyst-dlq-"
#define MARK "catalyst-dlq-redriven"
#define COUNT "catalyst-redrive-count"
#define ORIGIN "catalyst-redrive-origin"

enum { OWN_HEADERS = 2, COUNT_MAX = 1000000000 };

/* --- reading -----------------------------------------------------------------------------------
 */

static struct text header_text(const struct message *message, const char *name)
{
    const struct header *header = message_header(message, name);
    if (header == NULL || header->value.data == NULL || !utf8_valid(text_of_slice(header->value)))
        return TEXT_ABSENT;
    return text_of_slice(header->value);
}

/* -1: not a number up to `max`. */
static int64_t parse_decimal(struct text text, int64_t max)
{
    int64_t number;
    return decimal_parse(text, max, &number) ? number : -1;
}

static struct text stage_of(struct text stage)
{
    if (text_is(stage, "VALUE_CONVERTER"))
        return TEXT("decode");
    return text_is(stage, "TASK_PUT") ? TEXT("apply") : stage;
}

/* Of the record that failed, also where the brokers put their own time on letters. */
static int64_t original_timestamp(const struct message *message)
{
    const struct header *header = message_header(message, DLT "original-timestamp");
    if (header == NULL || header->value.data == NULL || header->value.length != 8)
        return message->timestamp_ms;
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | header->value.data[i];
    return value <= INT64_MAX ? (int64_t)value : -1;
}

bool letter_read(const struct message *message, struct letter *ret_letter)
{
    int64_t ignored;
    struct text origin = header_text(message, CONNECT "topic");
    if (!text_present(origin) || letter_mark_read(message, &ignored))
        return false;
    const struct header *count = message_header(message, COUNT);
    *ret_letter = (struct letter){
        .topic = message->topic,
        .partition = message->partition,
        .offset = message->offset,
        .timestamp_ms = original_timestamp(message),
        .origin_topic = origin,
        .origin_partition =
            (int32_t)parse_decimal(header_text(message, CONNECT "partition"), INT32_MAX),
        .origin_offset = parse_decimal(header_text(message, CONNECT "offset"), INT64_MAX),
        .stage = stage_of(header_text(message, CONNECT "stage")),
        .class_name = header_text(message, CONNECT "class.name"),
        .reason = header_text(message, CONNECT "exception.message"),
        .redrive_count = count == NULL ? 0 : parse_decimal(text_of_slice(count->value), COUNT_MAX),
        .redacted = message_header(message, FLAG_PREFIX "redacted") != NULL,
        .truncated = message_header(message, FLAG_PREFIX "truncated") != NULL,
        .changed = header_text(message, FLAG_PREFIX "changed"),
    };
    return true;
}

bool letter_mark_read(const struct message *message, int64_t *ret_offset)
{
    /* A received header of that name would be carried by a letter; only a mark has no origin. */
    if (message_header(message, CONNECT "topic") != NULL)
        return false;
    *ret_offset = parse_decimal(header_text(message, MARK), INT64_MAX);
    return *ret_offset >= 0 && *ret_offset < message->offset;
}

/* Whether the letter's catalyst-dlq-changed lists `name`: timestamp, key or headers. */
static bool was_changed(const struct letter *letter, const char *name)
{
    struct text rest = letter->changed;

    while (text_present(rest) && rest.length > 0) {
        const char *comma = memchr(rest.data, ',', rest.length);
        size_t length = comma != NULL ? (size_t)(comma - rest.data) : rest.length;
        if (text_is((struct text){rest.data, length}, name))
            return true;
        if (comma == NULL)
            return false;
        rest = (struct text){comma + 1, rest.length - length - 1};
    }
    return false;
}

const char *letter_fault(const struct letter *letter, struct text origin, int64_t max_redrives)
{
    if (letter->redriven)
        return "it was redriven already";
    if (letter->redacted)
        return "its value was redacted: it is not what was received";
    if (letter->truncated)
        return "its value was truncated: it is not what was received";
    if (was_changed(letter, "headers"))
        return "its headers were left out: it is not what was received";
    if (!text_equal(letter->origin_topic, origin) || letter->origin_partition < 0 ||
        letter->origin_offset < 0)
        return "its origin is not the command topic of this dead-letter topic";
    if (letter->redrive_count < 0)
        return COUNT " is not a number";
    if (letter->redrive_count >= max_redrives)
        return "it was redriven as often as --max-redrives allows";
    return NULL;
}

/* --- writing -----------------------------------------------------------------------------------
 */

static bool is_received(struct text name)
{
    return !text_starts_with(name, CONNECT) && !text_starts_with(name, DLT) &&
           !text_starts_with(name, FLAG_PREFIX) && !text_is(name, COUNT) && !text_is(name, ORIGIN);
}

static struct header text_header(const char *name, const char *value)
{
    return (struct header){text_of(name), slice_of_text(text_of(value))};
}

char *letter_origin(const struct letter *letter, struct arena *arena)
{
    return arena_printf(arena, "%.*s:%" PRId32 ":%" PRId64, TEXT_ARG(letter->origin_topic),
                        letter->origin_partition, letter->origin_offset);
}

char *letter_name(const struct letter *letter, struct arena *arena)
{
    return arena_printf(arena, "%.*s:%" PRId32 ":%" PRId64, TEXT_ARG(letter->topic),
                        letter->partition, letter->offset);
}

enum outcome letter_restore(const struct message *message, const struct letter *letter,
                            struct arena *arena, struct outgoing_record *ret_record,
                            struct err *err)
{
    struct header *headers = ARENA_ARRAY(arena, struct header, message->header_count + OWN_HEADERS);
    char *count = arena_printf(arena, "%" PRId64, letter->redrive_count + 1);
    char *origin = letter_origin(letter, arena);
    if (headers == NULL || count == NULL || origin == NULL)
        return err_no_memory(err, "redrive");

    size_t kept = 0;
    for (size_t i = 0; i < message->header_count; i++) {
        if (is_received(message->headers[i].name))
            headers[kept++] = message->headers[i];
    }
    const struct header *first = message_header(message, ORIGIN);
    headers[kept++] = text_header(COUNT, count);
    headers[kept++] =
        first != NULL && letter->redrive_count > 0 ? *first : text_header(ORIGIN, origin);
    *ret_record = (struct outgoing_record){
        .topic = letter->origin_topic,
        .timestamp_ms = letter->timestamp_ms,
        .key = was_changed(letter, "key") ? (struct slice){NULL, 0} : message->key,
        .value = message->value,
        .headers = headers,
        .header_count = kept,
    };
    return OUTCOME_OK;
}

enum outcome letter_mark(const struct letter *letter, struct arena *arena,
                         struct outgoing_record *ret_record, struct err *err)
{
    struct header *headers = ARENA_ARRAY(arena, struct header, 1);
    char *offset = arena_printf(arena, "%" PRId64, letter->offset);
    char *name = letter_name(letter, arena);
    if (headers == NULL || offset == NULL || name == NULL)
        return err_no_memory(err, "redrive");
    headers[0] = text_header(MARK, offset);
    /* A key of its own and a value that is there: compaction, where somebody set it, keeps it. */
    *ret_record = (struct outgoing_record){
        .topic = letter->topic,
        .timestamp_ms = -1,
        .key = slice_of_text(text_of(name)),
        .value = slice_of_text(TEXT("")),
        .headers = headers,
        .header_count = 1,
    };
    return OUTCOME_OK;
}

enum outcome letter_audit(const struct letter *letter, struct text topic, int64_t now_us,
                          struct arena *arena, struct outgoing_record *ret_record, struct err *err)
{
    char *name = letter_name(letter, arena), *origin = letter_origin(letter, arena);
    char *unique = arena_printf(arena, "%s#%" PRId64, name, letter->redrive_count + 1);
    if (name == NULL || origin == NULL || unique == NULL)
        return err_no_memory(err, "redrive");
    /* coordinates may be longer than an id */
    struct uuid id = audit_id_of(TEXT(LETTER_AUDIT_SOURCE), text_of(unique));
    char id_text[UUID_TEXT_LENGTH + 1];
    uuid_format(&id, id_text);

    struct buffer line;
    buffer_init(&line, arena);
    struct json_writer json = json_writer_of(&line);
    json_begin_object(&json, NULL);
    json_text(&json, "type", TEXT("dev.catalyst.audit.append.v1"));
    json_text(&json, "source", TEXT(LETTER_AUDIT_SOURCE));
    json_text(&json, "id", text_of(id_text));
    json_begin_object(&json, "data");
    json_text(&json, "category", TEXT("operations"));
    json_text(&json, "action", TEXT("dlq.redriven"));
    json_begin_object(&json, "resource");
    json_text(&json, "type", TEXT("record"));
    json_text(&json, "id", text_of(origin));
    json_end_object(&json);
    json_begin_object(&json, "metadata");
    json_int(&json, "redriveCount", letter->redrive_count + 1);
    json_text(&json, "deadLetter", text_of(name));
    json_text(&json, "stage", letter->stage);
    json_text(&json, "class", letter->class_name);
    json_text(&json, "reason", letter->reason);
    json_end_object(&json);
    json_end_object(&json);
    json_end_object(&json);
    if (line.full)
        return err_no_memory(err, "redrive");
    return command_message_from_json(buffer_text(&line), topic, now_us, arena, ret_record, NULL,
                                     err);
}
