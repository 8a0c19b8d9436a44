#include "events/redacted_body.h"

#include <jansson.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "events/command_types.h"
#include "events/secret_search.h"
#include "events/wire/base64.h"
#include "events/wire/json_to_msgpack.h"
#include "events/wire/msgpack_bounds.h"
#include "events/wire/msgpack_reader.h"
#include "events/wire/msgpack_writer.h"

/* The bytes before `from` are written, changed or not. */
struct redaction {
    struct buffer written;
    const uint8_t *from;
    enum redacted_fields fields;
    bool done; /* anything was replaced */
};

static void begin(struct redaction *redaction, struct slice value, enum redacted_fields fields,
                  struct arena *arena)
{
    buffer_init(&redaction->written, arena);
    redaction->from = value.data;
    redaction->fields = fields;
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

/* --- MessagePack -------------------------------------------------------------------------------
 */

struct level {
    uint64_t left; /* items: keys and values of a map */
    bool is_map;
};

struct walk {
    struct slice body;
    struct level levels[MSGPACK_MAX_DEPTH];
    size_t depth;
    bool displaced; /* the next key may be the secret */
    bool free;      /* below metadata or labels */
    size_t name;    /* where the next name begins that no text has been seen around, and ends */
    size_t behind;
};

static void next_name(struct walk *walk, size_t from)
{
    walk->name = secret_find_name(walk->body, from, &walk->behind);
}

/* Every name lies within a text or a redacted value. One that does not was a text before its head
 * was damaged. false: that is so up to the end of this text or value. */
static bool names_within(struct walk *walk, struct slice whole)
{
    size_t first = (size_t)(whole.data - walk->body.data);
    size_t end = first + whole.length;

    while (walk->name < end) {
        if (walk->name < first || walk->behind > end)
            return false;
        next_name(walk, walk->name + 1);
    }
    return true;
}

/* false: nested too deep. */
static bool enter(struct walk *walk, const struct msgpack_item *item)
{
    bool is_map = item->kind == MSGPACK_MAP;

    if (walk->depth == MSGPACK_MAX_DEPTH)
        return false;
    walk->levels[walk->depth++] =
        (struct level){is_map ? (uint64_t)item->count * 2 : item->count, is_map};
    return true;
}

/* A text that is nothing but a name belongs where keys are: keys and values have changed places. */
static bool take_text(struct walk *walk, struct slice bytes, bool may_be_name)
{
    return utf8_valid(text_of_slice(bytes)) && names_within(walk, bytes) &&
           (may_be_name || !secret_name(text_of_slice(bytes)));
}

static bool take_item(struct walk *walk, const struct msgpack_item *item)
{
    switch (item->kind) {
    case MSGPACK_CUT:
    case MSGPACK_RESERVED:
        return false;
    case MSGPACK_TEXT:
        return take_text(walk, item->bytes, false);
    case MSGPACK_ARRAY:
    case MSGPACK_MAP:
        return enter(walk, item);
    case MSGPACK_BINARY:
    case MSGPACK_EXT:
    case MSGPACK_INT:
    case MSGPACK_BIG_INT:
    case MSGPACK_FLOAT:
    case MSGPACK_NIL:
    case MSGPACK_BOOL:
        break;
    }
    return true;
}

static bool is_searched(const struct redaction *redaction, bool below_own_field)
{
    return redaction->fields == REDACT_ANY_DEPTH ||
           (redaction->fields == REDACT_TOP && !below_own_field);
}

/* A field of key.issue that holds any map: what stands there is the sender's business. */
static bool is_free_field(struct text name)
{
    return text_is(name, "metadata") || text_is(name, "labels");
}

static bool is_own_field(struct text name)
{
    return command_field_name(&command_types[KEY_ISSUE_COMMAND], name) != NULL;
}

static void replace_packed(struct redaction *redaction, struct slice value)
{
    replace(redaction, value.data, value.length);
    msgpack_write_text(&redaction->written, TEXT(REDACTED_TEXT));
}

/* A secret is a text. Where the value is none, something may stand between name and secret: then
 * the secret is the next key. */
static bool take_secret(struct walk *walk, struct text key, struct slice packed,
                        struct msgpack_reader *reader, struct redaction *redaction)
{
    struct msgpack_reader ahead = *reader;
    struct msgpack_item item;
    struct slice value;

