#include "repo/testing/recording_executor.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { RECORDING_BYTES = 64 * 1024 * 1024 };

static void *must(void *allocated)
{
    if (allocated == NULL)
        fail_msg("the recording is full");
    return allocated;
}

static const char *copy_text(struct recording_executor *self, const char *text)
{
    return must(arena_copy(self->arena, text, strlen(text)));
}

static void record(struct recording_executor *self, const struct statement *statement)
{
    if (self->statement_count == RECORDING_MAX)
        fail_msg("the recording is full at %s", statement->sql);

    struct param *params = must(ARENA_ARRAY(self->arena, struct param, statement->param_count));
    for (size_t i = 0; i < statement->param_count; i++) {
        params[i] = statement->params[i];
        if (params[i].data != NULL)
            params[i].data = must(arena_copy(self->arena, params[i].data, params[i].length));
    }
    self->statements[self->statement_count++] = (struct recorded_statement){
        .name = copy_text(self, statement->name != NULL ? statement->name : ""),
        .sql = copy_text(self, statement->sql),
        .trip = self->trip_count,
        .params = params,
        .param_count = statement->param_count,
    };
}

/* As the real executor does: what is handed out lies in the caller's arena. */
static bool copy_rows(const struct rows *rows, struct arena *arena, struct rows *ret_rows)
{
    size_t count = rows->row_count * rows->column_count;
    struct cell *cells = ARENA_ARRAY(arena, struct cell, count);
    if (cells == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        cells[i] = rows->cells[i];
        if (cells[i].data == NULL)
            continue;
        cells[i].data = arena_copy(arena, cells[i].data, cells[i].length);
        if (cells[i].data == NULL)
            return false;
    }
    *ret_rows = *rows;
    ret_rows->cells = cells;
    return true;
}

static enum outcome run(struct executor *port, const struct statement *statements, size_t count,
                        struct overlap *overlap, struct arena *arena, struct rows *ret_rows,
                        struct err *err)
{
    struct recording_executor *self = (struct recording_executor *)port;

    for (size_t i = 0; i < count; i++)
        record(self, &statements[i]);
    self->trip_count++;
    overlap_run(overlap);

    struct rows *rows = must(ARENA_ARRAY(self->arena, struct rows, count));
    for (size_t i = 0; i < count; i++) {
        const char *name = statements[i].name != NULL ? statements[i].name : statements[i].sql;
        if (self->replies_used == self->reply_count)
            fail_msg("unscripted statement %s", name);
        const struct scripted_reply *reply = &self->replies[self->replies_used++];
        if (reply->outcome != OUTCOME_OK)
            return err_set(err, reply->outcome, reply->code != NULL ? reply->code : "",
                           "%s: scripted", name);
        if (!copy_rows(&reply->rows, arena, &rows[i]))
            return err_no_memory(err, "batch arena");
    }
    memcpy(ret_rows, rows, count * sizeof(rows[0]));
    return OUTCOME_OK;
}

static enum outcome copy(struct executor *port, const struct copy *copy, struct err *err)
{
    struct recording_executor *self = (struct recording_executor *)port;
    const struct param rows = {PG_BYTEA, copy->rows.data, copy->rows.length};
    const struct statement statement = {copy->name, copy->sql, &rows, 1};

    record(self, &statement);
    self->trip_count += 2;
    overlap_run(copy->overlap);
    if (self->replies_used == self->reply_count)
        fail_msg("unscripted copy %s", copy->name);
    const struct scripted_reply *reply = &self->replies[self->replies_used++];
    if (reply->outcome != OUTCOME_OK)
        return err_set(err, reply->outcome, reply->code != NULL ? reply->code : "", "%s: scripted",
                       copy->name);
    return OUTCOME_OK;
}

static enum outcome recover(struct executor *port, struct err *err)
{
    (void)err;
    ((struct recording_executor *)port)->recover_count++;
    return OUTCOME_OK;
}

static const struct executor_ops ops = {.run = run, .copy = copy, .recover = recover};

void recording_executor_init(struct recording_executor *db, const struct scripted_reply *replies,
                             size_t reply_count)
{
    *db = (struct recording_executor){
        .port = {&ops},
        .replies = replies,
        .reply_count = reply_count,
        .arena = arena_new(RECORDING_BYTES),
    };
    must(db->arena);
}

void recording_executor_release(struct recording_executor *db)
{
    arena_free(db->arena);
    db->arena = NULL;
}

/* --- scripts ----------------------------------------------------------------------------- */

static struct cell cell_of(const struct params *params)
{
    assert_false(params->full);
    return (struct cell){params->items[0].data, params->items[0].length};
}

struct cell scripted_text(struct text value)
{
    return (struct cell){value.data, value.length};
}

struct cell scripted_int8(struct recording_executor *db, int64_t value)
{
    struct params params;

    params_init(&params, db->arena, 1);
    params_int8(&params, value);
    return cell_of(&params);
}

struct cell scripted_bool(bool value)
{
    return (struct cell){value ? "\1" : "\0", 1};
}

struct cell scripted_time(struct recording_executor *db, int64_t us)
{
    struct params params;

    params_init(&params, db->arena, 1);
    params_time(&params, us);
    return cell_of(&params);
}

struct cell scripted_uuid(const struct uuid *value)
{
    if (value == NULL)
        return (struct cell){NULL, 0};
    return (struct cell){(const char *)value->bytes, sizeof(value->bytes)};
}

struct cell scripted_list(struct recording_executor *db, struct text_list list)
{
    struct params params;

