#pragma once

#include "repo/pg/pg_binary.h"

/* The executor port for tests without a database: answers from a script, records copies of what it
 * is asked, fails the running cmocka test on an unscripted call, and holds no logic. */

/* The answer to one statement: rows, or a failure. */
struct scripted_reply {
    enum outcome outcome; /* OUTCOME_OK: the rows below */
    const char *code;     /* of a failure: SQLSTATE; NULL: "" */
    struct rows rows;     /* borrowed until the call; see scripted_rows() */
};

struct recorded_statement {
    const char *name; /* "" for NULL */
    const char *sql;
    size_t trip; /* 0 for the first round trip */
    const struct param *params;
    size_t param_count;
};

enum { RECORDING_MAX = 64 };

struct recording_executor {
    struct executor port;
    const struct scripted_reply *replies;
    size_t reply_count;
    size_t replies_used;
    struct recorded_statement statements[RECORDING_MAX];
    size_t statement_count;
    size_t trip_count;
    size_t recover_count; /* answered with OK */
    struct arena *arena;  /* copies; also for the script's own cells */
};

/* `replies` are borrowed until the release. A round trip of n statements takes n replies, fewer
 * when one of them fails: the statements behind it are recorded and not answered. A copy takes one,
 * and is recorded as a statement whose only parameter, a bytea, is its rows. */
void recording_executor_init(struct recording_executor *db, const struct scripted_reply *replies,
                             size_t reply_count);
void recording_executor_release(struct recording_executor *db);

/* Cells for scripts, in the arena of `db`. An absent text, TIMESTAMP_ABSENT and NULL are SQL NULL.
 */
struct cell scripted_text(struct text value);
struct cell scripted_int8(struct recording_executor *db, int64_t value);
struct cell scripted_bool(bool value);
struct cell scripted_time(struct recording_executor *db, int64_t us);
struct cell scripted_uuid(const struct uuid *value);
struct cell scripted_list(struct recording_executor *db, struct text_list list);

/* `cells` row-major; affected = the number of rows. */
struct scripted_reply scripted_rows(const struct cell *cells, size_t row_count,
                                    size_t column_count);
struct scripted_reply scripted_affected(size_t affected);
struct scripted_reply scripted_failure(enum outcome outcome, const char *code);

/* A parameter as text, in the arena of `db`: texts as they are, integers in decimal, booleans
 * true and false, times RFC 3339, UUIDs in lower case, NULL as NULL, arrays as {a,NULL,b} without
 * quoting. */
const char *recorded_param(struct recording_executor *db, size_t statement, size_t param);

/* Fail the running test. */
void assert_recorded_name(struct recording_executor *db, size_t statement, const char *name);
void assert_recorded_params(struct recording_executor *db, size_t statement,
                            const char *const *params, size_t count);
/* The SQL holds each of the fragments, in this order. */
void assert_recorded_sql(struct recording_executor *db, size_t statement,
                         const char *const *fragments, size_t count);
/* Every reply was used, and exactly `statements` were sent in `trips` round trips. */
void assert_recording_done(struct recording_executor *db, size_t statements, size_t trips);

#define ASSERT_RECORDED_PARAMS(db, statement, ...)                                                 \
    assert_recorded_params((db), (statement), (const char *const[]){__VA_ARGS__},                  \
                           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
#define ASSERT_RECORDED_SQL(db, statement, ...)                                                    \
    assert_recorded_sql((db), (statement), (const char *const[]){__VA_ARGS__},                     \
                        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
