/* The reader, the bounds check, the writer and the two ways between MessagePack and JSON. */
#include <stdio.h>
#include <time.h>

#include "base/timestamp.h"
#include "events/wire/json_to_msgpack.h"
#include "events/wire/msgpack_bounds.h"
#include "events/wire/msgpack_reader.h"
#include "events/wire/msgpack_to_json.h"
#include "events/wire/msgpack_writer.h"
#include "support.h"

/* --- reader --- */

static void test_msgpack_next__reads_every_head(void **state)
{
    static const struct {
        const char *bytes;
        enum msgpack_kind kind;
        int64_t number; /* of an integer, a boolean; count or length of the others */
    } cases[] = {
        {"c0", MSGPACK_NIL, 0},
        {"c2", MSGPACK_BOOL, 0},
        {"c3", MSGPACK_BOOL, 1},
        {"00", MSGPACK_INT, 0},
        {"7f", MSGPACK_INT, 127},
        {"e0", MSGPACK_INT, -32},
        {"ff", MSGPACK_INT, -1},
        {"cc ff", MSGPACK_INT, 255},
        {"cd ffff", MSGPACK_INT, 65535},
        {"ce ffffffff", MSGPACK_INT, 4294967295},
        {"cf 7fffffffffffffff", MSGPACK_INT, INT64_MAX},
        {"cf 8000000000000000", MSGPACK_BIG_INT, 0},
        {"d0 80", MSGPACK_INT, -128},
        {"d1 8000", MSGPACK_INT, -32768},
        {"d2 80000000", MSGPACK_INT, -2147483648},
        {"d3 8000000000000000", MSGPACK_INT, INT64_MIN},
        {"d3 7fffffffffffffff", MSGPACK_INT, INT64_MAX},
        {"a0", MSGPACK_TEXT, 0},
        {"a1 61", MSGPACK_TEXT, 1},
        {"d9 01 61", MSGPACK_TEXT, 1},
        {"da 0001 61", MSGPACK_TEXT, 1},
        {"db 00000001 61", MSGPACK_TEXT, 1},
        {"c4 01 00", MSGPACK_BINARY, 1},
        {"c5 0001 00", MSGPACK_BINARY, 1},
        {"c6 00000001 00", MSGPACK_BINARY, 1},
        {"c7 01 05 00", MSGPACK_EXT, 1},
        {"c8 0001 05 00", MSGPACK_EXT, 1},
        {"c9 00000001 05 00", MSGPACK_EXT, 1},
        {"d4 05 00", MSGPACK_EXT, 1},
        {"d5 05 0000", MSGPACK_EXT, 2},
        {"d6 05 00000000", MSGPACK_EXT, 4},
        {"d7 05 0000000000000000", MSGPACK_EXT, 8},
        {"d8 05 00000000000000000000000000000000", MSGPACK_EXT, 16},
        {"91 c0", MSGPACK_ARRAY, 1},
        {"dc 0001 c0", MSGPACK_ARRAY, 1},
        {"dd 00000001 c0", MSGPACK_ARRAY, 1},
        {"81 c0 c0", MSGPACK_MAP, 1},
        {"de 0001 c0 c0", MSGPACK_MAP, 1},
        {"df 00000001 c0 c0", MSGPACK_MAP, 1},
        {"c1", MSGPACK_RESERVED, 0},
        {"", MSGPACK_CUT, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct msgpack_reader reader = msgpack_reader_of(hex(*state, cases[i].bytes));
        struct msgpack_item item = {.kind = MSGPACK_NIL};

        assert_int_equal(msgpack_peek(&reader), cases[i].kind);
        assert_int_equal(msgpack_next(&reader, &item), cases[i].kind);

        if (item.kind == MSGPACK_INT)
            assert_true(item.integer == cases[i].number);
        else if (item.kind == MSGPACK_BOOL)
            assert_int_equal(item.boolean, cases[i].number);
        else if (item.kind == MSGPACK_ARRAY || item.kind == MSGPACK_MAP)
            assert_int_equal(item.count, cases[i].number);
        else if (item.kind == MSGPACK_TEXT || item.kind == MSGPACK_EXT)
            assert_int_equal(item.bytes.length, cases[i].number);
        if (item.kind == MSGPACK_EXT)
            assert_int_equal(item.ext_type, 5);
    }
}

static void test_msgpack_next__every_cut_is_cut_and_does_not_move(void **state)
{
    static const char *const whole[] = {
        "cc ff",
        "cd ffff",
        "ce ffffffff",
        "cf 7fffffffffffffff",
        "d0 80",
        "d1 8000",
        "d2 80000000",
        "d3 8000000000000000",
        "ca 3f800000",
        "cb 3ff0000000000000",
        "a2 6161",
        "d9 02 6161",
        "da 0002 6161",
        "db 00000002 6161",
        "c4 02 0000",
        "c5 0002 0000",
        "c6 00000002 0000",
        "c7 02 05 0000",
        "c8 0002 05 0000",
        "c9 00000002 05 0000",
        "d4 05 00",
        "d5 05 0000",
        "d6 05 00000000",
    };

    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        struct slice bytes = hex(*state, whole[i]);
        for (size_t length = 0; length < bytes.length; length++) {
            struct msgpack_reader reader = {bytes.data, bytes.data + length};
            struct msgpack_item item;

            assert_int_equal(msgpack_next(&reader, &item), MSGPACK_CUT);

            assert_ptr_equal(reader.at, bytes.data);
        }
    }
}

