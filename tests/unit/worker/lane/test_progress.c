#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/lane/context.h"

enum { ARENA_BYTES = 1024 * 1024, RECORDED = 5 };

struct fixture {
    struct arena *arena;
    struct progress progress;
    struct message message;
    struct entry entry;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){.arena = arena_new(ARENA_BYTES)};
    fixture.message = (struct message){.topic = TEXT("t"), .partition = 3, .offset = 10};
    fixture.entry = (struct entry){.message = &fixture.message, .topic_id = 1};
    *state = &fixture;
    return fixture.arena != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    progress_release(&fixture->progress);
    arena_free(fixture->arena);
    return 0;
}

static void assign(struct fixture *fixture, int64_t committed, int64_t stored)
{
    const struct published_offset known = {
        .topic_id = 1, .partition = 3, .offset = stored, .recorded = RECORDED};
    const struct published_offset floor = {.topic_id = 1, .partition = 3, .offset = committed};
    struct err err = {0};

    assert_int_equal(progress_assigned(&fixture->progress, &floor, &known, 1, &err), OUTCOME_OK);
}

static bool published_at(struct fixture *fixture, int64_t offset)
{
    fixture->message.offset = offset;
    return progress_is_published(&fixture->progress, &fixture->entry);
}

static const struct published_offset *unsaved(struct fixture *fixture, size_t expected)
{
    size_t count;
    const struct published_offset *offsets =
        progress_unsaved(&fixture->progress, NULL, fixture->arena, &count);

    assert_int_equal(count, expected);
    return offsets;
}

static void test_progress_assigned__what_the_store_knows_is_published(void **state)
{
    struct fixture *fixture = *state;

    assign(fixture, 0, 8);

    assert_true(published_at(fixture, 7));
    assert_false(published_at(fixture, 8));
    unsaved(fixture, 0);
}

static void test_progress_assigned__what_the_group_committed_is_published_and_unsaved(void **state)
{
    struct fixture *fixture = *state;

    assign(fixture, 12, 8);

    assert_true(published_at(fixture, 11));
    assert_false(published_at(fixture, 12));
    assert_int_equal(unsaved(fixture, 1)->offset, 12);
}

/* A batch of one message at offset 10, whose transaction is about to commit. */
static const struct published_offset *unsaved_with_batch(struct fixture *fixture, size_t expected)
{
    static const struct text topic = {"t", 1};
    static int32_t topic_id = 1;
    struct lane lane = {.options = {.command_topics = &topic, .command_topic_count = 1},
                        .topic_ids = &topic_id};
    struct position end = {.topic = TEXT("t"), .partition = 3, .offset = 11};
    const struct batch batch = {.lane = &lane, .positions = &end, .position_count = 1};
    size_t count;
    const struct published_offset *offsets =
        progress_unsaved(&fixture->progress, &batch, fixture->arena, &count);

    assert_int_equal(count, expected);
    return offsets;
}

static int64_t recorded_of(struct fixture *fixture)
{
    size_t count;
    const struct published_offset *offsets =
        progress_recorded(&fixture->progress, fixture->arena, &count);

    assert_int_equal(count, 1);
    return offsets->recorded;
}

static void test_progress_unsaved__the_last_transaction_of_a_batch_records_its_end(void **state)
{
    struct fixture *fixture = *state;
    assign(fixture, 0, 8);

    const struct published_offset *offsets = unsaved_with_batch(fixture, 1);

    assert_int_equal(offsets->recorded, 11);
    assert_int_equal(offsets->offset, 0); /* nothing new is published */
    assert_int_equal(recorded_of(fixture), RECORDED);
    progress_saved(&fixture->progress, offsets, 1);
    assert_int_equal(recorded_of(fixture), 11);
    unsaved_with_batch(fixture, 0);
}

static void test_progress_assigned__an_adopted_offset_is_recorded(void **state)
{
    struct fixture *fixture = *state;
    const struct published_offset known = {.topic_id = 1, .partition = 3, .offset = 40};
    const struct published_offset floor = {
        .topic_id = 1, .partition = 3, .offset = 40, .recorded = 40};
    struct err err;

    assert_int_equal(progress_assigned(&fixture->progress, &floor, &known, 1, &err), OUTCOME_OK);

    const struct published_offset *offsets = unsaved(fixture, 1);
    assert_int_equal(offsets->recorded, 40);
    assert_int_equal(recorded_of(fixture), 0);
    progress_saved(&fixture->progress, offsets, 1);
    assert_int_equal(recorded_of(fixture), 40);
    unsaved(fixture, 0);
}

