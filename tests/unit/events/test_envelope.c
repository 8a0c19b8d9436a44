#include <stdio.h>

#include "base/timestamp.h"
#include "events/envelope.h"
#include "events/wire/base64.h"
#include "events/wire/msgpack_bounds.h"
#include "support.h"

#define USER_UPSERT_TYPE "dev.catalyst.identity.user.upsert.v1"

#define TRACEPARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define OTHER_TRACEPARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-00"

static struct message sample(void **state)
{
    return command_of(*state, USER_UPSERT_TYPE, packed(*state, "{'id':'u1'}"));
}

static void assert_refused(void **state, const struct message *message, const char *code,
                           const char *text)
{
    struct envelope envelope;
    struct slice data;
    struct err err = {.text = ""};

    assert_int_equal(envelope_decode(message, *state, &envelope, &data, &err), OUTCOME_REJECT);
    assert_string_equal(err.text, text);
    assert_string_equal(err.code, code);
}

static struct envelope decode(void **state, const struct message *message, struct slice *ret_data)
{
    struct envelope envelope;
    struct err err = {.text = ""};

    if (envelope_decode(message, *state, &envelope, ret_data, &err) != OUTCOME_OK)
        fail_msg("refused: %s", err.text);
    return envelope;
}

static void assert_time(int64_t us, const char *expected)
{
    char text[TIMESTAMP_TEXT_LENGTH + 1];

    timestamp_format(us, text);
    assert_string_equal(text, expected);
}

/* --- binary mode --- */

static void test_envelope_decode__binary_with_everything(void **state)
{
    struct message message = sample(state);
    struct slice data;

    set_header(*state, &message, "ce_time", "2026-02-03T04:05:06.1234567+01:00");
    set_header(*state, &message, "ce_subject", "u1");
    set_header(*state, &message, "ce_correlationid", "corr");
    set_header(*state, &message, "ce_authtype", "user");
    set_header(*state, &message, "ce_authid", "u9");
    set_header(*state, &message, "traceparent", TRACEPARENT);
    set_header(*state, &message, "tracestate", "v=1");
    set_header(*state, &message, "ce_unknown", "x");
    set_header(*state, &message, "other", "\xff");
    struct envelope envelope = decode(state, &message, &data);

    assert_text(envelope.id, "c-1");
    assert_text(envelope.source, "/tests");
    assert_text(envelope.type, USER_UPSERT_TYPE);
    assert_text(envelope.subject, "u1");
    assert_text(envelope.correlation_id, "corr");
    assert_text(envelope.auth_type, "user");
    assert_text(envelope.auth_id, "u9");
    assert_text(envelope.traceparent, TRACEPARENT);
    assert_text(envelope.tracestate, "v=1");
    assert_time(envelope.time_us, "2026-02-03T03:05:06.123456Z");
    assert_ptr_equal(data.data, message.value.data);
    assert_int_equal(data.length, message.value.length);
}

static void test_envelope_decode__without_time_the_records_timestamp(void **state)
{
    struct message message = sample(state);
    struct slice data;

    struct envelope envelope = decode(state, &message, &data);

    assert_time(envelope.time_us, "2026-01-02T03:04:05.678000Z");
    assert_absent(envelope.subject);
    assert_absent(envelope.correlation_id);
    assert_absent(envelope.auth_type);
    assert_absent(envelope.traceparent);
}

static void test_envelope_decode__neither_time_nor_timestamp_is_refused(void **state)
{
    struct message message = sample(state);

    message.timestamp_ms = -1;
    assert_refused(state, &message, "envelope",
                   "ce_time: missing, and the record has no timestamp");

    message.timestamp_ms = INT64_MAX;
    assert_refused(state, &message, "envelope", "timestamp: must be in the years 1 to 9999");
}

static void test_envelope_decode__required_headers(void **state)
{
    static const char *const names[] = {"ce_specversion", "ce_id", "ce_source", "ce_type"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct message message = sample(state);
        char text[64];
        snprintf(text, sizeof(text), "%s: missing", names[i]);

        set_header(*state, &message, names[i], NULL);
        assert_refused(state, &message, "envelope", text);

        /* a header without a value counts as not given */
        add_header(*state, &message, names[i], (struct slice){NULL, 0});
        assert_refused(state, &message, "envelope", text);
    }
}