static void test_msgpack_next__counts_beyond_the_bytes_are_cut(void **state)
{
    static const char *const lying[] = {"dd ffffffff", "df ffffffff", "dc ffff",       "de ffff",
                                        "9f",          "8f",          "df 00000001 c0"};

    for (size_t i = 0; i < sizeof(lying) / sizeof(lying[0]); i++) {
        struct msgpack_reader reader = msgpack_reader_of(hex(*state, lying[i]));
        struct msgpack_item item;

        assert_int_equal(msgpack_next(&reader, &item), MSGPACK_CUT);
    }
}

static void test_msgpack_next__floats(void **state)
{
    struct msgpack_reader reader =
        msgpack_reader_of(hex(*state, "ca 3fc00000 cb bff8000000000000"));
    struct msgpack_item item;

    assert_int_equal(msgpack_next(&reader, &item), MSGPACK_FLOAT);
    assert_true(item.real == 1.5);

    assert_int_equal(msgpack_next(&reader, &item), MSGPACK_FLOAT);
    assert_true(item.real == -1.5);
}

static void test_msgpack_take__gives_one_whole_value(void **state)
{
    struct slice bytes = hex(*state, "82 a161 93 01 02 80 a162 c0 a3 656e64");
    struct msgpack_reader reader = msgpack_reader_of(bytes);
    struct slice value;

    assert_true(msgpack_take(&reader, &value));

    assert_ptr_equal(value.data, bytes.data);
    assert_int_equal(value.length, 10);
    assert_int_equal(msgpack_peek(&reader), MSGPACK_TEXT);
}

static void test_msgpack_take__cut_inside_is_refused(void **state)
{
    struct msgpack_reader reader = msgpack_reader_of(hex(*state, "92 92 01 01"));
    struct slice value;

    assert_false(msgpack_take(&reader, &value));
}

