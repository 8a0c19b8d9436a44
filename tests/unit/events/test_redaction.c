#include <stdio.h>

#include "events/dead_letter.h"
#include "events/wire/base64.h"
#include "support.h"

#define KEY_ISSUE_TYPE "dev.catalyst.key.issue.v1"
#define PLANTED "s3cr3t"

static struct outgoing_record encode(void **state, const struct message *message)
{
    const struct dead_letter_reason reason = {DEAD_LETTER_DECODE, "field", "email: missing"};
    const struct dead_letter_limits limits = {TEXT(".dlq"), TEXT("group-1"), 1000000};
    struct outgoing_record record;
    bool truncated = true;
    struct err err = {.text = ""};

    assert_int_equal(
        dead_letter_encode(message, &reason, &limits, *state, &record, &truncated, &err),
        OUTCOME_OK);
    assert_false(truncated);
    return record;
}

static void assert_redacted(void **state, const struct message *message, struct slice expected)
{
    struct outgoing_record record = encode(state, message);

    assert_slice(record.value, expected);
    assert_text(header_text(&record, "catalyst-dlq-redacted"), "true");
}

static void assert_untouched(void **state, const struct message *message)
{
    struct outgoing_record record = encode(state, message);

    assert_ptr_equal(record.value.data, message->value.data);
    assert_int_equal(record.value.length, message->value.length);
    assert_int_equal(header_times(&record, "catalyst-dlq-redacted"), 0);
}

static void test_redaction__msgpack(void **state)
{
    struct message message = command_of(
        *state, KEY_ISSUE_TYPE,
        packed(*state, "{'hash':'h','secret':'s','token':{'a':[1,2]},'plaintext':7,'scopes':'y'}"));

    assert_redacted(state, &message,
                    packed(*state, "{'hash':'h','secret':'[redacted]','token':'[redacted]',"
                                   "'plaintext':'[redacted]','scopes':'y'}"));
}

static void test_redaction__msgpack_other_bytes_stay(void **state)
{
    /* lengths longer than need be, binary, a key twice */
    struct message message =
        command_of(*state, KEY_ISSUE_TYPE,
                   hex(*state, "df00000005 d90161 c40100 a101 02 a6736563726574 a173"
                               "a6736563726574 c40173 a162 ca3fc00000"));

    assert_redacted(state, &message,
                    hex(*state, "df00000005 d90161 c40100 a101 02"
                                "a6736563726574 aa5b72656461637465645d"
                                "a6736563726574 aa5b72656461637465645d a162 ca3fc00000"));
}

static void test_redaction__json_other_bytes_stay(void **state)
{
    struct message message = command_of(
        *state, KEY_ISSUE_TYPE,
        slice_of_text(quoted(*state, " {  'metadata' : { 'secret' : 'kept' } ,\n 'secret':'a\\'b}',"
                                     "'\\u0074oken' : [ {'x':']'} , 2 ]\t,'plaintext':1e3,"
                                     "'secret':true , 'big':123456789012345678901234567890 } \n")));
    set_header(*state, &message, "content-type", "application/json");

    assert_redacted(state, &message,
                    slice_of_text(quoted(
                        *state, " {  'metadata' : { 'secret' : 'kept' } ,\n 'secret':'[redacted]',"
                                "'\\u0074oken' : '[redacted]'\t,'plaintext':'[redacted]',"
                                "'secret':'[redacted]' , "
                                "'big':123456789012345678901234567890 } \n")));
}

static void test_redaction__whatever_the_content_type_says(void **state)
{
    struct message message =
        command_of(*state, KEY_ISSUE_TYPE, slice_of_text(TEXT("{\"secret\":\"s\"}")));

    assert_redacted(state, &message, slice_of_text(TEXT("{\"secret\":\"[redacted]\"}")));

    set_header(*state, &message, "content-type", NULL);
    assert_redacted(state, &message, slice_of_text(TEXT("{\"secret\":\"[redacted]\"}")));

    message.value = packed(*state, "{'secret':'s'}");
    assert_redacted(state, &message, packed(*state, "{'secret':'[redacted]'}"));
}

