#include "repo/record_json.h"

#include "base/json.h"
#include "base/timestamp.h"

/* Opens with the comma that separates it from the member before. */
static void append_name(struct buffer *buffer, const char *name)
{
    if (buffer->length > 0 && buffer->bytes[buffer->length - 1] != '{')
        buffer_append_byte(buffer, ',');
    json_append_string(buffer, text_of(name));
    buffer_append_byte(buffer, ':');
}

static void append_text(struct buffer *buffer, const char *name, struct text text)
{
    if (!text_present(text))
        return;
    append_name(buffer, name);
    json_append_string(buffer, text);
}

static void append_json(struct buffer *buffer, const char *name, struct text json)
{
    if (!text_present(json))
        return;
    append_name(buffer, name);
    buffer_append_text(buffer, json);
}

static void append_time(struct buffer *buffer, const char *name, int64_t us)
{
    if (us == TIMESTAMP_ABSENT)
        return;
    append_name(buffer, name);
    json_append_time(buffer, us);
}

static void append_list(struct buffer *buffer, const char *name, const struct text_list *list)
{
    if (list->items == NULL)
        return;
    append_name(buffer, name);
    buffer_append_byte(buffer, '[');
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            buffer_append_byte(buffer, ',');
        json_append_string(buffer, list->items[i]);
    }
    buffer_append_byte(buffer, ']');
}

static void append_ref(struct buffer *buffer, const char *name, const struct ref *ref)
{
    if (!text_present(ref->kind))
        return;
    append_name(buffer, name);
    buffer_append_byte(buffer, '{');
    append_text(buffer, "kind", ref->kind);
    append_text(buffer, "id", ref->id);
    buffer_append_byte(buffer, '}');
}

static void append_field(struct buffer *buffer, const struct field_spec *field, const void *record)
{
    const void *value = field_of_const(field, record);

    switch (field->kind) {
    case FIELD_ID:
    case FIELD_EMAIL:
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_CHOICE:
        append_text(buffer, field->name, *(const struct text *)value);
        break;
    case FIELD_TIME:
        append_time(buffer, field->name, *(const int64_t *)value);
        break;
    case FIELD_COUNT:
        append_name(buffer, field->name);
        json_append_int(buffer, *(const int64_t *)value);
        break;
    case FIELD_ID_LIST:
        append_list(buffer, field->name, value);
        break;
    case FIELD_LABELS:
    case FIELD_MAP:
    case FIELD_OBJECT:
        append_json(buffer, field->name, ((const struct document *)value)->json);
        break;
    case FIELD_REF:
        append_ref(buffer, field->name, value);
        break;
    case FIELD_PARTY:
        append_json(buffer, field->name, ((const struct party *)value)->whole.json);
        break;
    }
}

void record_json_append(struct buffer *buffer, const struct record_spec *spec, const void *record,
                        const char *status)
{
    buffer_append_byte(buffer, '{');
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct field_spec *field = &spec->fields[i];
        if (status != NULL && strcmp(field->name, "status") == 0)
            append_text(buffer, field->name, text_of(status));
        else
            append_field(buffer, field, record);
    }
    buffer_append_byte(buffer, '}');
}

static void append_uuid(struct buffer *buffer, const char *name, const struct uuid *uuid)
{
    char text[UUID_TEXT_LENGTH + 1];

    uuid_format(uuid, text);
    append_text(buffer, name, text_of(text));
}

void audit_event_json_append(struct buffer *buffer, const struct audit_event *event)
{
    buffer_append_byte(buffer, '{');
    append_uuid(buffer, "id", &event->id);
    append_time(buffer, "occurredAt", event->occurred_at_us);
    append_text(buffer, "category", event->category);
    append_text(buffer, "action", event->action);
    append_text(buffer, "outcome", event->outcome);
    append_json(buffer, "actor", event->actor.json);
    append_json(buffer, "subject", event->subject.json);
    append_json(buffer, "resource", event->resource.json);
    append_json(buffer, "metadata", event->metadata.json);
    append_text(buffer, "correlationId", event->correlation_id);
    if (text_present(event->command_id)) {
        append_name(buffer, "command");
        buffer_append_byte(buffer, '{');
        append_text(buffer, "source", event->command_source);
        append_text(buffer, "id", event->command_id);
        append_text(buffer, "type", event->command_type);
        buffer_append_byte(buffer, '}');
    }
    append_json(buffer, "error", event->error.json);
    append_text(buffer, "legacyId", event->legacy_id);
    buffer_append_byte(buffer, '}');
}