static void test_envelope_decode__headers_that_cannot_be_read_are_the_reason(void **state)
{
    struct message message = {.topic = TEXT("t"), .timestamp_ms = 1, .headers_unreadable = true};
    struct envelope envelope;
    struct slice data;
    struct err err = {.text = ""};

    assert_int_equal(envelope_decode(&message, *state, &envelope, &data, &err), OUTCOME_REJECT);

    assert_string_equal(err.code, "envelope");
    assert_string_equal(err.text, "headers: must be at most 100000, and well formed");
}

static void test_envelope_decode__header_rules(void **state)
{
    char long_text[258];
    memset(long_text, 'x', 257);
    long_text[257] = '\0';
    const struct {
        const char *name;
        const char *value;
        const char *text;
    } cases[] = {
        {"ce_specversion", "0.3", "ce_specversion: must be 1.0"},
        {"ce_id", "", "ce_id: must be 1 to 256 bytes"},
        {"ce_id", long_text, "ce_id: must be 1 to 256 bytes"},
        {"ce_id", "a\nb", "ce_id: must not contain control characters"},
        {"ce_id", "a\xc2\x80", "ce_id: must not contain control characters"},
        {"ce_id", "\xff", "ce_id: must be valid UTF-8"},
        {"ce_source", "", "ce_source: must be 1 to 256 bytes"},
        {"ce_source", long_text, "ce_source: must be 1 to 256 bytes"},
        {"ce_source", "\x7f", "ce_source: must not contain control characters"},
        {"ce_type", "", "ce_type: must be 1 to 256 bytes"},
        {"ce_subject", "", "ce_subject: must be 1 to 256 bytes"},
        {"ce_subject", "\xc0\x80", "ce_subject: must be valid UTF-8"},
        {"ce_time", "yesterday", "ce_time: must be an RFC 3339 time"},
        {"ce_time", "2026-02-30T00:00:00Z", "ce_time: must be an RFC 3339 time"},
        {"ce_time", "2026-02-03", "ce_time: must be an RFC 3339 time"},
        {"ce_correlationid", "\x01", "ce_correlationid: must not contain control characters"},
        {"ce_authtype", "", "ce_authtype: must be 1 to 256 bytes"},
        {"ce_authid", long_text, "ce_authid: must be 1 to 256 bytes"},
        {"ce_time", "0000-12-31T23:59:59Z", "ce_time: must be in the years 1 to 9999 (UTC)"},
        {"ce_time", "2016-06-15T12:00:60Z", "ce_time: must be an RFC 3339 time"},
        {"content-type", "text/plain",
         "content-type: must be application/vnd.msgpack, application/json or"
         " application/cloudevents+json"},
        {"content-type", "application/vnd.msgpackx",
         "content-type: must be application/vnd.msgpack, application/json or"
         " application/cloudevents+json"},
        {"content-type", "application/cloudevents-batch+json",
         "content-type: must be application/vnd.msgpack, application/json or"
         " application/cloudevents+json"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = sample(state);

        set_header(*state, &message, cases[i].name, cases[i].value);

        assert_refused(state, &message, "envelope", cases[i].text);
    }
}

static void test_envelope_decode__256_bytes_are_fine(void **state)
{
    char text[257];
    struct message message = sample(state);
    struct slice data;

    memset(text, 'x', 256);
    text[256] = '\0';
    set_header(*state, &message, "ce_id", text);
    set_header(*state, &message, "ce_source", text);
    struct envelope envelope = decode(state, &message, &data);

    assert_int_equal(envelope.id.length, 256);
    assert_int_equal(envelope.source.length, 256);
}

static void test_envelope_decode__headers_given_twice(void **state)
{
    static const struct {
        const char *name;
        const char *text;
    } cases[] = {
        {"ce_id", "ce_id: given twice"},
        {"ce_source", "ce_source: given twice"},
        {"ce_type", "ce_type: given twice"},
        {"content-type", "content-type: given twice"},
        {"ce_time", "ce_time: given twice"},
        {"ce_password", "a ce_ header: given twice"}, /* the sender's name is not repeated */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = sample(state);

        set_header(*state, &message, cases[i].name,
                   strcmp(cases[i].name, "ce_time") == 0        ? "2026-01-01T00:00:00Z"
                   : strcmp(cases[i].name, "content-type") == 0 ? "application/json"
                                                                : "x");
        add_header(*state, &message, cases[i].name, slice_of_text(TEXT("x")));

        assert_refused(state, &message, "envelope", cases[i].text);
    }
}

static void test_envelope_decode__other_headers_may_come_twice(void **state)
{
    struct message message = sample(state);
    struct slice data;

    add_header(*state, &message, "x-hop", slice_of_text(TEXT("1")));
    add_header(*state, &message, "x-hop", slice_of_text(TEXT("2")));
    decode(state, &message, &data);
}

static void test_envelope_decode__content_types(void **state)
{
    static const char *const msgpack[] = {"application/vnd.msgpack",
                                          "application/msgpack",
                                          "application/x-msgpack",
                                          "Application/VND.MsgPack",
                                          "application/vnd.msgpack; charset=utf-8",
                                          "application/vnd.msgpack ;v=1"};
    static const char *const json[] = {"application/json", "application/json; charset=utf-8",
                                       "APPLICATION/JSON;x=y"};

    for (size_t i = 0; i < sizeof(msgpack) / sizeof(msgpack[0]); i++) {
        struct message message = sample(state);
        struct slice data;

        set_header(*state, &message, "content-type", msgpack[i]);
        decode(state, &message, &data);
    }
    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
        struct message message = sample(state);
        struct slice data;

        set_header(*state, &message, "content-type", json[i]);
        message.value = slice_of_text(TEXT(" {\"id\" : \"u1\"}\n"));
        decode(state, &message, &data);

        assert_slice(data, packed(*state, "{'id':'u1'}"));
    }
}

