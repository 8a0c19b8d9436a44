#include "repo/record_sql.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* More than the declarations of base/records.h. */
enum { SPECS_MAX = 16, SQL_MAX_BYTES = 64 * 1024, COLUMN_MAX_BYTES = 64 };

/* --- columns ----------------------------------------------------------------------------- */

/* One column of a field: its array type, how it is cast in a row, and its name. */
struct column {
    char name[COLUMN_MAX_BYTES];
    enum pg_type array_type;
    const char *array_cast;
    const char *row_cast; /* "": none */
};

static size_t column_count(const struct field_spec *field)
{
    return field->kind == FIELD_REF ? 2 : 1;
}

static struct column column_of(const struct field_spec *field, size_t part)
{
    struct column column = {.array_type = PG_TEXT_ARRAY, .array_cast = "text[]", .row_cast = ""};
    const char *suffix = "";

    switch (field->kind) {
    case FIELD_TIME:
        column.array_type = PG_TIMESTAMPTZ_ARRAY;
        column.array_cast = "timestamptz[]";
        break;
    case FIELD_COUNT:
        column.array_type = PG_INT8_ARRAY;
        column.array_cast = "int8[]";
        break;
    case FIELD_ID_LIST:
        column.row_cast = "::text[]";
        break;
    case FIELD_LABELS:
    case FIELD_MAP:
    case FIELD_OBJECT:
    case FIELD_PARTY:
        column.array_type = PG_JSON_ARRAY;
        column.array_cast = "json[]";
        break;
    case FIELD_REF:
        suffix = part == 0 ? "_kind" : "_id";
        break;
    case FIELD_ID:
    case FIELD_LONG_ID:
    case FIELD_EMAIL:
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_CHOICE:
        break;
    }
    int length = snprintf(column.name, sizeof(column.name), "%s%s", field->column, suffix);
    assert(length > 0 && (size_t)length < sizeof(column.name));
    return column;
}

/* --- SQL text ---------------------------------------------------------------------------- */

struct pieces {
    struct buffer columns;
    struct buffer types;
    struct buffer values;
    struct buffer assignments;
    struct buffer assignments_keep;
    size_t param_count;
};

static void append_item(struct buffer *list, const char *before, const char *text,
                        const char *after)
{
    if (list->length > 0)
        buffer_append_literal(list, ", ");
    buffer_append_literal(list, before);
    buffer_append_literal(list, text);
    buffer_append_literal(list, after);
}

static void append_assignment(struct buffer *list, const char *column)
{
    append_item(list, column, " = excluded.", column);
}

static void append_column(struct pieces *pieces, const struct field_spec *field,
                          const struct column *column)
{
    char parameter[16];

    pieces->param_count++;
    snprintf(parameter, sizeof(parameter), "$%zu::", pieces->param_count);
    append_item(&pieces->columns, "", column->name, "");
    append_item(&pieces->types, "unnest(", parameter, column->array_cast);
    buffer_append_literal(&pieces->types, ") AS ");
    buffer_append_literal(&pieces->types, column->name);
    append_item(&pieces->values, "u.", column->name, column->row_cast);
    if (strcmp(column->name, "id") == 0)
        return;
    append_assignment(&pieces->assignments, column->name);
    if (field->absent != ABSENT_KEEP)
        append_assignment(&pieces->assignments_keep, column->name);
}

static const char *finish(struct buffer *buffer)
{
    buffer_append_byte(buffer, '\0');
    return buffer->full ? "" : (const char *)buffer->bytes;
}

static bool make(const struct record_spec *spec, struct arena *arena, struct record_sql *ret_sql)
{
    struct pieces pieces = {.param_count = 0};
    struct buffer *const all[] = {&pieces.columns, &pieces.types, &pieces.values,
                                  &pieces.assignments, &pieces.assignments_keep};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        buffer_init(all[i], arena);
    for (size_t i = 0; i < spec->field_count; i++) {
        for (size_t part = 0; part < column_count(&spec->fields[i]); part++) {
            struct column column = column_of(&spec->fields[i], part);
            append_column(&pieces, &spec->fields[i], &column);
        }
    }

    struct record_sql sql = {
        .param_count = pieces.param_count,
        .columns = finish(&pieces.columns),
        .values = finish(&pieces.values),
        .assignments = finish(&pieces.assignments),
        .assignments_keep = finish(&pieces.assignments_keep),
    };
    /* In a select list the arrays are streamed; in FROM each would be stored as a table first. */
    sql.unnest = arena_printf(arena, "(SELECT %s) AS u", finish(&pieces.types));
    sql.insert = arena_printf(arena, "INSERT INTO {schema}.%s (%s) SELECT %s FROM %s", spec->table,
                              sql.columns, sql.values, sql.unnest);
    static const char upsert[] = "%s ON CONFLICT (id) DO UPDATE SET %s"
                                 " RETURNING id, (xmax = 0) AS inserted";
    sql.upsert = arena_printf(arena, upsert, sql.insert, sql.assignments);
    sql.upsert_keep = arena_printf(arena, upsert, sql.insert, sql.assignments_keep);
    sql.copy = arena_printf(arena, "COPY {schema}.%s (%s) FROM STDIN (FORMAT binary)", spec->table,
                            sql.columns);
    sql.select = arena_printf(arena, "SELECT %s FROM {schema}.%s", sql.columns, spec->table);

    *ret_sql = sql;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i]->full)
            return false;
    }
    return sql.unnest != NULL && sql.insert != NULL && sql.upsert != NULL &&
           sql.upsert_keep != NULL && sql.copy != NULL && sql.select != NULL;
}