static void test_redaction__type_given_twice(void **state)
{
    struct message message = command_of(*state, KEY_ISSUE_TYPE, packed(*state, "{'secret':'s'}"));
    add_header(*state, &message, "ce_type", slice_of_text(TEXT("other")));

    assert_redacted(state, &message, packed(*state, "{'secret':'[redacted]'}"));
}

static void test_redaction__nil_and_what_lies_deeper_stay(void **state)
{
    struct message message =
        command_of(*state, KEY_ISSUE_TYPE,
                   packed(*state, "{'secret':null,'metadata':{'secret':'x'},'hash':5}"));
    assert_untouched(state, &message);

    message.value = slice_of_text(quoted(*state, "{'token': null ,'labels':[{'secret':1}]}"));
    assert_untouched(state, &message);

    message.value = slice_of_text(TEXT("{}"));
    assert_untouched(state, &message);

    message.value = slice_of_text(TEXT("  { } "));
    assert_untouched(state, &message);
}

static void test_redaction__other_types_stay(void **state)
{
    struct message message =
        command_of(*state, "dev.catalyst.key.revoke.v1", packed(*state, "{'secret':'s'}"));
    assert_untouched(state, &message);

    message.value = slice_of_text(TEXT("{\"secret\":\"s\"}"));
    assert_untouched(state, &message);
}

static void test_redaction__damaged_body_ends_at_the_first_name(void **state)
{
    const struct {
        struct slice body;
        struct slice left;
    } cases[] = {
        /* cut; cut behind the secret; bytes behind the end; an array; ext holds a body */
        {hex(*state, "81 a6736563726574"), hex(*state, "81 a6")},
        {hex(*state, "82 a6736563726574 a173 a161"), hex(*state, "82 a6")},
        {hex(*state, "81 a6736563726574 a173 00"), hex(*state, "81 a6")},
        {hex(*state, "92 a6736563726574 a173"), hex(*state, "92 a6")},
        {hex(*state, "81 a161 c7080581a6736563726574"), hex(*state, "81 a161 c7080581a6")},
        /* the text of another key swallowed the name: no text that UTF-8 knows */
        {hex(*state, "82 a17a01 a8 a6736563726574 a173 73"), hex(*state, "82 a17a01 a8 a6")},
        {slice_of_text(TEXT("{\"secret\":\"s\"")), slice_of_text(TEXT("{\""))},
        {slice_of_text(TEXT("{\"secret\":\"s\"} x")), slice_of_text(TEXT("{\""))},
        {slice_of_text(TEXT("{\"a\":1,\"TOKEN\":s}")), slice_of_text(TEXT("{\"a\":1,\""))},
        {slice_of_text(TEXT("{\"\\u0050lain\\u0054ext\":s}")), slice_of_text(TEXT("{\""))},
        {slice_of_text(TEXT("{\"\\secret\":s}")), slice_of_text(TEXT("{\""))},
        {slice_of_text(TEXT("[\"secret\"]")), slice_of_text(TEXT("[\""))},
        {slice_of_text(TEXT("\"{\\\"secret\\\":1}\"")), slice_of_text(TEXT("\"{\\\""))},
        {slice_of_text(TEXT("secret")), slice_of_text(TEXT(""))},
        {slice_of_text(TEXT("{\"secret\":\"\xff\"}")), slice_of_text(TEXT("{\""))},
        {slice_of_text(TEXT("{\"x\":1e400,\"secret\":1}")), slice_of_text(TEXT("{\"x\":1e400,\""))},
        {slice_of_text(TEXT("{\"x\":\"\\ud800\",\"secret\":1}")),
         slice_of_text(TEXT("{\"x\":\"\\ud800\",\""))},
        {slice_of_text(TEXT("{\"x\":NaN,\"secret\":1}")), slice_of_text(TEXT("{\"x\":NaN,\""))},
        {slice_of_text(TEXT("{\"data_base64\":\"e30\"")), slice_of_text(TEXT("{\""))},
        {{(const uint8_t *)"{\0s\0E\0c\0r\0e\0t\0:", 14}, {(const uint8_t *)"{\0", 2}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = command_of(*state, KEY_ISSUE_TYPE, cases[i].body);
        struct buffer expected;
        buffer_init(&expected, *state);
        buffer_append(&expected, cases[i].left.data, cases[i].left.length);
        buffer_append_literal(&expected, "[redacted]");
        assert_redacted(state, &message, buffer_slice(&expected));

        set_header(*state, &message, "ce_type", "dev.catalyst.identity.user.upsert.v1");
        if (i != 3 && i != 4 && i != 11)
            assert_redacted(state, &message, buffer_slice(&expected));
    }
}

static void test_redaction__damaged_body_without_a_name_stays(void **state)
{
    const struct slice bodies[] = {
        hex(*state, "91 a173"),   hex(*state, "c1"),        slice_of_text(TEXT("{\"secre")),
        slice_of_text(TEXT(" ")), {(const uint8_t *)"", 0}, {NULL, 0},
    };

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct message message = command_of(*state, KEY_ISSUE_TYPE, bodies[i]);
        assert_untouched(state, &message);
    }
}

