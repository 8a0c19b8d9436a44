#include "support.h"

#include <assert.h>
#include <ctype.h>
#include <jansson.h>
#include <msgpack.h>
#include <stdlib.h>

int arena_setup(void **state)
{
    *state = arena_new((size_t)64 * 1024 * 1024);
    return *state == NULL;
}

int arena_teardown(void **state)
{
    arena_free(*state);
    return 0;
}

struct text quoted(struct arena *arena, const char *json)
{
    char *copy = arena_copy(arena, json, strlen(json));

    assert_non_null(copy);
    for (char *at = copy; *at != '\0'; at++) {
        if (*at == '\'')
            *at = '"';
    }
    return text_of(copy);
}

static void pack_json(msgpack_packer *packer, json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        msgpack_pack_map(packer, json_object_size(value));
        for (void *pair = json_object_iter(value); pair != NULL;
             pair = json_object_iter_next(value, pair)) {
            const char *key = json_object_iter_key(pair);
            msgpack_pack_str_with_body(packer, key, strlen(key));
            pack_json(packer, json_object_iter_value(pair));
        }
        return;
    case JSON_ARRAY:
        msgpack_pack_array(packer, json_array_size(value));
        for (size_t i = 0; i < json_array_size(value); i++)
            pack_json(packer, json_array_get(value, i));
        return;
    case JSON_STRING:
        msgpack_pack_str_with_body(packer, json_string_value(value), json_string_length(value));
        return;
    case JSON_INTEGER:
        msgpack_pack_int64(packer, json_integer_value(value));
        return;
    case JSON_REAL:
        msgpack_pack_double(packer, json_real_value(value));
        return;
    case JSON_TRUE:
        msgpack_pack_true(packer);
        return;
    case JSON_FALSE:
        msgpack_pack_false(packer);
        return;
    case JSON_NULL:
        msgpack_pack_nil(packer);
        return;
    }
}

static struct slice take_buffer(struct arena *arena, msgpack_sbuffer *bytes)
{
    char *copy = arena_copy(arena, bytes->data, bytes->size);
    struct slice slice = {(const uint8_t *)copy, bytes->size};

    assert_non_null(copy);
    msgpack_sbuffer_destroy(bytes);
    return slice;
}

struct slice packed(struct arena *arena, const char *json)
{
    json_error_t error;
    msgpack_sbuffer bytes;
    msgpack_packer packer;
    json_t *value = json_loads(quoted(arena, json).data, JSON_DECODE_ANY, &error);

    if (value == NULL)
        fail_msg("the test's own JSON: %s", error.text);
    assert(value != NULL);
    msgpack_sbuffer_init(&bytes);
    msgpack_packer_init(&packer, &bytes, msgpack_sbuffer_write);
    pack_json(&packer, value);
    json_decref(value);
    return take_buffer(arena, &bytes);
}

struct slice hex(struct arena *arena, const char *digits)
{
    uint8_t *bytes = arena_alloc(arena, strlen(digits) / 2 + 1);
    size_t length = 0;

    assert_non_null(bytes);
    while (*digits != '\0') {
        if (*digits == ' ') {
            digits++;
            continue;
        }
        char pair[3] = {digits[0], digits[1], '\0'};
        assert_true(isxdigit((unsigned char)pair[0]) && isxdigit((unsigned char)pair[1]));
        bytes[length++] = (uint8_t)strtoul(pair, NULL, 16);
        digits += 2;
    }
    return (struct slice){bytes, length};
}

enum { HEADERS_MAX = 40 };

void add_header(struct arena *arena, struct message *message, const char *name, struct slice value)
{
    struct header *headers = ARENA_ARRAY(arena, struct header, HEADERS_MAX);

    assert_non_null(headers);
    assert_true(message->header_count < HEADERS_MAX);
    for (size_t i = 0; i < message->header_count; i++)
        headers[i] = message->headers[i];
    headers[message->header_count++] = (struct header){text_of(name), value};
    message->headers = headers;
}

void set_header(struct arena *arena, struct message *message, const char *name, const char *value)
{
    struct message kept = *message;

    kept.headers = NULL;
    kept.header_count = 0;
    for (size_t i = 0; i < message->header_count; i++) {
        if (!text_is(message->headers[i].name, name))
            add_header(arena, &kept, message->headers[i].name.data, message->headers[i].value);
    }
    if (value != NULL)
        add_header(arena, &kept, name, slice_of_text(text_of(value)));
    *message = kept;
}

struct message command_of(struct arena *arena, const char *type, struct slice value)
{
    struct message message = {
        .topic = TEXT("catalyst.identity.commands"),
        .partition = 3,
        .offset = 42,
        .timestamp_ms = 1767323045678,
        .value = value,
    };

    set_header(arena, &message, "ce_specversion", "1.0");
    set_header(arena, &message, "ce_id", "c-1");
    set_header(arena, &message, "ce_source", "/tests");
    set_header(arena, &message, "ce_type", type);
    set_header(arena, &message, "content-type", "application/vnd.msgpack");
    return message;
}