static void test_msgpack_timestamp__three_forms(void **state)
{
    static const struct {
        const char *bytes;
        const char *text; /* NULL: refused */
    } cases[] = {
        {"d6 ff 00000001", "1970-01-01T00:00:01.000000Z"},
        {"d6 ff ffffffff", "2106-02-07T06:28:15.000000Z"},
        {"d7 ff ee6b27fc 00000001", "1970-01-01T00:00:01.999999Z"}, /* 999999999 ns */
        {"d7 ff ee6b2800 00000001", NULL},                          /* 1000000000 ns */
        {"d7 ff 00000003 ffffffff", "2514-05-30T01:53:03.000000Z"},
        {"c7 0c ff 3b9ac9ff ffffffffffffffff", "1969-12-31T23:59:59.999999Z"},
        {"c7 0c ff 3b9aca00 0000000000000000", NULL},
        {"c7 0c ff 00000000 fffffff1886e0900", "0001-01-01T00:00:00.000000Z"},
        {"c7 0c ff 00000000 fffffff1886e08ff", NULL},
        {"c7 0c ff 3b9ac9ff 0000003afff4417f", "9999-12-31T23:59:59.999999Z"},
        {"c7 0c ff 00000000 0000003afff44180", NULL},
        {"c7 0c ff 00000000 7fffffffffffffff", NULL},
        {"c7 0c ff 00000000 8000000000000000", NULL},
        {"d6 01 00000001", NULL}, /* another extension */
        {"d5 ff 0001", NULL},     /* two bytes */
        {"c7 00 ff", NULL},
        {"01", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct msgpack_reader reader = msgpack_reader_of(hex(*state, cases[i].bytes));
        struct msgpack_item item;
        int64_t us = 0;
        char text[TIMESTAMP_TEXT_LENGTH + 1];

        msgpack_next(&reader, &item);
        bool taken = msgpack_item_time(&item, &us);

        assert_int_equal(taken, cases[i].text != NULL);
        if (!taken)
            continue;
        timestamp_format(us, text);
        assert_string_equal(text, cases[i].text);
    }
}

/* --- bounds --- */

static enum outcome check(struct slice bytes, struct msgpack_fault *fault)
{
    *fault = (struct msgpack_fault){NULL, TEXT_ABSENT};
    return msgpack_check(bytes, fault);
}

static void test_msgpack_check__malformed_shapes(void **state)
{
    static const struct {
        const char *bytes;
        const char *rule;
        const char *field;
    } cases[] = {
        {"", "empty", NULL},
        {"c1", "not MessagePack: byte 0xc1", NULL},
        {"81 a161 c1", "not MessagePack: byte 0xc1", "a"},
        {"df 7fffffff", "not MessagePack: it ends before its lengths do", NULL},
        {"dd ffffffff", "not MessagePack: it ends before its lengths do", NULL},
        {"db ffffffff 61", "not MessagePack: it ends before its lengths do", NULL},
        {"82 a161 01", "not MessagePack: it ends before its lengths do", NULL},
        {"81 a161 a5 61", "not MessagePack: it ends before its lengths do", "a"},
        {"80 00", "bytes behind the end of the value", NULL},
        {"81 01 02", "map keys must be text", NULL},
        {"81 a161 81 c0 c0", "map keys must be text", "a"},
        {"81 c4 01 61 01", "map keys must be text", NULL},
        {"82 a161 01 a161 02", "a map holds the same key twice", NULL},
        {"81 a162 82 a161 01 a161 02", "a map holds the same key twice", "b"},
        {"81 a162 82 a161 01 d9 01 61 02", "a map holds the same key twice", "b"},
        {"81 a161 a1 ff", "text must be valid UTF-8", "a"},
        {"81 a2 c080 01", "text must be valid UTF-8", NULL},
        {"81 a161 a1 00", "text must not contain U+0000", "a"},
        {"82 a161 c0 a162 a2 6100", "text must not contain U+0000", "b"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct msgpack_fault fault;

        assert_int_equal(check(hex(*state, cases[i].bytes), &fault), OUTCOME_REJECT);

        assert_string_equal(fault.rule, cases[i].rule);
        if (cases[i].field == NULL)
            assert_absent(fault.field);
        else
            assert_text(fault.field, cases[i].field);
    }
}

static void test_msgpack_check__takes_what_fields_may_refuse(void **state)
{
    static const char *const fine[] = {
        "80",
        "c0",
        "82 a161 c4 01 00 a162 c7 01 05 00",
        "81 a161 cb 7ff8000000000000",
        "81 a161 cf ffffffffffffffff",
        "82 a161 81 a161 01 a162 81 a161 02", /* the same key in different maps */
        "92 81 a161 01 81 a161 01",
        "81 a0 a0",
    };

    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        struct msgpack_fault fault;

        assert_int_equal(check(hex(*state, fine[i]), &fault), OUTCOME_OK);
    }
}

static void test_msgpack_check__depth_64_passes_65_does_not(void **state)
{
    uint8_t bytes[66];
    struct msgpack_fault fault;

    (void)state;
    memset(bytes, 0x91, sizeof(bytes));
    bytes[63] = 0x90;
    assert_int_equal(check((struct slice){bytes, 64}, &fault), OUTCOME_OK);

    bytes[63] = 0x91;
    bytes[64] = 0x01;
    assert_int_equal(check((struct slice){bytes, 65}, &fault), OUTCOME_OK);

    bytes[64] = 0x90;
    assert_int_equal(check((struct slice){bytes, 65}, &fault), OUTCOME_REJECT);
    assert_string_equal(fault.rule, "nested deeper than 64");
}

static void test_msgpack_check__length_at_the_limit(void **state)
{
    uint8_t *bytes = arena_alloc(*state, MSGPACK_MAX_BYTES + 1);
    struct msgpack_fault fault;
    const uint32_t text_length = MSGPACK_MAX_BYTES - 5;

    assert_non_null(bytes);
    memset(bytes, 'x', MSGPACK_MAX_BYTES + 1);
    bytes[0] = 0xdb;
    for (size_t i = 0; i < 4; i++)
        bytes[1 + i] = (uint8_t)(text_length >> (24 - 8 * i));

    assert_int_equal(check((struct slice){bytes, MSGPACK_MAX_BYTES}, &fault), OUTCOME_OK);

    assert_int_equal(check((struct slice){bytes, MSGPACK_MAX_BYTES + 1}, &fault), OUTCOME_REJECT);
    assert_string_equal(fault.rule, "longer than 983040 bytes");
}

static void append_key(struct buffer *buffer, size_t number)
{
    char key[8];
    snprintf(key, sizeof(key), "%06zu", number);
    msgpack_write_text(buffer, text_of(key));
    msgpack_write_nil(buffer);
}

static void test_msgpack_check__large_maps_find_a_repeated_key_quickly(void **state)
{
    enum { KEYS = 100000 };
    struct msgpack_fault fault;
    struct buffer buffer;
    clock_t begun = clock();

    buffer_init(&buffer, *state);
    msgpack_write_map(&buffer, KEYS + 1);
    for (size_t i = 0; i < KEYS; i++)
        append_key(&buffer, i);
    append_key(&buffer, KEYS / 3);
    assert_int_equal(check(buffer_slice(&buffer), &fault), OUTCOME_REJECT);
    assert_string_equal(fault.rule, "a map holds the same key twice");

    buffer.length -= 8;
    append_key(&buffer, KEYS);
    assert_int_equal(check(buffer_slice(&buffer), &fault), OUTCOME_OK);

    /* comparing all pairs would take minutes */
    assert_true((double)(clock() - begun) / CLOCKS_PER_SEC < 5.0);
}

static void test_msgpack_check__random_values_pass_and_their_cuts_do_not(void **state)
{
    struct random random = {20260101};

    for (int round = 0; round < 300; round++) {
        arena_reset(*state);
        struct slice value = random_value(&random, *state, 5);
        struct msgpack_fault fault;

        assert_int_equal(check(value, &fault), OUTCOME_OK);

        struct slice cut = {value.data, random_below(&random, value.length)};
        assert_int_equal(check(cut, &fault), OUTCOME_REJECT);
    }
}

/* --- writer --- */

static void test_msgpack_write_int__shortest_form_at_every_edge(void **state)
{
    static const int64_t edges[] = {
        0,         1,  127, 128, 255,  256,  65535,  65536,  4294967295, 4294967296,
        INT64_MAX, -1, -32, -33, -128, -129, -32768, -32769, INT32_MIN,  (int64_t)INT32_MIN - 1,
        INT64_MIN};

    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        struct buffer buffer;
        char json[32];
        snprintf(json, sizeof(json), "%lld", (long long)edges[i]);

        buffer_init(&buffer, *state);
        msgpack_write_int(&buffer, edges[i]);

        assert_slice(buffer_slice(&buffer), packed(*state, json));
    }
}

