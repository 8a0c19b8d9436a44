#include "events/envelope.h"

#include <jansson.h>
#include <strings.h>

#include "base/timestamp.h"
#include "base/utf8.h"
#include "events/command_types.h"
#include "events/trace_context.h"
#include "events/wire/base64.h"
#include "events/wire/distinct.h"
#include "events/wire/json_to_msgpack.h"
#include "events/wire/msgpack_bounds.h"

/* The attributes of an event as they were sent, before time and content type are understood. */
struct attributes {
    struct envelope envelope;
    struct text spec_version;
    struct text time;
    struct text content_type; /* of the data; structured mode: datacontenttype */
};

enum { ID_MAX_BYTES = 256 };

/* Every attribute in both modes, but for those of a trace. */
static const struct attribute {
    struct text header;
    const char *member;
    size_t offset;
    size_t max_bytes;
    bool required;
} attributes_known[] = {
    {TEXT_INIT("ce_id"), "id", offsetof(struct attributes, envelope.id), ID_MAX_BYTES, true},
    {TEXT_INIT("ce_source"), "source", offsetof(struct attributes, envelope.source), ID_MAX_BYTES,
     true},
    {TEXT_INIT("ce_type"), "type", offsetof(struct attributes, envelope.type), ID_MAX_BYTES, true},
    {TEXT_INIT("ce_specversion"), "specversion", offsetof(struct attributes, spec_version),
     ID_MAX_BYTES, true},
    {TEXT_INIT("ce_subject"), "subject", offsetof(struct attributes, envelope.subject),
     ID_MAX_BYTES, false},
    {TEXT_INIT("ce_time"), "time", offsetof(struct attributes, time), ID_MAX_BYTES, false},
    {TEXT_INIT("ce_correlationid"), "correlationid",
     offsetof(struct attributes, envelope.correlation_id), ID_MAX_BYTES, false},
    {TEXT_INIT("ce_authtype"), "authtype", offsetof(struct attributes, envelope.auth_type),
     ID_MAX_BYTES, false},
    {TEXT_INIT("ce_authid"), "authid", offsetof(struct attributes, envelope.auth_id), ID_MAX_BYTES,
     false},
    {TEXT_INIT("content-type"), "datacontenttype", offsetof(struct attributes, content_type),
     ID_MAX_BYTES, false},
};
enum { ATTRIBUTE_COUNT = sizeof(attributes_known) / sizeof(attributes_known[0]) };

/* The trace that a command belongs to is carried to its audit event. A broken one is dropped: it
 * must never cost the command. The plain header is Kafka's and W3C's; CloudEvents SDKs make an
 * attribute of it. */
static const struct trace_header {
    struct text plain;
    struct text event;
    const char *member; /* in structured mode */
    size_t offset;      /* in struct envelope */
    bool (*is_valid)(struct text value);
} trace_headers[] = {
    {TEXT_INIT("traceparent"), TEXT_INIT("ce_traceparent"), "traceparent",
     offsetof(struct envelope, traceparent), traceparent_is_valid},
    {TEXT_INIT("tracestate"), TEXT_INIT("ce_tracestate"), "tracestate",
     offsetof(struct envelope, tracestate), tracestate_is_valid},
};
enum { TRACE_HEADER_COUNT = sizeof(trace_headers) / sizeof(trace_headers[0]) };

static struct text *attribute_of(const struct attribute *attribute, struct attributes *attributes)
{
    return (struct text *)(void *)((char *)attributes + attribute->offset);
}

static enum outcome refuse(struct err *err, const char *name, const char *rule)
{
    return err_set(err, OUTCOME_REJECT, "envelope", "%s: %s", name, rule);
}

static enum outcome refuse_body(struct err *err, const char *rule)
{
    return err_set(err, OUTCOME_REJECT, "body", "body: %s", rule);
}

