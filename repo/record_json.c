#include "repo/record_json.h"

#include "base/json_writer.h"
#include "base/timestamp.h"

static void write_list(struct json_writer *json, const char *name, const struct text_list *list)
{
    if (list->items == NULL)
        return;
    json_begin_array(json, name);
    for (size_t i = 0; i < list->count; i++)
        json_append_string(json_value(json, NULL), list->items[i]);
    json_end_array(json);
}

static void write_ref(struct json_writer *json, const char *name, const struct ref *ref)
{
    if (!text_present(ref->kind))
        return;
    json_begin_object(json, name);
    json_text(json, "kind", ref->kind);
    json_text(json, "id", ref->id);
    json_end_object(json);
}

static void write_field(struct json_writer *json, const struct field_spec *field,
                        const void *record)
{
    const void *value = field_of_const(field, record);

    switch (field->kind) {
    case FIELD_ID:
    case FIELD_LONG_ID:
    case FIELD_EMAIL:
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_CHOICE:
        json_text(json, field->name, *(const struct text *)value);
        break;
    case FIELD_TIME:
        json_time(json, field->name, *(const int64_t *)value);
        break;
    case FIELD_COUNT:
        json_int(json, field->name, *(const int64_t *)value);
        break;
    case FIELD_ID_LIST:
        write_list(json, field->name, value);
        break;
    case FIELD_LABELS:
    case FIELD_MAP:
    case FIELD_OBJECT:
        json_document(json, field->name, ((const struct document *)value)->json);
        break;
    case FIELD_REF:
        write_ref(json, field->name, value);
        break;
    case FIELD_PARTY:
        json_document(json, field->name, ((const struct party *)value)->whole.json);
        break;
    }
}

void record_json_append(struct buffer *buffer, const struct record_spec *spec, const void *record,
                        const char *status)
{
    struct json_writer json = json_writer_of(buffer);

    json_begin_object(&json, NULL);
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct field_spec *field = &spec->fields[i];
        if (status != NULL && strcmp(field->name, "status") == 0)
            json_text(&json, field->name, text_of(status));
        else
            write_field(&json, field, record);
    }
    json_end_object(&json);
}

static void write_uuid(struct json_writer *json, const char *name, const struct uuid *uuid)
{
    char text[UUID_TEXT_LENGTH + 1];

    uuid_format(uuid, text);
    json_text(json, name, text_of(text));
}

void audit_event_json_append(struct buffer *buffer, const struct audit_event *event)
{
    struct json_writer json = json_writer_of(buffer);

    json_begin_object(&json, NULL);
    write_uuid(&json, "id", &event->id);
    json_time(&json, "occurredAt", event->occurred_at_us);
    json_text(&json, "category", event->category);
    json_text(&json, "action", event->action);
    json_text(&json, "outcome", event->outcome);
    json_document(&json, "actor", event->actor.json);
    json_document(&json, "subject", event->subject.json);
    json_document(&json, "resource", event->resource.json);
    json_document(&json, "metadata", event->metadata.json);
    json_text(&json, "correlationId", event->correlation_id);
    if (text_present(event->command_id)) {
        json_begin_object(&json, "command");
        json_text(&json, "source", event->command_source);
        json_text(&json, "id", event->command_id);
        json_text(&json, "type", event->command_type);
        json_end_object(&json);
    }
    json_document(&json, "error", event->error.json);
    json_text(&json, "legacyId", event->legacy_id);
    json_end_object(&json);
}
