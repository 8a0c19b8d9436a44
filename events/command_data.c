/* The data of a command into its record, driven by the record's declaration. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/timestamp.h"
#include "base/utf8.h"
#include "events/commands.h"
#include "events/wire/distinct.h"
#include "events/wire/msgpack_bounds.h"
#include "events/wire/msgpack_reader.h"
#include "events/wire/msgpack_to_json.h"
#include "events/wire/msgpack_writer.h"

struct decoder {
    struct arena *arena;
    struct err *err;
};

/* Where a value stands: "profile.name", "groupIds[3]". Only names that the contract declares. */
struct place {
    const char *outer; /* NULL: at the top */
    const char *name;
    size_t index; /* of an element; NO_INDEX: not one */
};
#define NO_INDEX SIZE_MAX

/* The fields that a map may hold, and where they go. */
struct shape {
    const char *name; /* NULL: the data itself */
    const struct field_spec *fields;
    size_t field_count;
    size_t use;
};

static enum outcome refuse(const struct decoder *decoder, struct place place, const char *format,
                           ...) __attribute__((format(printf, 3, 4)));

static enum outcome refuse(const struct decoder *decoder, struct place place, const char *format,
                           ...)
{
    char rule[256];
    char index[24] = "";
    va_list args;

    va_start(args, format);
    vsnprintf(rule, sizeof(rule), format, args);
    va_end(args);
    if (place.index != NO_INDEX)
        snprintf(index, sizeof(index), "[%zu]", place.index);
    return err_set(decoder->err, OUTCOME_REJECT, "field", "%s%s%s%s: %s",
                   place.outer != NULL ? place.outer : "", place.outer != NULL ? "." : "",
                   place.name, index, rule);
}

static enum outcome no_room(const struct decoder *decoder)
{
    return err_no_memory(decoder->err, "batch arena");
}

static enum outcome decode_text(const struct decoder *decoder, struct place place,
                                enum field_kind kind, struct msgpack_reader *reader,
                                struct text *ret_text)
{
    const struct field_bounds bounds = field_bounds(kind);
    struct msgpack_item item;

    if (msgpack_next(reader, &item) != MSGPACK_TEXT)
        return refuse(decoder, place, "must be text");
    struct text text = msgpack_item_text(&item);
    if (text.length < bounds.min_bytes || text.length > bounds.max_bytes)
        return refuse(decoder, place, "must be %zu to %zu bytes", bounds.min_bytes,
                      bounds.max_bytes);
    if ((kind == FIELD_ID || kind == FIELD_LONG_ID) && utf8_has_control(text))
        return refuse(decoder, place, "must not contain control characters");
    *ret_text = text;
    return OUTCOME_OK;
}

static enum outcome refuse_choice(const struct decoder *decoder, struct place place,
                                  const char *const *choices)
{
    char listed[128] = "";
    size_t length = 0;

    for (size_t i = 0; choices[i] != NULL; i++) {
        int added = snprintf(listed + length, sizeof(listed) - length, "%s%s", i > 0 ? ", " : "",
                             choices[i]);
        length += (size_t)added;
        assert(length < sizeof(listed));
    }
    return refuse(decoder, place, "must be one of %s", listed);
}

static enum outcome decode_choice(const struct decoder *decoder, struct place place,
                                  const char *const *choices, struct msgpack_reader *reader,
                                  struct text *ret_text)
{
    struct msgpack_item item;

    if (msgpack_next(reader, &item) != MSGPACK_TEXT)
        return refuse(decoder, place, "must be text");
    for (size_t i = 0; choices[i] != NULL; i++) {
        if (text_is(msgpack_item_text(&item), choices[i])) {
            *ret_text = text_of(choices[i]);
            return OUTCOME_OK;
        }
    }
    return refuse_choice(decoder, place, choices);
}

static enum outcome decode_time(const struct decoder *decoder, struct place place,
                                struct msgpack_reader *reader, int64_t *ret_us)
{
    struct msgpack_item item;

    enum msgpack_kind kind = msgpack_next(reader, &item);
    enum timestamp_verdict verdict = TIMESTAMP_NOT_RFC_3339;
    if (kind == MSGPACK_TEXT)
        verdict = timestamp_read(msgpack_item_text(&item), ret_us);
    else if (kind == MSGPACK_EXT && item.ext_type == MSGPACK_EXT_TIMESTAMP)
        verdict = msgpack_item_time(&item, ret_us) ? TIMESTAMP_OK : TIMESTAMP_OUT_OF_RANGE;
    if (verdict == TIMESTAMP_OK)
        return OUTCOME_OK;
    return refuse(decoder, place,
                  verdict == TIMESTAMP_OUT_OF_RANGE
                      ? "must be in the years 1 to 9999 (UTC)"
                      : "must be an RFC 3339 time or a MessagePack timestamp");
}

