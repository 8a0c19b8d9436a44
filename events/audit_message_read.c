/* The way back from the record on the audit topic to the event. */
#include "base/timestamp.h"
#include "events/audit_message.h"
#include "events/wire/msgpack_bounds.h"
#include "events/wire/msgpack_reader.h"
#include "events/wire/msgpack_to_json.h"

struct event_reader {
    struct audit_event *event;
    struct arena *arena;
};

static bool read_text(struct msgpack_reader *reader, struct text *ret_text)
{
    struct msgpack_item item;

    if (msgpack_next(reader, &item) != MSGPACK_TEXT)
        return false;
    *ret_text = msgpack_item_text(&item);
    return true;
}

static bool read_document(const struct event_reader *into, struct msgpack_reader *reader,
                          struct document *ret_document)
{
    struct slice packed;
    struct buffer json;

    if (!msgpack_take(reader, &packed))
        return false;
    buffer_init(&json, into->arena);
    if (msgpack_to_json(&json, packed, JSON_STORED) != NULL || json.full)
        return false;
    *ret_document = (struct document){buffer_text(&json), packed};
    return true;
}

static bool read_command(const struct event_reader *into, struct msgpack_reader *reader)
{
    struct audit_event *event = into->event;
    struct msgpack_item map;
    struct text name, value;

    if (msgpack_next(reader, &map) != MSGPACK_MAP)
        return false;
    for (uint32_t i = 0; i < map.count; i++) {
        if (!read_text(reader, &name) || !read_text(reader, &value))
            return false;
        if (text_is(name, "source"))
            event->command_source = value;
        else if (text_is(name, "id"))
            event->command_id = value;
        else if (text_is(name, "type"))
            event->command_type = value;
        else
            return false;
    }
    return true;
}

static bool read_field(const struct event_reader *into, struct text name,
                       struct msgpack_reader *reader)
{
    struct audit_event *event = into->event;
    const struct {
        const char *name;
        struct text *text;
    } texts[] = {{"category", &event->category},
                 {"action", &event->action},
                 {"outcome", &event->outcome},
                 {"correlationId", &event->correlation_id}};
    const struct {
        const char *name;
        struct document *document;
    } documents[] = {{"actor", &event->actor},
                     {"subject", &event->subject},
                     {"resource", &event->resource},
                     {"metadata", &event->metadata},
                     {"error", &event->error}};
    struct text value;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (text_is(name, texts[i].name))
            return read_text(reader, texts[i].text);
    }
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        if (text_is(name, documents[i].name))
            return read_document(into, reader, documents[i].document);
    }
    if (text_is(name, "command"))
        return read_command(into, reader);
    if (text_is(name, "id"))
        return read_text(reader, &value) && uuid_parse(value, &event->id);
    return text_is(name, "occurredAt") && read_text(reader, &value) &&
           timestamp_parse(value, &event->occurred_at_us);
}

static bool read_value(const struct event_reader *into, struct slice value)
{
    struct msgpack_reader reader = msgpack_reader_of(value);
    struct msgpack_fault fault;
    struct msgpack_item map;
    struct text name;

    if (value.length == 0 || msgpack_check(value, &fault) != OUTCOME_OK ||
        msgpack_next(&reader, &map) != MSGPACK_MAP)
        return false;
    for (uint32_t i = 0; i < map.count; i++) {
        if (!read_text(&reader, &name) || !read_field(into, name, &reader))
            return false;
    }
    return true;
}

static struct text carried(const struct message *message, const char *name)
{
    const struct header *header = message_header(message, name);
    return header != NULL ? text_of_slice(header->value) : TEXT_ABSENT;
}

/* Whatever was read in another way than it is written shows in the bytes. */
static bool is_same_encoded(const struct message *message, const struct event_reader *into)
{
    struct outgoing_record again;
    struct err err = {0};

    return audit_message_encode(into->event, message->topic, into->arena, &again, &err) ==
               OUTCOME_OK &&
           again.value.length == message->value.length &&
           memcmp(again.value.data, message->value.data, again.value.length) == 0;
}

enum outcome audit_message_decode(const struct message *message, struct arena *arena,
                                  struct audit_event *ret_event, struct err *err)
{
    struct audit_event event = {.occurred_at_us = TIMESTAMP_ABSENT};
    const struct event_reader into = {&event, arena};

    event.entity = text_of_slice(message->key);
    event.traceparent = carried(message, "traceparent");
    event.tracestate = carried(message, "tracestate");
    event.carried_correlation_id = carried(message, "ce_correlationid");
    if (!read_value(&into, message->value) || event.occurred_at_us == TIMESTAMP_ABSENT ||
        !is_same_encoded(message, &into))
        return err_set(err, OUTCOME_REJECT, "", "not an audit event that the worker wrote");
    *ret_event = event;
    return OUTCOME_OK;
}