static void test_progress_published__moves_behind_the_batch_until_it_is_saved(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 0, 0);
    progress_published(&fixture->progress, &batch);
    assert_true(published_at(fixture, 10));
    assert_true(progress_committed(&fixture->progress, 1, 3, 11));

    const struct published_offset *offsets = unsaved(fixture, 1);
    assert_int_equal(offsets->offset, 11);
    assert_false(offsets->reset);
    progress_saved(&fixture->progress, offsets, 1);
    unsaved(fixture, 0);
}

static void test_progress_published__the_store_learns_it_with_the_next_commit(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 0, 0);
    progress_published(&fixture->progress, &batch);
    unsaved(fixture, 0);
    assert_false(progress_is_confirmed(&fixture->progress));

    fixture->message.offset = 11;
    progress_published(&fixture->progress, &batch);
    assert_int_equal(unsaved(fixture, 1)->offset, 11);
}

static void test_progress_committed__a_lost_batch_counts_as_unpublished(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 10, 10);
    progress_published(&fixture->progress, &batch);
    assert_false(progress_committed(&fixture->progress, 1, 3, 10));

    assert_false(published_at(fixture, 10));
    assert_true(published_at(fixture, 9));
    unsaved(fixture, 0);
    assert_true(progress_committed(&fixture->progress, 1, 3, 10));
}

static void test_progress_committed__what_the_store_knew_too_early_is_taken_back(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 10, 10);
    progress_published(&fixture->progress, &batch);
    fixture->message.offset = 11;
    progress_published(&fixture->progress, &batch);
    progress_saved(&fixture->progress, unsaved(fixture, 1), 1);
    assert_false(progress_committed(&fixture->progress, 1, 3, 10));

    const struct published_offset *offsets = unsaved(fixture, 1);
    assert_int_equal(offsets->offset, 10);
    assert_true(offsets->reset);
}

static void test_progress_committed__behind_what_was_published_before_a_reset_is_no_loss(
    void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 0, 100);
    fixture->message.offset = 10;
    progress_published(&fixture->progress, &batch);

    assert_true(progress_committed(&fixture->progress, 1, 3, 11));
    assert_true(published_at(fixture, 99));
    unsaved(fixture, 0);
}

static void test_progress_acknowledged__tells_what_was_published_under_this_assignment(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};
    size_t count;

    assign(fixture, 10, 10);
    progress_acknowledged(&fixture->progress, fixture->arena, &count);
    assert_int_equal(count, 0);
    progress_published(&fixture->progress, &batch);

    const struct published_offset *offsets =
        progress_acknowledged(&fixture->progress, fixture->arena, &count);
    assert_int_equal(count, 1);
    assert_int_equal(offsets->topic_id, 1);
    assert_int_equal(offsets->partition, 3);
    assert_int_equal(offsets->offset, 11);
}

static void test_progress_saved__what_moved_meanwhile_stays_unsaved(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 0, 0);
    progress_published(&fixture->progress, &batch);
    assert_true(progress_committed(&fixture->progress, 1, 3, 11));
    const struct published_offset *offsets = unsaved(fixture, 1);
    fixture->message.offset = 11;
    progress_published(&fixture->progress, &batch);
    assert_true(progress_committed(&fixture->progress, 1, 3, 12));
    progress_saved(&fixture->progress, offsets, 1);

    assert_int_equal(unsaved(fixture, 1)->offset, 12);
}

static void test_progress_saw_new__below_the_published_offset_lowers_it(void **state)
{
    struct fixture *fixture = *state;

    assign(fixture, 0, 100);
    fixture->message.offset = 10;
    progress_saw_new(&fixture->progress, &fixture->entry);

    assert_false(published_at(fixture, 10));
    assert_true(published_at(fixture, 9));
    const struct published_offset *offsets = unsaved(fixture, 1);
    assert_int_equal(offsets->offset, 10);
    assert_true(offsets->reset);
}

static void test_progress_saw_new__at_the_published_offset_changes_nothing(void **state)
{
    struct fixture *fixture = *state;

    assign(fixture, 0, 10);
    progress_saw_new(&fixture->progress, &fixture->entry);

    unsaved(fixture, 0);
}