/* Written under the lock, read without it once made: entries never change. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry {
    const struct record_spec *spec;
    struct record_sql sql;
} entries[SPECS_MAX];
static size_t entry_count;
static struct arena *texts; /* for the life of the process */

static const struct record_sql *find_or_make(const struct record_spec *spec)
{
    for (size_t i = 0; i < entry_count; i++) {
        if (entries[i].spec == spec)
            return &entries[i].sql;
    }
    if (texts == NULL)
        texts = arena_new((size_t)SPECS_MAX * SQL_MAX_BYTES);
    if (texts == NULL)
        return NULL;
    assert(entry_count < SPECS_MAX);
    if (!make(spec, texts, &entries[entry_count].sql))
        return NULL;
    entries[entry_count].spec = spec;
    return &entries[entry_count++].sql;
}

const struct record_sql *record_sql_of(const struct record_spec *spec)
{
    pthread_mutex_lock(&lock);
    const struct record_sql *sql = find_or_make(spec);
    pthread_mutex_unlock(&lock);
    return sql;
}

/* --- writing ----------------------------------------------------------------------------- */

/* {} stands for an absent document where the declaration wants one. */
static struct text document_json(const struct field_spec *field, struct text json)
{
    if (!text_present(json) && field->absent == ABSENT_EMPTY)
        return TEXT("{}");
    return json;
}

static struct text_list list_or_empty(const struct field_spec *field, struct text_list list)
{
    static const struct text none[1];

    if (list.items == NULL && field->absent == ABSENT_EMPTY)
        return (struct text_list){none, 0};
    return list;
}

static struct pg_value text_value(struct text text)
{
    return (struct pg_value){.kind = PG_VALUE_TEXT, .text = text};
}

/* part  which of its columns, for a field that has two */
static struct pg_value value_of(const struct field_spec *field, size_t part, const void *record)
{
    const void *value = field_of_const(field, record);

    switch (field->kind) {
    case FIELD_ID:
    case FIELD_LONG_ID:
    case FIELD_EMAIL:
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_CHOICE:
        return text_value(*(const struct text *)value);
    case FIELD_TIME:
        return (struct pg_value){.kind = PG_VALUE_TIME, .number = *(const int64_t *)value};
    case FIELD_COUNT:
        return (struct pg_value){.kind = PG_VALUE_INT8, .number = *(const int64_t *)value};
    case FIELD_ID_LIST:
        return (struct pg_value){.kind = PG_VALUE_LIST,
                                 .list = list_or_empty(field, *(const struct text_list *)value)};
    case FIELD_LABELS:
    case FIELD_MAP:
    case FIELD_OBJECT:
        return text_value(document_json(field, ((const struct document *)value)->json));
    case FIELD_PARTY:
        return text_value(((const struct party *)value)->whole.json);
    case FIELD_REF:
        break;
    }
    const struct ref *ref = value;
    return text_value(part == 0 ? ref->kind : ref->id);
}

void record_sql_params(const struct record_spec *spec, const void *const *records, size_t count,
                       struct params *params)
{
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct field_spec *field = &spec->fields[i];
        for (size_t part = 0; part < column_count(field); part++) {
            struct pg_array array;
            pg_array_init(&array, column_of(field, part).array_type, params->arena);
            for (size_t r = 0; r < count; r++) {
                const struct pg_value value = value_of(field, part, records[r]);
                pg_array_value(&array, &value);
            }
            params_array(params, &array);
        }
    }
}

