/* The example's function without a database. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repo/testing/fixtures.h"
#include "welcome.h"

static void test_welcome__writes_then_reads(void **state)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)1024 * 1024);
    struct recording_executor db;
    struct user user = fixture_user("u");
    const struct user *stored = NULL;
    struct err err;
    const struct cell created[] = {scripted_text(user.id), scripted_bool(true)};
    (void)state;
    recording_executor_init(&db, NULL, 0);
    const struct scripted_reply replies[] = {
        scripted_rows(created, 1, 2),
        scripted_records(&db, &user_spec, (const void *const[]){&user}, 1),
    };
    db.replies = replies;
    db.reply_count = 2;

    enum outcome outcome = welcome(&db.port, &user, arena, &stored, &err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_record_equal(&user_spec, stored, &user);
    assert_recorded_name(&db, 0, "users.upsert");
    assert_recorded_name(&db, 1, "users.get");
    ASSERT_RECORDED_PARAMS(&db, 1, "{u}");
    assert_recording_done(&db, 2, 2);
    recording_executor_release(&db);
}

static void test_welcome__passes_a_failure_on(void **state)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)1024 * 1024);
    const struct scripted_reply replies[] = {scripted_failure(OUTCOME_RETRY, "08006")};
    struct recording_executor db;
    struct user user = fixture_user("u");
    const struct user *stored = NULL;
    struct err err;
    (void)state;
    recording_executor_init(&db, replies, 1);

    enum outcome outcome = welcome(&db.port, &user, arena, &stored, &err);

    assert_int_equal(outcome, OUTCOME_RETRY);
    assert_null(stored);
    assert_recording_done(&db, 1, 1);
    recording_executor_release(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_welcome__writes_then_reads),
        cmocka_unit_test(test_welcome__passes_a_failure_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
