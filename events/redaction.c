#include "events/redaction.h"

#include <jansson.h>

#include "events/command_types.h"
#include "events/envelope.h"
#include "events/wire/base64.h"
#include "events/wire/json_to_msgpack.h"
#include "events/wire/msgpack_reader.h"
#include "events/wire/msgpack_writer.h"

static const char REDACTED[] = "[redacted]";

/* The bytes before `from` are written, changed or not. */
struct redaction {
    struct buffer written;
    const uint8_t *from;
    bool done; /* anything was replaced */
};

static void begin(struct redaction *redaction, struct slice value, struct arena *arena)
{
    buffer_init(&redaction->written, arena);
    redaction->from = value.data;
    redaction->done = false;
}

/* What stood at at[0..length) is about to be written anew. */
static void replace(struct redaction *redaction, const uint8_t *at, size_t length)
{
    buffer_append(&redaction->written, redaction->from, (size_t)(at - redaction->from));
    redaction->from = at + length;
    redaction->done = true;
}

static struct slice finish(struct redaction *redaction, struct slice value)
{
    if (!redaction->done)
        return value;
    buffer_append(&redaction->written, redaction->from,
                  (size_t)(value.data + value.length - redaction->from));
    return buffer_slice(&redaction->written);
}

/* false: not one MessagePack map. A map that the contract refuses, say with a key twice, is one. */
static bool redact_msgpack(struct slice value, struct redaction *redaction)
{
    struct msgpack_reader reader = msgpack_reader_of(value);
    struct msgpack_item map;

    if (msgpack_next(&reader, &map) != MSGPACK_MAP)
        return false;
    for (uint32_t i = 0; i < map.count; i++) {
        struct msgpack_reader ahead = reader;
        struct msgpack_item key;
        struct slice skipped;
        bool is_text = msgpack_next(&ahead, &key) == MSGPACK_TEXT;
        if (!msgpack_take(&reader, &skipped))
            return false;
        bool is_nil = msgpack_peek(&reader) == MSGPACK_NIL;
        if (!msgpack_take(&reader, &skipped))
            return false;
        if (is_text && !is_nil && command_secret_name(msgpack_item_text(&key)) != NULL) {
            replace(redaction, skipped.data, skipped.length);
            msgpack_write_text(&redaction->written, text_of(REDACTED));
        }
    }
    return reader.at == reader.end;
}

/* A cursor over text that jansson has read: it is JSON, only the places are wanted. */
struct scan {
    const char *at;
    const char *end;
};

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && is_space(*scan->at))
        scan->at++;
}

/* Behind the closing quote of the string that begins here. */
static struct text take_string(struct scan *scan)
{
    const char *first = scan->at++;

    while (scan->at < scan->end && *scan->at != '"')
        scan->at += *scan->at == '\\' ? 2 : 1;
    scan->at++;
    return (struct text){first, (size_t)(scan->at - first)};
}

static struct text take_value(struct scan *scan)
{
    const char *first = scan->at;
    size_t depth = 0;

    do {
        char byte = *scan->at;
        if (byte == '"') {
            take_string(scan);
            continue;
        }
        if (depth == 0 && (byte == ',' || byte == ']' || byte == '}' || is_space(byte)))
            break; /* behind a number or a word */
        if (byte == '{' || byte == '[')
            depth++;
        else if (byte == '}' || byte == ']')
            depth--;
        scan->at++;
    } while (scan->at < scan->end &&
             (depth > 0 || (scan->at[-1] != '"' && scan->at[-1] != '}' && scan->at[-1] != ']')));
    return (struct text){first, (size_t)(scan->at - first)};
}

/* One member of the object that is open. false: there is no other. */
static bool take_member(struct scan *scan, struct text *ret_key, struct text *ret_value)
{
    scan->at++; /* the brace or the comma */
    skip_space(scan);
    if (*scan->at == '}')
        return false;
    *ret_key = take_string(scan);
    skip_space(scan);
    scan->at++; /* the colon */
    skip_space(scan);
    *ret_value = take_value(scan);
    skip_space(scan);
    return true;
}

/* The text of a JSON string with its quotes; absent: no string, or the arena is full. */
static struct text unquote(struct text quoted, struct arena *arena)
{
    json_error_t error;
    struct text text = TEXT_ABSENT;