static enum outcome decode_id_list(const struct decoder *decoder, struct place place,
                                   struct msgpack_reader *reader, struct text_list *ret_list)
{
    struct msgpack_item item;

    assert(ret_list != NULL); /* lists are never parts that are only checked */
    if (msgpack_next(reader, &item) != MSGPACK_ARRAY)
        return refuse(decoder, place, "must be an array of texts");
    struct text *items = ARENA_ARRAY(decoder->arena, struct text, item.count);
    if (items == NULL)
        return no_room(decoder);
    for (uint32_t i = 0; i < item.count; i++) {
        place.index = i;
        enum outcome outcome = decode_text(decoder, place, FIELD_ID, reader, &items[i]);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    *ret_list = (struct text_list){items, item.count};
    return OUTCOME_OK;
}

/* Takes one map whole, in both forms; ret_document NULL: only looks. */
static enum outcome decode_document(const struct decoder *decoder, struct place place,
                                    struct msgpack_reader *reader, struct document *ret_document)
{
    struct slice value;
    struct buffer json;

    if (msgpack_peek(reader) != MSGPACK_MAP)
        return refuse(decoder, place, "must be a map");
    bool whole = msgpack_take(reader, &value);
    assert(whole);
    if (ret_document == NULL)
        return OUTCOME_OK;
    buffer_init(&json, decoder->arena);
    const char *rule = msgpack_to_json(&json, value, JSON_STORED);
    if (rule != NULL)
        return refuse(decoder, place, "%s", rule);
    if (json.full)
        return no_room(decoder);
    buffer_trim(&json);
    *ret_document = (struct document){.json = buffer_text(&json), .packed = value};
    return OUTCOME_OK;
}

static enum outcome decode_labels(const struct decoder *decoder, struct place place,
                                  struct msgpack_reader *reader, struct document *ret_document)
{
    struct msgpack_reader ahead = *reader;
    struct msgpack_item item;
    struct msgpack_item value;

    if (msgpack_next(&ahead, &item) != MSGPACK_MAP)
        return refuse(decoder, place, "must be a map");
    for (uint32_t i = 0; i < item.count; i++) {
        msgpack_next(&ahead, &value); /* the key, a text: msgpack_check() */
        enum msgpack_kind kind = msgpack_next(&ahead, &value);
        if (kind != MSGPACK_TEXT && kind != MSGPACK_BOOL && kind != MSGPACK_INT &&
            kind != MSGPACK_BIG_INT && kind != MSGPACK_FLOAT)
            return refuse(decoder, place, "values must be text, numbers or booleans");
    }
    return decode_document(decoder, place, reader, ret_document);
}

static enum outcome decode_fields(const struct decoder *decoder, const struct shape *shape,
                                  struct msgpack_reader *reader, void *record);

/* {kind, id} of a struct ref. */
static enum outcome decode_ref(const struct decoder *decoder, const struct field_spec *field,
                               struct msgpack_reader *reader, struct ref *ret_ref)
{
    const struct field_spec parts[] = {
        {"kind",
         NULL,
         FIELD_CHOICE,
         offsetof(struct ref, kind),
         {FIELD_REQUIRED},
         .choices = field->choices},
        {"id", NULL, FIELD_ID, offsetof(struct ref, id), {FIELD_REQUIRED}},
    };
    const struct shape shape = {field_wire_name(field), parts, 2, 0};

    return decode_fields(decoder, &shape, reader, ret_ref);
}

/* {type, id?, labels?} of a struct party, and the map as it came: services on data-postgres write
 * long ids and nested labels. */
static enum outcome decode_party(const struct decoder *decoder, const struct field_spec *field,
                                 struct msgpack_reader *reader, struct party *ret_party)
{
    const struct field_spec parts[] = {
        {"type", NULL, FIELD_ID, offsetof(struct party, type), {FIELD_REQUIRED}},
        {"id",
         NULL,
         FIELD_LONG_ID,
         offsetof(struct party, id),
         {field->party_id_required ? FIELD_REQUIRED : FIELD_OPTIONAL}},
        {"labels", NULL, FIELD_MAP, FIELD_NO_OFFSET, {FIELD_OPTIONAL}},
    };
    const struct shape shape = {field_wire_name(field), parts, 3, 0};
    struct msgpack_reader ahead = *reader;

    enum outcome outcome = decode_fields(decoder, &shape, &ahead, ret_party);
    if (outcome != OUTCOME_OK)
        return outcome;
    return decode_document(decoder, (struct place){NULL, shape.name, NO_INDEX}, reader,
                           &ret_party->whole);
}

static enum outcome decode_object(const struct decoder *decoder, const struct field_spec *field,
                                  struct msgpack_reader *reader, struct document *ret_document)
{
    const struct shape shape = {field_wire_name(field), field->parts, field->part_count, 0};
    struct msgpack_reader ahead = *reader;