    enum msgpack_kind kind = msgpack_next(&ahead, &item);
    if (!msgpack_take(reader, &value) || !names_within(walk, value))
        return false;
    walk->levels[walk->depth - 1].left--;
    bool named = secret_named(key);
    bool is_text = kind == MSGPACK_TEXT || kind == MSGPACK_BINARY;
    walk->displaced = named && (!is_text || item.bytes.length == 0);
    if (!named || secret_name_swallows(key))
        replace_packed(redaction, packed);
    if (kind != MSGPACK_NIL)
        replace_packed(redaction, value);
    return true;
}

/* A key that has been read, at `packed`; its value too when that is redacted. */
static bool take_key(struct walk *walk, struct text key, struct slice packed,
                     struct msgpack_reader *reader, struct redaction *redaction)
{
    bool top = walk->depth == 1;
    bool displaced = walk->displaced && !is_own_field(key);

    if (top)
        walk->free = is_free_field(key);
    walk->displaced = false;
    if (!take_text(walk, slice_of_text(key), true))
        return false;
    if (!is_searched(redaction, walk->free && !top) || (!displaced && !secret_named(key)))
        return true;
    return take_secret(walk, key, packed, reader, redaction);
}

static bool is_msgpack_map(struct slice value)
{
    struct msgpack_reader reader = msgpack_reader_of(value);
    struct msgpack_fault fault;

    return msgpack_peek(&reader) == MSGPACK_MAP && msgpack_check(value, &fault) == OUTCOME_OK;
}

/* false: not one MessagePack map with texts as keys. A map that the contract refuses for another
 * reason, say with a key twice, is one. */
static bool redact_msgpack(struct slice value, struct redaction *redaction)
{
    struct msgpack_reader reader = msgpack_reader_of(value);
    struct walk walk = {.body = value};
    struct msgpack_item item;

    if (redaction->fields == REDACT_NO_FIELD)
        return is_msgpack_map(value);
    next_name(&walk, 0);
    if (msgpack_next(&reader, &item) != MSGPACK_MAP || !enter(&walk, &item))
        return false;
    while (walk.depth > 0) {
        struct level *level = &walk.levels[walk.depth - 1];
        if (level->left == 0) {
            walk.depth--;
            continue;
        }
        level->left--;
        bool is_key = level->is_map && level->left % 2 == 1;
        struct slice packed = {reader.at, 0};
        msgpack_next(&reader, &item);
        packed.length = (size_t)(reader.at - packed.data);
        bool fine = is_key ? item.kind == MSGPACK_TEXT && take_key(&walk, msgpack_item_text(&item),
                                                                   packed, &reader, redaction)
                           : take_item(&walk, &item);
        if (!fine)
            return false;
    }
    return reader.at == reader.end && walk.name == value.length;
}

/* --- JSON --------------------------------------------------------------------------------------
 */

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
        scan->at += *scan->at == '\\' && scan->end - scan->at > 1 ? 2 : 1;
    if (scan->at < scan->end)
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

/* The text of a JSON string with its quotes; absent: no string, or the arena is full, which shows
 * in the redaction. */
static struct text unquote(struct redaction *redaction, struct text quoted)
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
    if (string == NULL ||
        !arena_copy_text(redaction->written.arena,
                         (struct text){json_string_value(string), json_string_length(string)},
                         &text))
        redaction->written.full = true;
    return text;
}

/* jansson takes a NUL byte for the end of the text in some places. */
static bool is_json_object(struct text text)
{
    json_error_t error;

    if (text.length == 0 || text.data[0] != '{' || memchr(text.data, '\0', text.length) != NULL)
        return false;
    CLEANUP(json_releasep)
    json_t *value =
        json_loadb(text.data, text.length, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);
    return json_is_object(value);
}

static void replace_text(struct redaction *redaction, struct text value)
{
    replace(redaction, (const uint8_t *)value.data, value.length);
    buffer_append_byte(&redaction->written, '"');
    buffer_append_literal(&redaction->written, REDACTED_TEXT);
    buffer_append_byte(&redaction->written, '"');
}

/* The data of an event. What cannot be decoded is replaced whole, unless the event is of another
 * known type and nothing in it speaks of a secret. */
static void redact_base64(struct redaction *redaction, struct text quoted)
{
    struct arena *arena = redaction->written.arena;
    bool other_type = redaction->fields == REDACT_NO_FIELD;
    struct text text = unquote(redaction, quoted);
    struct slice bytes;
    struct err err;

    if (!text_present(text) || base64_decode(text, arena, &bytes, &err) != OUTCOME_OK) {
        if (!other_type)
            replace_text(redaction, quoted);
        return;
    }
    struct redacted_body inner = redact_body(bytes, redaction->fields, arena);
    redaction->written.full |= inner.full;
    if (!inner.well_formed && (inner.redacted || !other_type)) {
        replace_text(redaction, quoted);
        return;
    }
    if (!inner.redacted)
        return;
    replace(redaction, (const uint8_t *)quoted.data, quoted.length);
    buffer_append_byte(&redaction->written, '"');
    base64_append(&redaction->written, inner.bytes);
    buffer_append_byte(&redaction->written, '"');
}

