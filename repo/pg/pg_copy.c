#include "repo/pg/pg_copy.h"

#include "repo/pg/executor.h"

/* Microseconds from 1970-01-01 to 2000-01-01. */
static const int64_t POSTGRES_EPOCH_US = 946684800000000;

/* Behind it: flags and the length of the header's extension, neither of which is used. */
static const uint8_t SIGNATURE[] = {'P', 'G', 'C', 'O', 'P', 'Y', '\n', 0xFF, '\r', '\n', '\0'};

static uint8_t *put16(uint8_t *at, uint16_t value)
{
    value = __builtin_bswap16(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static uint8_t *put64(uint8_t *at, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t length)
{
    at = put32(at, (uint32_t)length);
    if (length > 0)
        memcpy(at, bytes, length);
    return at + length;
}

void pg_copy_init(struct pg_copy *copy, struct arena *arena, size_t expected_bytes)
{
    enum { HEADER_BYTES = sizeof(SIGNATURE) + 4 + 4 };

    buffer_init(&copy->bytes, arena);
    uint8_t *at = buffer_reserve(
        &copy->bytes, expected_bytes > HEADER_BYTES ? expected_bytes : (size_t)HEADER_BYTES);
    if (at == NULL)
        return;
    memcpy(at, SIGNATURE, sizeof(SIGNATURE));
    memset(at + sizeof(SIGNATURE), 0, 4 + 4);
    copy->bytes.length = HEADER_BYTES;
}

void pg_copy_row(struct pg_copy *copy, uint16_t fields)
{
    uint8_t *at = buffer_reserve(&copy->bytes, 2);
    if (at == NULL)
        return;
    put16(at, fields);
    copy->bytes.length += 2;
}

void pg_copy_null(struct pg_copy *copy)
{
    uint8_t *at = buffer_reserve(&copy->bytes, 4);
    if (at == NULL)
        return;
    put32(at, UINT32_MAX);
    copy->bytes.length += 4;
}

static void add(struct pg_copy *copy, const void *bytes, size_t length)
{
    uint8_t *at = buffer_reserve(&copy->bytes, 4 + length);
    if (at == NULL)
        return;
    put_bytes(at, bytes, length);
    copy->bytes.length += 4 + length;
}

void pg_copy_text(struct pg_copy *copy, struct text value)
{
    if (text_present(value))
        add(copy, value.data, value.length);
    else
        pg_copy_null(copy);
}

/* An array of one dimension without NULLs: dimensions, flags, element type, length, lower bound;
 * one without elements has no dimensions and ends behind the type. */
void pg_copy_list(struct pg_copy *copy, struct text_list list)
{
    size_t length = list.count > 0 ? 20 : 12;

    if (list.items == NULL) {
        pg_copy_null(copy);
        return;
    }
    for (size_t i = 0; i < list.count; i++)
        length += 4 + list.items[i].length;
    uint8_t *at = buffer_reserve(&copy->bytes, 4 + length);
    if (at == NULL)
        return;
    at = put32(at, (uint32_t)length);
    at = put32(at, list.count > 0 ? 1 : 0);
    at = put32(at, 0);
    at = put32(at, PG_TEXT);
    if (list.count > 0) {
        at = put32(at, (uint32_t)list.count);
        at = put32(at, 1);
    }
    for (size_t i = 0; i < list.count; i++)
        at = put_bytes(at, list.items[i].data, list.items[i].length);
    copy->bytes.length += 4 + length;
}

void pg_copy_time(struct pg_copy *copy, int64_t us)
{
    if (us == TIMESTAMP_ABSENT)
        pg_copy_null(copy);
    else
        pg_copy_int8(copy, us - POSTGRES_EPOCH_US);
}

void pg_copy_uuid(struct pg_copy *copy, const struct uuid *value)
{
    add(copy, value->bytes, sizeof(value->bytes));
}

void pg_copy_int8(struct pg_copy *copy, int64_t value)
{
    uint8_t *at = buffer_reserve(&copy->bytes, 4 + 8);
    if (at == NULL)
        return;
    put64(put32(at, 8), (uint64_t)value);
    copy->bytes.length += 4 + 8;
}

void pg_copy_int4(struct pg_copy *copy, int32_t value)
{
    uint8_t *at = buffer_reserve(&copy->bytes, 4 + 4);
    if (at == NULL)
        return;
    put32(put32(at, 4), (uint32_t)value);
    copy->bytes.length += 4 + 4;
}

void pg_copy_int2(struct pg_copy *copy, int16_t value)
{
    uint8_t *at = buffer_reserve(&copy->bytes, 4 + 2);
    if (at == NULL)
        return;
    put16(put32(at, 2), (uint16_t)value);
    copy->bytes.length += 4 + 2;
}

bool pg_copy_done(struct pg_copy *copy, struct slice *ret_rows)
{
    pg_copy_row(copy, UINT16_MAX); /* -1 fields: no more rows */
    *ret_rows = buffer_slice(&copy->bytes);
    return !copy->bytes.full;
}