void record_sql_copy(const struct record_spec *spec, const void *record, struct pg_copy *copy)
{
    size_t columns = 0;

    for (size_t i = 0; i < spec->field_count; i++)
        columns += column_count(&spec->fields[i]);
    pg_copy_row(copy, (uint16_t)columns);
    for (size_t i = 0; i < spec->field_count; i++) {
        for (size_t part = 0; part < column_count(&spec->fields[i]); part++) {
            const struct pg_value value = value_of(&spec->fields[i], part, record);
            pg_copy_value(copy, &value);
        }
    }
}

/* --- reading ----------------------------------------------------------------------------- */

static struct text own(struct pg_row *reader, struct text text)
{
    struct text copy = TEXT_ABSENT;

    if (!arena_copy_text(reader->arena, text, &copy))
        pg_row_fail(reader, "out of memory");
    return copy;
}

static struct text_list own_list(struct pg_row *reader, const struct field_spec *field)
{
    static const struct text none[1];
    struct text_list borrowed = pg_row_list(reader);

    if (borrowed.items == NULL)
        return (struct text_list){field->absent == ABSENT_EMPTY ? none : NULL, 0};
    struct text *items = ARENA_ARRAY(reader->arena, struct text, borrowed.count);
    if (items == NULL) {
        pg_row_fail(reader, "out of memory");
        return (struct text_list){NULL, 0};
    }
    for (size_t i = 0; i < borrowed.count; i++)
        items[i] = own(reader, borrowed.items[i]);
    return (struct text_list){items, borrowed.count};
}

static void read_value(const struct field_spec *field, struct pg_row *reader, void *value)
{
    switch (field->kind) {
    case FIELD_ID:
    case FIELD_LONG_ID:
    case FIELD_EMAIL:
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_CHOICE:
        *(struct text *)value = own(reader, pg_row_text(reader));
        break;
    case FIELD_TIME:
        *(int64_t *)value = pg_row_time(reader);
        if (field->infinity_is_absent && *(int64_t *)value == TIMESTAMP_INFINITY)
            *(int64_t *)value = TIMESTAMP_ABSENT;
        break;
    case FIELD_COUNT:
        *(int64_t *)value = pg_row_int(reader);
        break;
    case FIELD_ID_LIST:
        *(struct text_list *)value = own_list(reader, field);
        break;
    case FIELD_LABELS:
    case FIELD_MAP:
    case FIELD_OBJECT:
        ((struct document *)value)->json = document_json(field, own(reader, pg_row_json(reader)));
        break;
    case FIELD_PARTY:
        ((struct party *)value)->whole.json = own(reader, pg_row_json(reader));
        break;
    case FIELD_REF: {
        struct ref ref;
        ref.kind = own(reader, pg_row_text(reader));
        ref.id = own(reader, pg_row_text(reader));
        /* Half a reference is none, as the contract's other readers have it. */
        if (text_present(ref.kind) && text_present(ref.id))
            *(struct ref *)value = ref;
        break;
    }
    }
}

void record_sql_read(const struct record_spec *spec, struct pg_row *reader, void *ret_record)
{
    record_clear(spec, ret_record);
    for (size_t i = 0; i < spec->field_count; i++)
        read_value(&spec->fields[i], reader, field_of(&spec->fields[i], ret_record));
}

/* --- ids --------------------------------------------------------------------------------- */

static int compare_positions(const void *left, const void *right)
{
    const struct id_position *a = left;
    const struct id_position *b = right;
    int order = text_compare(a->id, b->id);

    return order != 0 ? order : (a->position > b->position) - (a->position < b->position);
}

void id_positions_sort(struct id_position *positions, size_t count)
{
    if (count > 1)
        qsort(positions, count, sizeof(positions[0]), compare_positions);
}

const struct id_position *id_positions_find(const struct id_position *positions, size_t count,
                                            struct text id)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (text_compare(positions[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && text_equal(positions[low].id, id) ? &positions[low] : NULL;
}

bool records_sorted(const struct record_spec *spec, const void *const *records, size_t count,
                    struct arena *arena, struct id_position **ret_positions,
                    const void *const **ret_sorted)
{
    struct id_position *positions = ARENA_ARRAY(arena, struct id_position, count);
    const void **sorted = ARENA_ARRAY(arena, const void *, count);
    if (positions == NULL || sorted == NULL)
        return false;

    assert(spec->field_count > 0 && spec->fields[0].kind == FIELD_ID);
    for (size_t i = 0; i < count; i++) {
        const struct text *id = field_of_const(&spec->fields[0], records[i]);
        positions[i] = (struct id_position){*id, i};
    }
    id_positions_sort(positions, count);
    for (size_t i = 0; i < count; i++)
        sorted[i] = records[positions[i].position];
    *ret_positions = positions;
    *ret_sorted = (const void *const *)sorted;
    return true;
}
