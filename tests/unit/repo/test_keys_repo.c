#include "recording.h"

#include "repo/keys_repo.h"
#include "repo/record_sql.h"

#define COLUMNS                                                                                    \
    "id, hash, owner_kind, owner_id, name, description, created_by_kind, created_by_id,"           \
    " created_at, updated_at, expires_at, last_used_at, usage_count, status, scopes, labels,"      \
    " metadata, revoked_at, revoked_by_kind, revoked_by_id, revocation_reason"
#define TIME "2026-01-02T03:04:05.678901Z"
#define TIME_PLUS_1 "2026-01-02T03:04:05.678902Z"
#define TIME_PLUS_2 "2026-01-02T03:04:05.678903Z"
#define NO_END_OR_HOUR "{NULL,2026-01-02T04:04:05.678901Z}"

/* --- issue --- */

static void test_keys_issue__inserts_new_keys_sorted_by_id(void **state)
{
    struct recording *t = *state;
    struct key b = fixture_key("b");
    struct key a = {.id = TEXT("a"),
                    .hash = TEXT("ha"),
                    .owner = {TEXT("org"), TEXT("o")},
                    .created_at_us = FIXTURE_TIME_US,
                    .updated_at_us = FIXTURE_TIME_US,
                    .expires_at_us = TIMESTAMP_ABSENT};
    const struct text repeated[] = {TEXT("read"), TEXT("write"), TEXT("read")};
    a.scopes = (struct text_list){repeated, 3};
    /* a past that a new key cannot have */
    b.status = TEXT("revoked");
    b.usage_count = 7;
    b.last_used_at_us = FIXTURE_TIME_US;
    b.revoked_at_us = FIXTURE_TIME_US;
    b.revoked_by = (struct ref){TEXT("user"), TEXT("u")};
    b.revocation_reason = TEXT("because");
    const struct key *keys[] = {&b, &a};
    enum write_result results[2];
    const struct cell cells[] = {scripted_text(TEXT("b")), scripted_text(TEXT("a"))};
    script(t, scripted_rows(cells, 2, 1));

    enum outcome outcome = keys_issue(&t->db.port, keys, 2, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_CREATED);
    assert_int_equal(results[1], WRITE_CREATED);
    assert_recorded_name(&t->db, 0, "keys.issue");
    ASSERT_RECORDED_SQL(&t->db, 0, "INSERT INTO {schema}.auth_keys (" COLUMNS ") SELECT u.id",
                        "u.scopes::text[]", "FROM (SELECT unnest($1::text[]) AS id,",
                        "unnest($21::text[]) AS revocation_reason) AS u"
                        " ON CONFLICT DO NOTHING RETURNING id");
    ASSERT_RECORDED_PARAMS(
        &t->db, 0, "{a,b}", "{ha,b}", "{org,user}", "{o,owner}", "{NULL,A Key}",
        "{NULL,for the build}", "{NULL,service}", "{NULL,console}", "{" TIME "," TIME "}",
        "{" TIME "," TIME "}", NO_END_OR_HOUR, "{NULL,NULL}", "{0,0}", "{active,active}",
        "{{\"read\",\"write\"},{\"first\",\"second\"}}", "{{},{\"env\":\"test\"}}",
        "{NULL,{\"rotation\":1}}", "{NULL,NULL}", "{NULL,NULL}", "{NULL,NULL}", "{NULL,NULL}");
    assert_recording_done(&t->db, 1, 1);
}