static void test_progress_published__what_lay_above_a_new_command_stays_published(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 0, 100);
    fixture->message.offset = 10;
    progress_saw_new(&fixture->progress, &fixture->entry);
    progress_saved(&fixture->progress, unsaved(fixture, 1), 1);
    progress_published(&fixture->progress, &batch);

    assert_true(published_at(fixture, 99));
    assert_false(published_at(fixture, 100));
    assert_true(progress_committed(&fixture->progress, 1, 3, 11));
    assert_int_equal(unsaved(fixture, 1)->offset, 100);
}

/* 10 was new below 100, is published and confirmed; the store knows of the lowering only. */
static void raise_again(struct fixture *fixture)
{
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 0, 100);
    fixture->message.offset = 10;
    progress_saw_new(&fixture->progress, &fixture->entry);
    progress_saved(&fixture->progress, unsaved(fixture, 1), 1);
    progress_published(&fixture->progress, &batch);
    progress_committed(&fixture->progress, 1, 3, 11);
}

static void test_progress_revoked__what_a_new_command_lowered_stays_so(void **state)
{
    struct fixture *fixture = *state;

    raise_again(fixture);
    progress_revoked(&fixture->progress);

    const struct published_offset *offsets = unsaved(fixture, 1);
    assert_int_equal(offsets->offset, 11);
    assert_false(offsets->reset);
}

static void test_progress_revoked__what_was_saved_before_is_not_touched(void **state)
{
    struct fixture *fixture = *state;

    raise_again(fixture);
    progress_saved(&fixture->progress, unsaved(fixture, 1), 1);
    progress_revoked(&fixture->progress);

    unsaved(fixture, 0);
}

static void test_progress_revoked__a_batch_that_is_certain_is_saved(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 0, 0);
    progress_published(&fixture->progress, &batch);
    progress_committed(&fixture->progress, 1, 3, 11);
    progress_revoked(&fixture->progress);

    assert_int_equal(unsaved(fixture, 1)->offset, 11);
}

/* 10 was new below 100, and is published as far as the broker said. */
static void publish_below(struct fixture *fixture)
{
    static const struct audit_event event;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 0, 100);
    fixture->message.offset = 10;
    fixture->entry.event = &event;
    progress_saw_new(&fixture->progress, &fixture->entry);
    progress_published(&fixture->progress, &batch);
    assert_true(progress_is_published(&fixture->progress, &fixture->entry));
}

static void test_progress_committed__what_was_new_below_an_old_offset_can_be_lost(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    publish_below(fixture);

    assert_false(progress_committed(&fixture->progress, 1, 3, 10));
    assert_false(progress_is_published(&fixture->progress, &fixture->entry));
    fixture->message.offset = 9;
    assert_true(progress_is_published(&fixture->progress, &fixture->entry));

    /* published again, what lies behind is as published as before */
    fixture->message.offset = 10;
    progress_published(&fixture->progress, &batch);
    fixture->message.offset = 99;
    assert_true(progress_is_published(&fixture->progress, &fixture->entry));
}

static void test_progress_committed__it_can_be_lost_a_second_time(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    publish_below(fixture);
    progress_committed(&fixture->progress, 1, 3, 10);
    progress_published(&fixture->progress, &batch);

    assert_false(progress_committed(&fixture->progress, 1, 3, 10));
    assert_false(progress_is_published(&fixture->progress, &fixture->entry));
}

/* 10, 12 and 14 are new below 100; the batch of 10 is lost, that of the others given up for it, and
 * comes again in pieces. */
static void test_progress_committed__what_was_recorded_behind_it_is_not_published_yet(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    publish_below(fixture);
    fixture->message.offset = 12;
    progress_saw_new(&fixture->progress, &fixture->entry);
    fixture->message.offset = 14;
    progress_saw_new(&fixture->progress, &fixture->entry);
    assert_false(progress_committed(&fixture->progress, 1, 3, 10));

    for (fixture->message.offset = 10; fixture->message.offset <= 14;
         fixture->message.offset += 2) {
        assert_false(progress_is_published(&fixture->progress, &fixture->entry));
        progress_published(&fixture->progress, &batch);
    }
    fixture->message.offset = 99;
    assert_true(progress_is_published(&fixture->progress, &fixture->entry));
}

