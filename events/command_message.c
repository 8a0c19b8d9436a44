#include "events/command_message.h"

#include <jansson.h>

#include "events/wire/json_to_msgpack.h"

static const struct member {
    const char *name;   /* in the line */
    const char *header; /* in the record */
    size_t offset;
} members[] = {
    {"type", "ce_type", offsetof(struct command_parts, type)},
    {"id", "ce_id", offsetof(struct command_parts, id)},
    {"source", "ce_source", offsetof(struct command_parts, source)},
    {"subject", "ce_subject", offsetof(struct command_parts, subject)},
    {"time", "ce_time", offsetof(struct command_parts, time)},
    {"traceparent", "traceparent", offsetof(struct command_parts, traceparent)},
    {"tracestate", "tracestate", offsetof(struct command_parts, tracestate)},
    {"correlationid", "ce_correlationid", offsetof(struct command_parts, correlation_id)},
    {"authtype", "ce_authtype", offsetof(struct command_parts, auth_type)},
    {"authid", "ce_authid", offsetof(struct command_parts, auth_id)},
};
enum { MEMBER_COUNT = sizeof(members) / sizeof(members[0]) };

static const struct text *part_of(const struct command_parts *parts, const struct member *member)
{
    return (const struct text *)(const void *)((const char *)parts + member->offset);
}

static const struct member *find_member(const char *name)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    }
    return NULL;
}

static enum outcome read_member(const char *name, json_t *value, struct arena *arena,
                                struct command_parts *parts, struct err *err)
{
    const struct member *member = find_member(name);

    if (member == NULL)
        return err_set(err, OUTCOME_REJECT, "envelope",
                       "line: a member is not one of type, id, source, subject, time, traceparent,"
                       " tracestate, correlationid, authtype, authid, data");
    if (json_is_null(value))
        return OUTCOME_OK;
    if (!json_is_string(value))
        return err_set(err, OUTCOME_REJECT, "envelope", "%s: must be text", member->name);
    const struct text seen = {json_string_value(value), json_string_length(value)};
    if (!arena_copy_text(arena, seen, (struct text *)(void *)((char *)parts + member->offset)))
        return err_no_memory(err, "line");
    return OUTCOME_OK;
}

static enum outcome read_data(json_t *value, struct arena *arena, struct command_parts *parts,
                              struct err *err)
{
    struct buffer packed;

    buffer_init(&packed, arena);
    json_pack_value(&packed, value);
    if (packed.full)
        return err_no_memory(err, "line");
    parts->data = buffer_slice(&packed);
    return OUTCOME_OK;
}

enum outcome command_message_from_json(struct text line, struct text topic, int64_t now_us,
                                       struct arena *arena, struct outgoing_record *ret_record,
                                       struct command *ret_command, struct err *err)
{
    CLEANUP(json_releasep) json_t *value = NULL;
    struct command_parts parts = {.data = {NULL, 0}};

    enum outcome outcome = json_parse(line, &value, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "line");
    if (!json_is_object(value))
        return err_set(err, OUTCOME_REJECT, "envelope", "line: must be an object");
    for (void *pair = json_object_iter(value); pair != NULL && outcome == OUTCOME_OK;
         pair = json_object_iter_next(value, pair)) {
        const char *name = json_object_iter_key(pair);
        outcome = strcmp(name, "data") == 0
                      ? read_data(json_object_iter_value(pair), arena, &parts, err)
                      : read_member(name, json_object_iter_value(pair), arena, &parts, err);
    }
    if (outcome != OUTCOME_OK)
        return outcome;
    if (parts.data.data == NULL)
        return err_set(err, OUTCOME_REJECT, "envelope", "data: missing");
    return command_message_encode(&parts, topic, now_us, arena, ret_record, ret_command, err);
}

/* One entity's commands share a partition. */
static struct text entity_of(const struct command *command)
{
    if (command->type->as_given) {
        const struct audit_entry *entry = command->record;
        if (text_present(entry->resource.id))
            return entry->resource.id;
        if (text_present(entry->subject.id))
            return entry->subject.id;
        return command->envelope.subject;
    }
    const struct field_spec *id = record_field(command->type->record, "id");
    return *(const struct text *)field_of_const(id, command->record);
}

/* false: the arena is full. */
static bool short_key(struct text entity, struct arena *arena, struct text *ret_key)
{
    const struct uuid id = entity_id_of(entity);
    char *text = arena_alloc(arena, UUID_TEXT_LENGTH + 1);

    if (text == NULL)
        return false;
    uuid_format(&id, text);
    *ret_key = (struct text){text, UUID_TEXT_LENGTH};
    return true;
}

enum outcome command_message_encode(const struct command_parts *parts, struct text topic,
                                    int64_t now_us, struct arena *arena,
                                    struct outgoing_record *ret_record, struct command *ret_command,
                                    struct err *err)
{
    struct header *headers = ARENA_ARRAY(arena, struct header, MEMBER_COUNT + 2);
    struct command command;
    size_t count = 0;

    if (headers == NULL)
        return err_no_memory(err, "batch arena");
    headers[count++] = (struct header){TEXT("ce_specversion"), slice_of_text(TEXT("1.0"))};
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        struct text text = *part_of(parts, &members[i]);
        if (text_present(text))
            headers[count++] = (struct header){text_of(members[i].header), slice_of_text(text)};
    }
    headers[count++] =
        (struct header){TEXT("content-type"), slice_of_text(TEXT("application/vnd.msgpack"))};

    const struct message message = {
        .topic = topic,
        .timestamp_ms = now_us / 1000,
        .value = parts->data,
        .headers = headers,
        .header_count = count,
    };
    enum outcome outcome = command_decode(&message, arena, &command, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct text key = entity_of(&command);
    if (key.length > COMMAND_ENTITY_MAX_BYTES && !short_key(key, arena, &key))
        return err_no_memory(err, "batch arena");
    *ret_record = (struct outgoing_record){
        .topic = topic,
        .timestamp_ms = -1,
        .key = slice_of_text(key),
        .value = parts->data,
        .headers = headers,
        .header_count = count,
    };
    if (ret_command != NULL)
        *ret_command = command;
    return OUTCOME_OK;
}
