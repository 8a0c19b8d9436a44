#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "repo/protocol_repo.h"
#include "repo/skip_repo.h"
#include "tests/integration/pg_fixture.h"

/* --- topics --------------------------------------------------------------------------------- */

static void test_topics_intern__the_same_name_has_the_same_number(void **state)
{
    struct pg_fixture *fixture = *state;
    CLEANUP(executor_pq_freep) struct executor_pq *other = pg_fixture_connect(fixture, 0);
    const struct text names[] = {TEXT("b"), TEXT("a")};
    const struct text more[] = {TEXT("c"), TEXT("a"), TEXT("b")};
    int32_t ids[2];
    int32_t again[3];
    struct err err;

    assert_int_equal(topics_intern(fixture->db, names, 2, fixture->arena, ids, &err), OUTCOME_OK);
    assert_int_equal(topics_intern(executor_pq_port(other), more, 3, fixture->arena, again, &err),
                     OUTCOME_OK);

    assert_true(ids[0] > 0 && ids[1] > 0 && ids[0] != ids[1]);
    assert_int_equal(again[1], ids[1]);
    assert_int_equal(again[2], ids[0]);
    assert_true(again[0] != ids[0] && again[0] != ids[1]);
}

static void test_topics_intern__asking_again_uses_up_no_numbers(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct text names[] = {TEXT("again")};
    const struct text new_name[] = {TEXT("new")};
    int32_t first;
    int32_t id;
    struct err err;

    assert_int_equal(topics_intern(fixture->db, names, 1, fixture->arena, &first, &err),
                     OUTCOME_OK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(topics_intern(fixture->db, names, 1, fixture->arena, &id, &err),
                         OUTCOME_OK);
    assert_int_equal(id, first);
    assert_int_equal(topics_intern(fixture->db, new_name, 1, fixture->arena, &id, &err),
                     OUTCOME_OK);
    assert_int_equal(id, first + 1);
}

struct interner {
    struct executor_pq *pq;
    bool reversed;
    int32_t ids[40];
    enum outcome outcome;
};

static void *intern_many(void *argument)
{
    struct interner *self = argument;
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)1024 * 1024);
    struct text names[40];
    struct err err;

    for (size_t i = 0; i < 40; i++)
        names[self->reversed ? 39 - i : i] = text_of(arena_printf(arena, "race-%zu", i));
    self->outcome = topics_intern(executor_pq_port(self->pq), names, 40, arena, self->ids, &err);
    return NULL;
}