static void test_envelope_decode__bodies_that_are_none(void **state)
{
    const struct {
        const char *content_type;
        struct slice value;
        const char *text;
    } cases[] = {
        {"application/vnd.msgpack", {NULL, 0}, "body: missing"},
        {"application/vnd.msgpack", {(const uint8_t *)"", 0}, "body: missing"},
        {"application/json", {NULL, 0}, "body: missing"},
        {"application/vnd.msgpack", slice_of_text(TEXT("{\"id\":1}")),
         "body: bytes behind the end of the value"},
        {"application/vnd.msgpack", hex(*state, "81 a26964"),
         "id: not MessagePack: it ends before its lengths do"},
        {"application/vnd.msgpack", hex(*state, "81 a26964 a1 ff"), "id: text must be valid UTF-8"},
        {"application/vnd.msgpack", hex(*state, "81 a27a7a a1 ff"),
         "body: text must be valid UTF-8"},
        {"application/vnd.msgpack", hex(*state, "81 a86d65746164617461 82 a161 01 a161 02"),
         "metadata: a map holds the same key twice"},
        {"application/json", hex(*state, "81 a26964 a175"),
         "body: text must be valid UTF-8 (line 1, column 0)"},
        {"application/json", slice_of_text(TEXT("{\"secret-looking\":")),
         "body: not JSON: it ends too early (line 1, column 18)"},
        {"application/cloudevents+json", {NULL, 0}, "body: missing"},
        {"application/cloudevents+json", slice_of_text(TEXT("[]")), "body: must be an object"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = sample(state);

        set_header(*state, &message, "content-type", cases[i].content_type);
        message.value = cases[i].value;

        assert_refused(state, &message, "body", cases[i].text);
    }
}

static void test_envelope_decode__too_long(void **state)
{
    struct message message = sample(state);
    char *bytes = arena_alloc(*state, MSGPACK_MAX_BYTES + 1);

    assert_non_null(bytes);
    memset(bytes, ' ', MSGPACK_MAX_BYTES + 1);
    message.value = (struct slice){(const uint8_t *)bytes, MSGPACK_MAX_BYTES + 1};
    static const char *const types[] = {"application/vnd.msgpack", "application/json",
                                        "application/cloudevents+json"};

    for (size_t i = 0; i < 3; i++) {
        set_header(*state, &message, "content-type", types[i]);
        assert_refused(state, &message, "body", "body: longer than 983040 bytes");
    }
}

static void test_envelope_decode__json_depth(void **state)
{
    struct message message = sample(state);
    char json[200];
    size_t length = (size_t)snprintf(json, sizeof(json), "{\"metadata\":");

    memset(json + length, '[', 64);
    memset(json + length + 64, ']', 64);
    json[length + 128] = '}';
    set_header(*state, &message, "content-type", "application/json");
    message.value = (struct slice){(const uint8_t *)json, length + 129};

    assert_refused(state, &message, "body", "metadata: nested deeper than 64");
}

static void test_envelope_decode__fills_what_it_could_read(void **state)
{
    struct message message = sample(state);
    struct envelope envelope;
    struct slice data;
    struct err err = {.text = ""};

    set_header(*state, &message, "ce_source", NULL);
    set_header(*state, &message, "ce_subject", "\xff");
    assert_int_equal(envelope_decode(&message, *state, &envelope, &data, &err), OUTCOME_REJECT);

    assert_text(envelope.id, "c-1");
    assert_text(envelope.type, USER_UPSERT_TYPE);
    assert_absent(envelope.source);
    assert_absent(envelope.subject);
    assert_string_equal(err.text, "ce_subject: must be valid UTF-8");
}

/* --- structured mode --- */

static struct message structured(void **state, const char *json)
{
    struct message message = {.timestamp_ms = 1767323045678,
                              .value = slice_of_text(quoted(*state, json))};

    set_header(*state, &message, "content-type", "application/cloudevents+json; charset=UTF-8");
    return message;
}

/* --- what stock SDKs send --- */

static void test_envelope_decode__without_content_type_the_body_tells(void **state)
{
    const struct {
        struct slice value;
        const char *json; /* NULL: refused */
    } cases[] = {
        {slice_of_text(TEXT("{\"id\":\"a\"}")), "{'id':'a'}"},
        {slice_of_text(TEXT(" \r\n\t{\"id\":\"a\"}")), "{'id':'a'}"},
        {packed(*state, "{'id':'a'}"), "{'id':'a'}"},
        {hex(*state, "de0001a16101"), "{'a':1}"},
        {hex(*state, "df00000001a16101"), "{'a':1}"},
        {slice_of_text(TEXT("[1]")), NULL},
        {slice_of_text(TEXT("\"text\"")), NULL},
        {hex(*state, "9101"), NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = sample(state);
        struct slice data;
        set_header(*state, &message, "content-type", NULL);
        message.value = cases[i].value;

        if (cases[i].json == NULL) {
            assert_refused(state, &message, "envelope",
                           "content-type: missing, and the body begins like neither a JSON object"
                           " nor a MessagePack map; CloudEvents SDKs set it from the event's"
                           " datacontenttype");
            continue;
        }
        decode(state, &message, &data);
        assert_slice(data, cases[i].value.data[0] >= 0x80 ? cases[i].value
                                                          : packed(*state, cases[i].json));
    }
}

static void test_envelope_decode__every_name_of_json(void **state)
{
    static const char *const names[] = {"text/json", "application/vnd.acme.command+json",
                                        "Application/JSON; charset=utf-8"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct message message = sample(state);
        struct slice data;
        set_header(*state, &message, "content-type", names[i]);
        message.value = slice_of_text(TEXT("{\"a\":1}"));

        decode(state, &message, &data);

        assert_slice(data, packed(*state, "{'a':1}"));
    }
}

static void test_envelope_decode__a_structured_event_that_does_not_say_so(void **state)
{
    struct message message = {
        .topic = TEXT("t"),
        .timestamp_ms = 1,
        .value = slice_of_text(TEXT("{\"specversion\":\"1.0\",\"id\":\"1\",\"data\":{}}")),
    };

    assert_refused(
        state, &message, "envelope",
        "content-type: must be application/cloudevents+json: the body is a structured CloudEvent");
}

static void test_envelope_decode__trace_attributes_count_where_the_headers_are_absent(void **state)
{
    struct message message = sample(state);
    struct slice data;
    set_header(*state, &message, "ce_traceparent", TRACEPARENT);
    set_header(*state, &message, "ce_tracestate", "a=b");

    struct envelope envelope = decode(state, &message, &data);

    assert_text(envelope.traceparent, TRACEPARENT);
    assert_text(envelope.tracestate, "a=b");
    set_header(*state, &message, "traceparent", OTHER_TRACEPARENT);
    envelope = decode(state, &message, &data);
    assert_text(envelope.traceparent, OTHER_TRACEPARENT);
}

static void test_envelope_decode__a_broken_trace_never_costs_the_command(void **state)
{
    static const char *const broken[] = {
        "",
        "\xfe",
        "a\nb",
        "00-1-2-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    };

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct message message = sample(state);
        struct slice data;
        set_header(*state, &message, "traceparent", broken[i]);
        set_header(*state, &message, "tracestate", "no equals sign");

        struct envelope envelope = decode(state, &message, &data);

        assert_absent(envelope.traceparent);
        assert_absent(envelope.tracestate);
    }
}

static void test_envelope_decode__a_trace_header_given_twice_is_dropped(void **state)
{
    struct message message = sample(state);
    struct slice data;
    add_header(*state, &message, "traceparent", slice_of_text(TEXT(TRACEPARENT)));
    add_header(*state, &message, "traceparent", slice_of_text(TEXT(OTHER_TRACEPARENT)));
    add_header(*state, &message, "ce_tracestate", slice_of_text(TEXT("a=b")));
    add_header(*state, &message, "ce_tracestate", slice_of_text(TEXT("c=d")));

    struct envelope envelope = decode(state, &message, &data);

    assert_absent(envelope.traceparent);
    assert_absent(envelope.tracestate);
}

static void test_envelope_decode__later_versions_of_traceparent_may_have_more(void **state)
{
    struct message message = sample(state);
    struct slice data;
    set_header(*state, &message, "traceparent",
               "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes");
    set_header(*state, &message, "tracestate", " rojo=00f067 ,, congo=t61rcWkgMzE");

    struct envelope envelope = decode(state, &message, &data);

    assert_text(envelope.traceparent,
                "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes");
    assert_text(envelope.tracestate, " rojo=00f067 ,, congo=t61rcWkgMzE");
}

static void test_envelope_decode__structured_null_beside_data_is_absent(void **state)
{
    struct message message =
        structured(state, "{'specversion':'1.0','id':'1','source':'/s','type':'t','data':{'a':1},"
                          "'data_base64':null}");
    struct slice data;

    decode(state, &message, &data);

    assert_slice(data, packed(*state, "{'a':1}"));
}

#define STRUCTURED_START "{'specversion':'1.0','id':'c-1','source':'/s','type':'t',"

static void test_envelope_decode__structured_with_everything(void **state)
{
    struct message message = structured(
        state, STRUCTURED_START
        "'subject':'u1','time':'2026-02-03T04:05:06Z','correlationid':'k','authtype':'user',"
        "'authid':'u9','traceparent':'" TRACEPARENT
        "','tracestate':'a=b','extension':5,'dataschema':null,"
        "'datacontenttype':'application/json','data':{'id':'u1','n':1.0}}");
    struct slice data;

    struct envelope envelope = decode(state, &message, &data);

    assert_text(envelope.id, "c-1");
    assert_text(envelope.source, "/s");
    assert_text(envelope.type, "t");
    assert_text(envelope.subject, "u1");
    assert_text(envelope.correlation_id, "k");
    assert_text(envelope.auth_type, "user");
    assert_text(envelope.auth_id, "u9");
    assert_text(envelope.traceparent, TRACEPARENT);
    assert_text(envelope.tracestate, "a=b");
    assert_time(envelope.time_us, "2026-02-03T04:05:06.000000Z");
    assert_slice(data, packed(*state, "{'id':'u1','n':1.0}"));
}

static void test_envelope_decode__structured_trace_headers_win(void **state)
{
    struct message message =
        structured(state, STRUCTURED_START "'traceparent':'" OTHER_TRACEPARENT "','data':{}}");
    struct slice data;

    set_header(*state, &message, "traceparent", TRACEPARENT);
    set_header(*state, &message, "ce_id", "not-this-one");
    struct envelope envelope = decode(state, &message, &data);

    assert_text(envelope.traceparent, TRACEPARENT);
    assert_text(envelope.id, "c-1");
    assert_time(envelope.time_us, "2026-01-02T03:04:05.678000Z");
}

static void test_envelope_decode__structured_base64(void **state)
{
    struct buffer json;
    struct buffer json_data;
    struct slice data;

    buffer_init(&json, *state);
    buffer_append_text(&json, quoted(*state,
                                     STRUCTURED_START "'datacontenttype':"
                                                      "'application/vnd.msgpack','data_base64':'"));
    base64_append(&json, packed(*state, "{'id':'u1'}"));
    buffer_append_literal(&json, "\"}");
    buffer_append_byte(&json, '\0');
    struct message message = structured(state, (const char *)json.bytes);
    decode(state, &message, &data);
    assert_slice(data, packed(*state, "{'id':'u1'}"));

    /* without datacontenttype it is JSON */
    buffer_init(&json_data, *state);
    buffer_append_text(&json_data, quoted(*state, STRUCTURED_START "'data_base64':'"));
    base64_append(&json_data, slice_of_text(TEXT("{\"id\":\"u2\"}")));
    buffer_append_literal(&json_data, "\"}");
    buffer_append_byte(&json_data, '\0');
    message = structured(state, (const char *)json_data.bytes);
    decode(state, &message, &data);
    assert_slice(data, packed(*state, "{'id':'u2'}"));
}

static void test_envelope_decode__structured_mistakes(void **state)
{
    static const struct {
        const char *json;
        const char *code;
        const char *text;
    } cases[] = {
        {"{'id':'a','source':'b','type':'c','data':{}}", "envelope", "specversion: missing"},
        {"{'specversion':'1.0','source':'b','type':'c','data':{}}", "envelope", "id: missing"},
        {"{'specversion':'1.0','id':'a','source':null,'type':'c','data':{}}", "envelope",
         "source: missing"},
        {"{'specversion':'1.1','id':'a','source':'b','type':'c','data':{}}", "envelope",
         "specversion: must be 1.0"},
        {"{'specversion':'1.0','id':7,'source':'b','type':'c','data':{}}", "envelope",
         "id: must be text"},
        {"{'specversion':'1.0','id':'','source':'b','type':'c','data':{}}", "envelope",
         "id: must be 1 to 256 bytes"},
        {"{'specversion':'1.0','id':'a\\n','source':'b','type':'c','data':{}}", "envelope",
         "id: must not contain control characters"},
        {"{'specversion':'1.0','id':'a','source':'b','type':'c','time':'now','data':{}}",
         "envelope", "time: must be an RFC 3339 time"},
        {STRUCTURED_START "'subject':'s'}", "body", "body: data is missing"},
        {STRUCTURED_START "'data':{},'data_base64':'gA=='}", "envelope",
         "data_base64: must not stand beside data"},
        {STRUCTURED_START "'data_base64':5}", "envelope", "data_base64: must be text"},
        {STRUCTURED_START "'data_base64':'gA='}", "envelope",
         "data_base64: must be padded base 64"},
        {STRUCTURED_START "'data_base64':'g===', 'subject':'x'}", "envelope",
         "data_base64: must be base 64"},
        {STRUCTURED_START "'data_base64':'gA!='}", "envelope", "data_base64: must be base 64"},
        {STRUCTURED_START "'data_base64':''}", "body",
         "body: not JSON: it ends too early (line 1, column 0)"},
        {STRUCTURED_START "'datacontenttype':'application/msgpack','data_base64':'gAA='}", "body",
         "body: bytes behind the end of the value"},
        {STRUCTURED_START "'datacontenttype':'text/plain','data':{}}", "envelope",
         "datacontenttype: must be application/json or application/vnd.msgpack"},
        {STRUCTURED_START "'datacontenttype':'application/vnd.msgpack','data':{}}", "envelope",
         "datacontenttype: must be application/json where there is data"},
        {STRUCTURED_START "'data':{'a':1,'a':2}}", "body",
         "body: an object holds the same key twice (line 1, column 74)"},
        {STRUCTURED_START, "body", "body: not JSON: it ends too early (line 1, column 57)"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = structured(state, cases[i].json);

        assert_refused(state, &message, cases[i].code, cases[i].text);
    }
}

static void test_envelope_decode__full_arena_is_fatal(void **state)
{
    struct message message = sample(state);
    struct arena *small = arena_new(1);
    struct envelope envelope;
    struct slice data;
    struct err err = {.text = ""};

    assert_int_equal(envelope_decode(&message, small, &envelope, &data, &err), OUTCOME_FULL);

    arena_free(small);
}

static void test_outgoing_bytes__counts_key_value_and_headers(void **state)
{
    (void)state;
    const struct header headers[] = {{TEXT("a"), slice_of_text(TEXT("123"))}, {TEXT("bc"), {0}}};
    struct outgoing_record record = {.key = slice_of_text(TEXT("key")),
                                     .value = slice_of_text(TEXT("value"))};
    size_t bare = outgoing_bytes(&record);

    record.headers = headers;
    record.header_count = 2;

    assert_true(bare > 8);
    assert_true(outgoing_bytes(&record) > bare + 6);
    record.value.length += 1000;
    assert_true(outgoing_bytes(&record) > bare + 1006);
}

static void test_message_header__last_one_counts(void **state)
{
    struct message message = {.header_count = 0};

    add_header(*state, &message, "a", slice_of_text(TEXT("1")));
    add_header(*state, &message, "b", slice_of_text(TEXT("2")));
    add_header(*state, &message, "a", slice_of_text(TEXT("3")));

    assert_text(text_of_slice(message_header(&message, "a")->value), "3");
    assert_text(text_of_slice(message_header(&message, "b")->value), "2");
    assert_null(message_header(&message, "c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope_decode__binary_with_everything),
        cmocka_unit_test(test_envelope_decode__without_content_type_the_body_tells),
        cmocka_unit_test(test_envelope_decode__every_name_of_json),
        cmocka_unit_test(test_envelope_decode__a_structured_event_that_does_not_say_so),
        cmocka_unit_test(test_envelope_decode__trace_attributes_count_where_the_headers_are_absent),
        cmocka_unit_test(test_envelope_decode__a_broken_trace_never_costs_the_command),
        cmocka_unit_test(test_envelope_decode__a_trace_header_given_twice_is_dropped),
        cmocka_unit_test(test_envelope_decode__later_versions_of_traceparent_may_have_more),
        cmocka_unit_test(test_envelope_decode__structured_null_beside_data_is_absent),
        cmocka_unit_test(test_envelope_decode__without_time_the_records_timestamp),
        cmocka_unit_test(test_envelope_decode__neither_time_nor_timestamp_is_refused),
        cmocka_unit_test(test_envelope_decode__required_headers),
        cmocka_unit_test(test_envelope_decode__headers_that_cannot_be_read_are_the_reason),
        cmocka_unit_test(test_envelope_decode__header_rules),
        cmocka_unit_test(test_envelope_decode__256_bytes_are_fine),
        cmocka_unit_test(test_envelope_decode__headers_given_twice),
        cmocka_unit_test(test_envelope_decode__other_headers_may_come_twice),
        cmocka_unit_test(test_envelope_decode__content_types),
        cmocka_unit_test(test_envelope_decode__bodies_that_are_none),
        cmocka_unit_test(test_envelope_decode__too_long),
        cmocka_unit_test(test_envelope_decode__json_depth),
        cmocka_unit_test(test_envelope_decode__fills_what_it_could_read),
        cmocka_unit_test(test_envelope_decode__structured_with_everything),
        cmocka_unit_test(test_envelope_decode__structured_trace_headers_win),
        cmocka_unit_test(test_envelope_decode__structured_base64),
        cmocka_unit_test(test_envelope_decode__structured_mistakes),
        cmocka_unit_test(test_envelope_decode__full_arena_is_fatal),
        cmocka_unit_test(test_outgoing_bytes__counts_key_value_and_headers),
        cmocka_unit_test(test_message_header__last_one_counts),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
