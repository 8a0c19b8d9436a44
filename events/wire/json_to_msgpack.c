#include "events/wire/json_to_msgpack.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* --- numbers that no C type holds ---------------------------------------------------------------
 * Jansson refuses the whole text for one of them. A second attempt puts a mark in their place: a
 * text with U+0000, which no sender's text may hold. */

static const char mark_escaped[] = "\"\\u0000#\"";
static const struct text mark = {"\0#", 2};

static bool begins_number(char c)
{
    return c == '-' || (c >= '0' && c <= '9');
}

/* The bytes of the number that begins at `at`. */
static size_t number_length(const char *at, const char *end)
{
    const char *behind = at;
    while (behind < end && (begins_number(*behind) || strchr("+.eE", *behind) != NULL))
        behind++;
    return (size_t)(behind - at);
}

static bool is_out_of_range(const char *at, size_t length)
{
    char number[512]; /* a longer one loses digits, not its range */
    size_t kept = length < sizeof(number) ? length : sizeof(number) - 1;
    bool is_real = memchr(at, '.', length) != NULL || memchr(at, 'e', length) != NULL ||
                   memchr(at, 'E', length) != NULL;

    memcpy(number, at, kept);
    number[kept] = '\0';
    errno = 0;
    if (!is_real) {
        (void)strtoll(number, NULL, 10);
        return errno == ERANGE;
    }
    return isinf(strtod(number, NULL)) != 0;
}

/* Behind the string that begins at `at`. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\' && at + 1 < end)
            at++;
    }
    return at < end ? at + 1 : end;
}

/* The text with marks; NULL: no memory. */
static char *mark_numbers(struct text json, size_t *ret_length)
{
    const char *at = json.data, *end = json.data + json.length;
    char *marked = malloc(json.length * (sizeof(mark_escaped) - 1) + 1);
    size_t length = 0;

    while (marked != NULL && at < end) {
        const char *from = at;
        if (*at == '"') {
            at = skip_string(at, end);
        } else if (begins_number(*at)) {
            at += number_length(at, end);
            if (is_out_of_range(from, (size_t)(at - from))) {
                memcpy(marked + length, mark_escaped, sizeof(mark_escaped) - 1);
                length += sizeof(mark_escaped) - 1;
                continue;
            }
        } else {
            at++;
        }
        memcpy(marked + length, from, (size_t)(at - from));
        length += (size_t)(at - from);
    }
    *ret_length = length;
    return marked;
}

static json_t *load(struct text json, size_t flags, json_error_t *ret_error)
{
    return json_loadb(json.data != NULL ? json.data : "", json.length,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | flags, ret_error);
}

static json_t *load_marked(struct text json, json_error_t *ret_error)
{
    size_t length;
    char *marked = mark_numbers(json, &length);

    if (marked == NULL)
        return NULL;
    json_t *value = load((struct text){marked, length}, JSON_ALLOW_NUL, ret_error);
    free(marked);
    return value;
}

/* marks: numbers that no C type holds become marks, else they are refused. */
static enum outcome parse(struct text json, bool marks, json_t **ret_value, struct err *err)
{
    json_error_t error;

    /* jansson reads a NUL behind a number as the end of that number */
    if (json.length > 0 && memchr(json.data, '\0', json.length) != NULL)
        return err_set(err, OUTCOME_REJECT, "body", "JSON text must not contain a NUL byte");
    json_t *value = load(json, 0, &error);
    if (value == NULL && marks && json_error_code(&error) == json_error_numeric_overflow)
        value = load_marked(json, &error);
    if (value != NULL) {
        *ret_value = value;
        return OUTCOME_OK;
    }
    if (json_error_code(&error) == json_error_out_of_memory)
        return err_no_memory(err, "JSON");
    return err_set(err, OUTCOME_REJECT, "body", "%s (line %d, column %d)",
                   rule_of(json_error_code(&error)), error.line, error.column);
}

enum outcome json_parse(struct text json, struct json_t **ret_value, struct err *err)
{
    return parse(json, true, ret_value, err);
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

static void pack_text(struct buffer *buffer, struct text text)
{
    if (text_equal(text, mark))
        msgpack_write_ext(buffer, JSON_EXT_OUT_OF_RANGE);
    else
        msgpack_write_text(buffer, text);
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
        pack_text(buffer, (struct text){json_string_value(value), json_string_length(value)});
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

    enum outcome outcome = parse(json, false, &value, err);
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
