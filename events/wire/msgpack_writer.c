#include "events/wire/msgpack_writer.h"

#include <assert.h>

#include "base/timestamp.h"

/* `head`, then the low `size` bytes of `value`, big-endian. */
static void put(struct buffer *buffer, uint8_t head, uint64_t value, size_t size)
{
    uint8_t *room = buffer_reserve(buffer, 1 + size);

    if (room == NULL)
        return;
    room[0] = head;
    for (size_t i = 0; i < size; i++)
        room[size - i] = (uint8_t)(value >> (8 * i));
    buffer->length += 1 + size;
}

void msgpack_write_nil(struct buffer *buffer)
{
    put(buffer, 0xc0, 0, 0);
}

void msgpack_write_bool(struct buffer *buffer, bool value)
{
    put(buffer, value ? 0xc3 : 0xc2, 0, 0);
}

static void write_negative(struct buffer *buffer, int64_t value)
{
    uint64_t bits = (uint64_t)value;

    if (value >= -32)
        put(buffer, (uint8_t)bits, 0, 0);
    else if (value >= INT8_MIN)
        put(buffer, 0xd0, bits, 1);
    else if (value >= INT16_MIN)
        put(buffer, 0xd1, bits, 2);
    else if (value >= INT32_MIN)
        put(buffer, 0xd2, bits, 4);
    else
        put(buffer, 0xd3, bits, 8);
}

void msgpack_write_int(struct buffer *buffer, int64_t value)
{
    if (value < 0)
        write_negative(buffer, value);
    else if (value <= INT8_MAX)
        put(buffer, (uint8_t)value, 0, 0);
    else if (value <= UINT8_MAX)
        put(buffer, 0xcc, (uint64_t)value, 1);
    else if (value <= UINT16_MAX)
        put(buffer, 0xcd, (uint64_t)value, 2);
    else if (value <= UINT32_MAX)
        put(buffer, 0xce, (uint64_t)value, 4);
    else
        put(buffer, 0xcf, (uint64_t)value, 8);
}

void msgpack_write_double(struct buffer *buffer, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    put(buffer, 0xcb, bits, 8);
}

void msgpack_write_text(struct buffer *buffer, struct text text)
{
    assert(text.length <= UINT32_MAX);

    if (text.length <= 31)
        put(buffer, (uint8_t)(0xa0 | text.length), 0, 0);
    else if (text.length <= UINT8_MAX)
        put(buffer, 0xd9, text.length, 1);
    else if (text.length <= UINT16_MAX)
        put(buffer, 0xda, text.length, 2);
    else
        put(buffer, 0xdb, text.length, 4);
    buffer_append_text(buffer, text);
}

void msgpack_write_array(struct buffer *buffer, uint32_t count)
{
    if (count <= 15)
        put(buffer, (uint8_t)(0x90 | count), 0, 0);
    else if (count <= UINT16_MAX)
        put(buffer, 0xdc, count, 2);
    else
        put(buffer, 0xdd, count, 4);
}

void msgpack_write_map(struct buffer *buffer, uint32_t count)
{
    if (count <= 15)
        put(buffer, (uint8_t)(0x80 | count), 0, 0);
    else if (count <= UINT16_MAX)
        put(buffer, 0xde, count, 2);
    else
        put(buffer, 0xdf, count, 4);
}

void msgpack_write_time(struct buffer *buffer, int64_t us)
{
    char text[TIMESTAMP_TEXT_LENGTH + 1];

    timestamp_format(us, text);
    msgpack_write_text(buffer, (struct text){text, TIMESTAMP_TEXT_LENGTH});
}

static void write_item(struct buffer *buffer, const struct msgpack_item *item)
{
    switch (item->kind) {
    case MSGPACK_NIL:
        msgpack_write_nil(buffer);
        return;
    case MSGPACK_BOOL:
        msgpack_write_bool(buffer, item->boolean);
        return;
    case MSGPACK_INT:
        msgpack_write_int(buffer, item->integer);
        return;
    case MSGPACK_FLOAT:
        msgpack_write_double(buffer, item->real);
        return;
    case MSGPACK_TEXT:
        msgpack_write_text(buffer, msgpack_item_text(item));
        return;
    case MSGPACK_ARRAY:
        msgpack_write_array(buffer, item->count);
        return;
    case MSGPACK_MAP:
        msgpack_write_map(buffer, item->count);
        return;
    case MSGPACK_BIG_INT:
    case MSGPACK_BINARY:
    case MSGPACK_EXT:
    case MSGPACK_CUT:
    case MSGPACK_RESERVED:
        break;
    }
    assert(false && "a value that JSON cannot hold");
}

void msgpack_write_canonical(struct buffer *buffer, struct slice value)
{
    struct msgpack_reader reader = msgpack_reader_of(value);
    struct msgpack_item item;

    buffer_reserve(buffer, value.length); /* never much longer: only float 32 grows */
    while (reader.at != reader.end) {
        msgpack_next(&reader, &item);
        write_item(buffer, &item);
    }
}
