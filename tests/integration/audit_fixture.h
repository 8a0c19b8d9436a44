#pragma once

/* Rows of the audit log as the tests of its partitions want them, on top of pg_fixture. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/timestamp.h"
#include "repo/audit/audit_repo.h"
#include "repo/audit/audit_retention.h"
#include "tests/integration/pg_fixture.h"

#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        struct err *err_of_call = &err;                                                            \
        if ((call) != OUTCOME_OK)                                                                  \
            fail_msg("%s [%s]", err_of_call->text, err_of_call->code);                             \
    } while (0)

#define DAY_US (INT64_C(24) * 3600 * 1000000)

/* Test setup: an empty schema, migrated. */
int audit_fixture_fresh(void **state);

/* Microseconds since 1970. */
int64_t time_of(const char *text);

/* An id that carries the time, and another one for each number; and an id whose first bytes are
 * those given, the rest a hash's. */
struct uuid timed_id(int64_t us, uint32_t number);
struct uuid hashed_id(uint8_t first, uint8_t second, uint32_t number);

/* An event; with coordinates when the topic is not 0. */
struct audit_event event_of(struct uuid id, int64_t occurred_at_us, int32_t topic_id,
                            int32_t partition, int64_t offset);

/* Records events as a lane does: by statement. RETRY, REJECT as the executor. */
enum outcome record_events(struct executor *db, const struct audit_event *events, size_t count,
                           struct arena *arena, struct err *err);

/* The same on the fixture's connection; must succeed. One event without coordinates. */
void put(struct pg_fixture *t, struct uuid id, int64_t occurred_at_us);
void put_command(struct pg_fixture *t, struct uuid id, int64_t occurred_at_us, int32_t topic_id,
                 int32_t partition, int64_t offset);

/* The table that holds the id: "auth_audit_events_stray"; "nowhere". */
const char *home_of(struct pg_fixture *t, const struct uuid *id);

/* Rows of a table. */
int64_t rows_of(struct pg_fixture *t, const char *table);

/* Changes on the fixture's connection that give up after `patience_ms`. */
struct audit_change change_of(struct pg_fixture *t, int64_t patience_ms);

/* Converts with months, the first holding `first`, three ahead. */
void convert_by_month(struct pg_fixture *t, const char *first);

/* The layout, in the fixture's arena; and the interval that begins then, which must be there. */
struct audit_layout layout_of(struct pg_fixture *t);
const struct audit_partition *interval_of(struct pg_fixture *t, const char *from);
