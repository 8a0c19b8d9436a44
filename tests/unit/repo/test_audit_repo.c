#include "tests/unit/repo/recording.h"

#include "base/timestamp.h"
#include "repo/audit/audit_repo.h"
#include "repo/pg/pg_copy.h"

enum { COLUMNS = 23 };

#define SECOND_US INT64_C(1000000)

static const struct audit_event a_command_event = {
    .id = {{0x02}},
    .occurred_at_us = SECOND_US,
    .category = {"key", 3},
    .action = {"key.used", 8},
    .outcome = {"applied", 7},
    .actor = {.json = {"{\"a\":1}", 7}},
    .subject = {.json = {"{\"b\":1}", 7}},
    .resource = {.json = {"{\"c\":1}", 7}},
    .metadata = {.json = {"{\"d\":1}", 7}},
    .correlation_id = {"corr", 4},
    .error = {.json = {"{\"e\":1}", 7}},
    .entity = {"k-1", 3},
    .command_source = {"src", 3},
    .command_id = {"c-1", 3},
    .command_type = {"type", 4},
    .command_digest = {{0xDD}},
    .topic_id = 3,
    .partition = 0,
    .offset = 41,
    .traceparent = {"tp", 2},
    .tracestate = {"ts", 2},
    .carried_correlation_id = {"ccid", 4},
};

static const struct audit_event a_plain_event = {
    .id = {{0x01}},
    .occurred_at_us = 2 * SECOND_US,
    .category = {"auth", 4},
    .action = {"login", 5},
};

#define ID_1 "01000000-0000-0000-0000-000000000000"
#define ID_2 "02000000-0000-0000-0000-000000000000"

/* A row of the table as SELECT answers, of a_command_event with another id. */
static struct cell *event_cells(struct recording_executor *db, const struct uuid *id)
{
    struct cell *cells = ARENA_ARRAY(db->arena, struct cell, COLUMNS);
    const struct cell filled[COLUMNS] = {
        scripted_uuid(id),
        scripted_time(db, SECOND_US),
        scripted_text(TEXT("key")),
        scripted_text(TEXT("key.used")),
        scripted_text(TEXT("applied")),
        scripted_text(TEXT("{\"a\":1}")),
        scripted_text(TEXT_ABSENT),
        scripted_text(TEXT("\1{\"c\":1}")),
        scripted_text(TEXT_ABSENT),
        scripted_text(TEXT("corr")),
        scripted_text(TEXT_ABSENT),
        scripted_text(TEXT("k-1")),
        scripted_text(TEXT("src")),
        scripted_text(TEXT("c-1")),
        scripted_text(TEXT("type")),
        scripted_uuid(&a_command_event.command_digest),
        {"\0\3", 2},
        {"\0\0\0\5", 4},
        scripted_int8(db, 41),
        scripted_text(TEXT("tp")),
        scripted_text(TEXT("ts")),
        scripted_text(TEXT("ccid")),
        scripted_text(TEXT("old")),
    };

    assert_non_null(cells);
    memcpy(cells, filled, sizeof(filled));
    return cells;
}

static void run(struct recording *recording, const struct statement *statement,
                struct rows *ret_rows)
{
    assert_int_equal(
        executor_run(&recording->db.port, statement, recording->arena, ret_rows, &recording->err),
        OUTCOME_OK);
}

/* --- record --------------------------------------------------------------------------------- */

static void test_audit_record__sends_every_column_sorted_by_id(void **state)
{
    struct recording *recording = *state;
    const struct audit_event *const events[] = {&a_command_event, &a_plain_event};
    struct statement statement;
    struct rows rows;

    assert_int_equal(audit_record_prepare(events, 2, recording->arena, &statement, &recording->err),
                     OUTCOME_OK);
    script(recording, scripted_affected(2));
    run(recording, &statement, &rows);

    assert_recorded_name(&recording->db, 0, "audit.record");
    ASSERT_RECORDED_SQL(&recording->db, 0,
                        "WITH written AS (INSERT INTO {schema}.auth_audit_events (id, occurred_at",
                        "unnest($1::uuid[]", "$23::text[])");
    assert_null(strstr(recording->db.statements[0].sql, "ON CONFLICT"));
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "{" ID_1 "," ID_2 "}",
                           "{1970-01-01T00:00:02.000000Z,1970-01-01T00:00:01.000000Z}",
                           "{auth,key}", "{login,key.used}", "{NULL,applied}", "{NULL,{\"a\":1}}",
                           "{NULL,{\"b\":1}}", "{NULL,{\"c\":1}}", "{NULL,{\"d\":1}}",
                           "{NULL,corr}", "{NULL,{\"e\":1}}", "{NULL,k-1}", "{NULL,src}",
                           "{NULL,c-1}", "{NULL,type}",
                           "{NULL,dd000000-0000-0000-0000-000000000000}", "{NULL,3}", "{NULL,0}",
                           "{NULL,41}", "{NULL,tp}", "{NULL,ts}", "{NULL,ccid}", "{NULL,NULL}");
}