/* Leaves the attribute unset when it breaks a rule, so that what is set can be relied upon. */
static enum outcome set_attribute(const struct attribute *attribute, const char *name,
                                  struct text value, struct attributes *attributes, struct err *err)
{
    if (!utf8_valid(value))
        return refuse(err, name, "must be valid UTF-8");
    if (value.length == 0 || value.length > attribute->max_bytes)
        return err_set(err, OUTCOME_REJECT, "envelope", "%s: must be 1 to %zu bytes", name,
                       attribute->max_bytes);
    if (utf8_has_control(value))
        return refuse(err, name, "must not contain control characters");
    *attribute_of(attribute, attributes) = value;
    return OUTCOME_OK;
}

/* Of several mistakes the first one counts, but reading goes on: what can be read of id, source and
 * type tells people which command it was. */
static void keep_first(enum outcome *first, enum outcome outcome, struct err *first_err,
                       const struct err *err)
{
    if (*first == OUTCOME_OK && outcome != OUTCOME_OK) {
        *first = outcome;
        *first_err = *err;
    }
}

static bool is_trace_header(struct text name)
{
    for (size_t i = 0; i < TRACE_HEADER_COUNT; i++) {
        if (text_equal(name, trace_headers[i].plain) || text_equal(name, trace_headers[i].event))
            return true;
    }
    return false;
}

static bool is_event_header(struct text name)
{
    return (text_starts_with(name, "ce_") && !is_trace_header(name)) ||
           text_is(name, "content-type");
}

static const struct attribute *find_header(struct text name)
{
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (text_equal(name, attributes_known[i].header))
            return &attributes_known[i];
    }
    return NULL;
}

/* The name of a header that the contract does not know is the sender's text and is not shown. */
static const char *repeated_name(const struct message *message)
{
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        size_t seen = 0;
        for (size_t j = 0; j < message->header_count; j++)
            seen += text_equal(message->headers[j].name, attributes_known[i].header);
        if (seen > 1 && is_event_header(attributes_known[i].header))
            return attributes_known[i].header.data;
    }
    return "a ce_ header";
}

static enum outcome check_repeated(const struct message *message, struct arena *arena,
                                   struct err *err)
{
    struct text *names = ARENA_ARRAY(arena, struct text, message->header_count);
    size_t count = 0;

    if (names == NULL)
        return err_no_memory(err, "batch arena");
    for (size_t i = 0; i < message->header_count; i++) {
        if (is_event_header(message->headers[i].name))
            names[count++] = message->headers[i].name;
    }
    if (!texts_distinct(names, count))
        return refuse(err, repeated_name(message), "given twice");
    return OUTCOME_OK;
}

/* How often the header is there with a value; ret_value: the last one. */
static size_t header_values(const struct message *message, struct text name, struct text *ret_value)
{
    size_t count = 0;

    for (size_t i = 0; i < message->header_count; i++) {
        const struct header *header = &message->headers[i];
        if (header->value.data == NULL || !text_equal(header->name, name))
            continue;
        *ret_value = text_of_slice(header->value);
        count++;
    }
    return count;
}

/* event: of structured mode; NULL: none. A header that is given twice counts as broken. */
static enum outcome read_trace(const struct message *message, json_t *event, struct arena *arena,
                               struct envelope *envelope, struct err *err)
{
    for (size_t i = 0; i < TRACE_HEADER_COUNT; i++) {
        const struct trace_header *header = &trace_headers[i];
        json_t *member = event != NULL ? json_object_get(event, header->member) : NULL;
        struct text value = TEXT_ABSENT;
        size_t count = header_values(message, header->plain, &value);

        if (count == 0 && json_is_string(member)) {
            const struct text seen = {json_string_value(member), json_string_length(member)};
            if (!arena_copy_text(arena, seen, &value))
                return err_no_memory(err, "batch arena");
            count = 1;
        } else if (count == 0) {
            count = header_values(message, header->event, &value);
        }
        if (count == 1 && header->is_valid(value))
            *(struct text *)(void *)((char *)envelope + header->offset) = value;
    }
    return OUTCOME_OK;
}

/* A header without a value counts as not given. */
static enum outcome read_headers(const struct message *message, struct attributes *attributes,
                                 struct err *err)
{
    enum outcome first = OUTCOME_OK;
    struct err first_err;