static void test_keys_issue__asks_what_collided(void **state)
{
    struct recording *t = *state;
    struct key keys[5];
    const struct key *pointers[5];
    const char *const ids[] = {"e", "d", "c", "b", "a"};
    enum write_result results[5];
    for (size_t i = 0; i < 5; i++) {
        keys[i] = fixture_key(ids[i]);
        pointers[i] = &keys[i];
    }
    const struct cell created[] = {scripted_text(TEXT("c"))};
    const struct cell collisions[] = {
        scripted_text(TEXT("a")), scripted_bool(true),        scripted_text(TEXT("x")),
        scripted_bool(true),      scripted_text(TEXT("b")),   scripted_bool(false),
        scripted_text(TEXT("x")), scripted_bool(true),        scripted_text(TEXT("e")),
        scripted_bool(false),     scripted_text(TEXT_ABSENT), scripted_bool(true),
        scripted_text(TEXT("d")), scripted_bool(true),        scripted_text(TEXT_ABSENT),
        scripted_bool(true),
    };
    script(t, scripted_rows(created, 1, 1));
    script(t, scripted_rows(collisions, 4, 4));

    enum outcome outcome = keys_issue(&t->db.port, pointers, 5, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_DUPLICATE);
    assert_int_equal(results[1], WRITE_DUPLICATE_ID);
    assert_int_equal(results[2], WRITE_CREATED);
    assert_int_equal(results[3], WRITE_DUPLICATE_HASH);
    assert_int_equal(results[4], WRITE_DUPLICATE_ID);
    assert_recorded_name(&t->db, 1, "keys.collisions");
    ASSERT_RECORDED_SQL(
        &t->db, 1,
        "SELECT u.id,"
        " EXISTS (SELECT FROM {schema}.auth_keys AS k WHERE k.id = ANY (ARRAY[u.id])),"
        " (SELECT k.id FROM {schema}.auth_keys AS k WHERE k.hash = ANY (ARRAY[u.hash])),",
        " FROM unnest($1::text[], $2::text[]) AS u(id, hash)");
    ASSERT_RECORDED_PARAMS(&t->db, 1, "{e,d,b,a}", "{e,d,b,a}");
    assert_recording_done(&t->db, 2, 2);
}

