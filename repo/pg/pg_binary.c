#include "repo/pg/pg_binary.h"

#include <assert.h>

/* Microseconds from 1970-01-01 to 2000-01-01. */
static const int64_t POSTGRES_EPOCH_US = 946684800000000;

enum { ARRAY_HEADER = 20, EMPTY_ARRAY_HEADER = 12, DIMENSIONS_MAX = 6 };

static void put_be(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

/* PostgreSQL's infinities are the extremes of int64. */
static uint64_t pg_time(int64_t us)
{
    if (us == TIMESTAMP_INFINITY)
        return (uint64_t)INT64_MAX;
    if (us == TIMESTAMP_MINUS_INFINITY)
        return (uint64_t)INT64_MIN;
    return (uint64_t)(us - POSTGRES_EPOCH_US);
}

static uint64_t get_be(const char *at, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (uint8_t)at[i];
    return value;
}

/* --- parameters -------------------------------------------------------------------------- */

void params_init(struct params *params, struct arena *arena, size_t capacity)
{
    *params = (struct params){.arena = arena, .capacity = capacity};
    params->items = ARENA_ARRAY(arena, struct param, capacity);
    params->full = params->items == NULL;
}

static void add(struct params *params, enum pg_type type, const void *data, size_t length)
{
    if (params->full)
        return;
    assert(params->count < params->capacity);
    params->items[params->count++] = (struct param){type, data, length};
}

static void add_be(struct params *params, enum pg_type type, uint64_t value, size_t bytes)
{
    uint8_t *data = arena_alloc(params->arena, bytes);
    if (data == NULL) {
        params->full = true;
        return;
    }
    put_be(data, value, bytes);
    add(params, type, data, bytes);
}

void params_text(struct params *params, struct text value)
{
    add(params, PG_TEXT, value.data, value.length);
}

void params_json(struct params *params, struct text value)
{
    add(params, PG_JSON, value.data, value.length);
}

void params_time(struct params *params, int64_t us)
{
    if (us == TIMESTAMP_ABSENT)
        add(params, PG_TIMESTAMPTZ, NULL, 0);
    else
        add_be(params, PG_TIMESTAMPTZ, pg_time(us), 8);
}

void params_uuid(struct params *params, const struct uuid *value)
{
    if (value == NULL) {
        add(params, PG_UUID, NULL, 0);
        return;
    }
    char *data = arena_copy(params->arena, value->bytes, sizeof(value->bytes));
    if (data == NULL)
        params->full = true;
    add(params, PG_UUID, data, sizeof(value->bytes));
}

void params_int8(struct params *params, int64_t value)
{
    add_be(params, PG_INT8, (uint64_t)value, 8);
}

void params_int4(struct params *params, int32_t value)
{
    add_be(params, PG_INT4, (uint32_t)value, 4);
}

void params_bool(struct params *params, bool value)
{
    add_be(params, PG_BOOL, value ? 1 : 0, 1);
}

void params_text_array(struct params *params, const struct text *items, size_t count)
{
    struct pg_array array;

    pg_array_init(&array, PG_TEXT_ARRAY, params->arena);
    for (size_t i = 0; i < count; i++)
        pg_array_text(&array, items[i]);
    params_array(params, &array);
}

void params_uuid_array(struct params *params, const struct uuid *items, size_t count)
{
    struct pg_array array;

    pg_array_init(&array, PG_UUID_ARRAY, params->arena);
    for (size_t i = 0; i < count; i++)
        pg_array_uuid(&array, &items[i]);
    params_array(params, &array);
}

bool params_done(const struct params *params, struct statement *statement)
{
    statement->params = params->items;
    statement->param_count = params->count;
    return !params->full;
}

/* --- arrays ------------------------------------------------------------------------------ */

static enum pg_type element_type(enum pg_type array)
{
    switch (array) {
    case PG_TEXT_ARRAY:
        return PG_TEXT;
    case PG_JSON_ARRAY:
        return PG_JSON;
    case PG_BOOL_ARRAY:
        return PG_BOOL;
    case PG_BYTEA_ARRAY:
        return PG_BYTEA;
    case PG_INT4_ARRAY:
        return PG_INT4;
    case PG_INT8_ARRAY:
        return PG_INT8;
    case PG_TIMESTAMPTZ_ARRAY:
        return PG_TIMESTAMPTZ;
    case PG_UUID_ARRAY:
        return PG_UUID;
    case PG_BOOL:
    case PG_BYTEA:
    case PG_INT8:
    case PG_INT4:
    case PG_TEXT:
    case PG_JSON:
    case PG_TIMESTAMPTZ:
    case PG_UUID:
        break;
    }
    assert(0 && "not an array type");
    return PG_TEXT;
}

void pg_array_init(struct pg_array *array, enum pg_type type, struct arena *arena)
{
    *array = (struct pg_array){.type = type};
    buffer_init(&array->bytes, arena);
    /* The header is written by params_array(), when the count is known. */
    if (buffer_reserve(&array->bytes, ARRAY_HEADER) != NULL)
        array->bytes.length = ARRAY_HEADER;
}

static void add_element(struct pg_array *array, const void *bytes, size_t length)
{
    uint8_t *at = buffer_reserve(&array->bytes, 4 + length);
    if (at == NULL)
        return;
    put_be(at, length, 4);
    if (length > 0)
        memcpy(at + 4, bytes, length);
    array->bytes.length += 4 + length;
    array->count++;
}

static void add_element_be(struct pg_array *array, uint64_t value, size_t bytes)
{
    uint8_t element[8];

    put_be(element, value, bytes);
    add_element(array, element, bytes);
}

void pg_array_null(struct pg_array *array)
{
    uint8_t *at = buffer_reserve(&array->bytes, 4);
    if (at == NULL)
        return;
    put_be(at, UINT32_MAX, 4);
    array->bytes.length += 4;
    array->count++;
    array->has_null = true;
}

void pg_array_text(struct pg_array *array, struct text value)
{
    assert(array->type == PG_TEXT_ARRAY || array->type == PG_JSON_ARRAY);
    if (text_present(value))
        add_element(array, value.data, value.length);
    else
        pg_array_null(array);
}

void pg_array_time(struct pg_array *array, int64_t us)
{
    assert(array->type == PG_TIMESTAMPTZ_ARRAY);
    if (us == TIMESTAMP_ABSENT)
        pg_array_null(array);
    else
        add_element_be(array, pg_time(us), 8);
}

void pg_array_uuid(struct pg_array *array, const struct uuid *value)
{
    assert(array->type == PG_UUID_ARRAY);
    if (value == NULL)
        pg_array_null(array);
    else
        add_element(array, value->bytes, sizeof(value->bytes));
}

void pg_array_int8(struct pg_array *array, int64_t value)
{
    assert(array->type == PG_INT8_ARRAY);
    add_element_be(array, (uint64_t)value, 8);
}

void pg_array_int4(struct pg_array *array, int32_t value)
{
    assert(array->type == PG_INT4_ARRAY);
    add_element_be(array, (uint32_t)value, 4);
}

void pg_array_bool(struct pg_array *array, bool value)
{
    assert(array->type == PG_BOOL_ARRAY);
    add_element_be(array, value ? 1 : 0, 1);
}

static void add_list(struct pg_array *array, struct text_list list)
{
    struct buffer literal;

    if (list.items == NULL) {
        pg_array_null(array);
        return;
    }
    buffer_init(&literal, array->bytes.arena);
    pg_list_literal(&literal, list);
    if (literal.full)
        array->bytes.full = true;
    else
        pg_array_text(array, buffer_text(&literal));
}

void pg_array_value(struct pg_array *array, const struct pg_value *value)
{
    switch (value->kind) {
    case PG_VALUE_NULL:
        pg_array_null(array);
        break;
    case PG_VALUE_TEXT:
        pg_array_text(array, value->text);
        break;
    case PG_VALUE_LIST:
        add_list(array, value->list);
        break;
    case PG_VALUE_TIME:
        pg_array_time(array, value->number);
        break;
    case PG_VALUE_UUID:
        pg_array_uuid(array, value->uuid);
        break;
    case PG_VALUE_INT8:
        pg_array_int8(array, value->number);
        break;
    case PG_VALUE_INT4:
    case PG_VALUE_INT2:
        pg_array_int4(array, (int32_t)value->number);
        break;
    }
}

void params_array(struct params *params, struct pg_array *array)
{
    if (array->bytes.full) {
        params->full = true;
        return;
    }

    /* An array without elements has no dimensions. */
    bool empty = array->count == 0;
    put_be(array->bytes.bytes, empty ? 0 : 1, 4);
    put_be(array->bytes.bytes + 4, array->has_null ? 1 : 0, 4);
    put_be(array->bytes.bytes + 8, (uint32_t)element_type(array->type), 4);
    put_be(array->bytes.bytes + 12, array->count, 4);
    put_be(array->bytes.bytes + 16, 1, 4);
    add(params, array->type, array->bytes.bytes,
        empty ? (size_t)EMPTY_ARRAY_HEADER : array->bytes.length);
}

void pg_list_literal(struct buffer *buffer, struct text_list list)
{
    buffer_append_byte(buffer, '{');
    for (size_t i = 0; i < list.count; i++) {
        if (i > 0)
            buffer_append_byte(buffer, ',');
        buffer_append_byte(buffer, '"');
        for (size_t j = 0; j < list.items[i].length; j++) {
            uint8_t byte = (uint8_t)list.items[i].data[j];
            if (byte == '"' || byte == '\\')
                buffer_append_byte(buffer, '\\');
            buffer_append_byte(buffer, byte);
        }
        buffer_append_byte(buffer, '"');
    }
    buffer_append_byte(buffer, '}');
}

/* --- cells ------------------------------------------------------------------------------- */

bool pg_cell_int(struct cell cell, int64_t *ret_value)
{
    if (cell.data == NULL)
        return false;
    switch (cell.length) {
    case 2:
        *ret_value = (int16_t)get_be(cell.data, 2);
        return true;
    case 4:
        *ret_value = (int32_t)get_be(cell.data, 4);
        return true;
    case 8:
        *ret_value = (int64_t)get_be(cell.data, 8);
        return true;
    default:
        return false;
    }
}

bool pg_cell_time(struct cell cell, int64_t *ret_us)
{
    if (cell.data == NULL || cell.length != 8)
        return false;
    int64_t us = (int64_t)get_be(cell.data, 8);
    if (us == INT64_MAX)
        *ret_us = TIMESTAMP_INFINITY;
    else if (us == INT64_MIN)
        *ret_us = TIMESTAMP_MINUS_INFINITY;
    else if (us >= INT64_MAX - POSTGRES_EPOCH_US)
        return false; /* the last decades of PostgreSQL's range, behind the year 294246 */
    else
        *ret_us = us + POSTGRES_EPOCH_US;
    return true;
}

bool pg_elements_init(struct pg_elements *elements, struct cell cell)
{
    if (cell.data == NULL || cell.length < EMPTY_ARRAY_HEADER)
        return false;
    uint64_t dimensions = get_be(cell.data, 4);
    *elements = (struct pg_elements){
        .type = (enum pg_type)get_be(cell.data + 8, 4),
        .at = cell.data + EMPTY_ARRAY_HEADER,
        .end = cell.data + cell.length,
    };
    if (dimensions == 0)
        return true;
    if (dimensions > DIMENSIONS_MAX || cell.length < EMPTY_ARRAY_HEADER + 8 * dimensions)
        return false;
    elements->at = cell.data + EMPTY_ARRAY_HEADER + 8 * dimensions;
    /* Each element takes four bytes at least: a larger count is a lie. */
    size_t most = (size_t)(elements->end - elements->at) / 4;
    elements->count = 1;
    for (size_t i = 0; i < dimensions; i++) {
        elements->count *= get_be(cell.data + EMPTY_ARRAY_HEADER + 8 * i, 4);
        if (elements->count > most)
            return false;
    }
    return true;
}

bool pg_elements_next(struct pg_elements *elements, struct cell *ret_element)
{
    if (elements->end - elements->at < 4)
        return false;
    int64_t length = (int32_t)get_be(elements->at, 4);
    elements->at += 4;
    if (length < 0) {
        *ret_element = (struct cell){NULL, 0};
        return true;
    }
    if (elements->end - elements->at < length)
        return false;
    *ret_element = (struct cell){elements->at, (size_t)length};
    elements->at += length;
    return true;
}

/* --- rows -------------------------------------------------------------------------------- */

void pg_row_init(struct pg_row *reader, const struct rows *rows, size_t row, struct arena *arena)
{
    assert(row < rows->row_count);
    *reader = (struct pg_row){.rows = rows, .row = row, .arena = arena};
}

void pg_row_fail(struct pg_row *reader, const char *problem)
{
    if (reader->problem != NULL)
        return;
    reader->problem = problem;
    reader->problem_column = reader->column;
}

static struct cell next_cell(struct pg_row *reader)
{
    if (reader->problem == NULL && reader->column >= reader->rows->column_count)
        pg_row_fail(reader, "the result has fewer columns");
    if (reader->problem != NULL)
        return (struct cell){NULL, 0};
    return rows_cell(reader->rows, reader->row, reader->column++);
}

struct text pg_row_text(struct pg_row *reader)
{
    struct cell cell = next_cell(reader);
    return (struct text){cell.data, cell.length};
}

struct text pg_row_json(struct pg_row *reader)
{
    struct cell cell = next_cell(reader);

    /* jsonb begins with its version, 1, which no JSON text does. */
    if (cell.data != NULL && cell.length > 0 && cell.data[0] == 1) {
        cell.data++;
        cell.length--;
    }
    return (struct text){cell.data, cell.length};
}

int64_t pg_row_int(struct pg_row *reader)
{
    struct cell cell = next_cell(reader);
    int64_t value = 0;

    if (cell.data != NULL && !pg_cell_int(cell, &value))
        pg_row_fail(reader, "not an integer");
    return value;
}

bool pg_row_bool(struct pg_row *reader)
{
    struct cell cell = next_cell(reader);

    if (cell.data == NULL)
        return false;
    if (cell.length != 1)
        pg_row_fail(reader, "not a boolean");
    return cell.length == 1 && cell.data[0] != 0;
}

int64_t pg_row_time(struct pg_row *reader)
{
    struct cell cell = next_cell(reader);
    int64_t us = TIMESTAMP_ABSENT;

    if (cell.data != NULL && !pg_cell_time(cell, &us))
        pg_row_fail(reader, "not a time before the year 294246");
    return us;
}

bool pg_row_uuid(struct pg_row *reader, struct uuid *ret_uuid)
{
    struct cell cell = next_cell(reader);

    if (cell.data == NULL)
        return false;
    if (cell.length != sizeof(ret_uuid->bytes)) {
        pg_row_fail(reader, "not a uuid");
        return false;
    }
    memcpy(ret_uuid->bytes, cell.data, sizeof(ret_uuid->bytes));
    return true;
}

struct text_list pg_row_list(struct pg_row *reader)
{
    const struct text_list absent = {NULL, 0};
    struct cell cell = next_cell(reader);
    struct pg_elements elements;

    if (cell.data == NULL)
        return absent;
    if (!pg_elements_init(&elements, cell)) {
        pg_row_fail(reader, "not an array");
        return absent;
    }
    struct text *items = ARENA_ARRAY(reader->arena, struct text, elements.count);
    if (items == NULL) {
        pg_row_fail(reader, "out of memory");
        return absent;
    }
    size_t count = 0;
    for (size_t i = 0; i < elements.count; i++) {
        struct cell element;
        if (!pg_elements_next(&elements, &element)) {
            pg_row_fail(reader, "an array that is cut short");
            return absent;
        }
        if (element.data != NULL)
            items[count++] = (struct text){element.data, element.length};
    }
    return (struct text_list){items, count};
}

void pg_row_skip(struct pg_row *reader)
{
    (void)next_cell(reader);
}

enum outcome pg_row_done(const struct pg_row *reader, const char *what, struct err *err)
{
    if (reader->problem == NULL)
        return OUTCOME_OK;
    return err_set(err, OUTCOME_FATAL, "", "%s: column %zu: %s", what, reader->problem_column,
                   reader->problem);
}
