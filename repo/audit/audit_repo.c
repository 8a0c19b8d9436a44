#include "repo/audit/audit_repo.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "repo/audit/audit_layout.h"
#include "repo/pg/pg_binary.h"
#include "repo/pg/pg_copy.h"
#include "repo/pg/refused_row.h"

enum column_kind {
    COLUMN_UUID,
    COLUMN_TIME,
    COLUMN_TEXT,
    COLUMN_JSON,
    COLUMN_SMALL, /* int4 here, smallint in the table */
    COLUMN_INT4,
    COLUMN_INT8,
};

/* Which of the values a row may lack are there only together. */
enum column_presence { ALWAYS, WITH_COMMAND, WITH_TOPIC };

/* The columns, in the order of COLUMNS and UNNEST below. */
static const struct column {
    enum column_kind kind;
    size_t offset; /* in struct audit_event */
    enum column_presence presence;
} columns[] = {
    {COLUMN_UUID, offsetof(struct audit_event, id)},
    {COLUMN_TIME, offsetof(struct audit_event, occurred_at_us)},
    {COLUMN_TEXT, offsetof(struct audit_event, category)},
    {COLUMN_TEXT, offsetof(struct audit_event, action)},
    {COLUMN_TEXT, offsetof(struct audit_event, outcome)},
    {COLUMN_JSON, offsetof(struct audit_event, actor)},
    {COLUMN_JSON, offsetof(struct audit_event, subject)},
    {COLUMN_JSON, offsetof(struct audit_event, resource)},
    {COLUMN_JSON, offsetof(struct audit_event, metadata)},
    {COLUMN_TEXT, offsetof(struct audit_event, correlation_id)},
    {COLUMN_JSON, offsetof(struct audit_event, error)},
    {COLUMN_TEXT, offsetof(struct audit_event, entity)},
    {COLUMN_TEXT, offsetof(struct audit_event, command_source)},
    {COLUMN_TEXT, offsetof(struct audit_event, command_id)},
    {COLUMN_TEXT, offsetof(struct audit_event, command_type)},
    {COLUMN_UUID, offsetof(struct audit_event, command_digest), WITH_COMMAND},
    {COLUMN_SMALL, offsetof(struct audit_event, topic_id), WITH_TOPIC},
    {COLUMN_INT4, offsetof(struct audit_event, partition), WITH_TOPIC},
    {COLUMN_INT8, offsetof(struct audit_event, offset), WITH_TOPIC},
    {COLUMN_TEXT, offsetof(struct audit_event, traceparent)},
    {COLUMN_TEXT, offsetof(struct audit_event, tracestate)},
    {COLUMN_TEXT, offsetof(struct audit_event, carried_correlation_id)},
    {COLUMN_TEXT, offsetof(struct audit_event, legacy_id)},
};

enum { COLUMN_COUNT = sizeof(columns) / sizeof(columns[0]) };

#define COLUMNS                                                                                    \
    "id, occurred_at, category, action, outcome, actor, subject, resource, metadata,"              \
    " correlation_id, error, entity, command_source, command_id, command_type, command_digest,"    \
    " topic_id, \"partition\", \"offset\", traceparent, tracestate, carried_correlation_id,"       \
    " legacy_id"

const char audit_written_columns[] = COLUMNS;

/* In the select list, where the arrays are streamed; in FROM each would be stored as a table first
 * (21 % more of the server's time for this statement). */
#define UNNEST                                                                                     \
    "unnest($1::uuid[]), unnest($2::timestamptz[]), unnest($3::text[]), "                          \
    "unnest($4::text[]), unnest($5::text[]), unnest($6::json[]), unnest($7::json[]), "             \
    "unnest($8::json[]), unnest($9::json[]), unnest($10::text[]), "                                \
    "unnest($11::json[]), unnest($12::text[]), unnest($13::text[]), "                              \
    "unnest($14::text[]), unnest($15::text[]), unnest($16::uuid[]), "                              \
    "unnest($17::int4[]), unnest($18::int4[]), unnest($19::int8[]), "                              \
    "unnest($20::text[]), unnest($21::text[]), unnest($22::text[]), "                              \
    "unnest($23::text[])"

/* int4 to smallint is an assignment cast: the insert does it. */
#define INSERT "INSERT INTO {schema}.auth_audit_events (" COLUMNS ") SELECT " UNNEST

