#include "tests/unit/repo/recording.h"

#include <stdio.h>

#include "base/records.h"
#include "base/timestamp.h"
#include "repo/record_json.h"
#include "repo/record_sql.h"

#define SECOND_US INT64_C(1000000)

static const struct key a_key = {
    .id = {"k-1", 3},
    .hash = {"h-1", 3},
    .owner = {{"user", 4}, {"u-1", 3}},
    .created_at_us = 1 * SECOND_US,
    .updated_at_us = 2 * SECOND_US,
    .expires_at_us = TIMESTAMP_ABSENT,
    .last_used_at_us = TIMESTAMP_ABSENT,
    .usage_count = 7,
    .status = {"active", 6},
    .scopes = {(const struct text[]){{"read", 4}, {"a\"b", 3}}, 2},
    .labels = {.json = {"{\"n\":1}", 7}},
    .revoked_at_us = TIMESTAMP_ABSENT,
};

/* --- SQL ---------------------------------------------------------------------------------- */

static void test_record_sql_of__makes_every_piece_of_a_group(void **state)
{
    (void)state;
    const struct record_sql *sql = record_sql_of(&group_spec);

    assert_non_null(sql);
    assert_int_equal(sql->param_count, 7);
    assert_string_equal(sql->columns,
                        "id, org_id, slug, name, description, parent_group_id, labels");
    assert_string_equal(sql->unnest,
                        "(SELECT unnest($1::text[]) AS id, unnest($2::text[]) AS org_id,"
                        " unnest($3::text[]) AS slug, unnest($4::text[]) AS name,"
                        " unnest($5::text[]) AS description, unnest($6::text[]) AS parent_group_id,"
                        " unnest($7::json[]) AS labels) AS u");
    assert_string_equal(sql->values, "u.id, u.org_id, u.slug, u.name, u.description,"
                                     " u.parent_group_id, u.labels");
    assert_string_equal(sql->assignments,
                        "org_id = excluded.org_id, slug = excluded.slug, name = excluded.name,"
                        " description = excluded.description,"
                        " parent_group_id = excluded.parent_group_id, labels = excluded.labels");
    assert_string_equal(sql->copy, "COPY {schema}.auth_groups (id, org_id, slug, name, description,"
                                   " parent_group_id, labels) FROM STDIN (FORMAT binary)");
    assert_string_equal(sql->select, "SELECT id, org_id, slug, name, description, parent_group_id,"
                                     " labels FROM {schema}.auth_groups");
}

static void test_record_sql_of__upsert_tells_inserted_from_updated(void **state)
{
    (void)state;
    const struct record_sql *sql = record_sql_of(&user_spec);
    char expected[2048];

    snprintf(
        expected, sizeof(expected),
        "INSERT INTO {schema}.auth_users (%s) SELECT %s FROM %s ON CONFLICT (id) DO UPDATE SET %s"
        " RETURNING id, (xmax = 0) AS inserted",
        sql->columns, sql->values, sql->unnest, sql->assignments);
    assert_string_equal(sql->upsert, expected);
}

static void test_record_sql_of__keep_leaves_created_at_alone(void **state)
{
    (void)state;
    const struct record_sql *sql = record_sql_of(&membership_spec);

    assert_non_null(strstr(sql->assignments, "created_at = excluded.created_at"));
    assert_null(strstr(sql->assignments_keep, "created_at = "));
    assert_non_null(strstr(sql->assignments_keep, "updated_at = excluded.updated_at"));
    assert_null(strstr(strstr(sql->upsert_keep, "DO UPDATE"), "created_at = "));
}

static void test_record_sql_of__a_reference_is_two_columns_and_a_list_is_cast(void **state)
{
    (void)state;
    const struct record_sql *sql = record_sql_of(&key_spec);

    assert_non_null(strstr(sql->columns, "owner_kind, owner_id, name"));
    assert_non_null(strstr(sql->columns, "created_by_kind, created_by_id"));
    assert_non_null(strstr(sql->columns, "revoked_by_kind, revoked_by_id"));
    assert_non_null(strstr(sql->values, "u.scopes::text[]"));
    assert_int_equal(sql->param_count, 21);
}

static void test_record_sql_of__is_made_once(void **state)
{
    (void)state;
    assert_ptr_equal(record_sql_of(&org_spec), record_sql_of(&org_spec));
}

/* --- copy ----------------------------------------------------------------------------------- */