    enum outcome outcome = decode_fields(decoder, &shape, &ahead, NULL);
    if (outcome != OUTCOME_OK)
        return outcome;
    return decode_document(decoder, (struct place){NULL, shape.name, NO_INDEX}, reader,
                           ret_document);
}

static enum outcome decode_field(const struct decoder *decoder, const struct shape *shape,
                                 const struct field_spec *field, struct msgpack_reader *reader,
                                 void *record)
{
    const struct place place = {shape->name, field_wire_name(field), NO_INDEX};
    struct text unkept; /* of a part that is only checked */
    bool kept = field->offset != FIELD_NO_OFFSET;
    void *slot = kept ? field_of(field, record) : NULL;

    switch (field->kind) {
    case FIELD_ID:
    case FIELD_LONG_ID:
    case FIELD_EMAIL:
    case FIELD_NAME:
    case FIELD_TEXT:
        return decode_text(decoder, place, field->kind, reader, kept ? slot : &unkept);
    case FIELD_CHOICE:
        return decode_choice(decoder, place, field->choices, reader, kept ? slot : &unkept);
    case FIELD_TIME:
        return decode_time(decoder, place, reader, slot);
    case FIELD_ID_LIST:
        return decode_id_list(decoder, place, reader, slot);
    case FIELD_LABELS:
        return decode_labels(decoder, place, reader, slot);
    case FIELD_MAP:
        return decode_document(decoder, place, reader, slot);
    case FIELD_OBJECT:
        return decode_object(decoder, field, reader, slot);
    case FIELD_REF:
        return decode_ref(decoder, field, reader, slot);
    case FIELD_PARTY:
        return decode_party(decoder, field, reader, slot);
    case FIELD_COUNT:
        break;
    }
    assert(false && "no command gives such a field");
    return OUTCOME_FATAL;
}

/* Senders tend to write fields in the order of the contract: the search begins where the last one
 * ended. */
static const struct field_spec *find_field(const struct shape *shape, struct text key,
                                           size_t *position)
{
    for (size_t tried = 0; tried < shape->field_count; tried++) {
        size_t at = *position;
        *position = at + 1 < shape->field_count ? at + 1 : 0;
        const struct field_spec *field = &shape->fields[at];
        if (field->use[shape->use] != FIELD_NOT_GIVEN && text_is(key, field_wire_name(field)))
            return field;
    }
    return NULL;
}

static enum outcome decode_fields(const struct decoder *decoder, const struct shape *shape,
                                  struct msgpack_reader *reader, void *record)
{
    struct msgpack_item map;
    struct msgpack_item key;
    struct slice ignored;
    uint64_t seen = 0;
    size_t position = 0;

    assert(shape->field_count <= 64);
    if (msgpack_next(reader, &map) != MSGPACK_MAP) {
        if (shape->name == NULL)
            return err_set(decoder->err, OUTCOME_REJECT, "body", "body: must be a map");
        return refuse(decoder, (struct place){NULL, shape->name, NO_INDEX}, "must be a map");
    }
    for (uint32_t i = 0; i < map.count; i++) {
        msgpack_next(reader, &key);
        const struct field_spec *field = find_field(shape, msgpack_item_text(&key), &position);
        if (field == NULL || msgpack_peek(reader) == MSGPACK_NIL) {
            bool whole = msgpack_take(reader, &ignored);
            assert(whole);
            continue;
        }
        seen |= UINT64_C(1) << (field - shape->fields);
        enum outcome outcome = decode_field(decoder, shape, field, reader, record);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    for (size_t i = 0; i < shape->field_count; i++) {
        const struct field_spec *field = &shape->fields[i];
        if (field->use[shape->use] == FIELD_REQUIRED && (seen >> i & 1) == 0)
            return refuse(decoder, (struct place){shape->name, field_wire_name(field), NO_INDEX},
                          "missing");
    }
    return OUTCOME_OK;
}

static void fill_empty(const struct field_spec *field, void *record)
{
    static const uint8_t empty_map[] = {0x80};
    static const struct text no_items[1];

    if (field->kind == FIELD_ID_LIST) {
        struct text_list *list = field_of(field, record);
        if (list->items == NULL)
            *list = (struct text_list){no_items, 0};
        return;
    }
    struct document *document = field_of(field, record);
    if (!text_present(document->json))
        *document = (struct document){TEXT("{}"), {empty_map, sizeof(empty_map)}};
}

static void fill_time(const struct field_spec *field, void *record, int64_t time_us)
{
    int64_t *us = field_of(field, record);

    if (*us != TIMESTAMP_ABSENT)
        return;
    *us = time_us;
    if (field->absent == ABSENT_KEEP)
        *(bool *)((char *)record + field->keep_offset) = true;
}

static void fill_absent(const struct command_type *type, void *record, int64_t time_us)
{
    for (size_t i = 0; i < type->record->field_count; i++) {
        const struct field_spec *field = &type->record->fields[i];
        bool given = field->use[type->use] != FIELD_NOT_GIVEN;
        if (field->absent == ABSENT_EMPTY && given)
            fill_empty(field, record);
        else if (field->absent == ABSENT_KEEP ? given : field_takes_command_time(field, type->use))
            fill_time(field, record, time_us);
    }
}

/* Only the hash of a key ever travels. */
static enum outcome check_secrets(const struct decoder *decoder, struct slice data)
{
    struct msgpack_reader reader = msgpack_reader_of(data);
    struct msgpack_item map;
    struct msgpack_item key;
    struct slice value;

