#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/timestamp.h"
#include "repo/audit/audit_repo.h"
#include "repo/pg/refused_row.h"
#include "tests/integration/pg_fixture.h"

#define SECOND_US INT64_C(1000000)

static struct audit_event command_event(uint8_t number)
{
    return (struct audit_event){
        .id = {{number}},
        .occurred_at_us = number * SECOND_US,
        .category = TEXT("key"),
        .action = TEXT("key.used"),
        .outcome = TEXT("applied"),
        .actor = {.json = TEXT("{\"type\": \"user\",  \"id\":\"a-1\"}")},
        .subject = {.json = TEXT("{\"b\":1}")},
        .resource = {.json = TEXT("{\"c\":1}")},
        .metadata = {.json = TEXT("{\"d\":1.0}")},
        .correlation_id = TEXT("corr"),
        .error = {.json = TEXT("{\"code\":\"x\"}")},
        .entity = TEXT("k-1"),
        .command_source = TEXT("src"),
        .command_id = TEXT("c-1"),
        .command_type = TEXT("type"),
        .command_digest = {{0xDD, number}},
        .topic_id = 3,
        .partition = 7,
        .offset = INT64_C(1) << 40,
        .traceparent = TEXT("tp"),
        .tracestate = TEXT("ts"),
        .carried_correlation_id = TEXT("ccid"),
    };
}

static struct audit_event plain_event(uint8_t number)
{
    return (struct audit_event){
        .id = {{number}},
        .occurred_at_us = number * SECOND_US,
        .category = TEXT("auth"),
        .action = TEXT("login"),
        .legacy_id = TEXT("evt"),
    };
}