    for (size_t i = 0; i < message->header_count; i++) {
        const struct header *header = &message->headers[i];
        const struct attribute *attribute = find_header(header->name);
        if (attribute == NULL || header->value.data == NULL)
            continue;
        enum outcome outcome = set_attribute(attribute, attribute->header.data,
                                             text_of_slice(header->value), attributes, err);
        keep_first(&first, outcome, &first_err, err);
    }
    if (first != OUTCOME_OK)
        *err = first_err;
    return first;
}

static enum outcome read_members(json_t *event, struct arena *arena, struct attributes *attributes,
                                 struct err *err)
{
    enum outcome first = OUTCOME_OK;
    struct err first_err;

    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        const struct attribute *attribute = &attributes_known[i];
        json_t *value = json_object_get(event, attribute->member);
        if (value == NULL || json_is_null(value) ||
            text_present(*attribute_of(attribute, attributes)))
            continue;
        enum outcome outcome;
        if (!json_is_string(value)) {
            outcome = refuse(err, attribute->member, "must be text");
        } else {
            /* jansson's copy goes when the JSON is released */
            const struct text seen = {json_string_value(value), json_string_length(value)};
            struct text copy;
            if (!arena_copy_text(arena, seen, &copy))
                return err_no_memory(err, "batch arena");
            outcome = set_attribute(attribute, attribute->member, copy, attributes, err);
        }
        keep_first(&first, outcome, &first_err, err);
    }
    if (first != OUTCOME_OK)
        *err = first_err;
    return first;
}

static enum outcome finish_attributes(const struct message *message, bool structured,
                                      struct attributes *attributes, struct err *err)
{
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        const struct attribute *attribute = &attributes_known[i];
        const char *name = structured ? attribute->member : attribute->header.data;
        if (attribute->required && !text_present(*attribute_of(attribute, attributes)))
            return refuse(err, name, "missing");
    }
    if (!text_is(attributes->spec_version, "1.0"))
        return refuse(err, structured ? "specversion" : "ce_specversion", "must be 1.0");

    if (text_present(attributes->time)) {
        enum timestamp_verdict verdict =
            timestamp_read(attributes->time, &attributes->envelope.time_us);
        if (verdict == TIMESTAMP_OK)
            return OUTCOME_OK;
        return refuse(err, structured ? "time" : "ce_time",
                      verdict == TIMESTAMP_OUT_OF_RANGE ? "must be in the years 1 to 9999 (UTC)"
                                                        : "must be an RFC 3339 time");
    }
    if (message->timestamp_ms == -1)
        return refuse(err, structured ? "time" : "ce_time",
                      "missing, and the record has no timestamp");
    if (message->timestamp_ms < TIMESTAMP_MIN_US / 1000 ||
        message->timestamp_ms > TIMESTAMP_MAX_US / 1000)
        return refuse(err, "timestamp", "must be in the years 1 to 9999");
    attributes->envelope.time_us = message->timestamp_ms * 1000;
    return OUTCOME_OK;
}

/* What a content type says, without its parameters. */
enum content { CONTENT_UNKNOWN, CONTENT_MSGPACK, CONTENT_JSON, CONTENT_STRUCTURED };

static enum content content_of(struct text content_type)
{
    static const struct {
        const char *name;
        enum content content;
    } known[] = {
        {"application/vnd.msgpack", CONTENT_MSGPACK},
        {"application/msgpack", CONTENT_MSGPACK},
        {"application/x-msgpack", CONTENT_MSGPACK},
        {"application/json", CONTENT_JSON},
        {"text/json", CONTENT_JSON},
        {"application/cloudevents+json", CONTENT_STRUCTURED},
    };
    size_t length = 0;

    while (length < content_type.length && content_type.data[length] != ';')
        length++;
    while (length > 0 && content_type.data[length - 1] == ' ')
        length--;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (length == strlen(known[i].name) &&
            strncasecmp(content_type.data, known[i].name, length) == 0)
            return known[i].content;
    }
    bool is_json = length > 5 && strncasecmp(content_type.data + length - 5, "+json", 5) == 0;
    bool is_events = text_starts_with(content_type, "application/cloudevents"); /* a batch */
    return is_json && !is_events ? CONTENT_JSON : CONTENT_UNKNOWN;
}

