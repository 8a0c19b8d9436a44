#pragma once

#include "base/slice.h"

/* A cursor over MessagePack bytes: one item at a time, nothing allocated, nothing read behind the
 * end whatever the bytes are.
 * Source: https://github.com/msgpack/msgpack/blob/master/spec.md */

enum msgpack_kind {
    MSGPACK_NIL,
    MSGPACK_BOOL,
    MSGPACK_INT,
    MSGPACK_BIG_INT, /* past INT64_MAX: neither JSON readers nor a bigint column keep it */
    MSGPACK_FLOAT,   /* float 32 is widened */
    MSGPACK_TEXT,
    MSGPACK_BINARY,
    MSGPACK_EXT,
    MSGPACK_ARRAY,
    MSGPACK_MAP,
    MSGPACK_CUT,      /* the bytes end before the item does, or cannot hold the items announced */
    MSGPACK_RESERVED, /* 0xc1, which no item begins with */
};

struct msgpack_item {
    enum msgpack_kind kind;
    int8_t ext_type;
    uint32_t count; /* items of an array, pairs of a map; at most what the bytes left can hold */
    union {
        bool boolean;
        int64_t integer;
        uint64_t big;
        double real;
    };
    struct slice bytes; /* of a text, a binary, an extension */
};

struct msgpack_reader {
    const uint8_t *at;
    const uint8_t *end;
};

enum { MSGPACK_EXT_TIMESTAMP = -1 };

static inline struct msgpack_reader msgpack_reader_of(struct slice bytes)
{
    return (struct msgpack_reader){bytes.data, bytes.data + bytes.length};
}

static inline struct text msgpack_item_text(const struct msgpack_item *item)
{
    return text_of_slice(item->bytes);
}

/* Reads an item and moves behind it; behind the head alone of an array or a map, whose items come
 * next. CUT and RESERVED do not move. Returns ret_item->kind. */
enum msgpack_kind msgpack_next(struct msgpack_reader *reader, struct msgpack_item *ret_item);

/* What msgpack_next() would return. */
enum msgpack_kind msgpack_peek(const struct msgpack_reader *reader);

/* Moves behind one whole value and gives its bytes. false: it is cut or not MessagePack. */
bool msgpack_take(struct msgpack_reader *reader, struct slice *ret_value);

/* A timestamp extension (type -1, 4, 8 or 12 bytes) as microseconds, finer digits truncated.
 * false: not that, or out of the range of base/timestamp.h. */
bool msgpack_item_time(const struct msgpack_item *item, int64_t *ret_us);