static void test_record_sql_copy__one_field_per_column(void **state)
{
    struct recording *recording = *state;
    struct pg_copy copy;
    struct pg_copy expected;
    struct slice rows;
    struct slice expected_rows;

    pg_copy_init(&copy, recording->arena, 0);
    record_sql_copy(&key_spec, &a_key, &copy);

    pg_copy_init(&expected, recording->arena, 0);
    pg_copy_row(&expected, 21);
    pg_copy_text(&expected, TEXT("k-1"));
    pg_copy_text(&expected, TEXT("h-1"));
    pg_copy_text(&expected, TEXT("user"));
    pg_copy_text(&expected, TEXT("u-1"));
    for (size_t i = 0; i < 4; i++)
        pg_copy_null(&expected); /* name to created_by_id */
    pg_copy_time(&expected, 1 * SECOND_US);
    pg_copy_time(&expected, 2 * SECOND_US);
    pg_copy_null(&expected);
    pg_copy_null(&expected);
    pg_copy_int8(&expected, 7);
    pg_copy_text(&expected, TEXT("active"));
    pg_copy_list(&expected, a_key.scopes);
    pg_copy_text(&expected, TEXT("{\"n\":1}"));
    for (size_t i = 0; i < 5; i++)
        pg_copy_null(&expected); /* metadata to revocation_reason */
    assert_true(pg_copy_done(&copy, &rows));
    assert_true(pg_copy_done(&expected, &expected_rows));
    assert_int_equal(rows.length, expected_rows.length);
    assert_memory_equal(rows.data, expected_rows.data, rows.length);
}

static void test_record_sql_copy__absent_documents_and_lists_as_declared(void **state)
{
    struct recording *recording = *state;
    const struct membership given = {.id = TEXT("m"),
                                     .user_id = TEXT("u"),
                                     .org_id = TEXT("o"),
                                     .role = TEXT("r"),
                                     .created_at_us = 1,
                                     .updated_at_us = 2};
    const struct text none[1] = {TEXT_ABSENT};
    struct pg_copy copy;
    struct pg_copy expected;
    struct slice rows;
    struct slice expected_rows;

    pg_copy_init(&copy, recording->arena, 0);
    record_sql_copy(&membership_spec, &given, &copy);

    pg_copy_init(&expected, recording->arena, 0);
    pg_copy_row(&expected, 8);
    pg_copy_text(&expected, TEXT("m"));
    pg_copy_text(&expected, TEXT("u"));
    pg_copy_text(&expected, TEXT("o"));
    pg_copy_text(&expected, TEXT("r"));
    pg_copy_list(&expected, (struct text_list){none, 0});
    pg_copy_text(&expected, TEXT("{}"));
    pg_copy_time(&expected, 1);
    pg_copy_time(&expected, 2);
    assert_true(pg_copy_done(&copy, &rows));
    assert_true(pg_copy_done(&expected, &expected_rows));
    assert_int_equal(rows.length, expected_rows.length);
    assert_memory_equal(rows.data, expected_rows.data, rows.length);
}

/* --- parameters ----------------------------------------------------------------------------- */

static void test_record_sql_params__one_array_per_column_one_element_per_record(void **state)
{
    struct recording *recording = *state;
    struct key second = a_key;
    struct statement statement = {.sql = ""};
    struct params params;
    struct rows rows;

    second.id = TEXT("k-2");
    second.labels.json = TEXT_ABSENT;
    second.scopes = (struct text_list){NULL, 0};
    second.metadata.json = TEXT("{}");
    second.expires_at_us = 3 * SECOND_US;
    const void *const records[] = {&a_key, &second};
    params_init(&params, recording->arena, record_sql_of(&key_spec)->param_count);
    record_sql_params(&key_spec, records, 2, &params);
    assert_true(params_done(&params, &statement));
    script(recording, scripted_affected(2));
    executor_run(&recording->db.port, &statement, recording->arena, &rows, &recording->err);

    ASSERT_RECORDED_PARAMS(&recording->db, 0, "{k-1,k-2}", "{h-1,h-1}", "{user,user}", "{u-1,u-1}",
                           "{NULL,NULL}", "{NULL,NULL}", "{NULL,NULL}", "{NULL,NULL}",
                           "{1970-01-01T00:00:01.000000Z,1970-01-01T00:00:01.000000Z}",
                           "{1970-01-01T00:00:02.000000Z,1970-01-01T00:00:02.000000Z}",
                           "{NULL,1970-01-01T00:00:03.000000Z}", "{NULL,NULL}", "{7,7}",
                           "{active,active}", "{{\"read\",\"a\\\"b\"},{}}", "{{\"n\":1},{}}",
                           "{NULL,{}}", "{NULL,NULL}", "{NULL,NULL}", "{NULL,NULL}", "{NULL,NULL}");
}

/* --- reading -------------------------------------------------------------------------------- */

