#include "events/audit_message.h"

#include "base/timestamp.h"
#include "events/wire/json_to_msgpack.h"
#include "events/wire/msgpack_writer.h"

enum { HEADERS_MAX = 11 };

struct encoder {
    const struct audit_event *event;
    struct arena *arena;
    struct err *err;
    char id[UUID_TEXT_LENGTH + 1];
};

/* The packed form of a document, made from the stored JSON when it is the only one. */
static enum outcome pack(const struct encoder *encoder, const char *name,
                         const struct document *document, struct slice *ret_packed)
{
    *ret_packed = document->packed;
    if (document->packed.data != NULL || !text_present(document->json))
        return OUTCOME_OK;
    enum outcome outcome =
        json_to_msgpack(document->json, encoder->arena, ret_packed, encoder->err);
    if (outcome != OUTCOME_OK)
        return err_prefix(encoder->err, "audit event: %s", name);
    return OUTCOME_OK;
}

static void write_text(struct buffer *value, const char *name, struct text text)
{
    if (!text_present(text))
        return;
    msgpack_write_text(value, text_of(name));
    msgpack_write_text(value, text);
}

static void write_packed(struct buffer *value, const char *name, struct slice packed)
{
    if (packed.data == NULL)
        return;
    msgpack_write_text(value, text_of(name));
    buffer_append(value, packed.data, packed.length);
}

static void write_command(struct buffer *value, const struct audit_event *event)
{
    uint32_t count = (uint32_t)text_present(event->command_source) +
                     (uint32_t)text_present(event->command_id) +
                     (uint32_t)text_present(event->command_type);

    msgpack_write_text(value, TEXT("command"));
    msgpack_write_map(value, count);
    write_text(value, "source", event->command_source);
    write_text(value, "id", event->command_id);
    write_text(value, "type", event->command_type);
}

static enum outcome encode_value(const struct encoder *encoder, struct slice *ret_value)
{
    const struct audit_event *event = encoder->event;
    const struct {
        const char *name;
        const struct document *document;
    } documents[] = {
        {"actor", &event->actor},       {"subject", &event->subject},
        {"resource", &event->resource}, {"metadata", &event->metadata},
        {"error", &event->error},
    };
    enum { DOCUMENTS = sizeof(documents) / sizeof(documents[0]), ERROR = DOCUMENTS - 1 };
    struct slice packed[DOCUMENTS];
    uint32_t count = 5; /* id, occurredAt, category, action, command */
    size_t length = 512;
    struct buffer value;

    for (size_t i = 0; i < DOCUMENTS; i++) {
        enum outcome outcome = pack(encoder, documents[i].name, documents[i].document, &packed[i]);
        if (outcome != OUTCOME_OK)
            return outcome;
        count += packed[i].data != NULL;
        length += packed[i].length;
    }
    count += (uint32_t)text_present(event->outcome) + (uint32_t)text_present(event->correlation_id);

    buffer_init(&value, encoder->arena);
    buffer_reserve(&value, length);
    msgpack_write_map(&value, count);
    write_text(&value, "id", (struct text){encoder->id, UUID_TEXT_LENGTH});
    msgpack_write_text(&value, TEXT("occurredAt"));
    msgpack_write_time(&value, event->occurred_at_us);
    write_text(&value, "category", event->category);
    write_text(&value, "action", event->action);
    write_text(&value, "outcome", event->outcome);
    for (size_t i = 0; i < ERROR; i++)
        write_packed(&value, documents[i].name, packed[i]);
    write_text(&value, "correlationId", event->correlation_id);
    write_command(&value, event);
    write_packed(&value, "error", packed[ERROR]);
    if (value.full)
        return err_no_memory(encoder->err, "batch arena");
    buffer_trim(&value);
    *ret_value = buffer_slice(&value);
    return OUTCOME_OK;
}

static enum outcome encode_type(const struct encoder *encoder, struct text *ret_type)
{
    struct buffer type;

    buffer_init(&type, encoder->arena);
    buffer_append_text(&type, TEXT("dev.catalyst.audit."));
    buffer_append_text(&type, encoder->event->action);
    buffer_append_text(&type, TEXT(".v1"));
    if (type.full)
        return err_no_memory(encoder->err, "batch arena");
    buffer_trim(&type);
    *ret_type = buffer_text(&type);
    return OUTCOME_OK;
}

static enum outcome encode_headers(const struct encoder *encoder, struct outgoing_record *record)
{
    const struct audit_event *event = encoder->event;
    char time[TIMESTAMP_ANY_LENGTH + 1];
    struct text type = {0};

    enum outcome outcome = encode_type(encoder, &type);
    if (outcome != OUTCOME_OK)
        return outcome;
    size_t time_length = timestamp_format_any(event->occurred_at_us, time);
    char *id = arena_copy(encoder->arena, encoder->id, UUID_TEXT_LENGTH);
    char *time_copy = arena_copy(encoder->arena, time, time_length);
    struct header *headers = arena_alloc(encoder->arena, HEADERS_MAX * sizeof(*headers));
    if (id == NULL || time_copy == NULL || headers == NULL)
        return err_no_memory(encoder->err, "batch arena");

    const struct {
        struct text name;
        struct text value;
    } given[HEADERS_MAX] = {
        {TEXT("ce_specversion"), TEXT("1.0")},
        {TEXT("ce_id"), {id, UUID_TEXT_LENGTH}},
        {TEXT("ce_source"), TEXT("catalyst-worker")},
        {TEXT("ce_type"), type},
        {TEXT("ce_subject"), event->entity},
        {TEXT("ce_time"), {time_copy, time_length}},
        {TEXT("ce_causationid"), event->command_id},
        {TEXT("content-type"), TEXT("application/vnd.msgpack")},
        {TEXT("traceparent"), event->traceparent},
        {TEXT("tracestate"), event->tracestate},
        {TEXT("ce_correlationid"), event->carried_correlation_id},
    };
    size_t count = 0;
    for (size_t i = 0; i < HEADERS_MAX; i++) {
        if (text_present(given[i].value))
            headers[count++] = (struct header){given[i].name, slice_of_text(given[i].value)};
    }
    record->headers = headers;
    record->header_count = count;
    return OUTCOME_OK;
}

enum outcome audit_message_encode(const struct audit_event *event, struct text topic,
                                  struct arena *arena, struct outgoing_record *ret_record,
                                  struct err *err)
{
    struct encoder encoder = {event, arena, err, ""};
    struct outgoing_record record = {
        .topic = topic, .timestamp_ms = -1, .key = slice_of_text(event->entity)};

    uuid_format(&event->id, encoder.id);
    enum outcome outcome = encode_value(&encoder, &record.value);
    if (outcome == OUTCOME_OK)
        outcome = encode_headers(&encoder, &record);
    if (outcome == OUTCOME_OK)
        *ret_record = record;
    return outcome;
}
