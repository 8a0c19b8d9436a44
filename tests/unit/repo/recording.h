#pragma once

/* What the recording tests of the repositories share: an arena, a recording executor, a script that
 * grows as the test goes, and an error. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repo/pg/refused_row.h"
#include "repo/pg/write.h"
#include "repo/testing/fixtures.h"

enum { REPLIES_MAX = 8 };

struct recording {
    struct arena *arena;
    struct recording_executor db;
    struct scripted_reply replies[REPLIES_MAX];
    struct err err;
};

static inline int recording_setup(void **state)
{
    struct recording *recording = test_calloc(1, sizeof(*recording));

    recording->arena = arena_new((size_t)64 * 1024 * 1024);
    assert_non_null(recording->arena);
    recording_executor_init(&recording->db, recording->replies, 0);
    *state = recording;
    return 0;
}

static inline int recording_teardown(void **state)
{
    struct recording *recording = *state;

    recording_executor_release(&recording->db);
    arena_free(recording->arena);
    test_free(recording);
    return 0;
}

/* The next answer of the database. */
static inline void script(struct recording *recording, struct scripted_reply reply)
{
    assert_true(recording->db.reply_count < REPLIES_MAX);
    recording->replies[recording->db.reply_count++] = reply;
}

static inline void script_failure(struct recording *recording)
{
    script(recording, scripted_failure(OUTCOME_RETRY, "40P01"));
}

/* What the scripted failure must have become. */
static inline void assert_failure_passed(const struct recording *recording, enum outcome outcome)
{
    assert_int_equal(outcome, OUTCOME_RETRY);
    assert_string_equal(recording->err.code, "40P01");
}

static inline void assert_text(struct text got, const char *expected)
{
    if (!text_is(got, expected))
        fail_msg("\"%.*s\" is not \"%s\"", TEXT_ARG(got), expected);
}

static inline void assert_sql(struct recording *recording, size_t statement, const char *sql)
{
    assert_true(statement < recording->db.statement_count);
    assert_string_equal(recording->db.statements[statement].sql, sql);
}

#define RECORDING_TEST(test)                                                                       \
    cmocka_unit_test_setup_teardown(test, recording_setup, recording_teardown)