static void test_audit_record__a_full_arena_is_fatal(void **state)
{
    struct recording *recording = *state;
    CLEANUP(arena_freep) struct arena *none = arena_new(0);
    const struct audit_event *const events[] = {&a_plain_event};
    struct statement statement;

    assert_int_equal(audit_record_prepare(events, 1, none, &statement, &recording->err),
                     OUTCOME_FULL);
    assert_string_equal(recording->err.code, ERR_NO_MEMORY);
}

/* --- record by COPY ------------------------------------------------------------------------ */

static void test_audit_record_copy__sends_every_column_sorted_by_id(void **state)
{
    struct recording *recording = *state;
    const struct audit_event *const events[] = {&a_command_event, &a_plain_event};
    struct pg_copy expected;
    struct slice rows;
    script(recording, scripted_affected(2));

    assert_int_equal(
        audit_record_copy(&recording->db.port, events, 2, NULL, recording->arena, &recording->err),
        OUTCOME_OK);

    assert_recorded_name(&recording->db, 0, "audit.record_copy");
    assert_sql(recording, 0,
               "COPY {schema}.auth_audit_events (id, occurred_at, category, action, outcome, "
               "actor, subject,"
               " resource, metadata, correlation_id, error, entity, command_source, command_id,"
               " command_type, command_digest, topic_id, \"partition\", \"offset\", traceparent,"
               " tracestate, carried_correlation_id, legacy_id) FROM STDIN (FORMAT binary)");
    pg_copy_init(&expected, recording->arena, 0);
    pg_copy_row(&expected, COLUMNS);
    pg_copy_uuid(&expected, &a_plain_event.id);
    pg_copy_time(&expected, 2 * SECOND_US);
    pg_copy_text(&expected, TEXT("auth"));
    pg_copy_text(&expected, TEXT("login"));
    for (size_t i = 4; i < COLUMNS; i++)
        pg_copy_null(&expected);
    pg_copy_row(&expected, COLUMNS);
    pg_copy_uuid(&expected, &a_command_event.id);
    pg_copy_time(&expected, SECOND_US);
    static const char *const texts[] = {
        "key",  "key.used",  "applied", "{\"a\":1}", "{\"b\":1}", "{\"c\":1}", "{\"d\":1}",
        "corr", "{\"e\":1}", "k-1",     "src",       "c-1",       "type"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        pg_copy_text(&expected, text_of(texts[i]));
    pg_copy_uuid(&expected, &a_command_event.command_digest);
    pg_copy_int2(&expected, 3);
    pg_copy_int4(&expected, 0);
    pg_copy_int8(&expected, 41);
    pg_copy_text(&expected, TEXT("tp"));
    pg_copy_text(&expected, TEXT("ts"));
    pg_copy_text(&expected, TEXT("ccid"));
    pg_copy_null(&expected);
    assert_true(pg_copy_done(&expected, &rows));
    assert_int_equal(recording->db.statements[0].params[0].length, rows.length);
    assert_memory_equal(recording->db.statements[0].params[0].data, rows.data, rows.length);
}

static void test_audit_record_copy__failures_pass_through(void **state)
{
    struct recording *recording = *state;
    CLEANUP(arena_freep) struct arena *none = arena_new(0);
    const struct audit_event *const events[] = {&a_plain_event};
    script_failure(recording);

    assert_failure_passed(recording, audit_record_copy(&recording->db.port, events, 1, NULL,
                                                       recording->arena, &recording->err));

    assert_int_equal(audit_record_copy(&recording->db.port, events, 1, NULL, none, &recording->err),
                     OUTCOME_FULL);
    assert_string_equal(recording->err.code, ERR_NO_MEMORY);
    assert_recording_done(&recording->db, 1, 2);
}

/* --- append --------------------------------------------------------------------------------- */

static void test_audit_append__tells_whether_it_was_new(void **state)
{
    struct recording *recording = *state;
    bool appended = false;

    const struct cell id[] = {scripted_uuid(&a_plain_event.id)};
    script(recording, scripted_rows(id, 1, 1));
    script(recording, scripted_rows(NULL, 0, 1));
    script(recording, scripted_affected(1)); /* audit.expect */
    assert_int_equal(audit_append(&recording->db.port, &a_plain_event, recording->arena, &appended,
                                  &recording->err),
                     OUTCOME_OK);
    assert_true(appended);
    assert_int_equal(audit_append(&recording->db.port, &a_plain_event, recording->arena, &appended,
                                  &recording->err),
                     OUTCOME_OK);
    assert_false(appended);

    assert_recorded_name(&recording->db, 0, "audit.append");
    ASSERT_RECORDED_SQL(&recording->db, 0, "ON CONFLICT (id) DO NOTHING RETURNING id");
    assert_recorded_name(&recording->db, 2, "audit.expect");
}

static void test_audit_append__a_row_that_is_not_written_is_refused(void **state)
{
    struct recording *recording = *state;
    bool appended = false;
    const struct cell other_id[] = {scripted_uuid(&a_command_event.id)};
    script(recording, scripted_rows(NULL, 0, 1));
    script(recording, scripted_affected(0)); /* audit.expect */
    script(recording, scripted_rows(other_id, 1, 1));

    enum outcome skipped = audit_append(&recording->db.port, &a_plain_event, recording->arena,
                                        &appended, &recording->err);
    assert_string_equal(recording->err.code, refused_row_skipped);
    enum outcome renamed = audit_append(&recording->db.port, &a_plain_event, recording->arena,
                                        &appended, &recording->err);

    assert_int_equal(skipped, OUTCOME_REJECT);
    assert_int_equal(renamed, OUTCOME_REJECT);
    assert_string_equal(recording->err.code, refused_row_renamed);
}

static void test_audit_append__blank_category_and_action_are_rejected_unasked(void **state)
{
    struct recording *recording = *state;
    struct audit_event event = a_plain_event;
    bool appended = false;

    event.category = TEXT(" \t");
    assert_int_equal(
        audit_append(&recording->db.port, &event, recording->arena, &appended, &recording->err),
        OUTCOME_REJECT);
    assert_string_equal(recording->err.code, "audit.postgres.invalid_category");
    event = a_plain_event;
    event.action = TEXT("");
    assert_int_equal(
        audit_append(&recording->db.port, &event, recording->arena, &appended, &recording->err),
        OUTCOME_REJECT);
    assert_string_equal(recording->err.code, "audit.postgres.invalid_action");

    assert_recording_done(&recording->db, 0, 0);
}

/* --- find ----------------------------------------------------------------------------------- */

/* Asks for the ids; the script answers each statement. */
static size_t find(struct recording *recording, const struct uuid *ids, size_t count,
                   const struct audit_event **ret_events)
{
    struct statement statements[AUDIT_FIND_STATEMENTS];
    struct rows rows[AUDIT_FIND_STATEMENTS];
    size_t statement_count;

    assert_int_equal(audit_find_prepare(ids, count, recording->arena, statements, &statement_count,
                                        &recording->err),
                     OUTCOME_OK);
    assert_int_equal(executor_run_all(&recording->db.port, statements, statement_count,
                                      recording->arena, rows, &recording->err),
                     OUTCOME_OK);
    assert_int_equal(audit_find_read(rows, statement_count, ids, count, recording->arena,
                                     ret_events, &recording->err),
                     OUTCOME_OK);
    return statement_count;
}

static void test_audit_find__answers_in_the_order_of_the_ids(void **state)
{
    struct recording *recording = *state;
    const struct uuid ids[] = {{{0x02}}, {{0x09}}, {{0x01}}, {{0x02}}};
    const struct audit_event *events[4];
    struct cell *cells = ARENA_ARRAY(recording->arena, struct cell, (size_t)2 * COLUMNS);

    memcpy(cells, event_cells(&recording->db, &ids[0]), COLUMNS * sizeof(cells[0]));
    memcpy(cells + COLUMNS, event_cells(&recording->db, &ids[2]), COLUMNS * sizeof(cells[0]));
    script(recording, scripted_rows(NULL, 0, COLUMNS));
    script(recording, scripted_rows(cells, 2, COLUMNS));
    find(recording, ids, 4, events);

    assert_recorded_name(&recording->db, 0, "audit.find");
    ASSERT_RECORDED_SQL(&recording->db, 0, "WHERE id = ANY($1::uuid[])");
    assert_true(uuid_equal(&events[0]->id, &ids[0]));
    assert_null(events[1]);
    assert_true(uuid_equal(&events[2]->id, &ids[2]));
    assert_ptr_equal(events[3], events[0]);
}

/* A partition is picked by comparing its bounds with the parameters, so a statement must not reach
 * from a time to a hash. */
static void test_audit_find__asks_for_times_and_hashes_apart(void **state)
{
    struct recording *recording = *state;
    const struct uuid ids[] = {
        {{0xF0, 0, 0, 0, 0, 0, 0x50}},       /* a hash */
        {{0x01, 0x9B, 0, 0, 0, 1, 0x80}},    /* a time */
        {{0x03, 0xFF, 0, 0, 0, 0, 0x50}},    /* a hash among the times */
        {{0x01, 0x9A, 0, 0, 0, 2, 0x8F, 7}}, /* an earlier time */
        {{0x04}},
    };
    const struct audit_event *events[5];
    for (size_t i = 0; i < AUDIT_FIND_STATEMENTS; i++)
        script(recording, scripted_rows(NULL, 0, COLUMNS));

    find(recording, ids, 5, events);

    for (size_t i = 0; i < AUDIT_FIND_STATEMENTS; i++)
        ASSERT_RECORDED_SQL(&recording->db, i, "id >= $2", "id <= $3");
#define EARLIER "019a0000-0002-8f07-0000-000000000000"
#define LATER "019b0000-0001-8000-0000-000000000000"
#define HASH "f0000000-0000-5000-0000-000000000000"
#define LEAST_HASH "04000000-0000-0000-0000-000000000000"
#define LOW_HASH "03ff0000-0000-5000-0000-000000000000"
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "{" LATER "," EARLIER "}", EARLIER, LATER);
    ASSERT_RECORDED_PARAMS(&recording->db, 1, "{" HASH "," LEAST_HASH "}", LEAST_HASH, HASH);
    ASSERT_RECORDED_PARAMS(&recording->db, 2, "{" LOW_HASH "}", LOW_HASH, LOW_HASH);
    assert_recording_done(&recording->db, 3, 1);
}