/* COMMIT is sent in the same round trip, so the server itself compares the ids that it wrote with
 * those that it was asked to write: the logarithm of zero fails the statement where they differ. */
#define RECORD                                                                                     \
    "WITH written AS (" INSERT " RETURNING id)"                                                    \
    " SELECT ln((coalesce(array_agg(id), '{}') = $1)::int4::float8) FROM written"

static const char logarithm_of_zero[] = "2201E";

static enum outcome no_memory(struct err *err)
{
    return err_no_memory(err, "batch arena");
}

/* --- writing ----------------------------------------------------------------------------- */

static enum pg_type array_type(enum column_kind kind)
{
    switch (kind) {
    case COLUMN_UUID:
        return PG_UUID_ARRAY;
    case COLUMN_TIME:
        return PG_TIMESTAMPTZ_ARRAY;
    case COLUMN_TEXT:
        return PG_TEXT_ARRAY;
    case COLUMN_JSON:
        return PG_JSON_ARRAY;
    case COLUMN_SMALL:
    case COLUMN_INT4:
        return PG_INT4_ARRAY;
    case COLUMN_INT8:
        break;
    }
    return PG_INT8_ARRAY;
}

static bool is_present(const struct column *column, const struct audit_event *event)
{
    switch (column->presence) {
    case ALWAYS:
        break;
    case WITH_COMMAND:
        return text_present(event->command_id);
    case WITH_TOPIC:
        return event->topic_id != 0;
    }
    return true;
}

static struct pg_value value_of(const struct column *column, const struct audit_event *event)
{
    const void *value = (const char *)event + column->offset;

    if (!is_present(column, event))
        return (struct pg_value){.kind = PG_VALUE_NULL};
    switch (column->kind) {
    case COLUMN_UUID:
        return (struct pg_value){.kind = PG_VALUE_UUID, .uuid = value};
    case COLUMN_TIME:
        return (struct pg_value){.kind = PG_VALUE_TIME, .number = *(const int64_t *)value};
    case COLUMN_TEXT:
        return (struct pg_value){.kind = PG_VALUE_TEXT, .text = *(const struct text *)value};
    case COLUMN_JSON:
        return (struct pg_value){.kind = PG_VALUE_TEXT,
                                 .text = ((const struct document *)value)->json};
    case COLUMN_SMALL:
        return (struct pg_value){.kind = PG_VALUE_INT2, .number = *(const int32_t *)value};
    case COLUMN_INT4:
        return (struct pg_value){.kind = PG_VALUE_INT4, .number = *(const int32_t *)value};
    case COLUMN_INT8:
        break;
    }
    return (struct pg_value){.kind = PG_VALUE_INT8, .number = *(const int64_t *)value};
}

static int compare_events(const void *left, const void *right)
{
    const struct audit_event *const *a = left;
    const struct audit_event *const *b = right;
    return uuid_compare(&(*a)->id, &(*b)->id);
}

/* By id: two lanes that record the same commands then wait for each other in one order only, and
 * ids that carry their time go to the right edge of the index one after the other. NULL: the arena
 * is full. */
static const struct audit_event **sort_events(const struct audit_event *const *events, size_t count,
                                              struct arena *arena)
{
    const struct audit_event **sorted = ARENA_ARRAY(arena, const struct audit_event *, count);

    if (sorted == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        sorted[i] = events[i];
    if (count > 1) {
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): the elements are pointers */
        qsort(sorted, count, sizeof(sorted[0]), compare_events);
    }
    return sorted;
}

static bool bind_events(const struct audit_event *const *events, size_t count, struct arena *arena,
                        struct statement *statement)
{
    const struct audit_event **sorted = sort_events(events, count, arena);
    struct params params;

    params_init(&params, arena, COLUMN_COUNT);
    if (sorted == NULL || params.full)
        return false;
    for (size_t c = 0; c < COLUMN_COUNT; c++) {
        struct pg_array array;
        pg_array_init(&array, array_type(columns[c].kind), arena);
        for (size_t i = 0; i < count; i++) {
            const struct pg_value value = value_of(&columns[c], sorted[i]);
            pg_array_value(&array, &value);
        }
        params_array(&params, &array);
    }
    return params_done(&params, statement);
}

