#include "events/wire/msgpack_reader.h"

#include "base/timestamp.h"

static uint64_t big_endian(const uint8_t *at, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        value = value << 8 | at[i];
    return value;
}

static size_t left(const struct msgpack_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

static enum msgpack_kind finish(struct msgpack_item *item, enum msgpack_kind kind)
{
    item->kind = kind;
    return kind;
}

/* `head` bytes, then `length` of the item's own. */
static enum msgpack_kind take_bytes(struct msgpack_reader *reader, size_t head, uint64_t length,
                                    enum msgpack_kind kind, struct msgpack_item *item)
{
    if (length > left(reader) - head)
        return finish(item, MSGPACK_CUT);
    item->bytes = (struct slice){reader->at + head, (size_t)length};
    reader->at += head + (size_t)length;
    return finish(item, kind);
}

static enum msgpack_kind take_sized(struct msgpack_reader *reader, size_t size_bytes,
                                    enum msgpack_kind kind, struct msgpack_item *item)
{
    size_t head = 1 + size_bytes + (kind == MSGPACK_EXT ? 1 : 0);

    if (left(reader) < head)
        return finish(item, MSGPACK_CUT);
    if (kind == MSGPACK_EXT)
        item->ext_type = (int8_t)reader->at[head - 1];
    return take_bytes(reader, head, big_endian(reader->at + 1, size_bytes), kind, item);
}

static enum msgpack_kind take_fixed_ext(struct msgpack_reader *reader, size_t length,
                                        struct msgpack_item *item)
{
    if (left(reader) < 2)
        return finish(item, MSGPACK_CUT);
    item->ext_type = (int8_t)reader->at[1];
    return take_bytes(reader, 2, length, MSGPACK_EXT, item);
}

static enum msgpack_kind take_container(struct msgpack_reader *reader, size_t head, uint32_t count,
                                        enum msgpack_kind kind, struct msgpack_item *item)
{
    uint64_t items = kind == MSGPACK_MAP ? (uint64_t)count * 2 : count;

    if (items > left(reader) - head)
        return finish(item, MSGPACK_CUT); /* each item takes a byte at least */
    item->count = count;
    reader->at += head;
    return finish(item, kind);
}

static enum msgpack_kind take_counted(struct msgpack_reader *reader, size_t size_bytes,
                                      enum msgpack_kind kind, struct msgpack_item *item)
{
    if (left(reader) < 1 + size_bytes)
        return finish(item, MSGPACK_CUT);
    return take_container(reader, 1 + size_bytes, (uint32_t)big_endian(reader->at + 1, size_bytes),
                          kind, item);
}

static enum msgpack_kind take_unsigned(struct msgpack_reader *reader, size_t size,
                                       struct msgpack_item *item)
{
    if (left(reader) < 1 + size)
        return finish(item, MSGPACK_CUT);
    uint64_t value = big_endian(reader->at + 1, size);
    reader->at += 1 + size;
    if (value > INT64_MAX) {
        item->big = value;
        return finish(item, MSGPACK_BIG_INT);
    }
    item->integer = (int64_t)value;
    return finish(item, MSGPACK_INT);
}

static enum msgpack_kind take_signed(struct msgpack_reader *reader, size_t size,
                                     struct msgpack_item *item)
{
    if (left(reader) < 1 + size)
        return finish(item, MSGPACK_CUT);
    uint64_t bits = big_endian(reader->at + 1, size);
    unsigned unused = (unsigned)(64 - 8 * size);
    item->integer = (int64_t)(bits << unused) >> unused; /* extends the sign */
    reader->at += 1 + size;
    return finish(item, MSGPACK_INT);
}

static enum msgpack_kind take_float(struct msgpack_reader *reader, size_t size,
                                    struct msgpack_item *item)
{
    if (left(reader) < 1 + size)
        return finish(item, MSGPACK_CUT);
    uint64_t bits = big_endian(reader->at + 1, size);
    if (size == 4) {
        uint32_t narrow_bits = (uint32_t)bits;
        float narrow;
        memcpy(&narrow, &narrow_bits, sizeof(narrow));
        item->real = (double)narrow;
    } else {
        memcpy(&item->real, &bits, sizeof(item->real));
    }
    reader->at += 1 + size;
    return finish(item, MSGPACK_FLOAT);
}

static enum msgpack_kind take_small_int(struct msgpack_reader *reader, struct msgpack_item *item)
{
    uint8_t byte = *reader->at++;

    item->integer = byte <= 0x7f ? byte : byte - 0x100;
    return finish(item, MSGPACK_INT);
}

static enum msgpack_kind take_constant(struct msgpack_reader *reader, struct msgpack_item *item)
{
    uint8_t head = *reader->at++;

    if (head == 0xc0)
        return finish(item, MSGPACK_NIL);
    item->boolean = head == 0xc3;
    return finish(item, MSGPACK_BOOL);
}

enum msgpack_kind msgpack_next(struct msgpack_reader *reader, struct msgpack_item *ret_item)
{
    if (reader->at == reader->end)
        return finish(ret_item, MSGPACK_CUT);

    uint8_t head = *reader->at;
    if (head >= 0xa0 && head <= 0xbf)
        return take_bytes(reader, 1, head & 0x1f, MSGPACK_TEXT, ret_item);
    if (head <= 0x7f || head >= 0xe0)
        return take_small_int(reader, ret_item);
    if (head <= 0x8f)
        return take_container(reader, 1, head & 0x0f, MSGPACK_MAP, ret_item);
    if (head <= 0x9f)
        return take_container(reader, 1, head & 0x0f, MSGPACK_ARRAY, ret_item);

    switch (head) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
        return take_constant(reader, ret_item);
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return take_sized(reader, (size_t)1 << (head - 0xc4), MSGPACK_BINARY, ret_item);
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return take_sized(reader, (size_t)1 << (head - 0xc7), MSGPACK_EXT, ret_item);
    case 0xca:
    case 0xcb:
        return take_float(reader, (size_t)4 << (head - 0xca), ret_item);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return take_unsigned(reader, (size_t)1 << (head - 0xcc), ret_item);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_signed(reader, (size_t)1 << (head - 0xd0), ret_item);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return take_fixed_ext(reader, (size_t)1 << (head - 0xd4), ret_item);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take_sized(reader, (size_t)1 << (head - 0xd9), MSGPACK_TEXT, ret_item);
    case 0xdc:
    case 0xdd:
        return take_counted(reader, (size_t)2 << (head - 0xdc), MSGPACK_ARRAY, ret_item);
    case 0xde:
    case 0xdf:
        return take_counted(reader, (size_t)2 << (head - 0xde), MSGPACK_MAP, ret_item);
    default:
        return finish(ret_item, MSGPACK_RESERVED);
    }
}

