#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json_writer.h"
#include "base/timestamp.h"

enum { ARENA_BYTES = 64 * 1024 };

struct fixture {
    struct arena *arena;
    struct buffer out;
    struct json_writer json;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture.arena = arena_new(ARENA_BYTES);
    buffer_init(&fixture.out, fixture.arena);
    fixture.json = json_writer_of(&fixture.out);
    *state = &fixture;
    return fixture.arena != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    arena_free(((struct fixture *)*state)->arena);
    return 0;
}

static void assert_written(struct fixture *fixture, const char *expected)
{
    buffer_append_byte(&fixture->out, '\0');
    assert_string_equal((const char *)fixture->out.bytes, expected);
}

static void test_json_writer__separates_members_and_elements(void **state)
{
    struct json_writer *json = &((struct fixture *)*state)->json;

    json_begin_object(json, NULL);
    json_int(json, "a", 1);
    json_begin_array(json, "b");
    json_int(json, NULL, 2);
    json_begin_object(json, NULL);
    json_end_object(json);
    json_bool(json, NULL, true);
    json_end_array(json);
    json_text(json, "c", TEXT("x"));
    json_end_object(json);

    assert_written(*state, "{\"a\":1,\"b\":[2,{},true],\"c\":\"x\"}");
}

static void test_json_writer__leaves_out_what_is_absent(void **state)
{
    struct json_writer *json = &((struct fixture *)*state)->json;

    json_begin_object(json, NULL);
    json_text(json, "none", (struct text){0});
    json_time(json, "never", TIMESTAMP_ABSENT);
    json_document(json, "empty", (struct text){0});
    json_text(json, "blank", TEXT(""));
    json_end_object(json);

    assert_written(*state, "{\"blank\":\"\"}");
}

static void test_json_writer__escapes_names_and_texts(void **state)
{
    struct json_writer *json = &((struct fixture *)*state)->json;

    json_begin_object(json, NULL);
    json_append_int(json_member(json, TEXT("a\"b")), 1);
    json_text(json, "c", TEXT("d\n"));
    json_document(json, "e", TEXT("[null]"));
    json_end_object(json);

    assert_written(*state, "{\"a\\\"b\":1,\"c\":\"d\\n\",\"e\":[null]}");
}

static void test_json_writer__a_full_arena_shows_in_the_buffer(void **state)
{
    struct json_writer *json = &((struct fixture *)*state)->json;

    json_begin_array(json, NULL);
    for (int i = 0; i < ARENA_BYTES; i++)
        json_int(json, NULL, i);

    assert_true(json->out->full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json_writer__separates_members_and_elements, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_json_writer__leaves_out_what_is_absent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_json_writer__escapes_names_and_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_writer__a_full_arena_shows_in_the_buffer, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