static void test_msgpack_write__golden_bytes(void **state)
{
    struct buffer buffer;

    buffer_init(&buffer, *state);
    msgpack_write_map(&buffer, 5);
    msgpack_write_text(&buffer, TEXT("t"));
    msgpack_write_time(&buffer, 0);
    msgpack_write_text(&buffer, TEXT("f"));
    msgpack_write_double(&buffer, 1.0);
    msgpack_write_text(&buffer, TEXT("b"));
    msgpack_write_bool(&buffer, true);
    msgpack_write_text(&buffer, TEXT("n"));
    msgpack_write_nil(&buffer);
    msgpack_write_text(&buffer, TEXT("a"));
    msgpack_write_array(&buffer, 1);
    msgpack_write_bool(&buffer, false);

    assert_slice(buffer_slice(&buffer),
                 hex(*state, "85 a174 bb 313937302d30312d30315430303a30303a30302e3030303030305a"
                             "a166 cb 3ff0000000000000 a162 c3 a16e c0 a161 91 c2"));
}

static void test_msgpack_write__lengths_at_every_edge(void **state)
{
    static const struct {
        uint32_t count;
        const char *text;
        const char *array;
        const char *map;
    } cases[] = {
        {15, "af", "9f", "8f"},
        {16, "b0", "dc 0010", "de 0010"},
        {31, "bf", "dc 001f", "de 001f"},
        {32, "d9 20", "dc 0020", "de 0020"},
        {255, "d9 ff", "dc 00ff", "de 00ff"},
        {256, "da 0100", "dc 0100", "de 0100"},
        {65535, "da ffff", "dc ffff", "de ffff"},
        {65536, "db 00010000", "dd 00010000", "df 00010000"},
    };
    char *zeros = arena_calloc(*state, 1, 65536);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer buffer;

        buffer_init(&buffer, *state);
        msgpack_write_text(&buffer, (struct text){zeros, cases[i].count});
        buffer.length -= cases[i].count;
        assert_slice(buffer_slice(&buffer), hex(*state, cases[i].text));

        buffer_init(&buffer, *state);
        msgpack_write_array(&buffer, cases[i].count);
        assert_slice(buffer_slice(&buffer), hex(*state, cases[i].array));

        buffer_init(&buffer, *state);
        msgpack_write_map(&buffer, cases[i].count);
        assert_slice(buffer_slice(&buffer), hex(*state, cases[i].map));
    }
}

