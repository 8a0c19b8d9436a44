#include "recording.h"

#include "repo/data_source.h"

static struct data_source *bind(struct recording *t)
{
    struct data_source *source = NULL;

    assert_int_equal(data_source_bind(&t->db.port, &source, &t->err), OUTCOME_OK);
    return source;
}

static enum outcome get_user(struct executor *db, struct recording *t)
{
    const struct text ids[] = {TEXT("u")};
    const struct user *users[1];

    return users_get(db, ids, 1, t->arena, users, &t->err);
}

static void script_users(struct recording *t)
{
    script(t, scripted_rows(NULL, 0, 8));
}

static void assert_names(struct recording *t, const char *const *names, size_t count)
{
    assert_int_equal(t->db.statement_count, count);
    for (size_t i = 0; i < count; i++)
        assert_recorded_name(&t->db, i, names[i]);
}

#define ASSERT_NAMES(t, ...)                                                                       \
    assert_names((t), (const char *const[]){__VA_ARGS__},                                          \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void test_data_source_bind__passes_repositories_through(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script_users(t);

    assert_int_equal(get_user(data_source_db(source), t), OUTCOME_OK);

    ASSERT_NAMES(t, "users.get");
}

static void test_data_source_db__copies_and_a_failed_copy_fails_the_transaction(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    const struct copy copy = {.name = "copy", .sql = "COPY t FROM STDIN"};
    script(t, scripted_affected(0));
    script(t, scripted_affected(1));
    script_failure(t);
    assert_int_equal(data_source_begin(source, &t->err), OUTCOME_OK);
    assert_int_equal(executor_copy(data_source_db(source), &copy, &t->err), OUTCOME_OK);

    assert_failure_passed(t, executor_copy(data_source_db(source), &copy, &t->err));

    assert_int_equal(executor_copy(data_source_db(source), &copy, &t->err), OUTCOME_FATAL);
    assert_string_equal(t->err.code, "25P02");
    data_source_rollback(source);
    ASSERT_NAMES(t, "begin", "copy", "copy");
}

static void test_data_source_db__recovers_after_a_failure(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script_failure(t);
    script_users(t);
    assert_failure_passed(t, get_user(data_source_db(source), t));
    assert_int_equal(t->db.recover_count, 0);

    assert_int_equal(get_user(data_source_db(source), t), OUTCOME_OK);

    assert_int_equal(t->db.recover_count, 1);
}

static void test_data_source_begin__commit(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script_users(t);
    script(t, scripted_affected(0));

    assert_int_equal(data_source_begin(source, &t->err), OUTCOME_OK);
    assert_int_equal(get_user(data_source_db(source), t), OUTCOME_OK);
    assert_int_equal(data_source_commit(source, &t->err), OUTCOME_OK);

    ASSERT_NAMES(t, "begin", "users.get", "commit");
}

static void test_data_source_begin__rollback(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script(t, scripted_affected(0));
    assert_int_equal(data_source_begin(source, &t->err), OUTCOME_OK);

    data_source_rollback(source);
    data_source_rollback(source);

    ASSERT_NAMES(t, "begin", "rollback");
}

static void test_data_source_begin__a_failure_opens_nothing(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script_failure(t);
    script_users(t);

    assert_failure_passed(t, data_source_begin(source, &t->err));

    assert_int_equal(get_user(data_source_db(source), t), OUTCOME_OK);
    ASSERT_NAMES(t, "begin", "users.get");
}

static void test_data_source_db__a_failed_transaction_takes_nothing_until_rolled_back(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script_failure(t);
    script_users(t);
    assert_int_equal(data_source_begin(source, &t->err), OUTCOME_OK);
    assert_failure_passed(t, get_user(data_source_db(source), t));

    assert_int_equal(get_user(data_source_db(source), t), OUTCOME_FATAL);
    assert_string_equal(t->err.code, "25P02");
    assert_int_equal(t->db.recover_count, 0);
    data_source_rollback(source);

    assert_int_equal(t->db.recover_count, 1);
    assert_int_equal(get_user(data_source_db(source), t), OUTCOME_OK);
    ASSERT_NAMES(t, "begin", "users.get", "users.get");
}

static void test_data_source_commit__of_a_failed_transaction_rolls_back(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script_failure(t);
    assert_int_equal(data_source_begin(source, &t->err), OUTCOME_OK);
    assert_failure_passed(t, get_user(data_source_db(source), t));

    assert_int_equal(data_source_commit(source, &t->err), OUTCOME_FATAL);

    assert_string_equal(t->err.code, "25P02");
    assert_int_equal(t->db.recover_count, 1);
    ASSERT_NAMES(t, "begin", "users.get");
}

static void test_data_source_commit__a_failure_ends_the_transaction(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script(t, scripted_failure(OUTCOME_RETRY, "08006"));
    script_users(t);
    assert_int_equal(data_source_begin(source, &t->err), OUTCOME_OK);

    assert_int_equal(data_source_commit(source, &t->err), OUTCOME_RETRY);

    assert_string_equal(t->err.code, "08006");
    assert_int_equal(t->db.recover_count, 1);
    assert_int_equal(get_user(data_source_db(source), t), OUTCOME_OK);
}

static void test_data_source_close__rolls_back_what_is_open(void **state)
{
    struct recording *t = *state;
    struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script(t, scripted_affected(0));
    assert_int_equal(data_source_begin(source, &t->err), OUTCOME_OK);

    data_source_close(source);

    ASSERT_NAMES(t, "begin", "rollback");
}

/* --- data_source_transaction --- */

static enum outcome work(struct executor *db, void *context, struct err *err)
{
    struct recording *t = context;
    const struct text ids[] = {TEXT("u")};
    const struct user *users[1];

    return users_get(db, ids, 1, t->arena, users, err);
}

static void test_data_source_transaction__commits(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script_users(t);
    script(t, scripted_affected(0));

    assert_int_equal(data_source_transaction(source, work, t, 1, &t->err), OUTCOME_OK);

    ASSERT_NAMES(t, "begin", "users.get", "commit");
}

static void test_data_source_transaction__runs_again_on_retry(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script_failure(t);
    script(t, scripted_affected(0));
    script_users(t);
    script(t, scripted_affected(0));

    assert_int_equal(data_source_transaction(source, work, t, 2, &t->err), OUTCOME_OK);

    assert_int_equal(t->db.recover_count, 1);
    ASSERT_NAMES(t, "begin", "users.get", "begin", "users.get", "commit");
}

static void test_data_source_transaction__gives_up_after_its_attempts(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    for (size_t i = 0; i < 2; i++) {
        script(t, scripted_affected(0));
        script_failure(t);
    }

    assert_failure_passed(t, data_source_transaction(source, work, t, 2, &t->err));

    ASSERT_NAMES(t, "begin", "users.get", "begin", "users.get");
}

static void test_data_source_transaction__a_rejection_is_not_repeated(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script(t, scripted_failure(OUTCOME_REJECT, "22P02"));

    assert_int_equal(data_source_transaction(source, work, t, 5, &t->err), OUTCOME_REJECT);

    ASSERT_NAMES(t, "begin", "users.get");
}

static void test_data_source_transaction__a_failed_commit_is_not_repeated(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script_users(t);
    script(t, scripted_failure(OUTCOME_RETRY, "08006"));

    assert_int_equal(data_source_transaction(source, work, t, 5, &t->err), OUTCOME_RETRY);

    ASSERT_NAMES(t, "begin", "users.get", "commit");
}

static enum outcome refuse(struct executor *db, void *context, struct err *err)
{
    (void)db;
    (void)context;
    return err_set(err, OUTCOME_REJECT, "", "changed my mind");
}

static void test_data_source_transaction__work_may_refuse(void **state)
{
    struct recording *t = *state;
    CLEANUP(data_source_closep) struct data_source *source = bind(t);
    script(t, scripted_affected(0));
    script(t, scripted_affected(0));

    assert_int_equal(data_source_transaction(source, refuse, NULL, 5, &t->err), OUTCOME_REJECT);

    assert_string_equal(t->err.text, "changed my mind");
    ASSERT_NAMES(t, "begin", "rollback");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDING_TEST(test_data_source_bind__passes_repositories_through),
        RECORDING_TEST(test_data_source_db__copies_and_a_failed_copy_fails_the_transaction),
        RECORDING_TEST(test_data_source_db__recovers_after_a_failure),
        RECORDING_TEST(test_data_source_begin__commit),
        RECORDING_TEST(test_data_source_begin__rollback),
        RECORDING_TEST(test_data_source_begin__a_failure_opens_nothing),
        RECORDING_TEST(test_data_source_db__a_failed_transaction_takes_nothing_until_rolled_back),
        RECORDING_TEST(test_data_source_commit__of_a_failed_transaction_rolls_back),
        RECORDING_TEST(test_data_source_commit__a_failure_ends_the_transaction),
        RECORDING_TEST(test_data_source_close__rolls_back_what_is_open),
        RECORDING_TEST(test_data_source_transaction__commits),
        RECORDING_TEST(test_data_source_transaction__runs_again_on_retry),
        RECORDING_TEST(test_data_source_transaction__gives_up_after_its_attempts),
        RECORDING_TEST(test_data_source_transaction__a_rejection_is_not_repeated),
        RECORDING_TEST(test_data_source_transaction__a_failed_commit_is_not_repeated),
        RECORDING_TEST(test_data_source_transaction__work_may_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
