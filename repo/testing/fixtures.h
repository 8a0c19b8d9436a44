#pragma once

#include "base/records.h"
#include "repo/testing/recording_executor.h"

/* Records for tests, and records as the rows of a script. */

/* Records with every field set, for one's own changes. What must be unique (slug, hash, triple) is
 * made from the id; other texts are the same in all. They borrow `id` and literals. */
struct user fixture_user(const char *id);
struct org fixture_org(const char *id);
struct group fixture_group(const char *id, const char *org_id);
struct membership fixture_membership(const char *id, const char *user_id, const char *org_id);
struct entitlement fixture_entitlement(const char *id, const char *user_id);
struct key fixture_key(const char *id);

/* An event that a program of its own would append; its id from `name`. */
struct audit_event fixture_audit_event(const char *name);

/* The time of all fixtures that do not say otherwise: 2026-01-02T03:04:05.678901Z. */
#define FIXTURE_TIME_US INT64_C(1767323045678901)

/* A document from JSON text. */
struct document fixture_document(const char *json);

/* The cells of a record's row, in the order of its declaration, as a database would answer them;
 * in the arena of `db`. ret_count: their number. */
const struct cell *scripted_record(struct recording_executor *db, const struct record_spec *spec,
                                   const void *record, size_t *ret_count);

/* The answer of `count` such rows. */
struct scripted_reply scripted_records(struct recording_executor *db,
                                       const struct record_spec *spec, const void *const *records,
                                       size_t count);

/* Fails the running test at the first field that differs. Documents are compared as JSON text. */
void assert_record_equal(const struct record_spec *spec, const void *got, const void *expected);
