#include "events/message_json.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "events/wire/json_to_msgpack.h"
#include "events/wire/msgpack_bounds.h"
#include "events/wire/msgpack_to_json.h"

static void append_bytes(struct buffer *line, struct slice bytes)
{
    if (bytes.data == NULL) {
        buffer_append_literal(line, "null");
    } else if (utf8_valid(text_of_slice(bytes))) {
        json_append_string(line, text_of_slice(bytes));
    } else {
        buffer_append_literal(line, "{\"base64\":");
        json_append_base64(line, bytes);
        buffer_append_byte(line, '}');
    }
}

static int64_t signed_big_endian(struct slice bytes)
{
    uint64_t value = bytes.data[0] >= 0x80 ? UINT64_MAX : 0;

    for (size_t i = 0; i < bytes.length; i++)
        value = value << 8 | bytes.data[i];
    return (int64_t)value;
}

static void append_header_value(struct buffer *line, const struct header *header)
{
    const bool is_offset = text_is(header->name, "kafka_dlt-original-offset") ||
                           text_is(header->name, "kafka_dlt-original-timestamp");

    if ((is_offset && header->value.length == 8) ||
        (text_is(header->name, "kafka_dlt-original-partition") && header->value.length == 4))
        json_append_int(line, signed_big_endian(header->value));
    else
        append_bytes(line, header->value);
}

/* Headers in order of name; equal ones stay in the order in which they came. */
struct seat {
    const struct header *header;
};

static int compare_seats(const void *a, const void *b)
{
    const struct header *left = ((const struct seat *)a)->header;
    const struct header *right = ((const struct seat *)b)->header;
    int order = text_compare(left->name, right->name);

    return order != 0 ? order : (left > right) - (left < right);
}

/* A name may be any bytes. */
static void append_name(struct buffer *line, struct text name)
{
    if (utf8_valid(name)) {
        json_append_string(line, name);
    } else {
        json_append_base64(line, slice_of_text(name));
    }
    buffer_append_byte(line, ':');
}

/* The headers of one name; `count` of them stand together. */
static void append_group(struct buffer *line, const struct seat *group, size_t count)
{
    append_name(line, group[0].header->name);
    if (count > 1)
        buffer_append_byte(line, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_byte(line, ',');
        append_header_value(line, group[i].header);
    }
    if (count > 1)
        buffer_append_byte(line, ']');
}

static bool append_headers(struct buffer *line, const struct message *message)
{
    struct seat *sorted = ARENA_ARRAY(line->arena, struct seat, message->header_count);

    if (sorted == NULL)
        return false;
    for (size_t i = 0; i < message->header_count; i++)
        sorted[i].header = &message->headers[i];
    if (message->header_count > 0)
        qsort(sorted, message->header_count, sizeof(*sorted), compare_seats);
    buffer_append_byte(line, '{');
    for (size_t i = 0; i < message->header_count;) {
        size_t next = i + 1;
        while (next < message->header_count &&
               text_equal(sorted[i].header->name, sorted[next].header->name))
            next++;
        if (i > 0)
            buffer_append_byte(line, ',');
        append_group(line, sorted + i, next - i);
        i = next;
    }
    buffer_append_byte(line, '}');
    return true;
}

static bool begins_json(struct slice value)
{
    for (size_t i = 0; i < value.length; i++) {
        uint8_t byte = value.data[i];
        if (byte != ' ' && byte != '\t' && byte != '\r' && byte != '\n')
            return byte == '{' || byte == '[';
    }
    return false;
}

/* false: neither MessagePack nor JSON. The first byte tells them apart: no MessagePack map or array
 * begins like a JSON one. */
static bool append_decoded(struct buffer *line, struct slice value)
{
    struct msgpack_fault fault;
    struct slice packed = value;
    struct err err;

    if (begins_json(value)) {
        if (json_to_msgpack(text_of_slice(value), line->arena, &packed, &err) != OUTCOME_OK)
            return false;
    } else if (value.length == 0 || value.data[0] < 0x80 || value.data[0] > 0xdf ||
               msgpack_check(value, &fault) != OUTCOME_OK) {
        return false;
    }
    msgpack_to_json(line, packed, JSON_SHOWN);
    return true;
}

enum outcome message_to_json(const struct message *message, struct arena *arena,
                             struct text *ret_line, struct err *err)
{
    struct buffer line;

    buffer_init(&line, arena);
    buffer_append_literal(&line, "{\"topic\":");
    json_append_string(&line, message->topic);
    buffer_append_literal(&line, ",\"partition\":");
    json_append_int(&line, message->partition);
    buffer_append_literal(&line, ",\"offset\":");
    json_append_int(&line, message->offset);
    buffer_append_literal(&line, ",\"timestamp\":");
    if (message->timestamp_ms < 0 || message->timestamp_ms > TIMESTAMP_MAX_US / 1000)
        buffer_append_literal(&line, "null");
    else
        json_append_time(&line, message->timestamp_ms * 1000);
    buffer_append_literal(&line, ",\"key\":");
    append_bytes(&line, message->key);
    buffer_append_literal(&line, ",\"headers\":");
    if (!append_headers(&line, message))
        return err_no_memory(err, "line");
    buffer_append_literal(&line, ",\"data\":");
    if (message->value.data == NULL || !append_decoded(&line, message->value))
        append_bytes(&line, message->value);
    buffer_append_byte(&line, '}');
    if (line.full)
        return err_no_memory(err, "line");
    *ret_line = buffer_text(&line);
    return OUTCOME_OK;
}
