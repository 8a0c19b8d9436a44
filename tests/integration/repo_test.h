#pragma once

/* What the integration tests of the repositories share, on top of pg_fixture. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repo/pg/write.h"
#include "repo/testing/fixtures.h"
#include "tests/integration/pg_fixture.h"

/* As many rows as the worker's largest batch. */
enum { MANY = 2000 };

#define PG_TEST(test) cmocka_unit_test_setup(test, pg_fixture_clean)

#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        struct err *err_of_call = &err;                                                            \
        if ((call) != OUTCOME_OK)                                                                  \
            fail_msg("%s", err_of_call->text);                                                     \
    } while (0)

/* `prefix` and a number of five digits, in the fixture's arena. */
static inline const char *numbered(struct pg_fixture *t, const char *prefix, size_t number)
{
    const char *id = arena_printf(t->arena, "%s%05zu", prefix, number);
    assert_non_null(id);
    return id;
}

/* Two connections that do the same at the same time, each its rounds one after the other in
 * transactions of their own. Any failure, a deadlock above all, fails the test. `work` runs in
 * threads: it returns errors and asserts nothing. */
typedef enum outcome rival_work(struct executor *db, size_t rival, void *context,
                                struct arena *arena, struct err *err);
void rivals_run(struct pg_fixture *t, size_t rounds, rival_work *work, void *context);

/* Runs `work` in a thread on a connection of its own; pending_wait_blocked() returns when it waits
 * for a lock that somebody else holds. */
struct pending;
struct pending *pending_start(struct pg_fixture *t, rival_work *work, void *context);
void pending_wait_blocked(struct pg_fixture *t);
/* Its outcome; releases it. */
enum outcome pending_join(struct pending *pending, struct err *ret_err);

/* How many index entries of the table have led this connection to a row: take the difference of two
 * within one transaction. */
int64_t rows_fetched_by_index(struct pg_fixture *t, const char *table);

/* BEGIN and COMMIT on the fixture's connection. */
void begin(struct pg_fixture *t);
void commit(struct pg_fixture *t);
