#include "repo/effective_identity.h"

#include "base/json_writer.h"
#include "base/map.h"
#include "repo/record_sql.h"

/* "id, slug" as "<table>.id, <table>.slug" */
static void append_columns(struct buffer *sql, const char *table, const char *columns)
{
    const char *at = columns;

    for (;;) {
        const char *comma = strchr(at, ',');
        buffer_append_literal(sql, table);
        buffer_append_byte(sql, '.');
        if (comma == NULL)
            break;
        buffer_append(sql, at, (size_t)(comma - at));
        buffer_append_literal(sql, ", ");
        at = comma + 2;
    }
    buffer_append_literal(sql, at);
}

/* One row per group, at least one; user, org and membership come again in each. Everything reads
 * from the same snapshot, which separate statements would not.
 *
 * $1 user, $2 org, $3 membership, $4 with groups. OFFSET 0 keeps the joins look-ups
 * per row, whatever the planner thinks of the tables' sizes. */
static const char *identity_sql(struct arena *arena)
{
    const struct record_sql *user = record_sql_of(&user_spec);
    const struct record_sql *org = record_sql_of(&org_spec);
    const struct record_sql *membership = record_sql_of(&membership_spec);
    const struct record_sql *group = record_sql_of(&group_spec);
    struct buffer sql;

    if (user == NULL || org == NULL || membership == NULL || group == NULL)
        return NULL;
    const char *first_parts = arena_printf(
        arena,
        "WITH asker AS (%s WHERE id = $1)"
        ", member AS ("
        "(%s WHERE $3 IS NOT NULL AND id = $3)"
        " UNION ALL (%s WHERE $3 IS NULL AND $2 IS NOT NULL AND user_id = $1 AND org_id = $2"
        " ORDER BY created_at, id LIMIT 1)"
        " UNION ALL (%s WHERE $3 IS NULL AND $2 IS NULL AND user_id = $1"
        " ORDER BY created_at, id LIMIT 1))"
        ", home AS (%s WHERE id = coalesce($2, (SELECT org_id FROM member),"
        " (SELECT primary_org_id FROM asker)))",
        user->select, membership->select, membership->select, membership->select, org->select);
    if (first_parts == NULL)
        return NULL;

    buffer_init(&sql, arena);
    buffer_append_literal(&sql, first_parts);
    buffer_append_literal(&sql, ", team AS (SELECT listed.place, ");
    append_columns(&sql, "g", group->columns);
    buffer_append_literal(
        &sql,
        " FROM member, LATERAL (SELECT l.wanted, min(l.place) AS place"
        " FROM unnest(member.group_ids) WITH ORDINALITY AS l(wanted, place) GROUP BY l.wanted)"
        " AS listed, LATERAL (SELECT * FROM {schema}.auth_groups WHERE id = listed.wanted OFFSET "
        "0) AS g"
        " WHERE $4)"
        ", label AS (SELECT s.source, s.place, e.position, e.key, e.value::text AS value FROM ("
        "SELECT 1 AS source, 0 AS place, labels::json AS labels FROM asker"
        " UNION ALL SELECT 2, 0, labels::json FROM home"
        " UNION ALL SELECT 3, 0, labels_delta::json FROM member"
        " UNION ALL SELECT 4, place, labels::json FROM team) AS s,"
        " json_each(CASE WHEN json_typeof(s.labels) = 'object' THEN s.labels END)"
        " WITH ORDINALITY AS e(key, value, position))"
        ", subject AS (SELECT 'user' AS kind, id FROM asker"
        " UNION ALL SELECT 'org', id FROM home"
        " UNION ALL SELECT 'membership', id FROM member)"
        " SELECT ");
    append_columns(&sql, "asker", user->columns);
    buffer_append_literal(&sql, ", ");
    append_columns(&sql, "home", org->columns);
    buffer_append_literal(&sql, ", ");
    append_columns(&sql, "member", membership->columns);
    buffer_append_literal(&sql, ", ");
    append_columns(&sql, "team", group->columns);
    buffer_append_literal(
        &sql, ", ARRAY(SELECT e.entitlement FROM subject, LATERAL (SELECT entitlement, created_at"
              " FROM {schema}.auth_entitlements WHERE subject_kind = subject.kind AND subject_id = "
              "subject.id"
              " OFFSET 0) AS e"
              " GROUP BY e.entitlement ORDER BY min(e.created_at), e.entitlement)"
              ", ARRAY(SELECT key FROM label ORDER BY source, place, position)"
              ", ARRAY(SELECT value FROM label ORDER BY source, place, position)"
              " FROM (SELECT) AS one LEFT JOIN asker ON true LEFT JOIN home ON true"
              " LEFT JOIN member ON true LEFT JOIN team ON true ORDER BY team.place");
    buffer_append_byte(&sql, '\0');
    return sql.full ? NULL : (const char *)sql.bytes;
}