static void test_redaction__unknown_types_at_any_depth(void **state)
{
    const char *const types[] = {"dev.catalyst.key.issue.v2", "DEV.CATALYST.KEY.ISSUE.V1", "",
                                 "other", NULL};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct message message =
            command_of(*state, "x", packed(*state, "{'a':[{'Secret':'s'}],'token':null}"));
        set_header(*state, &message, "ce_type", types[i]);
        assert_redacted(state, &message,
                        packed(*state, "{'a':[{'Secret':'[redacted]'}],'token':null}"));

        message.value = slice_of_text(quoted(*state, "{'a' : [{'myToken' : {'b':[1]} }]}"));
        assert_redacted(state, &message,
                        slice_of_text(quoted(*state, "{'a' : [{'myToken' : '[redacted]' }]}")));
    }
}

static void test_redaction__fields_that_a_key_issue_does_not_know_at_any_depth(void **state)
{
    struct message message =
        command_of(*state, KEY_ISSUE_TYPE,
                   packed(*state, "{'a':{'b':{'secret':'s'}},'metadata':{'token':1}}"));
    assert_redacted(state, &message,
                    packed(*state, "{'a':{'b':{'secret':'[redacted]'}},'metadata':{'token':1}}"));

    message.value =
        packed(*state, "{'owner':{'kind':'user','secret':'s'},'scopes':[{'token':'t'}]}");
    assert_redacted(state, &message,
                    packed(*state, "{'owner':{'kind':'user','secret':'[redacted]'},"
                                   "'scopes':[{'token':'[redacted]'}]}"));

    message.value =
        slice_of_text(quoted(*state, "{'dta':{'secret':'s'},'data':{'metadata':{'token':1}}}"));
    assert_redacted(state, &message,
                    slice_of_text(quoted(*state, "{'dta':{'secret':'[redacted]'},"
                                                 "'data':{'metadata':{'token':1}}}")));
}

static void test_redaction__keys_of_every_form(void **state)
{
    struct message message = command_of(*state, KEY_ISSUE_TYPE,
                                        hex(*state, "83 d906736563726574 01 da0006736563726574 02"
                                                    "db00000006736563726574 03"));
    assert_redacted(state, &message,
                    hex(*state, "83 d906736563726574 aa5b72656461637465645d"
                                "da0006736563726574 aa5b72656461637465645d"
                                "db00000006736563726574 aa5b72656461637465645d"));

    /* a key of another kind than text is damage */
    message.value = hex(*state, "82 01 02 c406736563726574 a173");
    assert_redacted(state, &message, hex(*state, "82 01 02 c406 5b72656461637465645d"));

    /* something stands between name and secret */
    message.value = hex(*state, "82 a6736563726574 90 a6733363723374 01");
    assert_redacted(state, &message,
                    hex(*state, "82 a6736563726574 aa5b72656461637465645d"
                                "aa5b72656461637465645d aa5b72656461637465645d"));

    /* a key that swallowed the value */
    message.value = hex(*state, "81 ac 736563726574783363723374 01");
    assert_redacted(state, &message,
                    hex(*state, "81 aa5b72656461637465645d aa5b72656461637465645d"));
}

