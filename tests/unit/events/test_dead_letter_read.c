
#include "events/commands.h"
#include "events/dead_letter.h"
#include "support.h"

#define USER_UPSERT_TYPE "dev.catalyst.user.upsert.v1"

enum { MAX_REDRIVES = 3 };

static const struct dead_letter_reason reason = {DEAD_LETTER_APPLY, "sqlstate", "users: 23514"};
static const struct dead_letter_limits limits = {{".dlq", 4}, {"group-1", 7}, 1000000};

static struct message received_of(void **state)
{
    struct message message = command_of(*state, USER_UPSERT_TYPE, hex(*state, "80"));
    message.key = hex(*state, "00ff");
    add_header(*state, &message, "x", hex(*state, "ff"));
    add_header(*state, &message, "x", (struct slice){NULL, 0});
    return message;
}

/* The record as it lies in the dead-letter topic, at offset 7 of partition 1. */
static struct message letter_within(void **state, const struct message *message,
                                    const struct dead_letter_limits *within)
{
    struct outgoing_record record;
    bool truncated;
    struct err err = {.text = ""};

    assert_int_equal(
        dead_letter_encode(message, &reason, within, *state, &record, &truncated, &err),
        OUTCOME_OK);
    return (struct message){
        .topic = record.topic,
        .partition = 1,
        .offset = 7,
        .timestamp_ms = 99, /* as where the brokers put their own time on it */
        .key = record.key,
        .value = record.value,
        .headers = record.headers,
        .header_count = record.header_count,
    };
}

static struct message letter_of(void **state, const struct message *message)
{
    return letter_within(state, message, &limits);
}

static struct letter read(const struct message *message)
{
    struct letter letter;

    assert_true(letter_read(message, &letter));
    return letter;
}

static struct outgoing_record restore(void **state, const struct message *message)
{
    const struct letter letter = read(message);
    struct outgoing_record record;
    struct err err = {.text = ""};

    assert_int_equal(letter_restore(message, &letter, *state, &record, &err), OUTCOME_OK);
    return record;
}

static struct message as_received(const struct outgoing_record *record, int64_t offset)
{
    return (struct message){
        .topic = record->topic,
        .partition = 1,
        .offset = offset,
        .timestamp_ms = 100,
        .key = record->key,
        .value = record->value,
        .headers = record->headers,
        .header_count = record->header_count,
    };
}

/* --- reading -----------------------------------------------------------------------------------
 */

static void test_letter_read__what_the_worker_wrote(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);

    struct letter letter = read(&message);

    assert_text(letter.topic, "catalyst.identity.commands.dlq");
    assert_int_equal(letter.partition, 1);
    assert_int_equal(letter.offset, 7);
    assert_int_equal(letter.timestamp_ms, received.timestamp_ms);
    assert_text(letter.origin_topic, "catalyst.identity.commands");
    assert_int_equal(letter.origin_partition, 3);
    assert_int_equal(letter.origin_offset, 42);
    assert_text(letter.stage, "apply");
    assert_text(letter.class_name, "sqlstate");
    assert_text(letter.reason, "users: 23514");
    assert_int_equal(letter.redrive_count, 0);
    assert_false(letter.redacted);
    assert_false(letter.truncated);
    assert_false(letter.redriven);
}

static void test_letter_read__numbers_that_are_none(void **state)
{
    static const char *const texts[] = {"",   "-1",  "x",          "1x",
                                        " 1", "0x1", "2147483648", "99999999999999999999"};
    struct message received = received_of(state);

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct message message = letter_of(state, &received);
        set_header(*state, &message, "__connect.errors.partition", texts[i]);
        set_header(*state, &message, "catalyst-redrive-count", texts[i]);

        assert_int_equal(read(&message).origin_partition, -1);
        assert_int_equal(read(&message).redrive_count, -1);
    }
    struct message message = letter_of(state, &received);
    set_header(*state, &message, "__connect.errors.partition", "2147483647");
    set_header(*state, &message, "__connect.errors.offset", "9223372036854775807");
    assert_int_equal(read(&message).origin_partition, INT32_MAX);
    assert_int_equal(read(&message).origin_offset, INT64_MAX);
}

