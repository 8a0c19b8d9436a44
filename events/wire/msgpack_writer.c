#include "events/wire/msgpack_writer.h"

#include <assert.h>
#include <msgpack/pack.h>

#include "base/timestamp.h"

/* msgpack-c chooses the form of each item; its packer takes the shortest. A full buffer remembers
 * that it is full, so no answer of the packer is looked at. */
static int append(void *buffer, const char *bytes, size_t length)
{
    buffer_append(buffer, bytes, length);
    return 0;
}

static msgpack_packer packer_of(struct buffer *buffer)
{
    return (msgpack_packer){.data = buffer, .callback = append};
}

void msgpack_write_nil(struct buffer *buffer)
{
    msgpack_packer packer = packer_of(buffer);
    msgpack_pack_nil(&packer);
}

void msgpack_write_bool(struct buffer *buffer, bool value)
{
    msgpack_packer packer = packer_of(buffer);

    if (value)
        msgpack_pack_true(&packer);
    else
        msgpack_pack_false(&packer);
}

void msgpack_write_int(struct buffer *buffer, int64_t value)
{
    msgpack_packer packer = packer_of(buffer);
    msgpack_pack_int64(&packer, value);
}

void msgpack_write_double(struct buffer *buffer, double value)
{
    msgpack_packer packer = packer_of(buffer);
    msgpack_pack_double(&packer, value);
}

void msgpack_write_text(struct buffer *buffer, struct text text)
{
    msgpack_packer packer = packer_of(buffer);

    assert(text.length <= UINT32_MAX);
    msgpack_pack_str(&packer, text.length);
    buffer_append_text(buffer, text);
}

void msgpack_write_ext(struct buffer *buffer, int8_t type)
{
    static const uint8_t data[1];
    msgpack_packer packer = packer_of(buffer);

    msgpack_pack_ext(&packer, sizeof(data), type);
    msgpack_pack_ext_body(&packer, data, sizeof(data));
}

void msgpack_write_array(struct buffer *buffer, uint32_t count)
{
    msgpack_packer packer = packer_of(buffer);
    msgpack_pack_array(&packer, count);
}

void msgpack_write_map(struct buffer *buffer, uint32_t count)
{
    msgpack_packer packer = packer_of(buffer);
    msgpack_pack_map(&packer, count);
}

void msgpack_write_time(struct buffer *buffer, int64_t us)
{
    char text[TIMESTAMP_ANY_LENGTH + 1];

    size_t length = timestamp_format_any(us, text);
    msgpack_write_text(buffer, (struct text){text, length});
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