    if (msgpack_next(&reader, &map) != MSGPACK_MAP)
        return OUTCOME_OK;
    for (uint32_t i = 0; i < map.count; i++) {
        msgpack_next(&reader, &key);
        const char *name = command_secret_name(msgpack_item_text(&key));
        bool given = msgpack_peek(&reader) != MSGPACK_NIL;
        bool whole = msgpack_take(&reader, &value);
        assert(whole);
        if (name != NULL && given)
            return err_set(decoder->err, OUTCOME_REJECT, "secret",
                           "%s: a key's secret must not be sent, only its hash", name);
    }
    return OUTCOME_OK;
}

static enum outcome finish_key(const struct decoder *decoder, const struct envelope *envelope,
                               struct key *key)
{
    if (!text_present(key->id)) {
        const struct uuid id = key_id_of(envelope->source, envelope->id);
        char *text = arena_alloc(decoder->arena, UUID_TEXT_LENGTH + 1);
        if (text == NULL)
            return no_room(decoder);
        uuid_format(&id, text);
        key->id = (struct text){text, UUID_TEXT_LENGTH};
    }

    struct text *scopes = ARENA_ARRAY(decoder->arena, struct text, key->scopes.count);
    if (scopes == NULL)
        return no_room(decoder);
    for (size_t i = 0; i < key->scopes.count; i++)
        scopes[i] = key->scopes.items[i];
    key->scopes.items = scopes;
    if (!texts_deduplicate(scopes, &key->scopes.count, decoder->arena))
        return no_room(decoder);
    return OUTCOME_OK;
}

/* A float 32 takes nine bytes in the event for its five here, so that a body within bounds may
 * still give an event that Kafka does not take. */
static enum outcome check_event_fits(const struct decoder *decoder, const struct audit_entry *entry,
                                     struct slice data)
{
    struct buffer canonical;

    if (data.length <= (size_t)MSGPACK_MAX_BYTES / 9 * 5)
        return OUTCOME_OK;
    const struct slice values[] = {entry->actor.whole.packed, entry->subject.whole.packed,
                                   entry->resource.whole.packed, entry->metadata.packed};
    buffer_init(&canonical, decoder->arena);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (values[i].data != NULL)
            msgpack_write_canonical(&canonical, values[i]);
    }
    if (canonical.full)
        return no_room(decoder);
    if (canonical.length > MSGPACK_MAX_BYTES)
        return refuse(decoder, (struct place){NULL, "metadata", NO_INDEX},
                      "with its floats in 64 bits it is too long for an audit event");
    return OUTCOME_OK;
}

enum outcome command_decode_data(const struct command_type *type, const struct envelope *envelope,
                                 struct slice data, struct arena *arena, void **ret_record,
                                 struct err *err)
{
    const struct decoder decoder = {arena, err};
    const struct shape shape = {NULL, type->record->fields, type->record->field_count, type->use};
    struct msgpack_reader reader = msgpack_reader_of(data);
    enum outcome outcome = OUTCOME_OK;

    if (type->refuses_secrets)
        outcome = check_secrets(&decoder, data);
    if (outcome != OUTCOME_OK)
        return outcome;

    void *record = arena_alloc(arena, type->record->size);
    if (record == NULL)
        return no_room(&decoder);
    record_clear(type->record, record);
    outcome = decode_fields(&decoder, &shape, &reader, record);
    if (outcome != OUTCOME_OK)
        return outcome;
    fill_absent(type, record, envelope->time_us);
    if (type->makes_id)
        outcome = finish_key(&decoder, envelope, record);
    else if (type->as_given)
        outcome = check_event_fits(&decoder, record, data);
    if (outcome == OUTCOME_OK)
        *ret_record = record;
    return outcome;
}
