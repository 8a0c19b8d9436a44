/* The audit event that answers a command. */
#include <assert.h>

#include "base/timestamp.h"
#include "events/commands.h"
#include "events/rejections.h"
#include "events/wire/msgpack_to_json.h"
#include "events/wire/msgpack_writer.h"

struct teller {
    const struct command *command;
    const void *row; /* what the command found or removed; NULL: nothing to tell of it */
    struct arena *arena;
    struct err *err;
};

static enum outcome no_room(const struct teller *teller)
{
    return err_no_memory(teller->err, "batch arena");
}

/* `packed` is canonical. */
static enum outcome set_document(const struct teller *teller, struct buffer *packed,
                                 struct document *ret_document)
{
    struct buffer json;

    if (packed->full)
        return no_room(teller);
    buffer_trim(packed);
    buffer_init(&json, teller->arena);
    const char *rule = msgpack_to_json(&json, buffer_slice(packed), JSON_STORED);
    assert(rule == NULL);
    if (json.full)
        return no_room(teller);
    buffer_trim(&json);
    *ret_document = (struct document){buffer_text(&json), buffer_slice(packed)};
    return OUTCOME_OK;
}

static void write_pair(struct buffer *packed, const char *name, struct text value)
{
    msgpack_write_text(packed, text_of(name));
    msgpack_write_text(packed, value);
}

/* {type, id}; nothing when there is no id. */
static enum outcome set_party(const struct teller *teller, struct text type, struct text id,
                              struct document *ret_document)
{
    struct buffer packed;

    if (!text_present(type) || !text_present(id))
        return OUTCOME_OK;
    buffer_init(&packed, teller->arena);
    msgpack_write_map(&packed, 2);
    write_pair(&packed, "type", type);
    write_pair(&packed, "id", id);
    return set_document(teller, &packed, ret_document);
}

/* What a command gave, in canonical form. */
static enum outcome copy_document(const struct teller *teller, const struct document *given,
                                  struct document *ret_document)
{
    struct buffer packed;

    if (!text_present(given->json))
        return OUTCOME_OK;
    buffer_init(&packed, teller->arena);
    msgpack_write_canonical(&packed, given->packed);
    if (packed.full)
        return no_room(teller);
    buffer_trim(&packed);
    *ret_document = (struct document){given->json, buffer_slice(&packed)};
    return OUTCOME_OK;
}

static const struct field_spec *field_named(const struct command_type *type, const char *name)
{
    for (size_t i = 0; i < type->record->field_count; i++) {
        if (strcmp(field_wire_name(&type->record->fields[i]), name) == 0)
            return &type->record->fields[i];
    }
    assert(false && "a name that the record does not declare");
    return NULL;
}

/* A field counts as the command gives it; what the command cannot give is the row's. NULL: neither
 * knows. */
static const void *value_of(const struct teller *teller, const struct field_spec *field)
{
    const struct command *command = teller->command;

    if (field->use[command->type->use] != FIELD_NOT_GIVEN)
        return field_of_const(field, command->record);
    return teller->row != NULL ? field_of_const(field, teller->row) : NULL;
}

static struct text text_named(const struct teller *teller, const char *name)
{
    const struct text *value = value_of(teller, field_named(teller->command->type, name));
    return value != NULL ? *value : TEXT_ABSENT;
}

static enum outcome set_subject(const struct teller *teller, struct document *ret_document)
{
    const struct command_type *type = teller->command->type;

    if (type->subject_type != NULL)
        return set_party(teller, text_of(type->subject_type),
                         text_named(teller, type->subject_field), ret_document);
    if (type->subject_type_field != NULL)
        return set_party(teller, text_named(teller, type->subject_type_field),
                         text_named(teller, type->subject_field), ret_document);
    const struct ref *ref = value_of(teller, field_named(type, type->subject_field));
    if (ref == NULL)
        return OUTCOME_OK;
    return set_party(teller, ref->kind, ref->id, ret_document);
}

static bool is_there(const struct field_spec *field, const void *value)
{
    if (value == NULL)
        return false;
    if (field->kind == FIELD_TIME)
        return *(const int64_t *)value != TIMESTAMP_ABSENT;
    if (field->kind == FIELD_ID_LIST)
        return ((const struct text_list *)value)->items != NULL;
    if (field->kind == FIELD_REF)
        return text_present(((const struct ref *)value)->kind);
    if (field->kind == FIELD_COUNT)
        return true;
    return text_present(*(const struct text *)value);
}