struct text header_text(const struct outgoing_record *record, const char *name)
{
    for (size_t i = 0; i < record->header_count; i++) {
        if (text_is(record->headers[i].name, name))
            return text_of_slice(record->headers[i].value);
    }
    return TEXT_ABSENT;
}

size_t header_times(const struct outgoing_record *record, const char *name)
{
    size_t times = 0;

    for (size_t i = 0; i < record->header_count; i++)
        times += text_is(record->headers[i].name, name);
    return times;
}

/* xorshift64*; source: Vigna, "An experimental exploration of Marsaglia's xorshift generators" */
uint64_t random_next(struct random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * UINT64_C(2685821657736338717);
}

size_t random_below(struct random *random, size_t bound)
{
    return (size_t)(random_next(random) >> 11) % bound;
}

static void pack_random_int(struct random *random, msgpack_packer *packer)
{
    int64_t value = (int64_t)(random_next(random) >> (1 + random_below(random, 63)));

    if (random_below(random, 2) == 0)
        value = -value;
    if (random_below(random, 2) == 0)
        msgpack_pack_fix_int64(packer, value); /* nine bytes whatever the value */
    else
        msgpack_pack_int64(packer, value);
}

static void pack_random_double(struct random *random, msgpack_packer *packer)
{
    double value = 0;

    if (random_below(random, 3) == 0) {
        msgpack_pack_float(packer, (float)random_below(random, 1000) / 7.0F);
        return;
    }
    do {
        uint64_t bits = random_next(random);
        memcpy(&value, &bits, sizeof(value));
    } while (!(value - value == 0)); /* not finite */
    if (random_below(random, 4) == 0)
        value = (double)(int64_t)random_below(random, 100000) * -1;
    msgpack_pack_double(packer, value);
}

static void pack_random_text(struct random *random, msgpack_packer *packer, const char *unique)
{
    static const char *const pieces[] = {"a",    "\"",       "\\", "\n", "\x01",
                                         "\x7f", "\xc3\xa9", "/",  " ",  "\xf0\x9f\x98\x80",
                                         "{",    "key"};
    char text[400] = "";
    size_t length = (size_t)snprintf(text, sizeof(text), "%s", unique);
    size_t count = random_below(random, random_below(random, 8) == 0 ? 60 : 6);

    for (size_t i = 0; i < count; i++) {
        const char *piece = pieces[random_below(random, sizeof(pieces) / sizeof(pieces[0]))];
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s", piece);
    }
    msgpack_pack_str_with_body(packer, text, length);
}

static void pack_random(struct random *random, msgpack_packer *packer, size_t depth)
{
    size_t count = random_below(random, random_below(random, 10) == 0 ? 40 : 5);
    char unique[24];

    switch (random_below(random, depth > 0 ? 8 : 5)) {
    case 0:
        msgpack_pack_nil(packer);
        return;
    case 1:
        random_below(random, 2) == 0 ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
        return;
    case 2:
        pack_random_int(random, packer);
        return;
    case 3:
        pack_random_double(random, packer);
        return;
    case 4:
        pack_random_text(random, packer, "");
        return;
    case 5:
        msgpack_pack_array(packer, count);
        for (size_t i = 0; i < count; i++)
            pack_random(random, packer, depth - 1);
        return;
    default:
        msgpack_pack_map(packer, count);
        for (size_t i = 0; i < count; i++) {
            snprintf(unique, sizeof(unique), "%zu", i);
            pack_random_text(random, packer, unique);
            pack_random(random, packer, depth - 1);
        }
        return;
    }
}

struct slice random_value(struct random *random, struct arena *arena, size_t max_depth)
{
    msgpack_sbuffer bytes;
    msgpack_packer packer;

    msgpack_sbuffer_init(&bytes);
    msgpack_packer_init(&packer, &bytes, msgpack_sbuffer_write);
    pack_random(random, &packer, max_depth);
    return take_buffer(arena, &bytes);
}

static void widen_floats(msgpack_object *object)
{
    if (object->type == MSGPACK_OBJECT_FLOAT32)
        object->type = MSGPACK_OBJECT_FLOAT64;
    if (object->type == MSGPACK_OBJECT_ARRAY) {
        for (uint32_t i = 0; i < object->via.array.size; i++)
            widen_floats(&object->via.array.ptr[i]);
    }
    if (object->type == MSGPACK_OBJECT_MAP) {
        for (uint32_t i = 0; i < object->via.map.size; i++)
            widen_floats(&object->via.map.ptr[i].val);
    }
}

struct slice oracle_canonical(struct arena *arena, struct slice value)
{
    msgpack_sbuffer bytes;
    msgpack_packer packer;
    msgpack_unpacked result;

    msgpack_unpacked_init(&result);
    msgpack_sbuffer_init(&bytes);
    msgpack_packer_init(&packer, &bytes, msgpack_sbuffer_write);
    assert_int_equal(msgpack_unpack_next(&result, (const char *)value.data, value.length, NULL),
                     MSGPACK_UNPACK_SUCCESS);
    widen_floats(&result.data);
    msgpack_pack_object(&packer, result.data);
    msgpack_unpacked_destroy(&result);
    return take_buffer(arena, &bytes);
}