static void test_redaction__headers_and_key(void **state)
{
    struct message message = command_of(*state, KEY_ISSUE_TYPE, packed(*state, "{'hash':5}"));
    add_header(*state, &message, "ce_secret", slice_of_text(TEXT(PLANTED)));
    add_header(*state, &message, "ce_data", slice_of_text(TEXT("{\"token\":\"" PLANTED "\"}")));
    add_header(*state, &message, "x", packed(*state, "{'secret':'" PLANTED "'}"));
    add_header(*state, &message, "cookie", slice_of_text(TEXT("token=" PLANTED)));
    add_header(*state, &message, "by", slice_of_text(TEXT("token-service")));
    set_header(*state, &message, "ce_source", "urn:token:service");
    message.key = slice_of_text(TEXT("{\"secret\":\"" PLANTED "\"}"));

    struct outgoing_record record = encode(state, &message);

    assert_text(header_text(&record, "catalyst-dlq-redacted"), "true");
    assert_text(header_text(&record, "ce_secret"), "[redacted]");
    assert_text(header_text(&record, "ce_data"), "[redacted]");
    assert_text(header_text(&record, "x"), "[redacted]");
    assert_text(header_text(&record, "cookie"), "[redacted]");
    assert_text(header_text(&record, "by"), "token-service");
    assert_text(header_text(&record, "ce_source"), "urn:token:service");
    assert_text(text_of_slice(record.key), "[redacted]");

    message.key = slice_of_text(TEXT("token:1"));
    set_header(*state, &message, "ce_source", "https://h/x?token=" PLANTED);
    record = encode(state, &message);
    assert_text(text_of_slice(record.key), "token:1");
    assert_text(header_text(&record, "ce_source"), "[redacted]");

    /* what cannot hold a key's secret goes out as it came */
    set_header(*state, &message, "ce_type", "dev.catalyst.key.revoke.v1");
    assert_untouched(state, &message);
}

static struct message structured(void **state, const char *json)
{
    struct message message = {.topic = TEXT("t"), .value = slice_of_text(quoted(*state, json))};

    set_header(*state, &message, "content-type", "application/cloudevents+json");
    return message;
}

static void test_redaction__structured_mode(void **state)
{
    struct message message = structured(
        state, "{'data' : {'secret':'s','x':1}, 'type':'" KEY_ISSUE_TYPE "','secret':'kept'}");

    assert_redacted(
        state, &message,
        slice_of_text(quoted(*state, "{'data' : {'secret':'[redacted]','x':1}, "
                                     "'type':'" KEY_ISSUE_TYPE "','secret':'[redacted]'}")));

    /* without a content type either */
    set_header(*state, &message, "content-type", NULL);
    assert_redacted(
        state, &message,
        slice_of_text(quoted(*state, "{'data' : {'secret':'[redacted]','x':1}, "
                                     "'type':'" KEY_ISSUE_TYPE "','secret':'[redacted]'}")));

    message = structured(state, "{'type':'dev.catalyst.identity.user.upsert.v1',"
                                "'data':{'secret':'s'},'data_base64':'***'}");
    assert_untouched(state, &message);

    message = structured(state, "{'type':'other','data':{'a':{'secret':'s'}}}");
    assert_redacted(
        state, &message,
        slice_of_text(quoted(*state, "{'type':'other','data':{'a':{'secret':'[redacted]'}}}")));

    message = structured(state, "{'type':'" KEY_ISSUE_TYPE "','data':'{\\'secret\\':1}'}");
    assert_redacted(
        state, &message,
        slice_of_text(quoted(*state, "{'type':'" KEY_ISSUE_TYPE "','data':'[redacted]'}")));

    message = structured(state, "{'type':'" KEY_ISSUE_TYPE "','data':[1]}");
    assert_untouched(state, &message);

    message = structured(state, "{'type':'" KEY_ISSUE_TYPE "','data':{'secret':'s'}");
    assert_redacted(
        state, &message,
        slice_of_text(quoted(*state, "{'type':'" KEY_ISSUE_TYPE "','data':{'[redacted]")));
}

static struct slice with_base64(void **state, struct slice data)
{
    struct buffer json;

    buffer_init(&json, *state);
    buffer_append_text(&json, quoted(*state, "{'type':'" KEY_ISSUE_TYPE "','data_base64':'"));
    base64_append(&json, data);
    buffer_append_literal(&json, "\"}");
    return buffer_slice(&json);
}