static void test_record_sql_read__fills_the_record_from_a_row(void **state)
{
    struct recording *recording = *state;
    struct recording_executor *db = &recording->db;
    const struct text scopes[] = {TEXT("read"), TEXT("write")};
    const struct cell cells[] = {
        scripted_text(TEXT("k-1")),
        scripted_text(TEXT("h-1")),
        scripted_text(TEXT("user")),
        scripted_text(TEXT("u-1")),
        scripted_text(TEXT_ABSENT),
        scripted_text(TEXT("d")),
        scripted_text(TEXT("system")),
        scripted_text(TEXT_ABSENT), /* half a reference */
        scripted_time(db, 1),
        scripted_time(db, 2),
        scripted_time(db, TIMESTAMP_ABSENT),
        scripted_time(db, 4),
        scripted_int8(db, 12),
        scripted_text(TEXT("active")),
        scripted_list(db, (struct text_list){scopes, 2}),
        scripted_text(TEXT_ABSENT), /* labels: NULL reads as {} */
        scripted_text(TEXT("\1{\"m\":1}")),
        scripted_time(db, TIMESTAMP_ABSENT),
        scripted_text(TEXT("user")),
        scripted_text(TEXT("u-2")),
        scripted_text(TEXT("why")),
    };
    const struct rows rows = {1, 1, sizeof(cells) / sizeof(cells[0]), cells};
    struct pg_row row;
    struct key key;

    pg_row_init(&row, &rows, 0, recording->arena);
    record_sql_read(&key_spec, &row, &key);

    assert_int_equal(pg_row_done(&row, "key", &recording->err), OUTCOME_OK);
    assert_true(text_is(key.id, "k-1"));
    assert_ptr_not_equal(key.id.data, cells[0].data);
    assert_true(text_is(key.owner.id, "u-1"));
    assert_false(text_present(key.name));
    assert_true(text_is(key.description, "d"));
    assert_false(text_present(key.created_by.kind));
    assert_int_equal(key.expires_at_us, TIMESTAMP_ABSENT);
    assert_int_equal(key.last_used_at_us, 4);
    assert_int_equal(key.usage_count, 12);
    assert_int_equal(key.scopes.count, 2);
    assert_true(text_is(key.scopes.items[1], "write"));
    assert_true(text_is(key.labels.json, "{}"));
    assert_true(text_is(key.metadata.json, "{\"m\":1}"));
    assert_true(text_is(key.revoked_by.id, "u-2"));
}

static void test_record_sql_read__null_list_and_metadata_read_as_declared(void **state)
{
    struct recording *recording = *state;
    struct cell cells[8] = {{NULL, 0}};
    const struct rows rows = {1, 1, 8, cells};
    struct membership membership;
    struct user user;
    struct pg_row row;

    pg_row_init(&row, &rows, 0, recording->arena);
    record_sql_read(&membership_spec, &row, &membership);
    assert_non_null(membership.group_ids.items);
    assert_int_equal(membership.group_ids.count, 0);
    assert_true(text_is(membership.labels_delta.json, "{}"));

    pg_row_init(&row, &rows, 0, recording->arena);
    record_sql_read(&user_spec, &row, &user);
    assert_true(text_is(user.labels.json, "{}"));
    assert_false(text_present(user.metadata.json));
}

static void test_record_sql_read__a_full_arena_shows_in_the_reader(void **state)
{
    struct recording *recording = *state;
    CLEANUP(arena_freep) struct arena *none = arena_new(0);
    const struct cell cells[8] = {{"x", 1}};
    const struct rows rows = {1, 1, 8, cells};
    struct pg_row row;
    struct user user;

    pg_row_init(&row, &rows, 0, none);
    record_sql_read(&user_spec, &row, &user);

    assert_int_equal(pg_row_done(&row, "user", &recording->err), OUTCOME_FATAL);
}

/* --- ids ------------------------------------------------------------------------------------ */

static void test_id_positions__sort_bytewise_and_find_the_first(void **state)
{
    (void)state;
    struct id_position positions[] = {
        {TEXT("b"), 0}, {TEXT("B"), 1}, {TEXT("a"), 3}, {TEXT("ab"), 4}, {TEXT("a"), 2}};

    id_positions_sort(positions, 5);

    assert_int_equal(positions[0].position, 1);
    assert_int_equal(positions[1].position, 2);
    assert_int_equal(positions[2].position, 3);
    assert_int_equal(positions[3].position, 4);
    assert_int_equal(positions[4].position, 0);
    assert_int_equal(id_positions_find(positions, 5, TEXT("a"))->position, 2);
    assert_int_equal(id_positions_find(positions, 5, TEXT("b"))->position, 0);
    assert_null(id_positions_find(positions, 5, TEXT("aa")));
    assert_null(id_positions_find(positions, 5, TEXT("c")));
    assert_null(id_positions_find(NULL, 0, TEXT("a")));
}