static void test_letter_read__what_is_not_told_is_absent(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);
    set_header(*state, &message, "__connect.errors.stage", NULL);
    set_header(*state, &message, "__connect.errors.class.name", NULL);
    set_header(*state, &message, "__connect.errors.exception.message", "\xff");
    set_header(*state, &message, "kafka_dlt-original-timestamp", "short");

    struct letter letter = read(&message);

    assert_absent(letter.stage);
    assert_absent(letter.class_name);
    assert_absent(letter.reason);
    assert_int_equal(letter.timestamp_ms, 99);
}

static void test_letter_read__foreign_records_are_none(void **state)
{
    struct message message = received_of(state);
    struct letter letter;

    assert_false(letter_read(&message, &letter));
}

/* --- what may go back --------------------------------------------------------------------------
 */

static const char *fault(const struct message *message)
{
    const struct letter letter = read(message);

    return letter_fault(&letter, TEXT("catalyst.identity.commands"), MAX_REDRIVES);
}

static void assert_fault(const struct message *message, const char *part)
{
    const char *found = fault(message);

    assert_non_null(found);
    if (strstr(found, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, found);
}

static void test_letter_fault__none(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);

    assert_null(fault(&message));
    set_header(*state, &message, "catalyst-redrive-count", "2");
    assert_null(fault(&message));
}

static void test_letter_fault__redriven_as_often_as_allowed(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);
    set_header(*state, &message, "catalyst-redrive-count", "3");

    assert_fault(&message, "--max-redrives");
}

static void test_letter_fault__no_count(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);
    add_header(*state, &message, "catalyst-redrive-count", (struct slice){NULL, 0});

    assert_fault(&message, "not a number");
}

static void test_letter_fault__not_what_was_received(void **state)
{
    const struct dead_letter_limits small = {limits.suffix, limits.connector_name, 1500};
    struct message received = received_of(state);
    set_header(*state, &received, "ce_type", "dev.catalyst.key.issue.v1");
    received.value = hex(*state, "81 a6736563726574 a468757368");
    struct message redacted = letter_of(state, &received);
    received = received_of(state);
    received.value = (struct slice){arena_alloc(*state, 3000), 3000};
    memset((void *)(uintptr_t)received.value.data, 0xc1, 3000);
    struct message truncated = letter_within(state, &received, &small);

    assert_fault(&redacted, "redacted");
    assert_fault(&truncated, "truncated");
}

static void test_letter_fault__headers_left_out(void **state)
{
    struct dead_letter_limits bare = limits;
    bare.changes.headers = true;
    struct message received = received_of(state);
    struct message message = letter_within(state, &received, &bare);

    assert_fault(&message, "headers");
}

static void test_letter_fault__another_origin(void **state)
{
    struct message received = received_of(state);
    struct message moved = letter_of(state, &received);
    struct message nowhere = letter_of(state, &received);
    set_header(*state, &moved, "__connect.errors.topic", "another");
    set_header(*state, &nowhere, "__connect.errors.offset", "x");

    assert_fault(&moved, "origin");
    assert_fault(&nowhere, "origin");
}

static void test_letter_fault__redriven(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);
    struct letter letter = read(&message);
    letter.redriven = true;

    assert_non_null(letter_fault(&letter, letter.origin_topic, MAX_REDRIVES));
}

/* --- what goes back ----------------------------------------------------------------------------
 */

static void test_letter_restore__as_received_with_count_and_origin(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);

    struct outgoing_record record = restore(state, &message);

    assert_text(record.topic, "catalyst.identity.commands");
    assert_int_equal(record.timestamp_ms, received.timestamp_ms);
    assert_slice(record.key, received.key);
    assert_slice(record.value, received.value);
    assert_int_equal(record.header_count, received.header_count + 2);
    for (size_t i = 0; i < received.header_count; i++) {
        assert_slice(slice_of_text(record.headers[i].name),
                     slice_of_text(received.headers[i].name));
        assert_slice(record.headers[i].value, received.headers[i].value);
    }
    assert_null(record.headers[received.header_count - 1].value.data);
    assert_text(header_text(&record, "catalyst-redrive-count"), "1");
    assert_text(header_text(&record, "catalyst-redrive-origin"), "catalyst.identity.commands:3:42");
}