enum msgpack_kind msgpack_peek(const struct msgpack_reader *reader)
{
    struct msgpack_reader ahead = *reader;
    struct msgpack_item item;

    return msgpack_next(&ahead, &item);
}

bool msgpack_take(struct msgpack_reader *reader, struct slice *ret_value)
{
    struct msgpack_reader ahead = *reader;
    struct msgpack_item item;
    uint64_t open = 1; /* a count may not exceed the bytes left, so that this cannot overflow */

    while (open > 0) {
        enum msgpack_kind kind = msgpack_next(&ahead, &item);
        if (kind == MSGPACK_CUT || kind == MSGPACK_RESERVED)
            return false;
        open--;
        if (kind == MSGPACK_ARRAY)
            open += item.count;
        else if (kind == MSGPACK_MAP)
            open += (uint64_t)item.count * 2;
        if (open > left(&ahead))
            return false;
    }
    *ret_value = (struct slice){reader->at, (size_t)(ahead.at - reader->at)};
    *reader = ahead;
    return true;
}

bool msgpack_item_time(const struct msgpack_item *item, int64_t *ret_us)
{
    const uint8_t *bytes = item->bytes.data;
    uint64_t nanoseconds = 0;
    int64_t seconds = 0;

    if (item->kind != MSGPACK_EXT || item->ext_type != MSGPACK_EXT_TIMESTAMP)
        return false;
    if (item->bytes.length == 4) {
        seconds = (int64_t)big_endian(bytes, 4);
    } else if (item->bytes.length == 8) {
        uint64_t both = big_endian(bytes, 8);
        nanoseconds = both >> 34;
        seconds = (int64_t)(both & ((UINT64_C(1) << 34) - 1));
    } else if (item->bytes.length == 12) {
        nanoseconds = big_endian(bytes, 4);
        seconds = (int64_t)big_endian(bytes + 4, 8);
    } else {
        return false;
    }
    if (nanoseconds > 999999999 || seconds < TIMESTAMP_MIN_US / 1000000 ||
        seconds > TIMESTAMP_MAX_US / 1000000)
        return false;
    *ret_us = seconds * 1000000 + (int64_t)(nanoseconds / 1000);
    return true;
}
