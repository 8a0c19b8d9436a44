/* What `publish` sends and `tail` shows. */
#include "base/timestamp.h"
#include "events/command_message.h"
#include "events/dead_letter.h"
#include "events/message_json.h"
#include "support.h"

static const int64_t NOW_US = 1767323045678000;

static enum outcome publish(void **state, const char *line, struct outgoing_record *ret_record,
                            struct command *ret_command, struct err *err)
{
    return command_message_from_json(quoted(*state, line), TEXT("topic"), NOW_US, *state,
                                     ret_record, ret_command, err);
}

static void test_command_message__golden(void **state)
{
    struct outgoing_record record;
    struct command command;
    struct err err = {.text = ""};

    assert_int_equal(
        publish(state,
                "{'type':'dev.catalyst.key.record_usage.v1','id':'c-1','source':'/s','subject':'x',"
                "'time':'2026-01-01T00:00:00Z','traceparent':'00-4bf92f3577b34da6a3ce929d0e0e4736-"
                "00f067aa0ba902b7-01',"
                "'tracestate':'a=b',"
                "'correlationid':'k','authtype':'user','authid':'u1','data':{'n':1.0,'id':'k1'}}",
                &record, &command, &err),
        OUTCOME_OK);

    const char *const headers[][2] = {
        {"ce_specversion", "1.0"},
        {"ce_type", "dev.catalyst.key.record_usage.v1"},
        {"ce_id", "c-1"},
        {"ce_source", "/s"},
        {"ce_subject", "x"},
        {"ce_time", "2026-01-01T00:00:00Z"},
        {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        {"tracestate", "a=b"},
        {"ce_correlationid", "k"},
        {"ce_authtype", "user"},
        {"ce_authid", "u1"},
        {"content-type", "application/vnd.msgpack"},
    };
    assert_int_equal(record.header_count, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < record.header_count; i++) {
        assert_text(record.headers[i].name, headers[i][0]);
        assert_text(text_of_slice(record.headers[i].value), headers[i][1]);
    }
    assert_slice(record.value, packed(*state, "{'n':1.0,'id':'k1'}"));
    assert_text(text_of_slice(record.key), "k1");
    assert_text(record.topic, "topic");
    assert_int_equal(record.timestamp_ms, -1);
    assert_ptr_equal(command.type, &command_types[KEY_RECORD_USAGE_COMMAND]);
    assert_text(command.envelope.correlation_id, "k");
}

static void test_command_message__without_time_now_counts_and_no_header_says_so(void **state)
{
    struct outgoing_record record;
    struct command command;
    struct err err = {.text = ""};

    assert_int_equal(publish(state,
                             "{'type':'dev.catalyst.key.record_usage.v1','id':'c-1','source':'/s',"
                             "'time':null,'data':{'id':'k1'}}",
                             &record, &command, &err),
                     OUTCOME_OK);

    assert_int_equal(header_times(&record, "ce_time"), 0);
    assert_int_equal(command.envelope.time_us, NOW_US);
}

static void test_command_message__key_is_the_entity(void **state)
{
    static const struct {
        const char *line;
        const char *key; /* NULL: none */
    } cases[] = {
        {"{'type':'dev.catalyst.audit.append.v1','id':'c','source':'s','subject':'env',"
         "'data':{'category':'c','action':'a','subject':{'type':'t','id':'s1'},"
         "'resource':{'type':'t','id':'r1'}}}",
         "r1"},
        {"{'type':'dev.catalyst.audit.append.v1','id':'c','source':'s','subject':'env',"
         "'data':{'category':'c','action':'a','subject':{'type':'t','id':'s1'}}}",
         "s1"},
        {"{'type':'dev.catalyst.audit.append.v1','id':'c','source':'s','subject':'env',"
         "'data':{'category':'c','action':'a'}}",
         "env"},
        {"{'type':'dev.catalyst.audit.append.v1','id':'c','source':'s',"
         "'data':{'category':'c','action':'a'}}",
         NULL},
        {"{'type':'dev.catalyst.identity.group.delete.v1','id':'c','source':'s','subject':'env',"
         "'data':{'id':'g1'}}",
         "g1"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outgoing_record record;
        struct err err = {.text = ""};

        assert_int_equal(publish(state, cases[i].line, &record, NULL, &err), OUTCOME_OK);

        if (cases[i].key == NULL)
            assert_null(record.key.data);
        else
            assert_text(text_of_slice(record.key), cases[i].key);
    }
}

static void test_command_message__key_issue_without_id_has_the_derived_one(void **state)
{
    const struct uuid id = key_id_of(TEXT("s"), TEXT("c"));
    char text[UUID_TEXT_LENGTH + 1];
    struct outgoing_record record;
    struct err err = {.text = ""};

    uuid_format(&id, text);
    assert_int_equal(publish(state,
                             "{'type':'dev.catalyst.key.issue.v1','id':'c','source':'s','data':"
                             "{'hash':'h','owner':{'kind':'user','id':'u'},'scopes':[]}}",
                             &record, NULL, &err),
                     OUTCOME_OK);

    assert_text(text_of_slice(record.key), text);
}

static void test_command_message__mistakes_name_field_and_rule(void **state)
{
    static const struct {
        const char *line;
        const char *text;
    } cases[] = {
        {"{", "line: not JSON: it ends too early (line 1, column 1)"},
        {"[]", "line: must be an object"},
        {"{'id':'c','id':'d'}", "line: an object holds the same key twice (line 1, column 14)"},
        {"{'type':5}", "type: must be text"},
        {"{'nonsense':'x','data':{}}",
         "line: a member is not one of type, id, source, subject, time, traceparent, tracestate,"
         " correlationid, authtype, authid, data"},
        {"{'type':'dev.catalyst.key.revoke.v1','id':'c','source':'s'}", "data: missing"},
        {"{'type':'dev.catalyst.key.revoke.v1','source':'s','data':{'id':'k'}}", "ce_id: missing"},
        {"{'type':'x','id':'c','source':'s','data':{'id':'k'}}",
         "ce_type: not a command of the contract"},
        {"{'type':'dev.catalyst.key.revoke.v1','id':'c','source':'s','time':'now','data':{}}",
         "ce_time: must be an RFC 3339 time"},
        {"{'type':'dev.catalyst.key.revoke.v1','id':'c','source':'s','data':{}}", "id: missing"},
        {"{'type':'dev.catalyst.key.revoke.v1','id':'c','source':'s','data':null}",
         "body: must be a map"},
        {"{'type':'dev.catalyst.key.issue.v1','id':'c','source':'s','data':{'secret':'x'}}",
         "secret: a key's secret must not be sent, only its hash"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outgoing_record record;
        struct err err = {.text = ""};

        assert_int_equal(publish(state, cases[i].line, &record, NULL, &err), OUTCOME_REJECT);

        assert_string_equal(err.text, cases[i].text);
    }
}

static void test_command_message__full_arena_is_fatal(void **state)
{
    struct text line = quoted(*state, "{'type':'dev.catalyst.key.record_usage.v1','id':'c-1',"
                                      "'source':'/s','data':{'id':'k1'}}");
    struct outgoing_record record;
    struct err err = {.text = ""};
    size_t ceiling = 16;

    for (;; ceiling += 16) {
        struct arena *small = arena_new(ceiling);
        enum outcome outcome =
            command_message_from_json(line, TEXT("t"), NOW_US, small, &record, NULL, &err);
        arena_free(small);
        if (outcome == OUTCOME_OK)
            break;
        assert_int_equal(outcome, OUTCOME_FULL);
    }
    assert_true(ceiling < 65536);
}

/* --- tail --- */

static void assert_line(void **state, const struct message *message, const char *json)
{
    struct text line;
    struct err err = {.text = ""};

    assert_int_equal(message_to_json(message, *state, &line, &err), OUTCOME_OK);
    assert_text(line, quoted(*state, json).data);
}

static void test_message_to_json__msgpack(void **state)
{
    struct message message = {.topic = TEXT("t\"1"),
                              .partition = 2,
                              .offset = 3,
                              .timestamp_ms = 1767323045678,
                              .key = slice_of_text(TEXT("k")),
                              .value = packed(*state, "{'id':'x','n':[1,2.0,null]}")};

    add_header(*state, &message, "b", slice_of_text(TEXT("1")));
    add_header(*state, &message, "a", hex(*state, "ff00"));
    add_header(*state, &message, "b", (struct slice){NULL, 0});

    assert_line(state, &message,
                "{'topic':'t\\'1','partition':2,'offset':3,"
                "'timestamp':'2026-01-02T03:04:05.678000Z','key':'k',"
                "'headers':{'a':{'base64':'/wA='},'b':['1',null]},"
                "'data':{'id':'x','n':[1,2.0,null]}}");
}

static void test_message_to_json__bodies(void **state)
{
    const struct {
        struct slice value;
        const char *data;
    } cases[] = {
        {{NULL, 0}, "null"},
        {{(const uint8_t *)"", 0}, "''"},
        {slice_of_text(TEXT(" {\"a\" : 1}")), "{'a':1}"},
        {slice_of_text(TEXT("[1]")), "[1]"},
        {slice_of_text(TEXT("{\"a\":")), "'{\\'a\\':'"},
        {slice_of_text(TEXT("plain")), "'plain'"},
        {hex(*state, "80"), "{}"},
        {hex(*state, "81 a161 d6ff00000001"), "{'a':'1970-01-01T00:00:01.000000Z'}"},
        {hex(*state, "81 a161 c401ff"), "{'a':{'base64':'/w=='}}"},
        {hex(*state, "81 a161"), "{'base64':'gaFh'}"},
        {hex(*state, "c1"), "{'base64':'wQ=='}"},
        {hex(*state, "81 01 02"), "{'base64':'gQEC'}"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = {.topic = TEXT("t"), .timestamp_ms = -1, .value = cases[i].value};
        char *expected =
            arena_printf(*state,
                         "{'topic':'t','partition':0,'offset':0,'timestamp':null,'key':null,"
                         "'headers':{},'data':%s}",
                         cases[i].data);

        struct text line;
        struct err err = {.text = ""};
        assert_int_equal(message_to_json(&message, *state, &line, &err), OUTCOME_OK);
        assert_text(line, quoted(*state, expected).data);
    }
}

static void test_message_to_json__dead_letter_headers_are_numbers(void **state)
{
    const struct dead_letter_reason reason = {DEAD_LETTER_DECODE, "body", "body: empty"};
    const struct dead_letter_limits limits = {TEXT(".dlq"), TEXT("g"), 100000};
    struct message message = {
        .topic = TEXT("t"), .partition = 7, .offset = 300, .timestamp_ms = -1};
    struct outgoing_record letter;
    bool truncated;
    struct err err = {.text = ""};

    assert_int_equal(
        dead_letter_encode(&message, &reason, &limits, *state, &letter, &truncated, &err),
        OUTCOME_OK);
    const struct message read = {.topic = letter.topic,
                                 .timestamp_ms = 0,
                                 .headers = letter.headers,
                                 .header_count = letter.header_count};

    assert_line(
        state, &read,
        "{'topic':'t.dlq','partition':0,'offset':0,"
        "'timestamp':'1970-01-01T00:00:00.000000Z','key':null,'headers':{"
        "'__connect.errors.class.name':'body','__connect.errors.connector.name':'g',"
        "'__connect.errors.exception.class.name':'dev.catalyst.worker.body',"
        "'__connect.errors.exception.message':'body: empty','__connect.errors.offset':'300',"
        "'__connect.errors.partition':'7','__connect.errors.stage':'VALUE_CONVERTER',"
        "'__connect.errors.task.id':'0','__connect.errors.topic':'t',"
        "'kafka_dlt-exception-fqcn':'dev.catalyst.worker.body',"
        "'kafka_dlt-exception-message':'body: empty','kafka_dlt-original-consumer-group':'g',"
        "'kafka_dlt-original-offset':300,'kafka_dlt-original-partition':7,"
        "'kafka_dlt-original-timestamp':-1,"
        "'kafka_dlt-original-timestamp-type':'NoTimestampType',"
        "'kafka_dlt-original-topic':'t'},'data':null}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_message__golden),
        cmocka_unit_test(test_command_message__without_time_now_counts_and_no_header_says_so),
        cmocka_unit_test(test_command_message__key_is_the_entity),
        cmocka_unit_test(test_command_message__key_issue_without_id_has_the_derived_one),
        cmocka_unit_test(test_command_message__mistakes_name_field_and_rule),
        cmocka_unit_test(test_command_message__full_arena_is_fatal),
        cmocka_unit_test(test_message_to_json__msgpack),
        cmocka_unit_test(test_message_to_json__bodies),
        cmocka_unit_test(test_message_to_json__dead_letter_headers_are_numbers),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
