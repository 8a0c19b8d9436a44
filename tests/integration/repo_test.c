#include "tests/integration/repo_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

enum { THREAD_ARENA_BYTES = 64 * 1024 * 1024, BLOCKED_WAIT_US = 10 * 1000 * 1000 };

struct pending {
    pthread_t thread;
    struct executor_pq *pq;
    struct arena *arena;
    rival_work *work;
    void *context;
    size_t rival;
    size_t rounds; /* 0: once, outside a transaction */
    enum outcome outcome;
    struct err err;
};

static enum outcome run_round(struct pending *self, struct executor *db)
{
    struct rows rows;

    arena_reset(self->arena);
    enum outcome outcome = executor_run(db, &executor_begin, self->arena, &rows, &self->err);
    if (outcome == OUTCOME_OK)
        outcome = self->work(db, self->rival, self->context, self->arena, &self->err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run(db, &executor_commit, self->arena, &rows, &self->err);
    return outcome;
}

static void *run(void *argument)
{
    struct pending *self = argument;
    struct executor *db = executor_pq_port(self->pq);

    if (self->rounds == 0)
        self->outcome = self->work(db, self->rival, self->context, self->arena, &self->err);
    for (size_t i = 0; i < self->rounds && self->outcome == OUTCOME_OK; i++)
        self->outcome = run_round(self, db);
    return NULL;
}

static struct pending *start(struct pg_fixture *t, rival_work *work, void *context, size_t rival,
                             size_t rounds)
{
    struct pending *self = calloc(1, sizeof(*self));

    assert_non_null(self);
    self->pq = pg_fixture_connect(t, 60000);
    self->arena = arena_new(THREAD_ARENA_BYTES);
    assert_non_null(self->arena);
    self->work = work;
    self->context = context;
    self->rival = rival;
    self->rounds = rounds;
    assert_int_equal(pthread_create(&self->thread, NULL, run, self), 0);
    return self;
}

struct pending *pending_start(struct pg_fixture *t, rival_work *work, void *context)
{
    return start(t, work, context, 0, 0);
}

void pending_wait_blocked(struct pg_fixture *t)
{
    int64_t deadline = clock_monotonic_us() + BLOCKED_WAIT_US;

    while (pg_fixture_int(t, "SELECT count(*) FROM pg_locks AS waiting"
                             " JOIN pg_locks AS held ON held.granted"
                             " AND held.transactionid = waiting.transactionid"
                             " WHERE NOT waiting.granted AND held.pid = pg_backend_pid()") == 0) {
        if (clock_monotonic_us() > deadline)
            fail_msg("nobody waits for this connection's locks");
        clock_sleep_us(2000);
    }
}

enum outcome pending_join(struct pending *pending, struct err *ret_err)
{
    assert_int_equal(pthread_join(pending->thread, NULL), 0);
    enum outcome outcome = pending->outcome;
    *ret_err = pending->err;
    executor_pq_free(pending->pq);
    arena_free(pending->arena);
    free(pending);
    return outcome;
}

void rivals_run(struct pg_fixture *t, size_t rounds, rival_work *work, void *context)
{
    struct pending *rivals[2];
    enum outcome outcomes[2];
    struct err errs[2];

    for (size_t i = 0; i < 2; i++)
        rivals[i] = start(t, work, context, i, rounds);
    for (size_t i = 0; i < 2; i++)
        outcomes[i] = pending_join(rivals[i], &errs[i]);
    for (size_t i = 0; i < 2; i++) {
        if (outcomes[i] != OUTCOME_OK)
            fail_msg("%s %s", errs[i].code, errs[i].text);
    }
}

int64_t rows_fetched_by_index(struct pg_fixture *t, const char *table)
{
    char sql[256];

    snprintf(sql, sizeof(sql),
             "SELECT coalesce(sum(idx_tup_fetch), 0)::int8 FROM pg_stat_xact_user_tables"
             " WHERE schemaname = current_schema() AND relname = '%s'",
             table);
    return pg_fixture_int(t, sql);
}

void begin(struct pg_fixture *t)
{
    pg_fixture_sql(t, executor_begin.sql);
}

void commit(struct pg_fixture *t)
{
    pg_fixture_sql(t, executor_commit.sql);
}