enum outcome audit_record_prepare(const struct audit_event *const *events, size_t count,
                                  struct arena *arena, struct statement *ret_statement,
                                  struct err *err)
{
    struct statement statement = {.name = "audit.record", .sql = RECORD};

    if (!bind_events(events, count, arena, &statement))
        return no_memory(err);
    *ret_statement = statement;
    return OUTCOME_OK;
}

void audit_record_explain(struct err *err)
{
    if (err->outcome == OUTCOME_REJECT && strcmp(err->code, logarithm_of_zero) == 0)
        (void)refused_row_set_skipped(err, "audit.record");
}

/* What a row takes, roughly; more is taken as needed. */
enum { ROW_BYTES = 768 };

enum outcome audit_record_copy(struct executor *db, const struct audit_event *const *events,
                               size_t count, struct overlap *overlap, struct arena *arena,
                               struct err *err)
{
    struct copy copy = {.name = "audit.record_copy",
                        .sql = "COPY {schema}.auth_audit_events (" COLUMNS
                               ") FROM STDIN (FORMAT binary)",
                        .row_count = count,
                        .overlap = overlap};
    struct arena_mark mark = arena_mark(arena);
    const struct audit_event **sorted = sort_events(events, count, arena);
    struct pg_copy rows;

    if (sorted == NULL)
        return no_memory(err);
    pg_copy_init(&rows, arena, count * ROW_BYTES);
    for (size_t i = 0; i < count; i++) {
        pg_copy_row(&rows, COLUMN_COUNT);
        for (size_t c = 0; c < COLUMN_COUNT; c++) {
            const struct pg_value value = value_of(&columns[c], sorted[i]);
            pg_copy_value(&rows, &value);
        }
    }
    if (!pg_copy_done(&rows, &copy.rows))
        return no_memory(err);
    enum outcome outcome = executor_copy(db, &copy, err);
    arena_rewind(arena, mark); /* a batch of rows is the largest thing in its arena */
    return outcome;
}

/* An event that was not appended has to be there already. */
static enum outcome audit_expect(struct executor *db, const struct uuid *id, struct arena *arena,
                                 struct err *err)
{
    struct statement statement = {.name = "audit.expect",
                                  .sql =
                                      "SELECT FROM {schema}.auth_audit_events WHERE id = $1::uuid"};
    struct params params;
    struct rows rows;

    params_init(&params, arena, 1);
    params_uuid(&params, id);
    if (!params_done(&params, &statement))
        return no_memory(err);
    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome == OUTCOME_OK && rows.affected == 0)
        outcome = refused_row_set_skipped(err, "audit.append");
    return outcome;
}

enum outcome audit_append(struct executor *db, const struct audit_event *event, struct arena *arena,
                          bool *ret_appended, struct err *err)
{
    struct statement statement = {.name = "audit.append",
                                  .sql = INSERT " ON CONFLICT (id) DO NOTHING RETURNING id"};
    struct rows rows;
    struct uuid id;
    struct pg_row row;

    if (utf8_blank(event->category))
        return err_set(err, OUTCOME_REJECT, "audit.postgres.invalid_category",
                       "audit.append: category is blank");
    if (utf8_blank(event->action))
        return err_set(err, OUTCOME_REJECT, "audit.postgres.invalid_action",
                       "audit.append: action is blank");
    if (!bind_events(&event, 1, arena, &statement))
        return no_memory(err);

    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    *ret_appended = rows.row_count == 1;
    if (!*ret_appended)
        return audit_expect(db, &event->id, arena, err);
    pg_row_init(&row, &rows, 0, NULL);
    if (!pg_row_uuid(&row, &id) || !uuid_equal(&id, &event->id))
        return refused_row_set_renamed(err, statement.name);
    return OUTCOME_OK;
}

/* --- reading ----------------------------------------------------------------------------- */