static void test_audit_find__asks_no_more_than_it_needs(void **state)
{
    struct recording *recording = *state;
    const struct uuid ids[] = {{{0x01, 0x9B, 0, 0, 0, 1, 0x80}}, {{0x01, 0x9B, 0, 0, 0, 9, 0x80}}};
    const struct audit_event *events[2] = {NULL};

    assert_int_equal(find(recording, NULL, 0, NULL), 0);
    script(recording, scripted_rows(NULL, 0, COLUMNS));
    assert_int_equal(find(recording, ids, 2, events), 1);
    assert_null(events[0]);
}

static void test_audit_find__reads_every_column(void **state)
{
    struct recording *recording = *state;
    const struct uuid id = {{0x07}};
    const struct rows rows = {1, 1, COLUMNS, event_cells(&recording->db, &id)};
    const struct audit_event *event;

    assert_int_equal(audit_find_read(&rows, 1, &id, 1, recording->arena, &event, &recording->err),
                     OUTCOME_OK);

    assert_int_equal(event->occurred_at_us, SECOND_US);
    assert_true(text_is(event->category, "key"));
    assert_true(text_is(event->action, "key.used"));
    assert_true(text_is(event->outcome, "applied"));
    assert_true(text_is(event->actor.json, "{\"a\":1}"));
    assert_false(text_present(event->subject.json));
    assert_true(text_is(event->resource.json, "{\"c\":1}"));
    assert_true(text_is(event->correlation_id, "corr"));
    assert_false(text_present(event->error.json));
    assert_true(text_is(event->entity, "k-1"));
    assert_true(text_is(event->command_source, "src"));
    assert_true(text_is(event->command_id, "c-1"));
    assert_true(text_is(event->command_type, "type"));
    assert_int_equal(event->command_digest.bytes[0], 0xDD);
    assert_int_equal(event->topic_id, 3);
    assert_int_equal(event->partition, 5);
    assert_int_equal(event->offset, 41);
    assert_true(text_is(event->traceparent, "tp"));
    assert_true(text_is(event->tracestate, "ts"));
    assert_true(text_is(event->carried_correlation_id, "ccid"));
    assert_true(text_is(event->legacy_id, "old"));
}