static enum outcome record(struct pg_fixture *fixture, const struct audit_event *const *events,
                           size_t count, struct err *err)
{
    struct statement statement;
    struct rows rows;

    enum outcome outcome = audit_record_prepare(events, count, fixture->arena, &statement, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return executor_run(fixture->db, &statement, fixture->arena, &rows, err);
}

static void must_record(struct pg_fixture *fixture, const struct audit_event *const *events,
                        size_t count)
{
    struct err err;
    if (record(fixture, events, count, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
}

static void find(struct pg_fixture *fixture, const struct uuid *ids, size_t count,
                 const struct audit_event **ret_events)
{
    struct statement statements[AUDIT_FIND_STATEMENTS];
    struct rows rows[AUDIT_FIND_STATEMENTS];
    size_t statement_count;
    struct err err;

    assert_int_equal(
        audit_find_prepare(ids, count, fixture->arena, statements, &statement_count, &err),
        OUTCOME_OK);
    if (executor_run_all(fixture->db, statements, statement_count, fixture->arena, rows, &err) !=
            OUTCOME_OK ||
        audit_find_read(rows, statement_count, ids, count, fixture->arena, ret_events, &err) !=
            OUTCOME_OK)
        fail_msg("%s", err.text);
}

static void assert_text(struct text got, struct text expected)
{
    assert_int_equal(text_present(got), text_present(expected));
    assert_true(text_equal(got, expected));
}

static void assert_event(const struct audit_event *got, const struct audit_event *expected)
{
    if (got == NULL) {
        fail_msg("the event is not there");
        return;
    }
    assert_true(uuid_equal(&got->id, &expected->id));
    assert_text(got->legacy_id, expected->legacy_id);
    assert_int_equal(got->occurred_at_us, expected->occurred_at_us);
    assert_text(got->category, expected->category);
    assert_text(got->action, expected->action);
    assert_text(got->outcome, expected->outcome);
    assert_text(got->actor.json, expected->actor.json);
    assert_text(got->subject.json, expected->subject.json);
    assert_text(got->resource.json, expected->resource.json);
    assert_text(got->metadata.json, expected->metadata.json);
    assert_text(got->correlation_id, expected->correlation_id);
    assert_text(got->error.json, expected->error.json);
    assert_text(got->entity, expected->entity);
    assert_text(got->command_source, expected->command_source);
    assert_text(got->command_id, expected->command_id);
    assert_text(got->command_type, expected->command_type);
    assert_true(uuid_equal(&got->command_digest, &expected->command_digest));
    assert_int_equal(got->topic_id, expected->topic_id);
    assert_int_equal(got->partition, expected->partition);
    assert_int_equal(got->offset, expected->offset);
    assert_text(got->traceparent, expected->traceparent);
    assert_text(got->tracestate, expected->tracestate);
    assert_text(got->carried_correlation_id, expected->carried_correlation_id);
}

/* --- record and find ------------------------------------------------------------------------ */

static void test_audit_record__is_found_again_as_it_was(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct audit_event command = command_event(2);
    const struct audit_event plain = plain_event(1);
    const struct audit_event *const events[] = {&command, &plain};
    const struct uuid ids[] = {command.id, {{0x09}}, plain.id};
    const struct audit_event *found[3] = {NULL};

    must_record(fixture, events, 2);
    find(fixture, ids, 3, found);

    assert_event(found[0], &command);
    assert_null(found[1]);
    assert_event(found[2], &plain);
}

typedef enum outcome recorder(struct pg_fixture *fixture, const struct audit_event *const *events,
                              size_t count, struct err *err);

static void assert_known_id_is_refused(struct pg_fixture *fixture, recorder *record_them)
{
    const struct audit_event first = command_event(1);
    const struct audit_event second = command_event(2);
    const struct audit_event *const one[] = {&first};
    const struct audit_event *const both[] = {&second, &first};
    struct err err;

    must_record(fixture, one, 1);
    assert_int_equal(record_them(fixture, both, 2, &err), OUTCOME_REJECT);

    assert_string_equal(err.code, "23505");
    assert_int_equal(executor_recover(fixture->db, &err), OUTCOME_OK);
    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM auth_audit_events"), 1);
}

static void test_audit_record__a_known_id_is_a_unique_violation(void **state)
{
    assert_known_id_is_refused(*state, record);
}

static enum outcome copy_in_transaction(struct pg_fixture *fixture,
                                        const struct audit_event *const *events, size_t count,
                                        struct err *err)
{
    struct rows rows;
    enum outcome outcome = executor_run(fixture->db, &executor_begin, fixture->arena, &rows, err);

    if (outcome == OUTCOME_OK)
        outcome = audit_record_copy(fixture->db, events, count, NULL, fixture->arena, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run(fixture->db, &executor_commit, fixture->arena, &rows, err);
    return outcome;
}

static void test_audit_record_copy__is_found_again_as_it_was(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct audit_event command = command_event(2);
    const struct audit_event plain = plain_event(1);
    const struct audit_event *const events[] = {&command, &plain};
    const struct uuid ids[] = {command.id, plain.id};
    const struct audit_event *found[2] = {NULL};
    struct err err;

    if (copy_in_transaction(fixture, events, 2, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
    find(fixture, ids, 2, found);

    assert_event(found[0], &command);
    assert_event(found[1], &plain);
}

static void test_audit_record_copy__a_known_id_is_a_unique_violation(void **state)
{
    assert_known_id_is_refused(*state, copy_in_transaction);
}

static void test_audit_find__of_nothing_is_nothing(void **state)
{
    find(*state, NULL, 0, NULL);
}

/* Whether the plan of a query, made as the worker's session makes it, names the index. */
static bool plan_names(struct pg_fixture *fixture, const char *query, const char *index)
{
    const struct statement explain = {.sql = arena_printf(fixture->arena, "EXPLAIN %s", query)};
    struct rows rows;
    struct err err;

    assert_int_equal(executor_run(fixture->db, &explain, fixture->arena, &rows, &err), OUTCOME_OK);
    for (size_t i = 0; i < rows.row_count; i++) {
        struct cell cell = rows_cell(&rows, i, 0);
        if (strstr(arena_copy(fixture->arena, cell.data, cell.length), index) != NULL)
            return true;
    }
    return false;
}

static void test_audit_queries__use_their_indexes_on_empty_tables_too(void **state)
{
    assert_true(plan_names(*state,
                           "SELECT * FROM auth_audit_events WHERE id = ANY('{}'::uuid[])"
                           " AND id >= gen_random_uuid() AND id <= gen_random_uuid()",
                           "auth_audit_events_pkey"));
    assert_true(plan_names(*state,
                           "SELECT * FROM auth_audit_events WHERE entity = 'x'"
                           " AND (occurred_at, id) > (now(), gen_random_uuid())"
                           " ORDER BY occurred_at, id LIMIT 10",
                           "auth_audit_events_entity_idx"));
}

/* --- append --------------------------------------------------------------------------------- */

static void test_audit_append__appends_once(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct audit_event event = plain_event(5);
    const struct audit_event *found = NULL;
    bool appended = false;
    struct err err;

    assert_int_equal(audit_append(fixture->db, &event, fixture->arena, &appended, &err),
                     OUTCOME_OK);
    assert_true(appended);
    assert_int_equal(audit_append(fixture->db, &event, fixture->arena, &appended, &err),
                     OUTCOME_OK);
    assert_false(appended);

    find(fixture, &event.id, 1, &found);
    assert_event(found, &event);
}

/* --- list ----------------------------------------------------------------------------------- */

static const struct audit_filter everything = {
    .since_us = TIMESTAMP_ABSENT,
    .until_us = TIMESTAMP_ABSENT,
    .after_occurred_at_us = TIMESTAMP_ABSENT,
    .limit = 100,
};

/* The first bytes of the ids that a filter finds, in order. */
static const char *listed(struct pg_fixture *fixture, const struct audit_filter *filter)
{
    const struct audit_event *events;
    struct buffer numbers;
    size_t count;
    struct err err;

    if (audit_list(fixture->db, filter, fixture->arena, &events, &count, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
    buffer_init(&numbers, fixture->arena);
    for (size_t i = 0; i < count; i++) {
        char number[8];
        snprintf(number, sizeof(number), "%s%d", i > 0 ? " " : "", events[i].id.bytes[0]);
        buffer_append_literal(&numbers, number);
    }
    buffer_append_byte(&numbers, '\0');
    return (const char *)numbers.bytes;
}

/* Events 1 to 4; 3 and 4 are commands' ones, 2 and 3 at one time. */
static void fill(struct pg_fixture *fixture)
{
    struct audit_event *events = ARENA_ARRAY(fixture->arena, struct audit_event, 4);
    const struct audit_event *const pointers[] = {&events[3], &events[0], &events[2], &events[1]};

    assert_non_null(events);
    events[0] = plain_event(1);
    events[1] = plain_event(2);
    events[2] = command_event(3);
    events[3] = command_event(4);
    events[2].occurred_at_us = events[1].occurred_at_us;
    events[3].entity = TEXT("k-2");
    events[3].action = TEXT("key.issued");
    events[3].command_id = TEXT("c-2");
    events[3].actor.json = TEXT("{\"type\":\"user\",\"id\":\"a-2\"}");
    must_record(fixture, pointers, 4);
}

static void test_audit_list__is_by_time_then_id(void **state)
{
    fill(*state);

    assert_string_equal(listed(*state, &everything), "1 2 3 4");
}

static void test_audit_list__each_filter_filters(void **state)
{
    struct pg_fixture *fixture = *state;
    struct audit_filter filter = everything;

    fill(fixture);
    filter.entity = TEXT("k-1");
    assert_string_equal(listed(fixture, &filter), "3");
    filter = everything;
    filter.actor_id = TEXT("a-2");
    assert_string_equal(listed(fixture, &filter), "4");
    filter = everything;
    filter.category = TEXT("auth");
    assert_string_equal(listed(fixture, &filter), "1 2");
    filter = everything;
    filter.action = TEXT("key.used");
    assert_string_equal(listed(fixture, &filter), "3");
    filter = everything;
    filter.command_id = TEXT("c-2");
    assert_string_equal(listed(fixture, &filter), "4");
    filter = everything;
    filter.since_us = 2 * SECOND_US;
    filter.until_us = 4 * SECOND_US;
    assert_string_equal(listed(fixture, &filter), "2 3");
    filter.entity = TEXT("k-2");
    assert_string_equal(listed(fixture, &filter), "");
}

static void test_audit_list__pages_cover_everything_once(void **state)
{
    struct pg_fixture *fixture = *state;
    struct audit_filter filter = everything;
    const struct audit_event *events;
    size_t count = 1;
    size_t seen = 0;
    struct err err;

    fill(fixture);
    filter.limit = 1;
    while (count == filter.limit) {
        assert_int_equal(audit_list(fixture->db, &filter, fixture->arena, &events, &count, &err),
                         OUTCOME_OK);
        if (count == 0)
            break;
        seen++;
        assert_int_equal(events[0].id.bytes[0], seen);
        filter.after_occurred_at_us = events[0].occurred_at_us;
        filter.after_id = events[0].id;
    }
    assert_int_equal(seen, 4);
}

/* `body` of a trigger that meets the second of three events. */
static void assert_record_refused(struct pg_fixture *fixture, const char *body)
{
    const struct audit_event given[] = {command_event(1), command_event(2), command_event(3)};
    const struct audit_event *const events[] = {&given[0], &given[1], &given[2]};
    char sql[256];
    struct err err;
    snprintf(sql, sizeof(sql),
             "CREATE OR REPLACE FUNCTION house() RETURNS trigger LANGUAGE plpgsql AS"
             " $$ BEGIN IF NEW.id = '%02x000000-0000-0000-0000-000000000000' THEN %s END IF;"
             " RETURN NEW; END $$",
             given[1].id.bytes[0], body);
    pg_fixture_sql(fixture, sql);
    pg_fixture_sql(fixture, "CREATE TRIGGER house BEFORE INSERT ON auth_audit_events FOR EACH ROW"
                            " EXECUTE FUNCTION house()");

    enum outcome outcome = record(fixture, events, 3, &err);
    audit_record_explain(&err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(err.code, refused_row_skipped);
    assert_int_equal(executor_recover(fixture->db, &err), OUTCOME_OK);
    assert_int_equal(pg_fixture_int(fixture, "SELECT count(*) FROM auth_audit_events"), 0);
    pg_fixture_sql(fixture, "DROP FUNCTION house CASCADE");
}

static void test_audit_record__rows_that_are_not_written_as_asked_are_refused(void **state)
{
    assert_record_refused(*state, "RETURN NULL;");
    assert_record_refused(*state, "NEW.id := gen_random_uuid();");
}

#define CLEAN(test) cmocka_unit_test_setup(test, pg_fixture_clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLEAN(test_audit_record__rows_that_are_not_written_as_asked_are_refused),
        CLEAN(test_audit_record__is_found_again_as_it_was),
        CLEAN(test_audit_record__a_known_id_is_a_unique_violation),
        CLEAN(test_audit_record_copy__is_found_again_as_it_was),
        CLEAN(test_audit_record_copy__a_known_id_is_a_unique_violation),
        CLEAN(test_audit_find__of_nothing_is_nothing),
        CLEAN(test_audit_queries__use_their_indexes_on_empty_tables_too),
        CLEAN(test_audit_append__appends_once),
        CLEAN(test_audit_list__is_by_time_then_id),
        CLEAN(test_audit_list__each_filter_filters),
        CLEAN(test_audit_list__pages_cover_everything_once),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