/* Where the cursor is among the braces. */
struct place {
    size_t depth;
    size_t top; /* depth of the fields of the command: 2 below "data" of an event, else 1 */
    bool free;  /* below metadata or labels */
};

/* A value that is judged as a whole. */
static void judge_value(struct redaction *redaction, struct text key, struct text value,
                        bool is_secret, bool is_data)
{
    struct slice bytes = slice_of_text(value);

    if (text_is(value, "null"))
        return;
    if (!is_secret && secret_named_base64(key)) {
        redact_base64(redaction, value);
        return;
    }
    /* data that is no object, and a body in base 64 where none may be */
    bool speaks =
        redaction->fields != REDACT_NO_FIELD &&
        (secret_encoded(bytes) < value.length || (is_data && secret_find(bytes) < value.length));
    if (is_secret || speaks)
        replace_text(redaction, value);
}

/* The cursor stands before the value of `quoted_key`; it moves behind a value that is judged as a
 * whole. */
static void judge_member(struct redaction *redaction, struct text quoted_key, struct scan *scan,
                         struct place *place)
{
    struct text key = unquote(redaction, quoted_key);
    /* As it is written: "\token", a tab and "oken", is a name that damage reached. */
    struct text inner = {quoted_key.data + 1, quoted_key.length - 2};
    bool is_data = place->depth == 1 && text_is(key, "data");

    if (place->depth < place->top)
        place->top = 1;
    if (place->depth == place->top)
        place->free = is_free_field(key);
    bool below_own = place->free && place->depth > place->top;
    bool is_secret = is_searched(redaction, below_own) && secret_named(inner);
    if (is_secret && secret_name_swallows(inner) && secret_name_swallows(key))
        replace_text(redaction, quoted_key);
    if (is_data && *scan->at == '{')
        place->top = 2;
    else if (is_data || is_secret || (secret_named_base64(key) && !below_own) ||
             (*scan->at == '"' && is_searched(redaction, below_own)))
        judge_value(redaction, key, take_value(scan), is_secret, is_data);
}

static void redact_json(struct text json, struct redaction *redaction)
{
    struct scan scan = {json.data, json.data + json.length};
    struct place place = {.depth = 0, .top = 1};

    while (scan.at < scan.end) {
        if (*scan.at == '"') {
            struct text string = take_string(&scan);
            skip_space(&scan);
            if (scan.at == scan.end || *scan.at != ':')
                continue;
            scan.at++;
            skip_space(&scan);
            if (scan.at < scan.end)
                judge_member(redaction, string, &scan, &place);
            continue;
        }
        if (*scan.at == '{' || *scan.at == '[')
            place.depth++;
        else if ((*scan.at == '}' || *scan.at == ']') && place.depth > 0)
            place.depth--;
        scan.at++;
    }
}

/* --- both --------------------------------------------------------------------------------------
 */

static struct text trim_front(struct slice value)
{
    struct scan scan = {(const char *)value.data, (const char *)value.data + value.length};

    skip_space(&scan);
    return (struct text){scan.at, (size_t)(scan.end - scan.at)};
}

/* No MessagePack map begins with a byte that JSON may begin with. */
static bool redact_well_formed(struct slice bytes, struct redaction *redaction)
{
    struct text text = trim_front(bytes);

    if (!is_json_object(text))
        return redact_msgpack(bytes, redaction);
    redact_json(text, redaction);
    return true;
}

struct redacted_body redact_body(struct slice bytes, enum redacted_fields fields,
                                 struct arena *arena)
{
    struct redaction redaction;

    begin(&redaction, bytes, fields, arena);
    bool well_formed = redact_well_formed(bytes, &redaction);
    bool full = redaction.written.full;
    if (!well_formed) {
        begin(&redaction, bytes, fields, arena);
        size_t place = secret_find(bytes);
        if (place < bytes.length) {
            replace(&redaction, bytes.data + place, bytes.length - place);
            buffer_append_literal(&redaction.written, REDACTED_TEXT);
        }
    }
    struct slice redacted = finish(&redaction, bytes);
    return (struct redacted_body){redacted, redaction.done, well_formed,
                                  full || redaction.written.full};
}