    if (quoted.length < 2 || quoted.data[0] != '"')
        return TEXT_ABSENT;
    if (memchr(quoted.data, '\\', quoted.length) == NULL)
        return (struct text){quoted.data + 1, quoted.length - 2};
    CLEANUP(json_releasep)
    json_t *string =
        json_loadb(quoted.data, quoted.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (string != NULL)
        arena_copy_text(arena, (struct text){json_string_value(string), json_string_length(string)},
                        &text);
    return text;
}

static bool is_json(struct text text)
{
    json_error_t error;
    CLEANUP(json_releasep)
    json_t *value =
        json_loadb(text.data, text.length, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);

    return json_is_object(value);
}

static void redact_object(struct text object, struct redaction *redaction)
{
    struct scan scan = {object.data, object.data + object.length};
    struct text key;
    struct text value;

    while (*scan.at != '}' && take_member(&scan, &key, &value)) {
        if (command_secret_name(unquote(key, redaction->written.arena)) == NULL ||
            text_is(value, "null"))
            continue;
        replace(redaction, (const uint8_t *)value.data, value.length);
        buffer_append_byte(&redaction->written, '"');
        buffer_append_literal(&redaction->written, REDACTED);
        buffer_append_byte(&redaction->written, '"');
    }
}

static struct text trim_front(struct slice value)
{
    struct scan scan = {(const char *)value.data, (const char *)value.data + value.length};

    skip_space(&scan);
    return (struct text){scan.at, (size_t)(scan.end - scan.at)};
}

/* Data of a key.issue. No MessagePack map begins with a byte that JSON may begin with. */
static struct slice redact_data(struct slice value, struct redaction *redaction)
{
    struct text text = trim_front(value);
    struct slice same = value;

    if (text.length > 0 && text.data[0] == '{') {
        if (!is_json(text))
            return same;
        redact_object(text, redaction);
    } else if (!redact_msgpack(value, redaction)) {
        redaction->done = false;
        return same;
    }
    return finish(redaction, value);
}

static void redact_base64(struct text quoted, struct redaction *redaction)
{
    struct arena *arena = redaction->written.arena;
    struct text text = unquote(quoted, arena);
    struct redaction inner;
    struct slice bytes;
    struct err err;

    if (!text_present(text) || base64_decode(text, arena, &bytes, &err) != OUTCOME_OK)
        return;
    begin(&inner, bytes, arena);
    struct slice redacted = redact_data(bytes, &inner);
    redaction->written.full |= inner.written.full;
    if (!inner.done)
        return;
    replace(redaction, (const uint8_t *)quoted.data, quoted.length);
    buffer_append_byte(&redaction->written, '"');
    base64_append(&redaction->written, redacted);
    buffer_append_byte(&redaction->written, '"');
}

static bool is_key_issue(struct text type)
{
    return text_is(type, command_types[KEY_ISSUE_COMMAND].name);
}

static bool event_is_key_issue(struct text event, struct arena *arena)
{
    struct scan scan = {event.data, event.data + event.length};
    struct text key;
    struct text value;

    while (*scan.at != '}' && take_member(&scan, &key, &value)) {
        if (text_is(unquote(key, arena), "type") && is_key_issue(unquote(value, arena)))
            return true;
    }
    return false;
}

static struct slice redact_event(struct slice value, struct redaction *redaction)
{
    struct arena *arena = redaction->written.arena;
    struct text event = trim_front(value);

    if (event.length == 0 || event.data[0] != '{' || !is_json(event) ||
        !event_is_key_issue(event, arena))
        return value;
    struct scan scan = {event.data, event.data + event.length};
    struct text key;
    struct text member;
    while (*scan.at != '}' && take_member(&scan, &key, &member)) {
        struct text name = unquote(key, arena);
        if (text_is(name, "data") && member.data[0] == '{')
            redact_object(member, redaction);
        else if (text_is(name, "data_base64"))
            redact_base64(member, redaction);
    }
    return finish(redaction, value);
}

enum outcome redact_secrets(const struct message *message, struct arena *arena,
                            struct slice *ret_value, bool *ret_redacted, struct err *err)
{
    struct redaction redaction;
    bool typed = false;
    bool issues = false;

    *ret_value = message->value;
    *ret_redacted = false;
    if (message->value.data == NULL)
        return OUTCOME_OK;
    for (size_t i = 0; i < message->header_count; i++) {
        if (!text_is(message->headers[i].name, "ce_type"))
            continue;
        typed = true;
        issues = issues || is_key_issue(text_of_slice(message->headers[i].value));
    }

    begin(&redaction, message->value, arena);
    struct slice value = message->value;
    if (envelope_is_structured(message) || !typed)
        value = redact_event(value, &redaction);
    if (!redaction.done && issues)
        value = redact_data(value, &redaction);
    if (redaction.written.full)
        return err_no_memory(err, "batch arena");
    *ret_value = value;
    *ret_redacted = redaction.done;
    return OUTCOME_OK;
}
