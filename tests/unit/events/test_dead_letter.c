#include <stdio.h>

#include "events/dead_letter.h"
#include "support.h"

#define KEY_ISSUE_TYPE "dev.catalyst.key.issue.v1"

static const struct dead_letter_reason reason = {DEAD_LETTER_DECODE, "field", "email: missing"};
static const struct dead_letter_limits limits = {
    {".dlq", 4}, {"group-1", 7}, 1000000, .task_id = 3};

static struct outgoing_record encode_within(void **state, const struct message *message,
                                            const struct dead_letter_limits *within,
                                            bool *ret_truncated)
{
    struct outgoing_record record;
    struct err err = {.text = ""};

    assert_int_equal(
        dead_letter_encode(message, &reason, within, *state, &record, ret_truncated, &err),
        OUTCOME_OK);
    return record;
}

static struct outgoing_record encode(void **state, const struct message *message)
{
    bool truncated = true;
    struct outgoing_record record = encode_within(state, message, &limits, &truncated);

    assert_false(truncated);
    assert_int_equal(header_times(&record, "catalyst-dlq-truncated"), 0);
    return record;
}

static void assert_bytes(const struct outgoing_record *record, const char *name, const void *bytes,
                         size_t length)
{
    struct text value = header_text(record, name);

    assert_int_equal(value.length, length);
    assert_memory_equal(value.data, bytes, length);
}

static void test_dead_letter_encode__as_received_with_both_header_families(void **state)
{
    struct message message = command_of(*state, "t", hex(*state, "c1ff00"));
    message.key = hex(*state, "00ff");
    add_header(*state, &message, "x", hex(*state, "ff"));
    add_header(*state, &message, "x", (struct slice){NULL, 0});
    message.offset = 0x0102030405060708;
    message.partition = 0x01020304;

    struct outgoing_record record = encode(state, &message);

    assert_text(record.topic, "catalyst.identity.commands.dlq");
    assert_slice(record.key, message.key);
    assert_slice(record.value, message.value);
    assert_int_equal(record.timestamp_ms, message.timestamp_ms);
    assert_int_equal(record.header_count, message.header_count + 17);
    for (size_t i = 0; i < message.header_count; i++) {
        assert_slice(slice_of_text(record.headers[i].name), slice_of_text(message.headers[i].name));
        assert_slice(record.headers[i].value, message.headers[i].value);
    }
    assert_null(record.headers[message.header_count - 1].value.data);
    assert_text(header_text(&record, "__connect.errors.topic"), "catalyst.identity.commands");
    assert_text(header_text(&record, "__connect.errors.partition"), "16909060");
    assert_text(header_text(&record, "__connect.errors.offset"), "72623859790382856");
    assert_text(header_text(&record, "__connect.errors.connector.name"), "group-1");
    assert_text(header_text(&record, "__connect.errors.stage"), "VALUE_CONVERTER");
    assert_text(header_text(&record, "__connect.errors.class.name"), "field");
    assert_text(header_text(&record, "__connect.errors.exception.message"), "email: missing");
    assert_text(header_text(&record, "kafka_dlt-original-topic"), "catalyst.identity.commands");
    assert_bytes(&record, "kafka_dlt-original-partition", "\1\2\3\4", 4);
    assert_bytes(&record, "kafka_dlt-original-offset", "\1\2\3\4\5\6\7\x08", 8);
    assert_bytes(&record, "kafka_dlt-original-timestamp", "\x00\x00\x01\x9b\x7c\xa9\x8f\x2e", 8);
    assert_text(header_text(&record, "kafka_dlt-exception-message"), "email: missing");
}

/* Spring's and Connect's own readers ask for these. */
static void test_dead_letter_encode__tells_class_group_task_and_timestamp_type(void **state)
{
    struct message message = command_of(*state, "t", hex(*state, "80"));
    struct message by_broker = message;
    struct message without_time = message;
    by_broker.broker_time = true;
    without_time.timestamp_ms = -1;

    struct outgoing_record record = encode(state, &message);
    struct outgoing_record second = encode(state, &by_broker);
    struct outgoing_record third = encode(state, &without_time);

    assert_text(header_text(&record, "__connect.errors.task.id"), "3");
    assert_text(header_text(&record, "__connect.errors.exception.class.name"),
                "dev.catalyst.worker.field");
    assert_text(header_text(&record, "kafka_dlt-exception-fqcn"), "dev.catalyst.worker.field");
    assert_text(header_text(&record, "kafka_dlt-original-consumer-group"), "group-1");
    assert_text(header_text(&record, "kafka_dlt-original-timestamp-type"), "CreateTime");
    assert_text(header_text(&second, "kafka_dlt-original-timestamp-type"), "LogAppendTime");
    assert_text(header_text(&third, "kafka_dlt-original-timestamp-type"), "NoTimestampType");
}