static void test_records_sorted__keeps_where_each_stood(void **state)
{
    struct recording *recording = *state;
    const struct user second = {.id = {"b", 1}};
    const struct user first = {.id = {"a", 1}};
    const void *const records[] = {&second, &first};
    struct id_position *positions;
    const void *const *sorted;

    assert_true(records_sorted(&user_spec, records, 2, recording->arena, &positions, &sorted));

    assert_ptr_equal(sorted[0], &first);
    assert_ptr_equal(sorted[1], &second);
    assert_int_equal(positions[0].position, 1);
    assert_int_equal(positions[1].position, 0);
}

/* --- JSON ----------------------------------------------------------------------------------- */

static const char *json_of(struct recording *recording, const struct record_spec *spec,
                           const void *record, const char *status)
{
    struct buffer buffer;

    buffer_init(&buffer, recording->arena);
    record_json_append(&buffer, spec, record, status);
    buffer_append_byte(&buffer, '\0');
    assert_false(buffer.full);
    return (const char *)buffer.bytes;
}

static void test_record_json__has_contract_names_and_leaves_out_what_is_absent(void **state)
{
    assert_string_equal(json_of(*state, &key_spec, &a_key, NULL),
                        "{\"id\":\"k-1\",\"hash\":\"h-1\",\"owner\":{\"kind\":\"user\",\"id\":"
                        "\"u-1\"},\"createdAt\":\"1970-01-01T00:00:01.000000Z\",\"updatedAt\":"
                        "\"1970-01-01T00:00:02.000000Z\",\"usageCount\":7,\"status\":\"active\","
                        "\"scopes\":[\"read\",\"a\\\"b\"],\"labels\":{\"n\":1}}");
}

static void test_record_json__status_is_the_callers_judgement(void **state)
{
    const char *json = json_of(*state, &key_spec, &a_key, "expired");

    assert_non_null(strstr(json, "\"status\":\"expired\""));
    assert_null(strstr(json, "active"));
}

static void test_record_json__an_empty_list_is_there(void **state)
{
    struct membership membership;

    record_clear(&membership_spec, &membership);
    membership.id = TEXT("m-1");
    membership.group_ids.items = (const struct text[]){{NULL, 0}};

    assert_string_equal(json_of(*state, &membership_spec, &membership, NULL),
                        "{\"id\":\"m-1\",\"groupIds\":[]}");
}

static void test_audit_event_json__has_command_and_legacy_id(void **state)
{
    struct recording *recording = *state;
    const struct audit_event event = {
        .id = {{0x01}},
        .legacy_id = TEXT("old"),
        .occurred_at_us = 0,
        .category = TEXT("key"),
        .action = TEXT("key.used"),
        .outcome = TEXT("applied"),
        .subject = {.json = TEXT("{\"type\":\"user\"}")},
        .command_source = TEXT("s"),
        .command_id = TEXT("c"),
        .command_type = TEXT("t"),
    };
    struct buffer buffer;

    buffer_init(&buffer, recording->arena);
    audit_event_json_append(&buffer, &event);

    assert_true(text_is(buffer_text(&buffer),
                        "{\"id\":\"01000000-0000-0000-0000-000000000000\",\"occurredAt\":"
                        "\"1970-01-01T00:00:00.000000Z\",\"category\":\"key\",\"action\":"
                        "\"key.used\",\"outcome\":\"applied\",\"subject\":{\"type\":\"user\"},"
                        "\"command\":{\"source\":\"s\",\"id\":\"c\",\"type\":\"t\"},"
                        "\"legacyId\":\"old\"}"));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, recording_setup, recording_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_record_sql_of__makes_every_piece_of_a_group),
        TEST(test_record_sql_of__upsert_tells_inserted_from_updated),
        TEST(test_record_sql_of__keep_leaves_created_at_alone),
        TEST(test_record_sql_of__a_reference_is_two_columns_and_a_list_is_cast),
        TEST(test_record_sql_of__is_made_once),
        TEST(test_record_sql_copy__one_field_per_column),
        TEST(test_record_sql_copy__absent_documents_and_lists_as_declared),
        TEST(test_record_sql_params__one_array_per_column_one_element_per_record),
        TEST(test_record_sql_read__fills_the_record_from_a_row),
        TEST(test_record_sql_read__null_list_and_metadata_read_as_declared),
        TEST(test_record_sql_read__a_full_arena_shows_in_the_reader),
        TEST(test_id_positions__sort_bytewise_and_find_the_first),
        TEST(test_records_sorted__keeps_where_each_stood),
        TEST(test_record_json__has_contract_names_and_leaves_out_what_is_absent),
        TEST(test_record_json__status_is_the_callers_judgement),
        TEST(test_record_json__an_empty_list_is_there),
        TEST(test_audit_event_json__has_command_and_legacy_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
