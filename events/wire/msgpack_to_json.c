#include "events/wire/msgpack_to_json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "events/wire/base64.h"
#include "events/wire/json_to_msgpack.h"
#include "events/wire/msgpack_bounds.h"
#include "events/wire/msgpack_reader.h"

/* What is open at the place where the next item goes. */
struct nesting {
    struct {
        uint64_t items_left;
        bool is_map;
        bool begun;
    } levels[MSGPACK_MAX_DEPTH];
    size_t depth;
};

void json_append_base64(struct buffer *buffer, struct slice bytes)
{
    buffer_append_byte(buffer, '"');
    base64_append(buffer, bytes);
    buffer_append_byte(buffer, '"');
}

static void show_extension(struct buffer *buffer, const struct msgpack_item *item)
{
    int64_t us;

    if (msgpack_item_time(item, &us)) {
        json_append_time(buffer, us);
        return;
    }
    buffer_append_literal(buffer, "{\"ext\":");
    json_append_int(buffer, item->ext_type);
    buffer_append_literal(buffer, ",\"base64\":");
    json_append_base64(buffer, item->bytes);
    buffer_append_byte(buffer, '}');
}

static void show_binary(struct buffer *buffer, struct slice bytes)
{
    buffer_append_literal(buffer, "{\"base64\":");
    json_append_base64(buffer, bytes);
    buffer_append_byte(buffer, '}');
}

static void show_big_int(struct buffer *buffer, uint64_t value)
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, value);
    buffer_append(buffer, digits, (size_t)length);
}

static void show_not_finite(struct buffer *buffer, double value)
{
    if (isnan(value))
        buffer_append_literal(buffer, "\"NaN\"");
    else
        buffer_append_literal(buffer, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
}

/* What JSON has no form for. */
static const char *append_foreign(struct buffer *buffer, const struct msgpack_item *item,
                                  enum msgpack_to_json_mode mode)
{
    bool shown = mode == JSON_SHOWN;

    if (item->kind == MSGPACK_BINARY) {
        if (!shown)
            return "must not hold binary values";
        show_binary(buffer, item->bytes);
    } else if (item->kind == MSGPACK_EXT) {
        if (!shown)
            return item->ext_type == JSON_EXT_OUT_OF_RANGE
                       ? "must not hold numbers out of range (integers: 64 bits, signed)"
                       : "must not hold extension types";
        show_extension(buffer, item);
    } else if (item->kind == MSGPACK_BIG_INT) {
        if (!shown)
            return "must not hold integers past 9223372036854775807";
        show_big_int(buffer, item->big);
    } else if (item->kind == MSGPACK_FLOAT) {
        if (!shown)
            return "must not hold NaN or infinity";
        show_not_finite(buffer, item->real);
    } else {
        assert(false && "checked before");
    }
    return NULL;
}

static const char *append_scalar(struct buffer *buffer, const struct msgpack_item *item,
                                 enum msgpack_to_json_mode mode)
{
    switch (item->kind) {
    case MSGPACK_NIL:
        buffer_append_literal(buffer, "null");
        return NULL;
    case MSGPACK_BOOL:
        buffer_append_literal(buffer, item->boolean ? "true" : "false");
        return NULL;
    case MSGPACK_INT:
        json_append_int(buffer, item->integer);
        return NULL;
    case MSGPACK_FLOAT:
        if (!isfinite(item->real))
            return append_foreign(buffer, item, mode);
        json_append_double(buffer, item->real);
        return NULL;
    case MSGPACK_TEXT:
        json_append_string(buffer, msgpack_item_text(item));
        return NULL;
    case MSGPACK_BIG_INT:
    case MSGPACK_BINARY:
    case MSGPACK_EXT:
    case MSGPACK_ARRAY:
    case MSGPACK_MAP:
    case MSGPACK_CUT:
    case MSGPACK_RESERVED:
        break;
    }
    return append_foreign(buffer, item, mode);
}

/* The comma or colon in front of the next item, which is then counted. */
static void separate(struct buffer *buffer, struct nesting *nesting)
{
    if (nesting->depth == 0)
        return;
    bool is_map = nesting->levels[nesting->depth - 1].is_map;
    bool is_value = is_map && nesting->levels[nesting->depth - 1].items_left % 2 == 1;

    if (is_value)
        buffer_append_byte(buffer, ':');
    else if (nesting->levels[nesting->depth - 1].begun)
        buffer_append_byte(buffer, ',');
    nesting->levels[nesting->depth - 1].begun = true;
    nesting->levels[nesting->depth - 1].items_left--;
}

static void open_container(struct buffer *buffer, struct nesting *nesting,
                           const struct msgpack_item *item)
{
    bool is_map = item->kind == MSGPACK_MAP;

    assert(nesting->depth < MSGPACK_MAX_DEPTH);
    nesting->levels[nesting->depth].items_left = is_map ? (uint64_t)item->count * 2 : item->count;
    nesting->levels[nesting->depth].is_map = is_map;
    nesting->levels[nesting->depth].begun = false;
    nesting->depth++;
    buffer_append_byte(buffer, is_map ? '{' : '[');
}

static void close_containers(struct buffer *buffer, struct nesting *nesting)
{
    while (nesting->depth > 0 && nesting->levels[nesting->depth - 1].items_left == 0) {
        nesting->depth--;
        buffer_append_byte(buffer, nesting->levels[nesting->depth].is_map ? '}' : ']');
    }
}

const char *msgpack_to_json(struct buffer *buffer, struct slice value,
                            enum msgpack_to_json_mode mode)
{
    struct msgpack_reader reader = msgpack_reader_of(value);
    struct nesting nesting;
    struct msgpack_item item;

    nesting.depth = 0;
    buffer_reserve(buffer, value.length + value.length / 4 + 16); /* most values fit at once */
    do {
        separate(buffer, &nesting);
        enum msgpack_kind kind = msgpack_next(&reader, &item);
        if (kind == MSGPACK_ARRAY || kind == MSGPACK_MAP) {
            open_container(buffer, &nesting, &item);
        } else {
            const char *rule = append_scalar(buffer, &item, mode);
            if (rule != NULL)
                return rule;
        }
        close_containers(buffer, &nesting);
    } while (nesting.depth > 0);
    return NULL;
}