static void refused_issue(struct recording *t, const struct cell *collision, const char *code)
{
    struct key b = fixture_key("b");
    struct key a = fixture_key("a");
    const struct key *keys[] = {&b, &a};
    enum write_result results[2];
    const struct cell created[] = {scripted_text(TEXT("b"))};
    script(t, scripted_rows(created, 1, 1));
    script(t, scripted_rows(collision, 1, 4));

    enum outcome outcome = keys_issue(&t->db.port, keys, 2, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(t->err.code, code);
}

static void test_keys_issue__a_row_that_nothing_keeps_out_is_refused(void **state)
{
    const struct cell none[] = {scripted_text(TEXT("a")), scripted_bool(false),
                                scripted_text(TEXT_ABSENT), scripted_bool(false)};

    refused_issue(*state, none, refused_row_skipped);
}

static void test_keys_issue__a_row_under_the_id_of_another_input_is_refused(void **state)
{
    const struct cell under_b[] = {scripted_text(TEXT("a")), scripted_bool(false),
                                   scripted_text(TEXT("b")), scripted_bool(false)};

    refused_issue(*state, under_b, refused_row_renamed);
}

static void test_keys_issue__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    struct key key = fixture_key("a");
    const struct key *keys[] = {&key};
    enum write_result results[] = {WRITE_EXPIRED};
    script_failure(t);

    enum outcome outcome = keys_issue(&t->db.port, keys, 1, t->arena, results, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
}

static void test_keys_issue__a_failure_of_the_question_passes_through(void **state)
{
    struct recording *t = *state;
    struct key key = fixture_key("a");
    const struct key *keys[] = {&key};
    enum write_result results[1];
    script(t, scripted_rows(NULL, 0, 1));
    script_failure(t);

    enum outcome outcome = keys_issue(&t->db.port, keys, 1, t->arena, results, &t->err);

    assert_failure_passed(t, outcome);
    assert_recording_done(&t->db, 2, 2);
}

/* --- issue by COPY --- */

static void test_keys_issue_copy__copies_new_keys_sorted_by_id(void **state)
{
    struct recording *t = *state;
    struct key b = fixture_key("b");
    struct key a = fixture_key("a");
    struct key as_new = a;
    const struct text repeated[] = {TEXT("read"), TEXT("write"), TEXT("read")};
    enum write_result results[2] = {WRITE_OPEN, WRITE_OPEN};
    bool issued = false;
    struct pg_copy expected;
    struct slice rows;
    a.scopes = (struct text_list){repeated, 3};
    as_new.scopes = (struct text_list){repeated, 2};
    /* a past that a new key cannot have */
    a.status = TEXT("revoked");
    a.usage_count = 7;
    a.last_used_at_us = FIXTURE_TIME_US;
    a.revoked_at_us = FIXTURE_TIME_US;
    a.revoked_by = (struct ref){TEXT("user"), TEXT("u")};
    a.revocation_reason = TEXT("because");
    const struct key *keys[] = {&b, &a};

    script(t, scripted_affected(2));

    enum outcome outcome =
        keys_issue_copy(&t->db.port, keys, 2, t->arena, results, &issued, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_true(issued);
    assert_int_equal(results[0], WRITE_CREATED);
    assert_int_equal(results[1], WRITE_CREATED);
    assert_recorded_name(&t->db, 0, "keys.issue_copy");
    assert_sql(t, 0,
               "SAVEPOINT keys_issue; COPY {schema}.auth_keys (" COLUMNS
               ") FROM STDIN (FORMAT binary)");
    pg_copy_init(&expected, t->arena, 0);
    record_sql_copy(&key_spec, &as_new, &expected);
    record_sql_copy(&key_spec, &b, &expected);
    assert_true(pg_copy_done(&expected, &rows));
    assert_int_equal(t->db.statements[0].params[0].length, rows.length);
    assert_memory_equal(t->db.statements[0].params[0].data, rows.data, rows.length);
    assert_recording_done(&t->db, 1, 2);
}

static void refused_copy(struct recording *t, enum outcome refusal)
{
    struct key key = fixture_key("a");
    const struct key *keys[] = {&key};
    enum write_result results[] = {WRITE_EXPIRED};
    bool issued = true;
    script(t, scripted_failure(refusal, ""));
    script(t, scripted_affected(0));

    enum outcome outcome =
        keys_issue_copy(&t->db.port, keys, 1, t->arena, results, &issued, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_false(issued);
    assert_int_equal(results[0], WRITE_EXPIRED);
    assert_recorded_name(&t->db, 1, "keys.issue_undo");
    assert_sql(t, 1, "ROLLBACK TO SAVEPOINT keys_issue");
    assert_recording_done(&t->db, 2, 3);
}

static void test_keys_issue_copy__a_refused_row_undoes_all(void **state)
{
    refused_copy(*state, OUTCOME_REJECT);
}

static void test_keys_issue_copy__so_does_a_table_that_takes_no_copy(void **state)
{
    refused_copy(*state, OUTCOME_FATAL);
}

static void test_keys_issue_copy__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    struct key key = fixture_key("a");
    const struct key *keys[] = {&key};
    enum write_result results[] = {WRITE_EXPIRED};
    bool issued = false;
    script_failure(t);

    enum outcome outcome =
        keys_issue_copy(&t->db.port, keys, 1, t->arena, results, &issued, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
    assert_recording_done(&t->db, 1, 2);
}

static void test_keys_issue_copy__a_failure_to_undo_passes_through(void **state)
{
    struct recording *t = *state;
    struct key key = fixture_key("a");
    const struct key *keys[] = {&key};
    enum write_result results[1];
    bool issued = false;
    script(t, scripted_failure(OUTCOME_REJECT, "23505"));
    script_failure(t);

    enum outcome outcome =
        keys_issue_copy(&t->db.port, keys, 1, t->arena, results, &issued, &t->err);

    assert_failure_passed(t, outcome);
}

/* --- usage --- */

static const char usage_sql[] =
    "UPDATE {schema}.auth_keys AS k SET usage_count = k.usage_count + u.n, last_used_at = "
    "u.last_at,"
    " updated_at = u.last_at"
    " FROM unnest($1::text[], $2::int8[], $3::timestamptz[], $4::timestamptz[])"
    " AS u(wanted, n, last_at, max_at)"
    " WHERE k.id = ANY (ARRAY[u.wanted]) AND k.revoked_at IS NULL"
    " AND k.status NOT IN ('revoked', 'expired')"
    " AND (k.expires_at IS NULL OR k.expires_at > u.max_at)"
    " RETURNING k.id, k.owner_kind, k.owner_id, k.usage_count";

static void test_keys_record_usage__merges_the_usages_of_a_key(void **state)
{
    struct recording *t = *state;
    /* out of order: the last one stands, the latest decides about expiry */
    const int64_t of_b[] = {FIXTURE_TIME_US, FIXTURE_TIME_US + 2, FIXTURE_TIME_US + 1};
    const int64_t of_a[] = {FIXTURE_TIME_US};
    const struct key_usage usages[] = {{TEXT("b"), of_b, 3}, {TEXT("a"), of_a, 1}};
    enum write_result b[3];
    enum write_result a[1];
    struct key_usage_result results[] = {{.results = b}, {.results = a}};
    const struct cell cells[] = {
        scripted_text(TEXT("b")),  scripted_text(TEXT("user")), scripted_text(TEXT("u")),
        scripted_int8(&t->db, 13), scripted_text(TEXT("a")),    scripted_text(TEXT("org")),
        scripted_text(TEXT("o")),  scripted_int8(&t->db, 1),
    };
    script(t, scripted_rows(cells, 2, 4));

    enum outcome outcome = keys_record_usage(&t->db.port, usages, 2, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(b[0], WRITE_UPDATED);
    assert_int_equal(b[1], WRITE_UPDATED);
    assert_int_equal(b[2], WRITE_UPDATED);
    assert_int_equal(a[0], WRITE_UPDATED);
    assert_int_equal(results[0].usage_count, 13);
    assert_text(results[0].owner.kind, "user");
    assert_text(results[0].owner.id, "u");
    assert_int_equal(results[1].usage_count, 1);
    assert_text(results[1].owner.id, "o");
    assert_recorded_name(&t->db, 0, "keys.record_usage");
    assert_sql(t, 0, usage_sql);
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{a,b}", "{1,3}", "{" TIME "," TIME_PLUS_1 "}",
                           "{" TIME "," TIME_PLUS_2 "}");
    assert_recording_done(&t->db, 1, 1);
}

static void test_keys_record_usage__judges_what_is_open_one_by_one(void **state)
{
    struct recording *t = *state;
    const int64_t twice[] = {FIXTURE_TIME_US + 1, FIXTURE_TIME_US};
    const int64_t once[] = {FIXTURE_TIME_US};
    const struct key_usage usages[] = {{TEXT("mixed"), twice, 2},
                                       {TEXT("good"), once, 1},
                                       {TEXT("gone"), once, 1},
                                       {TEXT("away"), once, 1}};
    enum write_result mixed[2];
    enum write_result good[1];
    enum write_result gone[1];
    enum write_result away[1];
    struct key_usage_result results[] = {
        {.results = mixed}, {.results = good}, {.results = gone}, {.results = away}};
    const struct cell counted[] = {scripted_text(TEXT("good")), scripted_text(TEXT("user")),
                                   scripted_text(TEXT("u")), scripted_int8(&t->db, 5)};
    const struct cell null = {NULL, 0};
    /* away, gone, mixed 1, mixed 2, answered in another order */
    const struct cell judged[] = {
        scripted_int8(&t->db, 4),
        scripted_text(TEXT("counted")),
        scripted_bool(true),
        scripted_text(TEXT("org")),
        scripted_text(TEXT("o")),
        scripted_int8(&t->db, 9),

        scripted_int8(&t->db, 1),
        scripted_text(TEXT("not_found")),
        scripted_bool(false),
        null,
        null,
        null,

        scripted_int8(&t->db, 3),
        scripted_text(TEXT("expired")),
        scripted_bool(true),
        scripted_text(TEXT("org")),
        scripted_text(TEXT("o")),
        scripted_int8(&t->db, 9),

        scripted_int8(&t->db, 2),
        scripted_text(TEXT("revoked")),
        scripted_bool(false),
        null,
        null,
        null,
    };
    script(t, scripted_rows(counted, 1, 4));
    script(t, scripted_rows(judged, 4, 6));

    enum outcome outcome = keys_record_usage(&t->db.port, usages, 4, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(mixed[0], WRITE_EXPIRED);
    assert_int_equal(mixed[1], WRITE_UPDATED);
    assert_int_equal(results[0].usage_count, 9);
    assert_text(results[0].owner.kind, "org");
    assert_int_equal(good[0], WRITE_UPDATED);
    assert_int_equal(results[1].usage_count, 5);
    assert_int_equal(gone[0], WRITE_REVOKED);
    assert_int_equal(away[0], WRITE_NOT_FOUND);
    assert_recorded_name(&t->db, 1, "keys.judge_usage");
    ASSERT_RECORDED_SQL(&t->db, 1, "k.id = ANY ($1::text[]) ORDER BY k.id FOR UPDATE",
                        "WHEN h.id IS NULL THEN 'not_found'", "WHEN h.revoked THEN 'revoked'",
                        "WHEN h.expired OR h.expires_at <= u.used_at THEN 'expired'",
                        "unnest($2::text[], $3::timestamptz[]) WITH ORDINALITY",
                        "UPDATE {schema}.auth_keys AS k SET usage_count = k.usage_count + g.n");
    ASSERT_RECORDED_PARAMS(&t->db, 1, "{away,gone,mixed}", "{away,gone,mixed,mixed}",
                           "{" TIME "," TIME "," TIME_PLUS_1 "," TIME "}");
    assert_recording_done(&t->db, 2, 2);
}

static void test_keys_record_usage__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const int64_t once[] = {FIXTURE_TIME_US};
    const struct key_usage usages[] = {{TEXT("a"), once, 1}};
    enum write_result a[] = {WRITE_CREATED};
    struct key_usage_result results[] = {{.results = a, .usage_count = -1}};
    script_failure(t);

    enum outcome outcome = keys_record_usage(&t->db.port, usages, 1, t->arena, results, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(a[0], WRITE_CREATED);
    assert_int_equal(results[0].usage_count, -1);
}

static void test_keys_record_usage__a_failure_of_the_judging_passes_through(void **state)
{
    struct recording *t = *state;
    const int64_t once[] = {FIXTURE_TIME_US};
    const struct key_usage usages[] = {{TEXT("a"), once, 1}};
    enum write_result a[] = {WRITE_CREATED};
    struct key_usage_result results[] = {{.results = a}};
    script(t, scripted_rows(NULL, 0, 4));
    script_failure(t);

    enum outcome outcome = keys_record_usage(&t->db.port, usages, 1, t->arena, results, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(a[0], WRITE_CREATED);
}

static void test_keys_record_usage__an_unjudged_usage_is_fatal(void **state)
{
    struct recording *t = *state;
    const int64_t once[] = {FIXTURE_TIME_US};
    const struct key_usage usages[] = {{TEXT("a"), once, 1}};
    enum write_result a[1];
    struct key_usage_result results[] = {{.results = a}};
    script(t, scripted_rows(NULL, 0, 4));
    script(t, scripted_rows(NULL, 0, 5));

    enum outcome outcome = keys_record_usage(&t->db.port, usages, 1, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_FATAL);
}

static void test_keys_record_usage__a_verdict_on_no_usage_is_fatal(void **state)
{
    struct recording *t = *state;
    const int64_t once[] = {FIXTURE_TIME_US};
    const struct key_usage usages[] = {{TEXT("a"), once, 1}};
    enum write_result a[1];
    struct key_usage_result results[] = {{.results = a}};
    const struct cell null = {NULL, 0};
    const struct cell judged[] = {scripted_int8(&t->db, 2), scripted_text(TEXT("revoked")), null,
                                  null, null};
    script(t, scripted_rows(NULL, 0, 4));
    script(t, scripted_rows(judged, 1, 5));

    enum outcome outcome = keys_record_usage(&t->db.port, usages, 1, t->arena, results, &t->err);

    assert_int_equal(outcome, OUTCOME_FATAL);
}

/* --- revoke --- */

static struct key revocation_of(const char *id)
{
    return (struct key){.id = text_of(id), .revoked_at_us = FIXTURE_TIME_US};
}

static void test_keys_revoke__revokes_what_is_not_revoked(void **state)
{
    struct recording *t = *state;
    struct key b = revocation_of("b");
    struct key a = revocation_of("a");
    b.revoked_by = (struct ref){TEXT("user"), TEXT("u")};
    b.revocation_reason = TEXT("leaked");
    const struct key *revocations[] = {&b, &a};
    enum write_result results[2];
    struct ref owners[2];
    const struct cell cells[] = {
        scripted_text(TEXT("b")), scripted_text(TEXT("user")), scripted_text(TEXT("ub")),
        scripted_text(TEXT("a")), scripted_text(TEXT("org")),  scripted_text(TEXT("oa")),
    };
    script(t, scripted_rows(cells, 2, 3));

    enum outcome outcome =
        keys_revoke(&t->db.port, revocations, 2, t->arena, results, owners, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_UPDATED);
    assert_int_equal(results[1], WRITE_UPDATED);
    assert_text(owners[0].id, "ub");
    assert_text(owners[1].kind, "org");
    assert_recorded_name(&t->db, 0, "keys.revoke");
    assert_sql(t, 0,
               "UPDATE {schema}.auth_keys AS k SET status = 'revoked', revoked_at = u.revoked_at,"
               " updated_at = u.revoked_at, revoked_by_kind = u.by_kind,"
               " revoked_by_id = u.by_id, revocation_reason = u.reason"
               " FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[])"
               " AS u(wanted, revoked_at, by_kind, by_id, reason)"
               " WHERE k.id = ANY (ARRAY[u.wanted]) AND k.status <> 'revoked'"
               " AND k.revoked_at IS NULL RETURNING k.id, k.owner_kind, k.owner_id");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{a,b}", "{" TIME "," TIME "}", "{NULL,user}", "{NULL,u}",
                           "{NULL,leaked}");
    assert_recording_done(&t->db, 1, 1);
}

static void test_keys_revoke__tells_missing_keys_from_revoked_ones(void **state)
{
    struct recording *t = *state;
    struct key c = revocation_of("c");
    struct key b = revocation_of("b");
    struct key a = revocation_of("a");
    const struct key *revocations[] = {&c, &b, &a};
    enum write_result results[3];
    struct ref owners[3];
    const struct cell updated[] = {scripted_text(TEXT("b")), scripted_text(TEXT("user")),
                                   scripted_text(TEXT("u"))};
    const struct cell exist[] = {scripted_text(TEXT("c")), scripted_bool(true)};
    script(t, scripted_rows(updated, 1, 3));
    script(t, scripted_rows(exist, 1, 2));

    enum outcome outcome =
        keys_revoke(&t->db.port, revocations, 3, t->arena, results, owners, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(results[0], WRITE_ALREADY_REVOKED);
    assert_int_equal(results[1], WRITE_UPDATED);
    assert_int_equal(results[2], WRITE_NOT_FOUND);
    assert_recorded_name(&t->db, 1, "keys.exist");
    assert_sql(t, 1,
               "SELECT id, status = 'revoked' OR revoked_at IS NOT NULL FROM {schema}.auth_keys"
               " WHERE id = ANY ($1::text[])");
    ASSERT_RECORDED_PARAMS(&t->db, 1, "{a,c}");
    assert_recording_done(&t->db, 2, 2);
}

static void test_keys_revoke__a_key_that_is_not_revoked_afterwards_is_refused(void **state)
{
    struct recording *t = *state;
    struct key a = revocation_of("a");
    const struct key *revocations[] = {&a};
    enum write_result results[1];
    struct ref owners[1];
    const struct cell unchanged[] = {scripted_text(TEXT("a")), scripted_bool(false)};
    script(t, scripted_rows(NULL, 0, 3));
    script(t, scripted_rows(unchanged, 1, 2));

    enum outcome outcome =
        keys_revoke(&t->db.port, revocations, 1, t->arena, results, owners, &t->err);

    assert_int_equal(outcome, OUTCOME_REJECT);
    assert_string_equal(t->err.code, refused_row_skipped);
}

static void test_keys_revoke__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    struct key a = revocation_of("a");
    const struct key *revocations[] = {&a};
    enum write_result results[] = {WRITE_EXPIRED};
    struct ref owners[] = {{TEXT("untouched"), TEXT("untouched")}};
    script_failure(t);

    enum outcome outcome =
        keys_revoke(&t->db.port, revocations, 1, t->arena, results, owners, &t->err);

    assert_failure_passed(t, outcome);
    assert_int_equal(results[0], WRITE_EXPIRED);
    assert_text(owners[0].id, "untouched");
}

static void test_keys_revoke__a_failure_of_the_question_passes_through(void **state)
{
    struct recording *t = *state;
    struct key a = revocation_of("a");
    const struct key *revocations[] = {&a};
    enum write_result results[1];
    struct ref owners[1];
    script(t, scripted_rows(NULL, 0, 3));
    script_failure(t);

    enum outcome outcome =
        keys_revoke(&t->db.port, revocations, 1, t->arena, results, owners, &t->err);

    assert_failure_passed(t, outcome);
}

/* --- reads --- */

static void test_keys_get__answers_in_the_order_asked(void **state)
{
    struct recording *t = *state;
    struct key b = fixture_key("b");
    b.usage_count = INT64_C(5000000000);
    b.last_used_at_us = FIXTURE_TIME_US;
    b.revoked_at_us = FIXTURE_TIME_US + 1;
    b.revoked_by = (struct ref){TEXT("user"), TEXT("u")};
    b.revocation_reason = TEXT("leaked");
    const struct text ids[] = {TEXT("none"), TEXT("b")};
    const struct key *keys[2];
    script(t, scripted_records(&t->db, &key_spec, (const void *const[]){&b}, 1));

    enum outcome outcome = keys_get(&t->db.port, ids, 2, t->arena, keys, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_null(keys[0]);
    assert_record_equal(&key_spec, keys[1], &b);
    assert_recorded_name(&t->db, 0, "keys.get");
    assert_sql(t, 0, "SELECT " COLUMNS " FROM {schema}.auth_keys WHERE id = ANY ($1::text[])");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "{b,none}");
}

static void test_keys_get__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct key sentinel = {.id = TEXT("sentinel")};
    const struct key *keys[] = {&sentinel};
    const struct text ids[] = {TEXT("b")};
    script_failure(t);

    enum outcome outcome = keys_get(&t->db.port, ids, 1, t->arena, keys, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(keys[0], &sentinel);
}

static void test_keys_get_by_hash__finds_it(void **state)
{
    struct recording *t = *state;
    struct key key = fixture_key("b");
    const struct key *found = NULL;
    script(t, scripted_records(&t->db, &key_spec, (const void *const[]){&key}, 1));

    enum outcome outcome = keys_get_by_hash(&t->db.port, TEXT("b"), t->arena, &found, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_record_equal(&key_spec, found, &key);
    assert_recorded_name(&t->db, 0, "keys.get_by_hash");
    assert_sql(t, 0, "SELECT " COLUMNS " FROM {schema}.auth_keys WHERE hash = $1");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "b");
}

static void test_keys_get_by_hash__says_when_there_is_none(void **state)
{
    struct recording *t = *state;
    const struct key sentinel = {.id = TEXT("sentinel")};
    const struct key *found = &sentinel;
    script(t, scripted_rows(NULL, 0, 21));

    enum outcome outcome = keys_get_by_hash(&t->db.port, TEXT("b"), t->arena, &found, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_null(found);
}

static void test_keys_get_by_hash__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct key sentinel = {.id = TEXT("sentinel")};
    const struct key *found = &sentinel;
    script_failure(t);

    enum outcome outcome = keys_get_by_hash(&t->db.port, TEXT("b"), t->arena, &found, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(found, &sentinel);
}

static void test_keys_list_by_owner__newest_first_by_status(void **state)
{
    struct recording *t = *state;
    struct key a = fixture_key("a");
    struct key b = fixture_key("b");
    const struct key_list_options options = {.include_expired = true, .now_us = FIXTURE_TIME_US};
    const struct ref owner = {TEXT("user"), TEXT("owner")};
    const struct key *keys;
    size_t count;
    script(t, scripted_records(&t->db, &key_spec, (const void *const[]){&b, &a}, 2));

    enum outcome outcome =
        keys_list_by_owner(&t->db.port, owner, &options, t->arena, &keys, &count, &t->err);

    assert_int_equal(outcome, OUTCOME_OK);
    assert_int_equal(count, 2);
    assert_record_equal(&key_spec, &keys[0], &b);
    assert_record_equal(&key_spec, &keys[1], &a);
    assert_recorded_name(&t->db, 0, "keys.list_by_owner");
    assert_sql(t, 0,
               "SELECT " COLUMNS " FROM {schema}.auth_keys WHERE owner_kind = $1 AND owner_id = $2"
               " AND CASE WHEN status = 'revoked' OR revoked_at IS NOT NULL THEN $3"
               " WHEN status = 'expired' OR expires_at <= $5 THEN $4 ELSE true END"
               " ORDER BY created_at DESC, id");
    ASSERT_RECORDED_PARAMS(&t->db, 0, "user", "owner", "false", "true", TIME);
}

static void test_keys_list_by_owner__a_failure_leaves_results_alone(void **state)
{
    struct recording *t = *state;
    const struct key_list_options options = {.now_us = FIXTURE_TIME_US};
    const struct ref owner = {TEXT("user"), TEXT("owner")};
    const struct key sentinel = {.id = TEXT("sentinel")};
    const struct key *keys = &sentinel;
    size_t count = 7;
    script_failure(t);

    enum outcome outcome =
        keys_list_by_owner(&t->db.port, owner, &options, t->arena, &keys, &count, &t->err);

    assert_failure_passed(t, outcome);
    assert_ptr_equal(keys, &sentinel);
    assert_int_equal(count, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDING_TEST(test_keys_issue__inserts_new_keys_sorted_by_id),
        RECORDING_TEST(test_keys_issue__asks_what_collided),
        RECORDING_TEST(test_keys_issue__a_row_that_nothing_keeps_out_is_refused),
        RECORDING_TEST(test_keys_issue__a_row_under_the_id_of_another_input_is_refused),
        RECORDING_TEST(test_keys_issue__a_failure_leaves_results_alone),
        RECORDING_TEST(test_keys_issue__a_failure_of_the_question_passes_through),
        RECORDING_TEST(test_keys_issue_copy__copies_new_keys_sorted_by_id),
        RECORDING_TEST(test_keys_issue_copy__a_refused_row_undoes_all),
        RECORDING_TEST(test_keys_issue_copy__so_does_a_table_that_takes_no_copy),
        RECORDING_TEST(test_keys_issue_copy__a_failure_leaves_results_alone),
        RECORDING_TEST(test_keys_issue_copy__a_failure_to_undo_passes_through),
        RECORDING_TEST(test_keys_record_usage__merges_the_usages_of_a_key),
        RECORDING_TEST(test_keys_record_usage__judges_what_is_open_one_by_one),
        RECORDING_TEST(test_keys_record_usage__a_failure_leaves_results_alone),
        RECORDING_TEST(test_keys_record_usage__a_failure_of_the_judging_passes_through),
        RECORDING_TEST(test_keys_record_usage__an_unjudged_usage_is_fatal),
        RECORDING_TEST(test_keys_record_usage__a_verdict_on_no_usage_is_fatal),
        RECORDING_TEST(test_keys_revoke__revokes_what_is_not_revoked),
        RECORDING_TEST(test_keys_revoke__tells_missing_keys_from_revoked_ones),
        RECORDING_TEST(test_keys_revoke__a_key_that_is_not_revoked_afterwards_is_refused),
        RECORDING_TEST(test_keys_revoke__a_failure_leaves_results_alone),
        RECORDING_TEST(test_keys_revoke__a_failure_of_the_question_passes_through),
        RECORDING_TEST(test_keys_get__answers_in_the_order_asked),
        RECORDING_TEST(test_keys_get__a_failure_leaves_results_alone),
        RECORDING_TEST(test_keys_get_by_hash__finds_it),
        RECORDING_TEST(test_keys_get_by_hash__says_when_there_is_none),
        RECORDING_TEST(test_keys_get_by_hash__a_failure_leaves_results_alone),
        RECORDING_TEST(test_keys_list_by_owner__newest_first_by_status),
        RECORDING_TEST(test_keys_list_by_owner__a_failure_leaves_results_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