static void test_letter_restore__no_key_and_no_value_stay_none(void **state)
{
    struct message received = command_of(*state, USER_UPSERT_TYPE, (struct slice){NULL, 0});
    struct message message = letter_of(state, &received);

    struct outgoing_record record = restore(state, &message);

    assert_null(record.key.data);
    assert_null(record.value.data);
}

static void test_letter_restore__timestamp_and_key_that_were_changed(void **state)
{
    struct dead_letter_limits changing = limits;
    changing.changes = (struct dead_letter_changes){
        .timestamps = true, .oldest_ms = INT64_MAX, .newest_ms = INT64_MAX, .keys = true};
    struct message received = command_of(*state, USER_UPSERT_TYPE, hex(*state, "80"));
    struct message message = letter_within(state, &received, &changing);
    assert_non_null(message.key.data);

    struct outgoing_record record = restore(state, &message);

    assert_null(record.key.data);
    assert_int_equal(record.timestamp_ms, received.timestamp_ms);
    assert_int_equal(header_times(&record, "catalyst-dlq-changed"), 0);
}

static void test_letter_restore__a_second_failure_raises_the_count(void **state)
{
    struct message received = received_of(state);
    struct message first = letter_of(state, &received);
    struct outgoing_record record = restore(state, &first);
    struct message again = as_received(&record, 50);
    struct message second = letter_of(state, &again);

    struct outgoing_record third = restore(state, &second);

    assert_int_equal(read(&second).redrive_count, 1);
    assert_int_equal(read(&second).origin_offset, 50);
    assert_int_equal(third.header_count, record.header_count);
    assert_int_equal(header_times(&third, "catalyst-redrive-count"), 1);
    assert_text(header_text(&third, "catalyst-redrive-count"), "2");
    assert_text(header_text(&third, "catalyst-redrive-origin"), "catalyst.identity.commands:3:42");
}

static void test_letter_restore__full_arena(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);
    const struct letter letter = read(&message);
    CLEANUP(arena_freep) struct arena *tiny = arena_new(64);
    struct outgoing_record record;
    struct err err = {.text = ""};

    assert_int_equal(letter_restore(&message, &letter, tiny, &record, &err), OUTCOME_FULL);
    assert_int_equal(letter_audit(&letter, TEXT("t"), 1, tiny, &record, &err), OUTCOME_FULL);
}

/* --- marks -------------------------------------------------------------------------------------
 */

static struct outgoing_record mark_of(void **state, const struct message *message)
{
    const struct letter letter = read(message);
    struct outgoing_record record;
    struct err err = {.text = ""};

    assert_int_equal(letter_mark(&letter, *state, &record, &err), OUTCOME_OK);
    return record;
}

static void test_letter_mark__is_read_back(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);
    struct outgoing_record record = mark_of(state, &message);
    struct message mark = as_received(&record, 8);
    struct letter letter;
    int64_t offset = -1;

    assert_true(letter_mark_read(&mark, &offset));
    assert_int_equal(offset, 7);
    assert_text(record.topic, "catalyst.identity.commands.dlq");
    assert_text(text_of_slice(record.key), "catalyst.identity.commands.dlq:1:7");
    assert_non_null(record.value.data);
    assert_int_equal(record.value.length, 0);
    assert_false(letter_read(&mark, &letter));
}

static void test_letter_mark_read__marks_only_what_is_before_it(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);
    struct outgoing_record record = mark_of(state, &message);
    struct message same = as_received(&record, 7);
    int64_t offset;

    assert_false(letter_mark_read(&same, &offset));
    assert_false(letter_mark_read(&message, &offset));
}