static void test_topics_intern__lanes_that_race_agree(void **state)
{
    struct pg_fixture *fixture = *state;
    struct interner lanes[2];
    pthread_t threads[2];

    for (size_t i = 0; i < 2; i++) {
        lanes[i] = (struct interner){.pq = pg_fixture_connect(fixture, 0), .reversed = i == 1};
        assert_int_equal(pthread_create(&threads[i], NULL, intern_many, &lanes[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        executor_pq_free(lanes[i].pq);
        assert_int_equal(lanes[i].outcome, OUTCOME_OK);
    }

    for (size_t i = 0; i < 40; i++)
        assert_int_equal(lanes[0].ids[i], lanes[1].ids[39 - i]);
}

/* --- published offsets ------------------------------------------------------------------------ */

static void save(struct pg_fixture *fixture, const struct stored_offset *offsets, size_t count)
{
    struct statement statement;
    struct rows rows;
    struct err err;

    assert_int_equal(
        published_offsets_save_prepare(offsets, count, fixture->arena, &statement, &err),
        OUTCOME_OK);
    if (executor_run(fixture->db, &statement, fixture->arena, &rows, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
}

static int64_t loaded(struct pg_fixture *fixture, int32_t topic_id, int32_t partition)
{
    struct stored_offset offset = {topic_id, partition, -1, false, 0};
    struct err err;

    assert_int_equal(published_offsets_load(fixture->db, &offset, 1, fixture->arena, &err),
                     OUTCOME_OK);
    return offset.offset;
}

static void test_published_offsets__grow_only(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct stored_offset first[] = {{1, 0, 10, false}, {1, 1, 20, false}};
    const struct stored_offset second[] = {{1, 1, 25, false}, {1, 0, 5, false}};

    save(fixture, first, 2);
    save(fixture, second, 2);

    assert_int_equal(loaded(fixture, 1, 0), 10);
    assert_int_equal(loaded(fixture, 1, 1), 25);
}

static void test_published_offsets__a_reset_lowers(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct stored_offset first[] = {{1, 0, 10, false}, {2, 0, 20, false}};
    const struct stored_offset second[] = {{1, 0, 5, true}, {2, 0, 5, false}};

    save(fixture, first, 2);
    save(fixture, second, 2);

    assert_int_equal(loaded(fixture, 1, 0), 5);
    assert_int_equal(loaded(fixture, 2, 0), 20);
}

static void test_published_offsets__recorded_offsets_only_grow(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct stored_offset first = {.topic_id = 1, .offset = 10, .recorded = 12};
    const struct stored_offset second = {.topic_id = 1, .offset = 5, .reset = true, .recorded = 7};
    struct stored_offset offset = {.topic_id = 1};
    struct err err;

    save(fixture, &first, 1);
    save(fixture, &second, 1);

    assert_int_equal(published_offsets_load(fixture->db, &offset, 1, fixture->arena, &err),
                     OUTCOME_OK);
    assert_int_equal(offset.offset, 5);
    assert_int_equal(offset.recorded, 12);
}

static void test_published_offsets__unknown_partitions_load_as_zero(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct stored_offset stored = {4, 2, 30, false};
    struct stored_offset offsets[] = {{4, 3, -1, false}, {4, 2, -1, false}, {5, 2, -1, false}};
    struct err err;

    save(fixture, &stored, 1);
    assert_int_equal(published_offsets_load(fixture->db, offsets, 3, fixture->arena, &err),
                     OUTCOME_OK);

    assert_int_equal(offsets[0].offset, 0);
    assert_int_equal(offsets[1].offset, 30);
    assert_int_equal(offsets[2].offset, 0);
}

#define CLEAN(test) cmocka_unit_test_setup(test, pg_fixture_clean)

/* --- skips ---------------------------------------------------------------------------------- */

static void test_skip_requests__one_a_partition_until_it_is_deleted(void **state)
{
    struct pg_fixture *fixture = *state;
    const struct stored_skip first = {TEXT("commands"), 3, 10, 20, TEXT("a bomb"), .unread = true};
    const struct stored_skip second = {TEXT("commands"), 3, 10, 30, TEXT("another")};
    const struct stored_skip *skips;
    bool written[2];
    size_t count;
    struct err err;

    assert_int_equal(skip_request_write(fixture->db, &first, fixture->arena, &written[0], &err),
                     OUTCOME_OK);
    assert_int_equal(skip_request_write(fixture->db, &second, fixture->arena, &written[1], &err),
                     OUTCOME_OK);
    assert_int_equal(skip_request_delete(fixture->db, &second, fixture->arena, &err), OUTCOME_OK);
    assert_int_equal(skip_requests_list(fixture->db, fixture->arena, &skips, &count, &err),
                     OUTCOME_OK);

    assert_true(written[0] && !written[1]);
    assert_int_equal(count, 1);
    assert_true(text_equal(skips[0].topic, first.topic) && skips[0].unread);
    assert_true(skips[0].partition == 3 && skips[0].from == 10 && skips[0].to == 20);
    assert_true(text_equal(skips[0].reason, first.reason) && skips[0].requested_us > 0);
    assert_int_equal(skip_request_delete(fixture->db, &first, fixture->arena, &err), OUTCOME_OK);
    assert_int_equal(skip_requests_list(fixture->db, fixture->arena, &skips, &count, &err),
                     OUTCOME_OK);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLEAN(test_topics_intern__the_same_name_has_the_same_number),
        CLEAN(test_topics_intern__asking_again_uses_up_no_numbers),
        CLEAN(test_topics_intern__lanes_that_race_agree),
        CLEAN(test_published_offsets__grow_only),
        CLEAN(test_published_offsets__a_reset_lowers),
        CLEAN(test_published_offsets__recorded_offsets_only_grow),
        CLEAN(test_published_offsets__unknown_partitions_load_as_zero),
        CLEAN(test_skip_requests__one_a_partition_until_it_is_deleted),
    };
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