static void test_dead_letter_encode__apply_stage(void **state)
{
    const struct dead_letter_reason refused = {DEAD_LETTER_APPLY, "sqlstate", "users: 22P05"};
    struct message message = command_of(*state, "t", hex(*state, "80"));
    struct outgoing_record record;
    bool truncated;
    struct err err = {.text = ""};

    assert_int_equal(
        dead_letter_encode(&message, &refused, &limits, *state, &record, &truncated, &err),
        OUTCOME_OK);

    assert_text(header_text(&record, "__connect.errors.stage"), "TASK_PUT");
    assert_text(header_text(&record, "__connect.errors.class.name"), "sqlstate");
    assert_text(header_text(&record, "kafka_dlt-exception-message"), "users: 22P05");
}

static void test_dead_letter_encode__tombstone_and_no_key(void **state)
{
    struct message message = command_of(*state, KEY_ISSUE_TYPE, (struct slice){NULL, 0});
    message.timestamp_ms = -1;

    struct outgoing_record record = encode(state, &message);

    assert_null(record.value.data);
    assert_null(record.key.data);
    assert_int_equal(record.timestamp_ms, -1);
    assert_bytes(&record, "kafka_dlt-original-timestamp", "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
}

static void test_dead_letter_encode__second_failure_replaces(void **state)
{
    struct message message = command_of(*state, "t", hex(*state, "80"));
    struct outgoing_record first = encode(state, &message);
    struct message again = {.topic = TEXT("other"),
                            .partition = 1,
                            .offset = 2,
                            .timestamp_ms = 3,
                            .value = first.value,
                            .headers = first.headers,
                            .header_count = first.header_count};
    add_header(*state, &again, "__connect.errors.exception.stacktrace",
               slice_of_text(TEXT("at ...")));
    add_header(*state, &again, "kafka_dlt-exception-stacktrace", slice_of_text(TEXT("at ...")));

    struct outgoing_record second = encode(state, &again);

    assert_int_equal(second.header_count, first.header_count);
    for (size_t i = 0; i < second.header_count; i++)
        assert_int_equal(
            header_times(&second, arena_printf(*state, "%.*s", TEXT_ARG(second.headers[i].name))),
            1);
    assert_text(header_text(&second, "__connect.errors.topic"), "other");
    assert_text(header_text(&second, "__connect.errors.offset"), "2");
    assert_absent(header_text(&second, "__connect.errors.exception.stacktrace"));
    assert_absent(header_text(&second, "kafka_dlt-exception-stacktrace"));
    assert_text(second.topic, "other.dlq");
}

/* --- size --- */

static size_t record_bytes(const struct outgoing_record *record)
{
    size_t bytes = record->key.length + record->value.length;

    for (size_t i = 0; i < record->header_count; i++)
        bytes += record->headers[i].name.length + record->headers[i].value.length;
    return bytes;
}

static void test_dead_letter_encode__cuts_a_value_that_does_not_fit(void **state)
{
    uint8_t *bytes = arena_alloc(*state, 5000);
    struct message message = command_of(*state, "t", (struct slice){bytes, 5000});
    const struct dead_letter_limits small = {TEXT(".dlq"), TEXT("g"), 3000};
    bool truncated = false;

    memset(bytes, 'x', 5000);
    struct outgoing_record record = encode_within(state, &message, &small, &truncated);

    assert_true(truncated);
    assert_text(header_text(&record, "catalyst-dlq-truncated"), "5000");
    assert_ptr_equal(record.value.data, bytes);
    assert_true(record.value.length > 1000);
    assert_true(record_bytes(&record) <= small.max_record_bytes);

    /* the failure of what was cut before: the flag stays as it was */
    struct message again = {.topic = TEXT("t"),
                            .value = {bytes, 10},
                            .headers = record.headers,
                            .header_count = record.header_count};
    record = encode_within(state, &again, &small, &truncated);
    assert_false(truncated);
    assert_text(header_text(&record, "catalyst-dlq-truncated"), "5000");

    again.value.length = 4000;
    record = encode_within(state, &again, &small, &truncated);
    assert_true(truncated);
    assert_int_equal(header_times(&record, "catalyst-dlq-truncated"), 1);
    assert_text(header_text(&record, "catalyst-dlq-truncated"), "4000");
}

static void test_dead_letter_encode__a_secret_is_redacted_before_the_cut(void **state)
{
    const struct dead_letter_limits small = {TEXT(".dlq"), TEXT("g"), 1400};
    struct buffer body;
    bool truncated;

    buffer_init(&body, *state);
    buffer_append_literal(&body, "{\"secret\":\"");
    for (int i = 0; i < 3000; i++)
        buffer_append_byte(&body, 's');
    buffer_append_literal(&body, "\"}");
    struct message message = command_of(*state, KEY_ISSUE_TYPE, buffer_slice(&body));
    struct outgoing_record record = encode_within(state, &message, &small, &truncated);

    assert_false(truncated); /* redacted, it fits */
    assert_slice(record.value, slice_of_text(TEXT("{\"secret\":\"[redacted]\"}")));
}

static void test_dead_letter_encode__headers_and_key_that_leave_no_room(void **state)
{
    const struct dead_letter_limits small = {TEXT(".dlq"), TEXT("g"), 2000};
    uint8_t *bytes = arena_calloc(*state, 1, 5000);
    struct message message = command_of(*state, "t", (struct slice){bytes, 100});
    bool truncated;

    message.key = (struct slice){bytes, 1500};
    add_header(*state, &message, "large", (struct slice){bytes, 5000});
    struct outgoing_record record = encode_within(state, &message, &small, &truncated);

    assert_true(truncated);
    assert_true(record_bytes(&record) <= small.max_record_bytes);
    assert_text(header_text(&record, "__connect.errors.exception.message"), "email: missing");
    assert_int_equal(header_times(&record, "large"), 0);
    assert_text(header_text(&record, "catalyst-dlq-changed"), "key,headers");
}

static void test_dead_letter_encode__a_timestamp_that_is_refused_is_in_a_header(void **state)
{
    struct message message = command_of(*state, "t", hex(*state, "80"));
    struct dead_letter_limits dated = limits;
    dated.changes.timestamps = true;
    dated.changes.oldest_ms = message.timestamp_ms + 1;
    dated.changes.newest_ms = INT64_MAX;
    struct dead_letter_limits wide = dated;
    wide.changes.oldest_ms = message.timestamp_ms;
    bool truncated;

    struct outgoing_record changed = encode_within(state, &message, &dated, &truncated);
    struct outgoing_record kept = encode_within(state, &message, &wide, &truncated);

    assert_int_equal(changed.timestamp_ms, -1);
    assert_bytes(&changed, "kafka_dlt-original-timestamp", "\x00\x00\x01\x9b\x7c\xa9\x8f\x2e", 8);
    assert_text(header_text(&changed, "catalyst-dlq-changed"), "timestamp");
    assert_int_equal(kept.timestamp_ms, message.timestamp_ms);
    assert_absent(header_text(&kept, "catalyst-dlq-changed"));
}

static void test_dead_letter_encode__a_letter_that_must_have_a_key_gets_its_origin(void **state)
{
    struct message message = command_of(*state, "t", hex(*state, "80"));
    struct message keyed = message;
    struct dead_letter_limits with_keys = limits;
    with_keys.changes.keys = true;
    keyed.key = hex(*state, "00ff");
    bool truncated;

    struct outgoing_record made = encode_within(state, &message, &with_keys, &truncated);
    struct outgoing_record kept = encode_within(state, &keyed, &with_keys, &truncated);

    assert_slice(made.key, slice_of_text(TEXT("catalyst.identity.commands:3:42")));
    assert_text(header_text(&made, "catalyst-dlq-changed"), "key");
    assert_slice(kept.key, keyed.key);
    assert_absent(header_text(&kept, "catalyst-dlq-changed"));
}

static void test_dead_letter_encode__headers_go_last(void **state)
{
    struct message message = command_of(*state, "t", hex(*state, "80"));
    struct dead_letter_limits bare = limits;
    bare.changes = (struct dead_letter_changes){.timestamps = true,
                                                .oldest_ms = INT64_MAX,
                                                .newest_ms = INT64_MAX,
                                                .keys = true,
                                                .headers = true};
    bool truncated;

    struct outgoing_record record = encode_within(state, &message, &bare, &truncated);

    assert_text(header_text(&record, "catalyst-dlq-changed"), "timestamp,key,headers");
    assert_absent(header_text(&record, "ce_id"));
    assert_text(header_text(&record, "__connect.errors.exception.message"), "email: missing");
    assert_slice(record.value, message.value);
}

static void test_dead_letter_encode__as_many_headers_as_can_be_read(void **state)
{
    struct header *headers = ARENA_ARRAY(*state, struct header, RECORD_HEADERS_MAX);
    struct message message = command_of(*state, "t", hex(*state, "80"));
    bool truncated;
    for (size_t i = 0; i < RECORD_HEADERS_MAX; i++)
        headers[i] = (struct header){TEXT("h"), {NULL, 0}};
    message.headers = headers;
    message.header_count = RECORD_HEADERS_MAX - 20;
    const struct dead_letter_limits large = {TEXT(".dlq"), TEXT("g"), 10000000, {.keys = false}};

    struct outgoing_record most = encode_within(state, &message, &large, &truncated);
    message.header_count = RECORD_HEADERS_MAX;
    struct outgoing_record more = encode_within(state, &message, &large, &truncated);

    assert_true(most.header_count > message.header_count - 20 &&
                most.header_count <= RECORD_HEADERS_MAX);
    assert_absent(header_text(&most, "catalyst-dlq-changed"));
    assert_int_equal(header_times(&more, "h"), 0);
    assert_text(header_text(&more, "catalyst-dlq-changed"), "headers");
}

static void test_dead_letter_encode__headers_that_could_not_be_read_are_flagged(void **state)
{
    struct message message = {.topic = TEXT("t"), .headers_unreadable = true};

    struct outgoing_record record = encode(state, &message);

    assert_text(header_text(&record, "catalyst-dlq-changed"), "headers");
}

static void test_dead_letter_encode__full_arena_is_fatal_at_every_allocation(void **state)
{
    struct message message = command_of(*state, KEY_ISSUE_TYPE, packed(*state, "{'secret':'s'}"));
    struct outgoing_record record;
    bool truncated;
    struct err err = {.text = ""};
    size_t ceiling = 16;

    for (;; ceiling += 16) {
        struct arena *small = arena_new(ceiling);
        enum outcome outcome =
            dead_letter_encode(&message, &reason, &limits, small, &record, &truncated, &err);
        arena_free(small);
        if (outcome == OUTCOME_OK)
            break;
        assert_int_equal(outcome, OUTCOME_FULL);
    }
    assert_true(ceiling < 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead_letter_encode__as_received_with_both_header_families),
        cmocka_unit_test(test_dead_letter_encode__tells_class_group_task_and_timestamp_type),
        cmocka_unit_test(test_dead_letter_encode__apply_stage),
        cmocka_unit_test(test_dead_letter_encode__tombstone_and_no_key),
        cmocka_unit_test(test_dead_letter_encode__second_failure_replaces),
        cmocka_unit_test(test_dead_letter_encode__cuts_a_value_that_does_not_fit),
        cmocka_unit_test(test_dead_letter_encode__a_secret_is_redacted_before_the_cut),
        cmocka_unit_test(test_dead_letter_encode__headers_and_key_that_leave_no_room),
        cmocka_unit_test(test_dead_letter_encode__a_timestamp_that_is_refused_is_in_a_header),
        cmocka_unit_test(test_dead_letter_encode__a_letter_that_must_have_a_key_gets_its_origin),
        cmocka_unit_test(test_dead_letter_encode__headers_go_last),
        cmocka_unit_test(test_dead_letter_encode__as_many_headers_as_can_be_read),
        cmocka_unit_test(test_dead_letter_encode__headers_that_could_not_be_read_are_flagged),
        cmocka_unit_test(test_dead_letter_encode__full_arena_is_fatal_at_every_allocation),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