static void test_progress_committed__what_was_published_before_is_not_lost_with_it(void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    assign(fixture, 0, 100);
    fixture->message.offset = 10;
    fixture->entry.event = NULL; /* nothing to do but to move the group's offset */
    progress_published(&fixture->progress, &batch);

    assert_false(progress_committed(&fixture->progress, 1, 3, 10));
    assert_true(progress_is_published(&fixture->progress, &fixture->entry));
}

/* 10 to 12 were new below 100, in one batch that is lost and comes again in parts. */
static void test_progress_committed__a_lost_batch_may_come_again_in_parts(void **state)
{
    static const struct audit_event event;
    struct fixture *fixture = *state;
    struct message messages[3];
    struct entry entries[3];
    struct batch batch = {.entries = entries, .count = 3};
    struct batch first = {.entries = entries, .count = 1};
    struct batch rest = {.entries = entries + 1, .count = 2};

    assign(fixture, 0, 100);
    for (int i = 0; i < 3; i++) {
        messages[i] = fixture->message;
        messages[i].offset = 10 + i;
        entries[i] = (struct entry){.message = &messages[i], .topic_id = 1, .event = &event};
        progress_saw_new(&fixture->progress, &entries[i]);
    }
    progress_published(&fixture->progress, &batch);

    assert_false(progress_committed(&fixture->progress, 1, 3, 10));
    assert_false(published_at(fixture, 10)); /* the least, not the last */
    progress_published(&fixture->progress, &first);
    assert_false(published_at(fixture, 11));
    assert_false(published_at(fixture, 12));
    progress_published(&fixture->progress, &rest);
    assert_true(published_at(fixture, 99));
}

static void test_progress_committed__a_batch_that_is_certain_is_not_lost_with_a_later_one(
    void **state)
{
    struct fixture *fixture = *state;
    struct batch batch = {.entries = &fixture->entry, .count = 1};

    publish_below(fixture);
    fixture->message.offset = 20;
    fixture->entry.event = NULL;
    progress_published(&fixture->progress, &batch);

    assert_false(progress_committed(&fixture->progress, 1, 3, 11));
    assert_true(published_at(fixture, 10));
}

static void test_progress_forget__nothing_is_known_any_more(void **state)
{
    struct fixture *fixture = *state;

    assign(fixture, 0, 100);
    progress_forget(&fixture->progress);

    assert_false(published_at(fixture, 10));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_progress_assigned__what_the_store_knows_is_published),
        TEST(test_progress_assigned__what_the_group_committed_is_published_and_unsaved),
        TEST(test_progress_unsaved__the_last_transaction_of_a_batch_records_its_end),
        TEST(test_progress_assigned__an_adopted_offset_is_recorded),
        TEST(test_progress_published__moves_behind_the_batch_until_it_is_saved),
        TEST(test_progress_published__the_store_learns_it_with_the_next_commit),
        TEST(test_progress_committed__a_lost_batch_counts_as_unpublished),
        TEST(test_progress_committed__what_the_store_knew_too_early_is_taken_back),
        TEST(test_progress_committed__behind_what_was_published_before_a_reset_is_no_loss),
        TEST(test_progress_acknowledged__tells_what_was_published_under_this_assignment),
        TEST(test_progress_saved__what_moved_meanwhile_stays_unsaved),
        TEST(test_progress_saw_new__below_the_published_offset_lowers_it),
        TEST(test_progress_saw_new__at_the_published_offset_changes_nothing),
        TEST(test_progress_published__what_lay_above_a_new_command_stays_published),
        TEST(test_progress_revoked__what_a_new_command_lowered_stays_so),
        TEST(test_progress_revoked__what_was_saved_before_is_not_touched),
        TEST(test_progress_revoked__a_batch_that_is_certain_is_saved),
        TEST(test_progress_committed__what_was_new_below_an_old_offset_can_be_lost),
        TEST(test_progress_committed__it_can_be_lost_a_second_time),
        TEST(test_progress_committed__what_was_recorded_behind_it_is_not_published_yet),
        TEST(test_progress_committed__what_was_published_before_is_not_lost_with_it),
        TEST(test_progress_committed__a_lost_batch_may_come_again_in_parts),
        TEST(test_progress_committed__a_batch_that_is_certain_is_not_lost_with_a_later_one),
        TEST(test_progress_forget__nothing_is_known_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