static void test_audit_find__an_unreadable_row_is_fatal(void **state)
{
    struct recording *recording = *state;
    const struct uuid id = {{0x07}};
    struct cell *cells = event_cells(&recording->db, &id);
    const struct rows rows = {1, 1, COLUMNS, cells};
    const struct audit_event *event;

    cells[1] = (struct cell){"\177\377\377", 3};

    assert_int_equal(audit_find_read(&rows, 1, &id, 1, recording->arena, &event, &recording->err),
                     OUTCOME_FATAL);
    assert_non_null(strstr(recording->err.text, "column 2"));
}

/* --- list ----------------------------------------------------------------------------------- */

static const struct audit_filter everything = {
    .since_us = TIMESTAMP_ABSENT,
    .until_us = TIMESTAMP_ABSENT,
    .after_occurred_at_us = TIMESTAMP_ABSENT,
    .limit = 10,
};

static void list(struct recording *recording, const struct audit_filter *filter)
{
    const struct audit_event *events;
    size_t count;

    script(recording, scripted_rows(NULL, 0, COLUMNS));
    assert_int_equal(
        audit_list(&recording->db.port, filter, recording->arena, &events, &count, &recording->err),
        OUTCOME_OK);
    assert_int_equal(count, 0);
}

static void test_audit_list__without_filters_has_no_condition(void **state)
{
    struct recording *recording = *state;

    list(recording, &everything);

    ASSERT_RECORDED_SQL(&recording->db, 0,
                        "FROM {schema}.auth_audit_events ORDER BY occurred_at, id", "LIMIT 10");
    assert_int_equal(recording->db.statements[0].param_count, 0);
}

