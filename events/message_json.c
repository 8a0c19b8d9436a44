#include "events/message_json.h"

#include <stdlib.h>

#include "base/json_writer.h"
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
        struct json_writer json = json_writer_of(line);
        json_begin_object(&json, NULL);
        json_append_base64(json_value(&json, "base64"), bytes);
        json_end_object(&json);
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

/* A name may be any bytes: one that is no UTF-8 is shown in base 64. */
static struct text shown_name(struct text name, struct arena *arena)
{
    struct buffer quoted;

    if (utf8_valid(name))
        return name;
    buffer_init(&quoted, arena);
    json_append_base64(&quoted, slice_of_text(name));
    return quoted.full ? TEXT("")
                       : (struct text){(const char *)quoted.bytes + 1, quoted.length - 2};
}

/* The headers of one name; `count` of them stand together. */
static void append_group(struct json_writer *json, const struct seat *group, size_t count)
{
    struct buffer *line = json_member(json, shown_name(group[0].header->name, json->out->arena));
    struct json_writer values = json_writer_of(line);

    if (count > 1)
        json_begin_array(&values, NULL);
    for (size_t i = 0; i < count; i++)
        append_header_value(json_value(&values, NULL), group[i].header);
    if (count > 1)
        json_end_array(&values);
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
    struct json_writer json = json_writer_of(line);
    json_begin_object(&json, NULL);
    for (size_t i = 0; i < message->header_count;) {
        size_t next = i + 1;
        while (next < message->header_count &&
               text_equal(sorted[i].header->name, sorted[next].header->name))
            next++;
        append_group(&json, sorted + i, next - i);
        i = next;
    }
    json_end_object(&json);
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
    struct json_writer json = json_writer_of(&line);
    json_begin_object(&json, NULL);
    json_text(&json, "topic", message->topic);
    json_int(&json, "partition", message->partition);
    json_int(&json, "offset", message->offset);
    if (message->timestamp_ms < 0 || message->timestamp_ms > TIMESTAMP_MAX_US / 1000)
        json_document(&json, "timestamp", TEXT("null"));
    else
        json_time(&json, "timestamp", message->timestamp_ms * 1000);
    append_bytes(json_value(&json, "key"), message->key);
    if (!append_headers(json_value(&json, "headers"), message))
        return err_no_memory(err, "line");
    json_value(&json, "data");
    if (message->value.data == NULL || !append_decoded(&line, message->value))
        append_bytes(&line, message->value);
    json_end_object(&json);
    if (line.full)
        return err_no_memory(err, "line");
    *ret_line = buffer_text(&line);
    return OUTCOME_OK;
}