static void test_redaction__structured_base64(void **state)
{
    struct message message = structured(state, "{}");

    message.value = with_base64(state, packed(*state, "{'secret':'s'}"));
    assert_redacted(state, &message, with_base64(state, packed(*state, "{'secret':'[redacted]'}")));

    message.value = with_base64(state, slice_of_text(TEXT("{\"token\":\"s\"}")));
    assert_redacted(state, &message,
                    with_base64(state, slice_of_text(TEXT("{\"token\":\"[redacted]\"}"))));

    message.value = with_base64(state, packed(*state, "{'hash':'h'}"));
    assert_untouched(state, &message);

    message = structured(state, "{'type':'" KEY_ISSUE_TYPE "','data_base64':'***'}");
    assert_redacted(
        state, &message,
        slice_of_text(quoted(*state, "{'type':'" KEY_ISSUE_TYPE "','data_base64':'[redacted]'}")));

    message.value = with_base64(state, hex(*state, "82 a6736563726574 a173"));
    assert_redacted(
        state, &message,
        slice_of_text(quoted(*state, "{'type':'" KEY_ISSUE_TYPE "','data_base64':'[redacted]'}")));
}

/* --- property: a planted secret is not readable, whatever happens to the bytes around its name ---
 */

enum { MUTATIONS = 150000, MUTATED_MAX_BYTES = 1024 };

struct mutated {
    uint8_t bytes[MUTATED_MAX_BYTES];
    size_t length;
    size_t name; /* where the name begins */
};

static size_t find_bytes(struct slice in, const char *what)
{
    size_t length = strlen(what);

    for (size_t at = 0; at + length <= in.length; at++) {
        if (memcmp(in.data + at, what, length) == 0)
            return at;
    }
    return SIZE_MAX;
}

static void mutated_init(struct mutated *body, struct slice original, const char *name)
{
    assert_true(original.length <= MUTATED_MAX_BYTES / 2);
    memcpy(body->bytes, original.data, original.length);
    body->length = original.length;
    body->name = find_bytes(original, name);
    assert_true(body->name < original.length);
}

/* One byte changed, put in or taken out, or the end cut off; never inside the name. */
static void mutate(struct mutated *body, size_t name_length, struct random *random)
{
    static const uint8_t likely[] = "\"\\{}[],: \0\x80\x81\x85\x90\x9a\xa1\xa6\xa7\xc0\xc4\xc7"
                                    "\xd9\xde\xdf\xff\xc1";
    size_t at = random_below(random, body->length);
    uint8_t byte = random_below(random, 2) == 0 ? (uint8_t)random_next(random)
                                                : likely[random_below(random, sizeof(likely))];

    bool inside = at >= body->name && at < body->name + name_length;
    switch (random_below(random, 4)) {
    case 0:
        if (!inside)
            body->bytes[at] = byte;
        break;
    case 1:
        if (at > body->name && at < body->name + name_length)
            break;
        memmove(body->bytes + at + 1, body->bytes + at, body->length - at);
        body->bytes[at] = byte;
        body->length++;
        body->name += at <= body->name;
        break;
    case 2:
        if (inside)
            break;
        memmove(body->bytes + at, body->bytes + at + 1, body->length - at - 1);
        body->length--;
        body->name -= at < body->name;
        break;
    default:
        if (at >= body->name + name_length)
            body->length = at;
        break;
    }
}

/* The longest beginning of the secret that may stay: four letters tell nothing here, and a shorter
 * one may come about by chance. */
#define READABLE "s3cr"

static void assert_unreadable(const struct outgoing_record *record, const struct mutated *body)
{
    bool readable = find_bytes(record->value, READABLE) != SIZE_MAX ||
                    find_bytes(record->key, READABLE) != SIZE_MAX;

    for (size_t i = 0; i < record->header_count; i++)
        readable = readable || find_bytes(record->headers[i].value, READABLE) != SIZE_MAX;
    if (!readable)
        return;
    for (size_t i = 0; i < body->length; i++)
        fprintf(stderr, "%02x", body->bytes[i]);
    fail_msg("a secret is readable in the letter of the body above");
}

