#include "recording.h"

#include "repo/seed_records.h"

/* --- the records ------------------------------------------------------------------------- */

static struct seed_maker maker_of(struct recording *t, uint64_t seed)
{
    return (struct seed_maker){.options = {.users = 50, .orgs = 7, .keys = 60, .seed = seed},
                               .arena = t->arena};
}

static void test_seed_records__same_options_same_rows(void **state)
{
    struct recording *t = *state;
    struct seed_maker one = maker_of(t, 42);
    struct seed_maker two = maker_of(t, 42);

    for (size_t i = 0; i < 50; i++) {
        struct user users[2];
        struct org orgs[2];
        struct key keys[2];
        struct membership memberships[2];
        seed_user(&one, i, &users[0]);
        seed_user(&two, i, &users[1]);
        assert_record_equal(&user_spec, &users[0], &users[1]);
        seed_org(&one, i, &orgs[0]);
        seed_org(&two, i, &orgs[1]);
        assert_record_equal(&org_spec, &orgs[0], &orgs[1]);
        seed_key(&one, i, &keys[0]);
        seed_key(&two, i, &keys[1]);
        assert_record_equal(&key_spec, &keys[0], &keys[1]);
        assert_true(seed_membership(&one, i, 0, &memberships[0]));
        assert_true(seed_membership(&two, i, 0, &memberships[1]));
        assert_record_equal(&membership_spec, &memberships[0], &memberships[1]);
    }
    assert_false(one.full);
}

static void test_seed_records__another_seed_another_id(void **state)
{
    struct recording *t = *state;
    struct seed_maker one = maker_of(t, 1);
    struct seed_maker two = maker_of(t, 2);
    struct user users[2];
    struct key keys[2];
    struct audit_event events[2];

    seed_user(&one, 0, &users[0]);
    seed_user(&two, 0, &users[1]);
    seed_key(&one, 0, &keys[0]);
    seed_key(&two, 0, &keys[1]);
    seed_user_event(&one, 0, &events[0]);
    seed_user_event(&two, 0, &events[1]);

    assert_text(users[0].id, "user-1-000001");
    assert_text(users[1].id, "user-2-000001");
    assert_false(text_equal(keys[0].hash, keys[1].hash));
    assert_false(uuid_equal(&events[0].id, &events[1].id));
}

static void test_seed_records__the_second_membership_is_in_another_org(void **state)
{
    struct recording *t = *state;
    struct seed_maker maker = maker_of(t, 3);
    size_t seconds = 0;

    for (size_t i = 0; i < 50; i++) {
        struct membership first;
        struct membership second;
        assert_true(seed_membership(&maker, i, 0, &first));
        if (!seed_membership(&maker, i, 1, &second))
            continue;
        assert_false(text_equal(first.org_id, second.org_id));
        seconds++;
    }
    assert_int_equal(seconds, 17);
}

static void test_seed_records__without_orgs_and_users(void **state)
{
    struct recording *t = *state;
    struct seed_maker maker = {.options = {.keys = 20, .seed = 1}, .arena = t->arena};
    struct user user;
    struct org org;
    struct membership membership;
    struct entitlement entitlement;

    seed_user(&maker, 0, &user);
    assert_false(text_present(user.primary_org_id));
    seed_org(&maker, 0, &org);
    assert_text(org.owner_user_id, "user-1-000001");
    assert_false(seed_membership(&maker, 0, 0, &membership));
    assert_false(seed_membership_entitlement(&maker, 0, &entitlement));
    for (size_t i = 0; i < 20; i++) {
        struct key key;
        seed_key(&maker, i, &key);
        assert_text(key.owner.kind, "service");
    }
}

static void test_seed_records__a_full_arena_shows(void **state)
{
    CLEANUP(arena_freep) struct arena *small = arena_new(32);
    struct seed_maker maker = {.options = {.users = 1, .orgs = 1, .seed = 1}, .arena = small};
    struct user user;
    (void)state;

    seed_user(&maker, 0, &user);

    assert_true(maker.full);
}

/* --- seed_run ---------------------------------------------------------------------------- */