/* What a body without a content type is: four CloudEvents SDKs send none by default. */
static enum content content_of_value(struct slice value)
{
    size_t at = 0;

    while (at < value.length && value.data[at] != 0 && strchr(" \t\r\n", value.data[at]) != NULL)
        at++;
    if (at < value.length && value.data[at] == '{')
        return CONTENT_JSON;
    if (value.length > 0 && ((value.data[0] >= 0x80 && value.data[0] <= 0x8f) ||
                             value.data[0] == 0xde || value.data[0] == 0xdf))
        return CONTENT_MSGPACK;
    return CONTENT_UNKNOWN;
}

/* A structured CloudEvent whose record does not say so: the attributes are in the body. */
static bool is_unnamed_structured(const struct message *message,
                                  const struct attributes *attributes)
{
    struct err ignored;
    CLEANUP(json_releasep) json_t *event = NULL;

    if (text_present(attributes->spec_version) || text_present(attributes->envelope.id) ||
        text_present(attributes->envelope.type) ||
        content_of_value(message->value) != CONTENT_JSON ||
        message->value.length > MSGPACK_MAX_BYTES ||
        json_parse(text_of_slice(message->value), &event, &ignored) != OUTCOME_OK)
        return false;
    return json_is_string(json_object_get(event, "specversion"));
}

/* Names the field only when the command declares it. */
static enum outcome check_bounds(struct slice packed, const struct envelope *envelope,
                                 struct err *err)
{
    struct msgpack_fault fault;

    enum outcome outcome = msgpack_check(packed, &fault);
    if (outcome == OUTCOME_OK)
        return OUTCOME_OK;
    if (outcome == OUTCOME_FULL)
        return err_no_memory(err, "bounds check");
    const struct command_type *type = command_type_find(envelope->type);
    const char *field = type != NULL ? command_field_name(type, fault.field) : NULL;
    return err_set(err, OUTCOME_REJECT, "body", "%s: %s", field != NULL ? field : "body",
                   fault.rule);
}

static enum outcome unpack_data(struct slice data, enum content content,
                                const struct envelope *envelope, struct arena *arena,
                                struct slice *ret_data, struct err *err)
{
    if (data.length > MSGPACK_MAX_BYTES)
        return refuse_body(err, MSGPACK_TOO_LONG);
    if (content == CONTENT_MSGPACK) {
        *ret_data = data;
        return check_bounds(data, envelope, err);
    }

    CLEANUP(json_releasep) json_t *value = NULL;
    struct buffer packed;
    enum outcome outcome = json_parse(text_of_slice(data), &value, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "body");
    buffer_init(&packed, arena);
    json_pack_value(&packed, value);
    if (packed.full)
        return err_no_memory(err, "batch arena");
    *ret_data = buffer_slice(&packed);
    return check_bounds(*ret_data, envelope, err);
}