static void test_msgpack_write_canonical__as_msgpack_c_packs_it(void **state)
{
    struct random random = {7};

    for (int round = 0; round < 500; round++) {
        arena_reset(*state);
        struct slice value = random_value(&random, *state, 5);
        struct buffer buffer;

        buffer_init(&buffer, *state);
        msgpack_write_canonical(&buffer, value);

        assert_slice(buffer_slice(&buffer), oracle_canonical(*state, value));
    }
}

/* --- JSON --- */

static struct text json_of(void **state, struct slice value, enum msgpack_to_json_mode mode)
{
    struct buffer buffer;

    buffer_init(&buffer, *state);
    assert_null(msgpack_to_json(&buffer, value, mode));
    assert_false(buffer.full);
    return buffer_text(&buffer);
}

static void test_json_text__keeps_order_and_kinds(void **state)
{
    const char *json =
        "{'z':1,'a':[true,false,null,-1.5,2.0,'x'],'m':{},'l':[],'n':{'o':{'p':[[]]}}}";

    struct text text = json_of(state, packed(*state, json), JSON_STORED);

    assert_text(text, quoted(*state, json).data);
}

static void test_json_text__stored_refuses_what_json_cannot_hold(void **state)
{
    static const struct {
        const char *bytes;
        const char *rule;
    } cases[] = {
        {"81 a161 c4 01 00", "must not hold binary values"},
        {"81 a161 d6 ff 00000001", "must not hold extension types"},
        {"91 cb 7ff8000000000000", "must not hold NaN or infinity"},
        {"91 cb 7ff0000000000000", "must not hold NaN or infinity"},
        {"91 ca ff800000", "must not hold NaN or infinity"},
        {"91 cf 8000000000000000", "must not hold integers past 9223372036854775807"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer buffer;

        buffer_init(&buffer, *state);
        const char *rule = msgpack_to_json(&buffer, hex(*state, cases[i].bytes), JSON_STORED);

        assert_non_null(rule);
        assert_string_equal(rule, cases[i].rule);
    }
}

static void test_json_text__shown_has_a_form_for_everything(void **state)
{
    struct slice value =
        hex(*state, "98 c4 02 00ff d6 ff 00000001 d4 05 61 cb 7ff8000000000000"
                    "cb 7ff0000000000000 cb fff0000000000000 cf ffffffffffffffff c4 00");

    struct text text = json_of(state, value, JSON_SHOWN);

    assert_text(text, "[{\"base64\":\"AP8=\"},\"1970-01-01T00:00:01.000000Z\","
                      "{\"ext\":5,\"base64\":\"YQ==\"},\"NaN\",\"Infinity\",\"-Infinity\","
                      "18446744073709551615,{\"base64\":\"\"}]");
}

static void test_json_packed__gives_back_what_json_text_wrote(void **state)
{
    struct random random = {99};

    for (int round = 0; round < 500; round++) {
        arena_reset(*state);
        struct slice value = random_value(&random, *state, 5);
        struct slice back;
        struct err err = {.text = ""};

        struct text json = json_of(state, value, JSON_STORED);
        assert_int_equal(json_to_msgpack(json, *state, &back, &err), OUTCOME_OK);

        assert_slice(back, oracle_canonical(*state, value));
        struct text again = json_of(state, back, JSON_STORED);
        assert_slice(slice_of_text(again), slice_of_text(json));
    }
}

static void test_json_packed__what_is_refused_and_why(void **state)
{
    static const struct {
        const char *json;
        const char *text;
    } cases[] = {
        {"", "not JSON: it ends too early (line 1, column 0)"},
        {"{", "not JSON: it ends too early (line 1, column 1)"},
        {"{'a':}", "not JSON (line 1, column 6)"},
        {"{'a':1} x", "not JSON: something follows the value (line 1, column 9)"},
        {"{'a':1,'a':2}", "an object holds the same key twice (line 1, column 10)"},
        {"['\\u0000']", "text must not contain U+0000 (line 1, column 9)"},
        {"{'\\u0000':1}", "text must not contain U+0000 (line 1, column 9)"},
        {"[9223372036854775808]",
         "a number is out of range (integers: 64 bits, signed) (line 1, column 20)"},
        {"[1e999]", "a number is out of range (integers: 64 bits, signed) (line 1, column 6)"},
        {"['\xff']", "text must be valid UTF-8 (line 1, column 2)"},
        {"[NaN]", "not JSON (line 1, column 4)"},
        {"['\\ud800']", "not JSON (line 1, column 9)"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice value;
        struct err err = {.text = ""};

        assert_int_equal(json_to_msgpack(quoted(*state, cases[i].json), *state, &value, &err),
                         OUTCOME_REJECT);

        assert_string_equal(err.text, cases[i].text);
        assert_string_equal(err.code, "body");
    }
}

static void test_json_packed__depth(void **state)
{
    char json[140];
    struct slice value;
    struct err err = {.text = ""};

    memset(json, '[', 65);
    memset(json + 65, ']', 65);
    assert_int_equal(json_to_msgpack((struct text){json + 1, 128}, *state, &value, &err),
                     OUTCOME_OK);

    assert_int_equal(json_to_msgpack((struct text){json, 130}, *state, &value, &err),
                     OUTCOME_REJECT);
    assert_string_equal(err.text, "nested deeper than 64");

    char *deep = arena_alloc(*state, 100000);
    memset(deep, '[', 100000);
    assert_int_equal(json_to_msgpack((struct text){deep, 100000}, *state, &value, &err),
                     OUTCOME_REJECT);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
}

static void test_json_packed__full_arena_is_fatal(void **state)
{
    struct arena *small = arena_new(1);
    struct slice value;
    struct err err = {.text = ""};

    (void)state;
    assert_int_equal(json_to_msgpack(TEXT("[1]"), small, &value, &err), OUTCOME_FULL);

    arena_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_msgpack_next__reads_every_head),
        cmocka_unit_test(test_msgpack_next__every_cut_is_cut_and_does_not_move),
        cmocka_unit_test(test_msgpack_next__counts_beyond_the_bytes_are_cut),
        cmocka_unit_test(test_msgpack_next__floats),
        cmocka_unit_test(test_msgpack_take__gives_one_whole_value),
        cmocka_unit_test(test_msgpack_take__cut_inside_is_refused),
        cmocka_unit_test(test_msgpack_timestamp__three_forms),
        cmocka_unit_test(test_msgpack_check__malformed_shapes),
        cmocka_unit_test(test_msgpack_check__takes_what_fields_may_refuse),
        cmocka_unit_test(test_msgpack_check__depth_64_passes_65_does_not),
        cmocka_unit_test(test_msgpack_check__length_at_the_limit),
        cmocka_unit_test(test_msgpack_check__large_maps_find_a_repeated_key_quickly),
        cmocka_unit_test(test_msgpack_check__random_values_pass_and_their_cuts_do_not),
        cmocka_unit_test(test_msgpack_write_int__shortest_form_at_every_edge),
        cmocka_unit_test(test_msgpack_write__golden_bytes),
        cmocka_unit_test(test_msgpack_write__lengths_at_every_edge),
        cmocka_unit_test(test_msgpack_write_canonical__as_msgpack_c_packs_it),
        cmocka_unit_test(test_json_text__keeps_order_and_kinds),
        cmocka_unit_test(test_json_text__stored_refuses_what_json_cannot_hold),
        cmocka_unit_test(test_json_text__shown_has_a_form_for_everything),
        cmocka_unit_test(test_json_packed__gives_back_what_json_text_wrote),
        cmocka_unit_test(test_json_packed__what_is_refused_and_why),
        cmocka_unit_test(test_json_packed__depth),
        cmocka_unit_test(test_json_packed__full_arena_is_fatal),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