    if (list.items == NULL)
        return (struct cell){NULL, 0};
    params_init(&params, db->arena, 1);
    params_text_array(&params, list.items, list.count);
    return cell_of(&params);
}

struct scripted_reply scripted_rows(const struct cell *cells, size_t row_count, size_t column_count)
{
    return (struct scripted_reply){.rows = {row_count, row_count, column_count, cells}};
}

struct scripted_reply scripted_affected(size_t affected)
{
    return (struct scripted_reply){.rows = {.affected = affected}};
}

struct scripted_reply scripted_failure(enum outcome outcome, const char *code)
{
    return (struct scripted_reply){.outcome = outcome, .code = code};
}

/* --- what was recorded ------------------------------------------------------------------- */

static void append_time(struct buffer *buffer, struct cell cell)
{
    char text[TIMESTAMP_TEXT_LENGTH + 1];
    int64_t us;

    assert_true(pg_cell_time(cell, &us));
    timestamp_format(us, text);
    buffer_append_literal(buffer, text);
}

static void append_int(struct buffer *buffer, struct cell cell)
{
    char text[24];
    int64_t value;

    assert_true(pg_cell_int(cell, &value));
    snprintf(text, sizeof(text), "%" PRId64, value);
    buffer_append_literal(buffer, text);
}

static void append_uuid(struct buffer *buffer, struct cell cell)
{
    char text[UUID_TEXT_LENGTH + 1];
    struct uuid uuid;

    assert_int_equal(cell.length, sizeof(uuid.bytes));
    memcpy(uuid.bytes, cell.data, sizeof(uuid.bytes));
    uuid_format(&uuid, text);
    buffer_append_literal(buffer, text);
}

static void append_value(struct buffer *buffer, enum pg_type type, struct cell cell);

static void append_array(struct buffer *buffer, struct cell cell)
{
    struct pg_elements elements;
    struct cell element;

    assert_true(pg_elements_init(&elements, cell));
    buffer_append_byte(buffer, '{');
    for (size_t i = 0; i < elements.count; i++) {
        if (i > 0)
            buffer_append_byte(buffer, ',');
        assert_true(pg_elements_next(&elements, &element));
        append_value(buffer, elements.type, element);
    }
    assert_true(elements.at == elements.end);
    buffer_append_byte(buffer, '}');
}

static void append_value(struct buffer *buffer, enum pg_type type, struct cell cell)
{
    if (cell.data == NULL) {
        buffer_append_literal(buffer, "NULL");
        return;
    }
    switch (type) {
    case PG_TEXT:
    case PG_JSON:
    case PG_BYTEA:
        buffer_append(buffer, cell.data, cell.length);
        break;
    case PG_BOOL:
        buffer_append_literal(buffer, cell.data[0] != 0 ? "true" : "false");
        break;
    case PG_INT4:
    case PG_INT8:
        append_int(buffer, cell);
        break;
    case PG_TIMESTAMPTZ:
        append_time(buffer, cell);
        break;
    case PG_UUID:
        append_uuid(buffer, cell);
        break;
    case PG_TEXT_ARRAY:
    case PG_JSON_ARRAY:
    case PG_BOOL_ARRAY:
    case PG_BYTEA_ARRAY:
    case PG_INT4_ARRAY:
    case PG_INT8_ARRAY:
    case PG_TIMESTAMPTZ_ARRAY:
    case PG_UUID_ARRAY:
        append_array(buffer, cell);
        break;
    }
}

static const struct recorded_statement *recorded(struct recording_executor *db, size_t statement)
{
    if (statement >= db->statement_count)
        fail_msg("%zu statements were sent, no number %zu", db->statement_count, statement);
    return &db->statements[statement];
}

const char *recorded_param(struct recording_executor *db, size_t statement, size_t param)
{
    const struct recorded_statement *sent = recorded(db, statement);
    struct buffer buffer;

    if (param >= sent->param_count)
        fail_msg("%s has %zu parameters, no number %zu", sent->name, sent->param_count, param);
    buffer_init(&buffer, db->arena);
    append_value(&buffer, sent->params[param].type,
                 (struct cell){sent->params[param].data, sent->params[param].length});
    buffer_append_byte(&buffer, '\0');
    assert_false(buffer.full);
    return (const char *)buffer.bytes;
}

void assert_recorded_name(struct recording_executor *db, size_t statement, const char *name)
{
    assert_string_equal(recorded(db, statement)->name, name);
}

void assert_recorded_params(struct recording_executor *db, size_t statement,
                            const char *const *params, size_t count)
{
    const struct recorded_statement *sent = recorded(db, statement);

    for (size_t i = 0; i < count && i < sent->param_count; i++) {
        const char *got = recorded_param(db, statement, i);
        if (strcmp(got, params[i]) != 0)
            fail_msg("%s: $%zu is %s, not %s", sent->name, i + 1, got, params[i]);
    }
    assert_int_equal(sent->param_count, count);
}

void assert_recorded_sql(struct recording_executor *db, size_t statement,
                         const char *const *fragments, size_t count)
{
    const char *at = recorded(db, statement)->sql;

    for (size_t i = 0; i < count; i++) {
        const char *found = strstr(at, fragments[i]);
        if (found == NULL)
            fail_msg("no \"%s\" in: %s", fragments[i], at);
        else
            at = found + strlen(fragments[i]);
    }
}

void assert_recording_done(struct recording_executor *db, size_t statements, size_t trips)
{
    if (db->replies_used != db->reply_count)
        fail_msg("%zu of %zu replies were used", db->replies_used, db->reply_count);
    assert_int_equal(db->statement_count, statements);
    assert_int_equal(db->trip_count, trips);
}
