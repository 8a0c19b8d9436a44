#include "events/redaction.h"

#include <jansson.h>

#include "events/command_types.h"
#include "events/envelope.h"
#include "events/redacted_body.h"
#include "events/secret_search.h"
#include "events/wire/json_to_msgpack.h"

/* --- which fields ------------------------------------------------------------------------------
 */

static enum redacted_fields fields_of_type(struct text type)
{
    const struct command_type *known = command_type_find(type);

    if (known == NULL)
        return REDACT_ANY_DEPTH;
    return known->refuses_secrets ? REDACT_TOP : REDACT_NO_FIELD;
}

/* Of several types each counts: what one of them wants searched is searched. */
static enum redacted_fields fields_of_headers(const struct message *message)
{
    enum redacted_fields fields = REDACT_ANY_DEPTH;
    bool typed = false;

    for (size_t i = 0; i < message->header_count; i++) {
        if (!text_is(message->headers[i].name, "ce_type"))
            continue;
        enum redacted_fields wanted = fields_of_type(text_of_slice(message->headers[i].value));
        fields = !typed || wanted > fields ? wanted : fields;
        typed = true;
    }
    return fields;
}

/* Of an event in structured mode. A member given twice is not JSON that anybody agrees on. */
static enum redacted_fields fields_of_event(struct slice value)
{
    json_error_t error;
    CLEANUP(json_releasep)
    json_t *event =
        json_loadb((const char *)value.data, value.length,
                   JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    json_t *type = json_object_get(event, "type");

    if (!json_is_string(type))
        return REDACT_ANY_DEPTH;
    return fields_of_type((struct text){json_string_value(type), json_string_length(type)});
}

static enum redacted_fields fields_of(const struct message *message)
{
    const bool typed = message_header(message, "ce_type") != NULL;

    if (message->value.data == NULL || (typed && !envelope_is_structured(message)))
        return fields_of_headers(message);
    enum redacted_fields of_event = fields_of_event(message->value);
    enum redacted_fields of_headers = typed ? fields_of_headers(message) : of_event;
    return of_event > of_headers ? of_event : of_headers;
}

/* --- key and headers ---------------------------------------------------------------------------
 */

/* Headers that the contract knows hold names that their owners chose: a source may be called
 * /token-service. Only what looks like a body is taken for one. */
static bool is_contract_header(struct text name)
{
    return text_is(name, "ce_id") || text_is(name, "ce_source") || text_is(name, "ce_type") ||
           text_is(name, "ce_subject") || text_is(name, "ce_time") ||
           text_is(name, "ce_correlationid") || text_is(name, "ce_authtype") ||
           text_is(name, "ce_authid") || text_is(name, "ce_specversion") ||
           text_is(name, "content-type");
}

static bool header_tells(const struct header *header)
{
    if (header->value.data == NULL || text_is(text_of_slice(header->value), REDACTED_TEXT))
        return false;
    if (is_contract_header(header->name))
        return secret_told(text_of_slice(header->value), true);
    return secret_named(header->name) || secret_named_base64(header->name) ||
           secret_told(text_of_slice(header->value), false);
}

/* false: the arena is full. */
static bool redact_headers(struct message *message, struct arena *arena, bool *redacted)
{
    struct header *headers = NULL;

    for (size_t i = 0; i < message->header_count; i++) {
        if (!header_tells(&message->headers[i]))
            continue;
        if (headers == NULL) {
            headers = ARENA_ARRAY(arena, struct header, message->header_count);
            if (headers == NULL)
                return false;
            memcpy(headers, message->headers, message->header_count * sizeof(*headers));
        }
        headers[i].value = slice_of_text(TEXT(REDACTED_TEXT));
        *redacted = true;
    }
    if (headers != NULL)
        message->headers = headers;
    return true;
}

static void redact_key(struct message *message, bool *redacted)
{
    if (message->key.data == NULL || !secret_told(text_of_slice(message->key), true))
        return;
    message->key = slice_of_text(TEXT(REDACTED_TEXT));
    *redacted = true;
}

enum outcome redact_secrets(const struct message *message, struct arena *arena,
                            struct message *ret_message, bool *ret_redacted, struct err *err)
{
    enum redacted_fields fields = fields_of(message);
    bool well_formed = true;

    *ret_message = *message;
    *ret_redacted = false;
    if (message->value.data != NULL) {
        struct redacted_body body = redact_body(message->value, fields, arena);
        if (body.full)
            return err_no_memory(err, "batch arena");
        ret_message->value = body.bytes;
        *ret_redacted = body.redacted;
        well_formed = body.well_formed;
    }
    if (well_formed && fields == REDACT_NO_FIELD)
        return OUTCOME_OK;
    if (!redact_headers(ret_message, arena, ret_redacted))
        return err_no_memory(err, "batch arena");
    redact_key(ret_message, ret_redacted);
    return OUTCOME_OK;
}