static struct scripted_reply created(struct recording *t, const char *id)
{
    struct cell *cells = ARENA_ARRAY(t->arena, struct cell, 2);

    cells[0] = scripted_text(text_of(id));
    cells[1] = scripted_bool(true);
    return scripted_rows(cells, 1, 2);
}

static void test_seed_run__writes_orgs_in_a_transaction(void **state)
{
    struct recording *t = *state;
    const struct seed_options options = {.orgs = 1, .seed = 9};
    struct seed_report report = {.orgs = {77, 77}};
    struct err err;
    script(t, scripted_affected(0));
    script(t, created(t, "org-9-000001"));
    script(t, scripted_affected(0));
    script_failure(t); /* of the next BEGIN: enough seen */

    assert_int_equal(seed_run(&t->db.port, &options, &report, &err), OUTCOME_RETRY);

    assert_string_equal(err.code, "40P01");
    assert_int_equal(report.orgs.rows, 77);
    assert_recorded_name(&t->db, 0, "begin");
    assert_recorded_name(&t->db, 1, "orgs.upsert");
    assert_string_equal(recorded_param(&t->db, 1, 0), "{org-9-000001}");
    assert_recorded_name(&t->db, 2, "commit");
    assert_int_equal(t->db.recover_count, 1);
}

static void test_seed_run__a_slug_of_somebody_elses_is_a_rejection(void **state)
{
    struct recording *t = *state;
    const struct seed_options options = {.orgs = 1, .seed = 9};
    struct seed_report report = {.orgs = {77, 77}};
    struct err err;
    script(t, scripted_affected(0));
    const struct cell taken[] = {scripted_text(TEXT("org-9-000001"))};
    script(t, scripted_rows(NULL, 0, 2));
    script(t, scripted_rows(taken, 1, 1));

    assert_int_equal(seed_run(&t->db.port, &options, &report, &err), OUTCOME_REJECT);

    assert_string_equal(err.text, "seed: orgs: a unique value of the seed belongs to another row");
    assert_int_equal(report.orgs.rows, 77);
    assert_int_equal(t->db.recover_count, 1);
}

static void test_seed_run__keys_that_were_there_are_left_alone(void **state)
{
    struct recording *t = *state;
    const struct seed_options options = {.keys = 2, .seed = 9};
    struct seed_report report;
    struct err err;
    const struct cell collisions[] = {
        scripted_text(TEXT("key-9-000001")), scripted_bool(true),
        scripted_text(TEXT("key-9-000001")), scripted_bool(false),
        scripted_text(TEXT("key-9-000002")), scripted_bool(true),
        scripted_text(TEXT("key-9-000002")), scripted_bool(false),
    };
    script(t, scripted_affected(0));      /* begin */
    script(t, scripted_rows(NULL, 0, 1)); /* keys.issue */
    script(t, scripted_rows(collisions, 2, 4));
    script(t, scripted_affected(0));       /* commit */
    script(t, scripted_affected(0));       /* begin */
    script(t, scripted_rows(NULL, 0, 23)); /* audit.find */
    script(t, scripted_affected(2));       /* audit.record */
    script(t, scripted_affected(0));       /* commit */

    if (seed_run(&t->db.port, &options, &report, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);

    assert_int_equal(report.keys.rows, 2);
    assert_int_equal(report.keys.created, 0);
    assert_int_equal(report.audit_events.rows, 2);
    assert_int_equal(report.audit_events.created, 2);
    assert_int_equal(report.users.rows, 0);
    assert_recording_done(&t->db, 8, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDING_TEST(test_seed_records__same_options_same_rows),
        RECORDING_TEST(test_seed_records__another_seed_another_id),
        RECORDING_TEST(test_seed_records__the_second_membership_is_in_another_org),
        RECORDING_TEST(test_seed_records__without_orgs_and_users),
        RECORDING_TEST(test_seed_records__a_full_arena_shows),
        RECORDING_TEST(test_seed_run__writes_orgs_in_a_transaction),
        RECORDING_TEST(test_seed_run__a_slug_of_somebody_elses_is_a_rejection),
        RECORDING_TEST(test_seed_run__keys_that_were_there_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