static void test_letter_mark_read__a_letter_that_carries_the_header_is_a_letter(void **state)
{
    struct message received = received_of(state);
    add_header(*state, &received, "catalyst-dlq-redriven", slice_of_text(TEXT("1")));
    struct message message = letter_of(state, &received);
    int64_t offset;

    assert_false(letter_mark_read(&message, &offset));
    assert_int_equal(read(&message).offset, 7);
}

/* --- audit -------------------------------------------------------------------------------------
 */

static struct command audit_of(void **state, const struct letter *letter)
{
    struct outgoing_record record;
    struct command command;
    struct err err = {.text = ""};

    assert_int_equal(letter_audit(letter, TEXT("t"), 1000000, *state, &record, &err), OUTCOME_OK);
    const struct message message = as_received(&record, 0);
    assert_int_equal(command_decode(&message, *state, &command, &err), OUTCOME_OK);
    return command;
}

static void test_letter_audit__is_a_command_that_names_the_record(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);
    struct letter letter = read(&message), raised = letter;
    raised.redrive_count = 1;

    const struct command first = audit_of(state, &letter), again = audit_of(state, &letter),
                         other = audit_of(state, &raised);

    const struct audit_entry *entry = first.record;
    assert_text(entry->category, "operations");
    assert_text(entry->action, "dlq.redriven");
    assert_text(entry->resource.type, "record");
    assert_text(entry->resource.id, "catalyst.identity.commands:3:42");
    assert_text(first.envelope.source, "catalyst-worker/dlq");
    assert_true(text_equal(first.envelope.id, again.envelope.id));
    assert_false(text_equal(first.envelope.id, other.envelope.id));
}

static void test_letter_audit__coordinates_that_are_too_long_for_a_key(void **state)
{
    struct message received = received_of(state);
    struct message message = letter_of(state, &received);
    struct letter letter = read(&message);
    struct outgoing_record record;
    struct err err = {.text = ""};
    char topic[249];
    memset(topic, 't', sizeof(topic));
    letter.origin_topic = (struct text){topic, sizeof(topic)};

    assert_int_equal(letter_audit(&letter, TEXT("t"), 1, *state, &record, &err), OUTCOME_OK);
    letter.origin_offset = 12345;

    assert_int_equal(letter_audit(&letter, TEXT("t"), 1, *state, &record, &err), OUTCOME_OK);

    assert_int_equal(record.key.length, UUID_TEXT_LENGTH); /* stands for coordinates too long */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_letter_read__what_the_worker_wrote),
        cmocka_unit_test(test_letter_read__numbers_that_are_none),
        cmocka_unit_test(test_letter_read__what_is_not_told_is_absent),
        cmocka_unit_test(test_letter_read__foreign_records_are_none),
        cmocka_unit_test(test_letter_fault__none),
        cmocka_unit_test(test_letter_fault__redriven_as_often_as_allowed),
        cmocka_unit_test(test_letter_fault__no_count),
        cmocka_unit_test(test_letter_fault__not_what_was_received),
        cmocka_unit_test(test_letter_fault__headers_left_out),
        cmocka_unit_test(test_letter_fault__another_origin),
        cmocka_unit_test(test_letter_fault__redriven),
        cmocka_unit_test(test_letter_restore__as_received_with_count_and_origin),
        cmocka_unit_test(test_letter_restore__no_key_and_no_value_stay_none),
        cmocka_unit_test(test_letter_restore__timestamp_and_key_that_were_changed),
        cmocka_unit_test(test_letter_restore__a_second_failure_raises_the_count),
        cmocka_unit_test(test_letter_restore__full_arena),
        cmocka_unit_test(test_letter_mark__is_read_back),
        cmocka_unit_test(test_letter_mark_read__marks_only_what_is_before_it),
        cmocka_unit_test(test_letter_mark_read__a_letter_that_carries_the_header_is_a_letter),
        cmocka_unit_test(test_letter_audit__is_a_command_that_names_the_record),
        cmocka_unit_test(test_letter_audit__coordinates_that_are_too_long_for_a_key),
    };

    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