static void write_list(struct buffer *packed, const struct text_list *list)
{
    msgpack_write_array(packed, (uint32_t)list->count);
    for (size_t i = 0; i < list->count; i++)
        msgpack_write_text(packed, list->items[i]);
}

static void write_value(struct buffer *packed, const struct field_spec *field, const void *value)
{
    switch (field->kind) {
    case FIELD_ID:
    case FIELD_LONG_ID:
    case FIELD_EMAIL:
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_CHOICE:
        msgpack_write_text(packed, *(const struct text *)value);
        return;
    case FIELD_TIME:
        msgpack_write_time(packed, *(const int64_t *)value);
        return;
    case FIELD_COUNT:
        msgpack_write_int(packed, *(const int64_t *)value);
        return;
    case FIELD_ID_LIST:
        write_list(packed, value);
        return;
    case FIELD_REF:
        msgpack_write_map(packed, 2);
        write_pair(packed, "kind", ((const struct ref *)value)->kind);
        write_pair(packed, "id", ((const struct ref *)value)->id);
        return;
    case FIELD_LABELS:
    case FIELD_MAP:
    case FIELD_OBJECT:
    case FIELD_PARTY:
        break;
    }
    assert(false && "free maps may hold personal data: no event tells them");
}

static enum outcome set_metadata(const struct teller *teller, struct document *ret_document)
{
    const struct command_type *type = teller->command->type;
    const struct field_spec *fields[COMMAND_METADATA_MAX];
    struct buffer packed;
    uint32_t count = 0;

    for (size_t i = 0; i < COMMAND_METADATA_MAX && type->metadata[i] != NULL; i++) {
        const struct field_spec *field = field_named(type, type->metadata[i]);
        if (is_there(field, value_of(teller, field)))
            fields[count++] = field;
    }
    if (count == 0)
        return OUTCOME_OK;
    buffer_init(&packed, teller->arena);
    msgpack_write_map(&packed, count);
    for (uint32_t i = 0; i < count; i++) {
        msgpack_write_text(&packed, text_of(field_wire_name(fields[i])));
        write_value(&packed, fields[i], value_of(teller, fields[i]));
    }
    return set_document(teller, &packed, ret_document);
}

static enum outcome set_error(const struct teller *teller, const char *code,
                              struct document *ret_document)
{
    const struct rejection *rejection = rejection_find(code);
    struct buffer packed;

    assert(rejection != NULL);
    buffer_init(&packed, teller->arena);
    msgpack_write_map(&packed, 3);
    write_pair(&packed, "code", text_of(rejection->code));
    write_pair(&packed, "message", text_of(rejection->message));
    msgpack_write_text(&packed, TEXT("details"));
    msgpack_write_map(&packed, 1);
    write_pair(&packed, "field", text_of(rejection->field));
    return set_document(teller, &packed, ret_document);
}

/* What the envelope says, whatever the command. */
static enum outcome begin_event(const struct teller *teller, struct audit_event *event)
{
    const struct envelope *envelope = &teller->command->envelope;

    *event = (struct audit_event){
        .id = teller->command->audit_id,
        .occurred_at_us = envelope->time_us,
        .correlation_id = envelope->correlation_id,
        .command_source = envelope->source,
        .command_id = envelope->id,
        .command_type = envelope->type,
        .command_digest = teller->command->digest,
        .traceparent = envelope->traceparent,
        .tracestate = envelope->tracestate,
        .carried_correlation_id = envelope->correlation_id,
    };
    return set_party(teller, envelope->auth_type, envelope->auth_id, &event->actor);
}

static enum outcome uuid_entity(const struct teller *teller, const struct uuid *uuid,
                                struct audit_event *event)
{
    char *text = arena_alloc(teller->arena, UUID_TEXT_LENGTH + 1);

    if (text == NULL)
        return no_room(teller);
    uuid_format(uuid, text);
    event->entity = (struct text){text, UUID_TEXT_LENGTH};
    return OUTCOME_OK;
}

/* Id of the resource, else of the subject, else the envelope's subject, else the event's own. */
static enum outcome set_entity(const struct teller *teller, struct text resource_id,
                               struct text subject_id, struct audit_event *event)
{
    struct text entity = teller->command->envelope.subject;