static void read_value(const struct column *column, struct pg_row *row, struct audit_event *event)
{
    void *value = (char *)event + column->offset;

    switch (column->kind) {
    case COLUMN_UUID:
        (void)pg_row_uuid(row, value);
        break;
    case COLUMN_TIME:
        *(int64_t *)value = pg_row_time(row);
        break;
    case COLUMN_TEXT:
        if (!arena_copy_text(row->arena, pg_row_text(row), value))
            pg_row_fail(row, "out of memory");
        break;
    case COLUMN_JSON:
        if (!arena_copy_text(row->arena, pg_row_json(row), &((struct document *)value)->json))
            pg_row_fail(row, "out of memory");
        break;
    case COLUMN_SMALL:
    case COLUMN_INT4:
        *(int32_t *)value = (int32_t)pg_row_int(row);
        break;
    case COLUMN_INT8:
        *(int64_t *)value = pg_row_int(row);
        break;
    }
}

/* All rows of a result, in their order, into `events`. */
static enum outcome read_events(const struct rows *rows, struct arena *arena,
                                struct audit_event *events, struct err *err)
{
    for (size_t i = 0; i < rows->row_count; i++) {
        struct pg_row row;
        pg_row_init(&row, rows, i, arena);
        for (size_t c = 0; c < COLUMN_COUNT; c++)
            read_value(&columns[c], &row, &events[i]);
        enum outcome outcome = pg_row_done(&row, "auth_audit_events", err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}

/* --- finding ----------------------------------------------------------------------------- */

/* Which ids are asked for together: those that begin with their time lie in one or two partitions,
 * and so do all hashes above AUDIT_TIMED_END; hashes below are few and lie anywhere. */
enum id_group { ID_TIMED, ID_HASH, ID_LOW_HASH };
static_assert(ID_LOW_HASH + 1 == AUDIT_FIND_STATEMENTS, "a statement each");

static enum id_group group_of(const struct uuid *id)
{
    if (id->bytes[0] >= AUDIT_TIMED_END)
        return ID_HASH;
    return id->bytes[6] >> 4 == 8 ? ID_TIMED : ID_LOW_HASH;
}

/* The server plans once for all ids (force_generic_plan), and picks partitions by comparing their
 * bounds with parameters when it begins; it does that for inequalities, not for = ANY. */
static const struct statement find_in_range = {
    .name = "audit.find",
    .own = true,
    .sql = "SELECT " COLUMNS " FROM {schema}.auth_audit_events"
           " WHERE id = ANY($1::uuid[]) AND id >= $2::uuid AND id <= $3::uuid",
};

static bool bind_group(const struct uuid *ids, size_t count, enum id_group group,
                       struct arena *arena, struct statement *statement)
{
    const struct uuid *least = NULL;
    const struct uuid *greatest = NULL;
    struct pg_array wanted;
    struct params params;

    pg_array_init(&wanted, PG_UUID_ARRAY, arena);
    for (size_t i = 0; i < count; i++) {
        if (group_of(&ids[i]) != group)
            continue;
        pg_array_uuid(&wanted, &ids[i]);
        if (least == NULL || uuid_compare(&ids[i], least) < 0)
            least = &ids[i];
        if (greatest == NULL || uuid_compare(&ids[i], greatest) > 0)
            greatest = &ids[i];
    }
    params_init(&params, arena, 3);
    params_array(&params, &wanted);
    params_uuid(&params, least);
    params_uuid(&params, greatest);
    return params_done(&params, statement);
}

enum outcome audit_find_prepare(const struct uuid *ids, size_t count, struct arena *arena,
                                struct statement ret_statements[AUDIT_FIND_STATEMENTS],
                                size_t *ret_count, struct err *err)
{
    size_t sizes[AUDIT_FIND_STATEMENTS] = {0};
    size_t statements = 0;

    for (size_t i = 0; i < count; i++)
        sizes[group_of(&ids[i])]++;
    for (size_t group = 0; group < AUDIT_FIND_STATEMENTS; group++) {
        if (sizes[group] == 0)
            continue;
        ret_statements[statements] = find_in_range;
        if (!bind_group(ids, count, (enum id_group)group, arena, &ret_statements[statements]))
            return no_memory(err);
        statements++;
    }
    *ret_count = statements;
    return OUTCOME_OK;
}

static int compare_found(const void *left, const void *right)
{
    const struct audit_event *a = left;
    const struct audit_event *b = right;
    return uuid_compare(&a->id, &b->id);
}

enum outcome audit_find_read(const struct rows *rows, size_t statement_count,
                             const struct uuid *ids, size_t count, struct arena *arena,
                             const struct audit_event **ret_events, struct err *err)
{
    size_t found_count = 0;
    size_t read = 0;

    for (size_t i = 0; i < statement_count; i++)
        found_count += rows[i].row_count;
    struct audit_event *found = ARENA_ARRAY(arena, struct audit_event, found_count);
    if (found == NULL)
        return no_memory(err);
    for (size_t i = 0; i < statement_count; i++) {
        enum outcome outcome = read_events(&rows[i], arena, found + read, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        read += rows[i].row_count;
    }
    if (found_count > 1)
        qsort(found, found_count, sizeof(found[0]), compare_found);
    for (size_t i = 0; i < count; i++) {
        const struct audit_event wanted = {.id = ids[i]};
        ret_events[i] = found_count == 0
                            ? NULL
                            : bsearch(&wanted, found, found_count, sizeof(found[0]), compare_found);
    }
    return OUTCOME_OK;
}

/* --- listing ----------------------------------------------------------------------------- */

enum { LIST_PARAMS = 9 };

/* A WHERE clause and its parameters, put together from the filters that are set: a generic plan
 * of `$1 IS NULL OR entity = $1` could use no index. */
struct conditions {
    struct buffer sql;
    struct params params;
};

static void append_condition(struct conditions *conditions, const char *before)
{
    char number[16];

    buffer_append_literal(&conditions->sql, conditions->params.count == 0 ? " WHERE " : " AND ");
    buffer_append_literal(&conditions->sql, before);
    int length = snprintf(number, sizeof(number), "$%zu", conditions->params.count + 1);
    buffer_append(&conditions->sql, number, (size_t)length);
}

static void filter_text(struct conditions *conditions, const char *before, struct text value)
{
    if (!text_present(value))
        return;
    append_condition(conditions, before);
    params_text(&conditions->params, value);
}

static void filter_time(struct conditions *conditions, const char *before, int64_t us)
{
    if (us == TIMESTAMP_ABSENT)
        return;
    append_condition(conditions, before);
    params_time(&conditions->params, us);
}

static void build_list(struct conditions *conditions, const struct audit_filter *filter)
{
    buffer_append_literal(&conditions->sql, "SELECT " COLUMNS " FROM {schema}.auth_audit_events");
    filter_text(conditions, "entity = ", filter->entity);
    filter_text(conditions, "actor->>'id' = ", filter->actor_id);
    filter_text(conditions, "category = ", filter->category);
    filter_text(conditions, "action = ", filter->action);
    filter_text(conditions, "command_id = ", filter->command_id);
    filter_time(conditions, "occurred_at >= ", filter->since_us);
    filter_time(conditions, "occurred_at < ", filter->until_us);
    if (filter->after_occurred_at_us != TIMESTAMP_ABSENT) {
        char id_parameter[24];
        append_condition(conditions, "(occurred_at, id) > (");
        params_time(&conditions->params, filter->after_occurred_at_us);
        int length =
            snprintf(id_parameter, sizeof(id_parameter), ", $%zu)", conditions->params.count + 1);
        buffer_append(&conditions->sql, id_parameter, (size_t)length);
        params_uuid(&conditions->params, &filter->after_id);
    }
    char limit[64];
    int length =
        snprintf(limit, sizeof(limit), " ORDER BY occurred_at, id LIMIT %zu", filter->limit);
    buffer_append(&conditions->sql, limit, (size_t)length);
    buffer_append_byte(&conditions->sql, '\0');
}

enum outcome audit_list(struct executor *db, const struct audit_filter *filter, struct arena *arena,
                        const struct audit_event **ret_events, size_t *ret_count, struct err *err)
{
    struct conditions conditions;
    struct rows rows;

    assert(filter->limit > 0);
    buffer_init(&conditions.sql, arena);
    params_init(&conditions.params, arena, LIST_PARAMS);
    build_list(&conditions, filter);
    struct statement statement = {.sql = (const char *)conditions.sql.bytes};
    if (conditions.sql.full || !params_done(&conditions.params, &statement))
        return no_memory(err);

    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "audit.list");
    struct audit_event *events = ARENA_ARRAY(arena, struct audit_event, rows.row_count);
    if (events == NULL)
        return no_memory(err);
    outcome = read_events(&rows, arena, events, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "audit.list");
    *ret_events = events;
    *ret_count = rows.row_count;
    return OUTCOME_OK;
}