/* What is the same in every row; a record whose id is absent was not found. */
struct identity_row {
    struct user user;
    struct org org;
    struct membership membership;
    struct text_list entitlements;
    struct text_list label_keys;
    struct text_list label_values; /* JSON texts */
};

static enum outcome read_row(const struct rows *rows, size_t row, struct arena *arena,
                             struct identity_row *ret_row, struct err *err)
{
    struct pg_row reader;
    struct group group; /* see read_groups() */

    pg_row_init(&reader, rows, row, arena);
    record_sql_read(&user_spec, &reader, &ret_row->user);
    record_sql_read(&org_spec, &reader, &ret_row->org);
    record_sql_read(&membership_spec, &reader, &ret_row->membership);
    record_sql_read(&group_spec, &reader, &group);
    ret_row->entitlements = pg_row_list(&reader);
    ret_row->label_keys = pg_row_list(&reader);
    ret_row->label_values = pg_row_list(&reader);
    if (ret_row->label_keys.count != ret_row->label_values.count)
        return err_set(err, OUTCOME_FATAL, "", "identity.get: labels without values");
    return pg_row_done(&reader, "identity.get", err);
}

static enum outcome check(const struct identity_request *request, const struct identity_row *row,
                          struct err *err)
{
    if (!text_present(row->user.id))
        return err_set(err, OUTCOME_REJECT, "not_found", "no such user");
    if (text_present(request->membership_id)) {
        if (!text_present(row->membership.id))
            return err_set(err, OUTCOME_REJECT, "not_found", "no such membership");
        if (!text_equal(row->membership.user_id, request->user_id))
            return err_set(err, OUTCOME_REJECT, "mismatch",
                           "the membership belongs to another user");
        if (text_present(request->org_id) && !text_equal(row->membership.org_id, request->org_id))
            return err_set(err, OUTCOME_REJECT, "mismatch",
                           "the membership belongs to another org");
    }
    if (text_present(request->org_id) && !text_present(row->org.id))
        return err_set(err, OUTCOME_REJECT, "not_found", "no such org");
    return OUTCOME_OK;
}

/* A label given again keeps its place and takes the later value. */
static bool merge_labels(const struct identity_row *row, struct arena *arena,
                         struct document *ret_labels)
{
    size_t count = row->label_keys.count;
    struct text *keys = ARENA_ARRAY(arena, struct text, count);
    struct text *values = ARENA_ARRAY(arena, struct text, count);
    size_t merged = 0;
    struct map places;
    struct buffer json;

    if (keys == NULL || values == NULL || !map_init(&places, arena, count))
        return false;
    for (size_t i = 0; i < count; i++) {
        bool new = false;
        size_t *place = map_put(&places, 0, row->label_keys.items[i], &new);
        if (place == NULL)
            return false;
        if (new)
            *place = merged++;
        keys[*place] = row->label_keys.items[i];
        values[*place] = row->label_values.items[i];
    }

    buffer_init(&json, arena);
    struct json_writer labels = json_writer_of(&json);
    json_begin_object(&labels, NULL);
    for (size_t i = 0; i < merged; i++)
        buffer_append_text(json_member(&labels, keys[i]), values[i]);
    json_end_object(&labels);
    *ret_labels = (struct document){.json = buffer_text(&json)};
    return !json.full;
}