    if (text_present(resource_id))
        entity = resource_id;
    else if (text_present(subject_id))
        entity = subject_id;
    if (!text_present(entity))
        return uuid_entity(teller, &event->id, event);
    if (entity.length > COMMAND_ENTITY_MAX_BYTES) {
        const struct uuid id = entity_id_of(entity);
        return uuid_entity(teller, &id, event);
    }
    event->entity = entity;
    return OUTCOME_OK;
}

static enum outcome set_resource(const struct teller *teller, struct audit_event *event)
{
    const struct command_type *type = teller->command->type;
    struct text id = text_named(teller, "id");

    enum outcome outcome = set_party(teller, text_of(type->record->name), id, &event->resource);
    if (outcome != OUTCOME_OK)
        return outcome;
    return set_entity(teller, id, TEXT_ABSENT, event);
}

/* An audit.append says what it says; the envelope fills in for actor and correlation. */
static enum outcome tell_entry(const struct teller *teller, bool applied, struct audit_event *event)
{
    const struct audit_entry *entry = teller->command->record;

    if (applied) {
        event->category = entry->category;
        event->action = entry->action;
    }
    event->occurred_at_us = entry->occurred_at_us;
    if (text_present(entry->correlation_id))
        event->correlation_id = entry->correlation_id;
    const struct {
        const struct document *given;
        struct document *told;
    } documents[] = {
        {&entry->actor.whole, &event->actor},
        {&entry->subject.whole, &event->subject},
        {&entry->resource.whole, &event->resource},
        {&entry->metadata, applied ? &event->metadata : NULL},
    };
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        if (documents[i].told == NULL)
            continue;
        enum outcome outcome = copy_document(teller, documents[i].given, documents[i].told);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return set_entity(teller, entry->resource.id, entry->subject.id, event);
}

/* A rejected command changed nothing: the event has no metadata. */
static enum outcome tell_record(const struct teller *teller, bool applied,
                                struct audit_event *event)
{
    enum outcome outcome = set_subject(teller, &event->subject);

    if (outcome == OUTCOME_OK)
        outcome = set_resource(teller, event);
    if (outcome == OUTCOME_OK && applied)
        outcome = set_metadata(teller, &event->metadata);
    return outcome;
}

enum outcome command_event(const struct command *command, const struct command_result *result,
                           struct arena *arena, struct audit_event *ret_event, struct err *err)
{
    const struct command_type *type = command->type;
    const bool applied = result->rejection == NULL;
    const struct teller teller = {command, applied ? result->row : NULL, arena, err};
    const bool creating = type->created_action != NULL && (result->created || !applied);

    enum outcome outcome = begin_event(&teller, ret_event);
    if (outcome != OUTCOME_OK)
        return outcome;
    ret_event->category = text_of(type->category);
    ret_event->action = text_of(creating ? type->created_action : type->applied_action);
    ret_event->outcome = text_of(applied ? "applied" : "rejected");
    outcome = type->as_given ? tell_entry(&teller, applied, ret_event)
                             : tell_record(&teller, applied, ret_event);
    if (outcome == OUTCOME_OK && !applied)
        outcome = set_error(&teller, result->rejection, &ret_event->error);
    return outcome;
}

enum outcome command_conflict_event(const struct command *command, struct arena *arena,
                                    struct audit_event *ret_event, struct err *err)
{
    const struct teller teller = {command, NULL, arena, err};
    const struct envelope *envelope = &command->envelope;

    enum outcome outcome = begin_event(&teller, ret_event);
    if (outcome != OUTCOME_OK)
        return outcome;
    ret_event->id = conflict_id_of(envelope->source, envelope->id, &command->digest);
    ret_event->category = TEXT("command");
    ret_event->action = TEXT(ACTION_CONFLICTED);
    ret_event->outcome = TEXT("rejected");
    if (command->type->as_given) {
        const struct audit_entry *entry = command->record;
        outcome = copy_document(&teller, &entry->resource.whole, &ret_event->resource);
        if (outcome == OUTCOME_OK)
            outcome = set_entity(&teller, entry->resource.id, TEXT_ABSENT, ret_event);
    } else {
        outcome = set_resource(&teller, ret_event);
    }
    if (outcome != OUTCOME_OK)
        return outcome;
    return set_error(&teller, REJECTION_ID_CONFLICT, &ret_event->error);
}