static void test_redaction__no_mutation_leaves_a_secret_readable(void **state)
{
    static const char *const types[] = {KEY_ISSUE_TYPE, "dev.catalyst.key.issue.v2",
                                        "DEV.CATALYST.KEY.ISSUE.V1"};
    static const char *const names[] = {"secret", "token", "plaintext"};
    static const char *const content_types[] = {"application/vnd.msgpack", "application/json",
                                                "application/cloudevents+json", NULL};
    struct random random = {20260};

    for (int i = 0; i < MUTATIONS; i++) {
        const char *name = names[random_below(&random, 3)];
        size_t shape = random_below(&random, 3);
        char *json = arena_printf(*state,
                                  "%s{'id':'k','hash':'h','owner':{'kind':'user','id':'u'},"
                                  "'scopes':[],'%s':'" PLANTED "','x':[1,{'y':null}]}%s",
                                  shape == 2 ? "{'type':'" KEY_ISSUE_TYPE "','data':" : "", name,
                                  shape == 2 ? ",'id':'1'}" : "");
        struct mutated body;
        mutated_init(&body, shape == 0 ? packed(*state, json) : slice_of_text(quoted(*state, json)),
                     name);
        struct message message = command_of(*state, types[random_below(&random, 3)],
                                            (struct slice){body.bytes, body.length});
        set_header(*state, &message, "content-type", content_types[random_below(&random, 4)]);
        for (size_t left = 1 + random_below(&random, 3); left > 0; left--)
            mutate(&body, strlen(name), &random);
        message.value.length = body.length;

        struct outgoing_record record = encode(state, &message);

        assert_unreadable(&record, &body);
        arena_reset(*state);
    }
}

/* The same with the body in data_base64, where the bytes mutated are those of the text. */
static void test_redaction__no_mutation_leaves_a_secret_readable_in_base64(void **state)
{
    struct random random = {20261};

    for (int i = 0; i < MUTATIONS / 4; i++) {
        struct slice data = packed(*state, "{'hash':'h','secret':'" PLANTED "','x':1}");
        struct slice event = with_base64(state, data);
        struct mutated body;
        size_t first = find_bytes(data, "secret") * 8 / 6;
        size_t end = ((find_bytes(data, "secret") + strlen("secret")) * 8 + 5) / 6;
        mutated_init(&body, event, "data_base64");
        body.name += strlen("data_base64':'") + first; /* what says "secret" in base 64 */
        for (size_t left = 1 + random_below(&random, 2); left > 0; left--)
            mutate(&body, end - first, &random);
        struct message message = structured(state, "{}");
        message.value = (struct slice){body.bytes, body.length};

        struct outgoing_record record = encode(state, &message);

        assert_unreadable(&record, &body);
        for (size_t skipped = 0; skipped < record.value.length; skipped++) {
            struct text rest = {(const char *)record.value.data + skipped,
                                (record.value.length - skipped) / 4 * 4};
            struct slice bytes;
            struct err err;
            while (rest.length >= 8) {
                if (base64_decode(rest, *state, &bytes, &err) == OUTCOME_OK) {
                    if (find_bytes(bytes, READABLE) != SIZE_MAX)
                        fail_msg("a secret is readable in %.*s", (int)record.value.length,
                                 (const char *)record.value.data);
                    break;
                }
                rest.length -= 4;
            }
        }
        arena_reset(*state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redaction__msgpack),
        cmocka_unit_test(test_redaction__msgpack_other_bytes_stay),
        cmocka_unit_test(test_redaction__json_other_bytes_stay),
        cmocka_unit_test(test_redaction__whatever_the_content_type_says),
        cmocka_unit_test(test_redaction__type_given_twice),
        cmocka_unit_test(test_redaction__nil_and_what_lies_deeper_stay),
        cmocka_unit_test(test_redaction__other_types_stay),
        cmocka_unit_test(test_redaction__damaged_body_ends_at_the_first_name),
        cmocka_unit_test(test_redaction__damaged_body_without_a_name_stays),
        cmocka_unit_test(test_redaction__unknown_types_at_any_depth),
        cmocka_unit_test(test_redaction__fields_that_a_key_issue_does_not_know_at_any_depth),
        cmocka_unit_test(test_redaction__keys_of_every_form),
        cmocka_unit_test(test_redaction__headers_and_key),
        cmocka_unit_test(test_redaction__structured_mode),
        cmocka_unit_test(test_redaction__structured_base64),
        cmocka_unit_test(test_redaction__no_mutation_leaves_a_secret_readable),
        cmocka_unit_test(test_redaction__no_mutation_leaves_a_secret_readable_in_base64),
    };

    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