static enum outcome read_groups(const struct rows *rows, struct arena *arena,
                                struct effective_identity *identity, struct err *err)
{
    struct group *groups = ARENA_ARRAY(arena, struct group, rows->row_count);
    if (groups == NULL)
        return err_no_memory(err, "identity.get");

    size_t before = record_sql_of(&user_spec)->param_count + record_sql_of(&org_spec)->param_count +
                    record_sql_of(&membership_spec)->param_count;
    for (size_t i = 0; i < rows->row_count; i++) {
        struct group *group = &groups[identity->group_count];
        struct pg_row reader;

        pg_row_init(&reader, rows, i, arena);
        for (size_t column = 0; column < before; column++)
            pg_row_skip(&reader);
        record_sql_read(&group_spec, &reader, group);
        enum outcome outcome = pg_row_done(&reader, "identity.get", err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (text_present(group->id))
            identity->group_count++;
    }
    identity->groups = groups;
    return OUTCOME_OK;
}

static enum outcome read_identity(const struct identity_request *request, const struct rows *rows,
                                  struct arena *arena, struct effective_identity *ret_identity,
                                  struct err *err)
{
    struct identity_row *row = ARENA_NEW(arena, struct identity_row);
    if (row == NULL)
        return err_no_memory(err, "identity.get");
    if (rows->row_count == 0)
        return err_set(err, OUTCOME_FATAL, "", "identity.get: no row");

    enum outcome outcome = read_row(rows, 0, arena, row, err);
    if (outcome == OUTCOME_OK)
        outcome = check(request, row, err);
    if (outcome == OUTCOME_OK)
        outcome = read_groups(rows, arena, ret_identity, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    ret_identity->user = &row->user;
    if (text_present(row->org.id))
        ret_identity->org = &row->org;
    if (text_present(row->membership.id)) {
        ret_identity->membership = &row->membership;
        ret_identity->roles = (struct text_list){&row->membership.role, 1};
    }
    ret_identity->entitlements = row->entitlements;
    return merge_labels(row, arena, &ret_identity->labels) ? OUTCOME_OK
                                                           : err_no_memory(err, "identity.get");
}

enum outcome effective_identity_get(struct executor *db, const struct identity_request *request,
                                    struct arena *arena,
                                    const struct effective_identity **ret_identity, struct err *err)
{
    struct effective_identity *identity = ARENA_NEW(arena, struct effective_identity);
    struct statement statement = {.name = "identity.get", .sql = identity_sql(arena)};
    struct params params;
    struct rows rows;

    params_init(&params, arena, 4);
    params_text(&params, request->user_id);
    params_text(&params, request->org_id);
    params_text(&params, request->membership_id);
    params_bool(&params, !request->exclude_groups);
    if (identity == NULL || statement.sql == NULL || !params_done(&params, &statement))
        return err_no_memory(err, statement.name);

    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome == OUTCOME_OK)
        outcome = read_identity(request, &rows, arena, identity, err);
    if (outcome == OUTCOME_OK)
        *ret_identity = identity;
    return outcome;
}

static void write_texts(struct json_writer *json, const char *name, const struct text_list *list)
{
    json_begin_array(json, name);
    for (size_t i = 0; i < list->count; i++)
        json_append_string(json_value(json, NULL), list->items[i]);
    json_end_array(json);
}

void effective_identity_json(const struct effective_identity *identity, struct buffer *buffer)
{
    const struct text_list scopes = {
        0}; /* the contract's field; this product has none to fill it */
    struct json_writer json = json_writer_of(buffer);

    json_begin_object(&json, NULL);
    json_text(&json, "userId", identity->user->id);
    if (identity->org != NULL)
        json_text(&json, "orgId", identity->org->id);
    json_begin_array(&json, "groups");
    for (size_t i = 0; i < identity->group_count; i++)
        json_append_string(json_value(&json, NULL), identity->groups[i].id);
    json_end_array(&json);
    json_document(&json, "labels", identity->labels.json);
    write_texts(&json, "roles", &identity->roles);
    write_texts(&json, "entitlements", &identity->entitlements);
    write_texts(&json, "scopes", &scopes);
    json_end_object(&json);
}
