#include "events/wire/json_to_msgpack.h"

#include <assert.h>
#include <jansson.h>

#include "events/wire/msgpack_bounds.h"
#include "events/wire/msgpack_writer.h"

/* Jansson's own message quotes the text, which is the sender's. */
static const char *rule_of(enum json_error_code code)
{
    switch (code) {
    case json_error_invalid_utf8:
        return "text must be valid UTF-8";
    case json_error_premature_end_of_input:
        return "not JSON: it ends too early";
    case json_error_end_of_input_expected:
        return "not JSON: something follows the value";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "text must not contain U+0000";
    case json_error_duplicate_key:
        return "an object holds the same key twice";
    case json_error_numeric_overflow:
        return "a number is out of range (integers: 64 bits, signed)";
    case json_error_stack_overflow:
        return "nested deeper than 64";
    case json_error_unknown:
    case json_error_out_of_memory:
    case json_error_cannot_open_file:
    case json_error_invalid_argument:
    case json_error_invalid_syntax:
    case json_error_invalid_format:
    case json_error_wrong_type:
    case json_error_null_value:
    case json_error_item_not_found:
    case json_error_index_out_of_range:
        break;
    }
    return "not JSON";
}

enum outcome json_parse(struct text json, struct json_t **ret_value, struct err *err)
{
    json_error_t error;

    json_t *value = json_loadb(json.data != NULL ? json.data : "", json.length,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (value != NULL) {
        *ret_value = value;
        return OUTCOME_OK;
    }
    if (json_error_code(&error) == json_error_out_of_memory)
        return err_no_memory(err, "JSON");
    return err_set(err, OUTCOME_REJECT, "body", "%s (line %d, column %d)",
                   rule_of(json_error_code(&error)), error.line, error.column);
}

void json_release(struct json_t *value)
{
    json_decref(value);
}

static void pack_object(struct buffer *buffer, json_t *object)
{
    msgpack_write_map(buffer, (uint32_t)json_object_size(object));
    for (void *pair = json_object_iter(object); pair != NULL;
         pair = json_object_iter_next(object, pair)) {
        msgpack_write_text(buffer, text_of(json_object_iter_key(pair)));
        json_pack_value(buffer, json_object_iter_value(pair));
    }
}

static void pack_array(struct buffer *buffer, const json_t *array)
{
    size_t count = json_array_size(array);

    msgpack_write_array(buffer, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        json_pack_value(buffer, json_array_get(array, i));
}

/* Recurses as deep as jansson did to read the value: at most 2048. */
void json_pack_value(struct buffer *buffer, struct json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        pack_object(buffer, value);
        return;
    case JSON_ARRAY:
        pack_array(buffer, value);
        return;
    case JSON_STRING:
        msgpack_write_text(buffer,
                           (struct text){json_string_value(value), json_string_length(value)});
        return;
    case JSON_INTEGER:
        msgpack_write_int(buffer, json_integer_value(value));
        return;
    case JSON_REAL:
        msgpack_write_double(buffer, json_real_value(value));
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        msgpack_write_bool(buffer, json_is_true(value));
        return;
    case JSON_NULL:
        msgpack_write_nil(buffer);
        return;
    }
}

enum outcome json_to_msgpack(struct text json, struct arena *arena, struct slice *ret_packed,
                             struct err *err)
{
    CLEANUP(json_releasep) json_t *value = NULL;
    struct msgpack_fault fault;
    struct buffer buffer;

    enum outcome outcome = json_parse(json, &value, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    assert(value != NULL);
    buffer_init(&buffer, arena);
    json_pack_value(&buffer, value);
    if (buffer.full)
        return err_no_memory(err, "batch arena");
    outcome = msgpack_check(buffer_slice(&buffer), &fault);
    if (outcome == OUTCOME_FULL)
        return err_no_memory(err, "JSON");
    if (outcome != OUTCOME_OK)
        return err_set(err, outcome, "body", "%s", fault.rule);
    *ret_packed = buffer_slice(&buffer);
    return OUTCOME_OK;
}