static void test_audit_list__every_filter_is_a_condition(void **state)
{
    struct recording *recording = *state;
    const struct audit_filter filter = {
        .entity = TEXT("e"),
        .actor_id = TEXT("a"),
        .category = TEXT("c"),
        .action = TEXT("x"),
        .command_id = TEXT("i"),
        .since_us = 0,
        .until_us = SECOND_US,
        .after_occurred_at_us = 2 * SECOND_US,
        .after_id = {{0x01}},
        .limit = 3,
    };

    list(recording, &filter);

    ASSERT_RECORDED_SQL(&recording->db, 0, "WHERE entity = $1", "AND actor->>'id' = $2",
                        "AND category = $3", "AND action = $4", "AND command_id = $5",
                        "AND occurred_at >= $6", "AND occurred_at < $7",
                        "AND (occurred_at, id) > ($8, $9)", "LIMIT 3");
    ASSERT_RECORDED_PARAMS(&recording->db, 0, "e", "a", "c", "x", "i",
                           "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:01.000000Z",
                           "1970-01-01T00:00:02.000000Z", ID_1);
}

static void test_audit_list__hands_out_the_rows_in_order(void **state)
{
    struct recording *recording = *state;
    const struct uuid id = {{0x07}};
    const struct audit_event *events;
    size_t count;

    script(recording, scripted_rows(event_cells(&recording->db, &id), 1, COLUMNS));
    assert_int_equal(audit_list(&recording->db.port, &everything, recording->arena, &events, &count,
                                &recording->err),
                     OUTCOME_OK);

    assert_int_equal(count, 1);
    assert_true(uuid_equal(&events[0].id, &id));
}

static void test_audit_list__a_failure_names_the_question(void **state)
{
    struct recording *recording = *state;
    const struct audit_event *events;
    size_t count;

    script_failure(recording);
    assert_int_equal(audit_list(&recording->db.port, &everything, recording->arena, &events, &count,
                                &recording->err),
                     OUTCOME_RETRY);

    assert_int_equal(strncmp(recording->err.text, "audit.list: ", 12), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, recording_setup, recording_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_audit_record__sends_every_column_sorted_by_id),
        TEST(test_audit_record__a_full_arena_is_fatal),
        TEST(test_audit_record_copy__sends_every_column_sorted_by_id),
        TEST(test_audit_record_copy__failures_pass_through),
        TEST(test_audit_append__tells_whether_it_was_new),
        TEST(test_audit_append__a_row_that_is_not_written_is_refused),
        TEST(test_audit_append__blank_category_and_action_are_rejected_unasked),
        TEST(test_audit_find__answers_in_the_order_of_the_ids),
        TEST(test_audit_find__asks_for_times_and_hashes_apart),
        TEST(test_audit_find__asks_no_more_than_it_needs),
        TEST(test_audit_find__reads_every_column),
        TEST(test_audit_find__an_unreadable_row_is_fatal),
        TEST(test_audit_list__without_filters_has_no_condition),
        TEST(test_audit_list__every_filter_is_a_condition),
        TEST(test_audit_list__hands_out_the_rows_in_order),
        TEST(test_audit_list__a_failure_names_the_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