static enum outcome decode_binary(const struct message *message, struct attributes *attributes,
                                  struct arena *arena, struct slice *ret_data, struct err *err)
{
    enum outcome outcome = read_headers(message, attributes, err);
    if (outcome == OUTCOME_OK)
        outcome = read_trace(message, NULL, arena, &attributes->envelope, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (is_unnamed_structured(message, attributes))
        return refuse(err, "content-type",
                      "must be application/cloudevents+json: the body is a structured CloudEvent");
    outcome = finish_attributes(message, false, attributes, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    bool named = text_present(attributes->content_type);
    enum content content =
        named ? content_of(attributes->content_type) : content_of_value(message->value);
    if (named && content != CONTENT_MSGPACK && content != CONTENT_JSON)
        return refuse(err, "content-type",
                      "must be application/vnd.msgpack, application/json or"
                      " application/cloudevents+json");
    if (message->value.data == NULL || message->value.length == 0)
        return refuse_body(err, "missing");
    if (content == CONTENT_UNKNOWN)
        return refuse(err, "content-type",
                      "missing, and the body begins like neither a JSON object nor a MessagePack"
                      " map; CloudEvents SDKs set it from the event's datacontenttype");
    return unpack_data(message->value, content, &attributes->envelope, arena, ret_data, err);
}

/* null and absent mean the same. */
static json_t *given(json_t *value)
{
    return json_is_null(value) ? NULL : value;
}

/* CloudEvents: data without datacontenttype is JSON. */
static enum outcome structured_data(json_t *event, const struct attributes *attributes,
                                    struct arena *arena, struct slice *ret_data, struct err *err)
{
    json_t *data = given(json_object_get(event, "data"));
    json_t *encoded = given(json_object_get(event, "data_base64"));
    enum content content = text_present(attributes->content_type)
                               ? content_of(attributes->content_type)
                               : CONTENT_JSON;

    if (content != CONTENT_MSGPACK && content != CONTENT_JSON)
        return refuse(err, "datacontenttype",
                      "must be application/json or application/vnd.msgpack");
    if (data != NULL && encoded != NULL)
        return refuse(err, "data_base64", "must not stand beside data");
    if (encoded != NULL) {
        struct slice bytes;
        if (!json_is_string(encoded))
            return refuse(err, "data_base64", "must be text");
        const struct text text = {json_string_value(encoded), json_string_length(encoded)};
        enum outcome outcome = base64_decode(text, arena, &bytes, err);
        if (outcome != OUTCOME_OK)
            return err_prefix(err, "data_base64");
        return unpack_data(bytes, content, &attributes->envelope, arena, ret_data, err);
    }
    if (data == NULL)
        return refuse_body(err, "data is missing");
    if (content != CONTENT_JSON)
        return refuse(err, "datacontenttype", "must be application/json where there is data");

    struct buffer packed;
    buffer_init(&packed, arena);
    json_pack_value(&packed, data);
    if (packed.full)
        return err_no_memory(err, "batch arena");
    *ret_data = buffer_slice(&packed);
    return check_bounds(*ret_data, &attributes->envelope, err);
}

static enum outcome decode_structured(const struct message *message, struct attributes *attributes,
                                      struct arena *arena, struct slice *ret_data, struct err *err)
{
    CLEANUP(json_releasep) json_t *event = NULL;

    if (message->value.data == NULL || message->value.length == 0)
        return refuse_body(err, "missing");
    if (message->value.length > MSGPACK_MAX_BYTES)
        return refuse_body(err, MSGPACK_TOO_LONG);
    enum outcome outcome = json_parse(text_of_slice(message->value), &event, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "body");
    if (!json_is_object(event))
        return refuse_body(err, "must be an object");

    outcome = read_trace(message, event, arena, &attributes->envelope, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    outcome = read_members(event, arena, attributes, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    outcome = finish_attributes(message, true, attributes, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return structured_data(event, attributes, arena, ret_data, err);
}

bool envelope_is_structured(const struct message *message)
{
    const struct header *content_type = message_header(message, "content-type");

    return content_type != NULL && content_type->value.data != NULL &&
           content_of(text_of_slice(content_type->value)) == CONTENT_STRUCTURED;
}

enum outcome envelope_decode(const struct message *message, struct arena *arena,
                             struct envelope *ret_envelope, struct slice *ret_data, struct err *err)
{
    struct attributes attributes = {.envelope = {.time_us = TIMESTAMP_ABSENT}};
    struct err repeated_err;

    *ret_envelope = attributes.envelope;
    if (message->headers_unreadable)
        return refuse(err, "headers", "must be at most 100000, and well formed");
    enum outcome repeated = check_repeated(message, arena, &repeated_err);
    enum outcome outcome = envelope_is_structured(message)
                               ? decode_structured(message, &attributes, arena, ret_data, err)
                               : decode_binary(message, &attributes, arena, ret_data, err);
    *ret_envelope = attributes.envelope;
    if (repeated != OUTCOME_OK) {
        *err = repeated_err;
        return repeated;
    }
    return outcome;
}
