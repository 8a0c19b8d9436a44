/* The declarations of the records: that the tables are what decoding and SQL may rely on. */
#include "base/records.h"
#include "base/timestamp.h"
#include "cmocka_all.h"

static const struct record_spec *const specs[] = {
    &user_spec,        &org_spec, &group_spec,       &membership_spec,
    &entitlement_spec, &key_spec, &audit_entry_spec,
};
enum { SPEC_COUNT = sizeof(specs) / sizeof(specs[0]) };

static size_t size_of(enum field_kind kind)
{
    switch (kind) {
    case FIELD_ID:
    case FIELD_LONG_ID:
    case FIELD_EMAIL:
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_CHOICE:
        return sizeof(struct text);
    case FIELD_TIME:
    case FIELD_COUNT:
        return sizeof(int64_t);
    case FIELD_ID_LIST:
        return sizeof(struct text_list);
    case FIELD_LABELS:
    case FIELD_MAP:
    case FIELD_OBJECT:
        return sizeof(struct document);
    case FIELD_REF:
        return sizeof(struct ref);
    case FIELD_PARTY:
        return sizeof(struct party);
    }
    return 0;
}

static void test_record_specs__fields_lie_in_their_struct_and_do_not_overlap(void **state)
{
    (void)state;
    for (size_t s = 0; s < SPEC_COUNT; s++) {
        const struct record_spec *spec = specs[s];
        uint8_t taken[1024] = {0};

        assert_true(spec->size <= sizeof(taken));
        assert_true(spec->field_count <= 64);
        for (size_t f = 0; f < spec->field_count; f++) {
            const struct field_spec *field = &spec->fields[f];
            assert_true(field->offset + size_of(field->kind) <= spec->size);
            for (size_t i = 0; i < size_of(field->kind); i++)
                assert_int_equal(taken[field->offset + i]++, 0);
        }
    }
}

static void test_record_specs__names_are_distinct_and_found(void **state)
{
    (void)state;
    for (size_t s = 0; s < SPEC_COUNT; s++) {
        const struct record_spec *spec = specs[s];
        for (size_t f = 0; f < spec->field_count; f++) {
            assert_ptr_equal(record_field(spec, spec->fields[f].name), &spec->fields[f]);
            assert_non_null(spec->fields[f].column);
        }
        assert_null(record_field(spec, "nothing"));
    }
}

static void test_record_specs__what_kinds_need(void **state)
{
    (void)state;
    for (size_t s = 0; s < SPEC_COUNT; s++) {
        for (size_t f = 0; f < specs[s]->field_count; f++) {
            const struct field_spec *field = &specs[s]->fields[f];
            bool has_choices = field->kind == FIELD_CHOICE || field->kind == FIELD_REF;
            assert_int_equal(field->choices != NULL, has_choices);
            assert_int_equal(field->parts != NULL, field->kind == FIELD_OBJECT);
            if (field->absent == ABSENT_KEEP) {
                assert_int_equal(field->kind, FIELD_TIME);
                assert_true(field->keep_offset > 0 && field->keep_offset < specs[s]->size);
            }
        }
    }
}

static void test_record_clear__everything_absent(void **state)
{
    struct key key;

    (void)state;
    memset(&key, 0xff, sizeof(key));
    record_clear(&key_spec, &key);

    assert_null(key.id.data);
    assert_null(key.owner.kind.data);
    assert_null(key.scopes.items);
    assert_null(key.labels.json.data);
    assert_int_equal(key.usage_count, 0);
    assert_int_equal(key.created_at_us, TIMESTAMP_ABSENT);
    assert_int_equal(key.revoked_at_us, TIMESTAMP_ABSENT);
}

static void test_field_takes_command_time__given_by_this_command_or_by_none(void **state)
{
    const struct field_spec *used = record_field(&key_spec, "lastUsedAt");
    const struct field_spec *updated = record_field(&key_spec, "updatedAt");
    const struct field_spec *expires = record_field(&key_spec, "expiresAt");

    (void)state;
    assert_true(field_takes_command_time(used, KEY_RECORD_USAGE));
    assert_false(field_takes_command_time(used, KEY_ISSUE));
    assert_true(field_takes_command_time(updated, KEY_ISSUE));
    assert_true(field_takes_command_time(updated, KEY_REVOKE));
    assert_false(field_takes_command_time(expires, KEY_ISSUE));
}

static void test_field_bounds(void **state)
{
    static const struct {
        enum field_kind kind;
        size_t min;
        size_t max;
    } cases[] = {
        {FIELD_ID, 1, 256}, {FIELD_EMAIL, 1, 320}, {FIELD_NAME, 1, 1024}, {FIELD_TEXT, 0, 4096}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct field_bounds bounds = field_bounds(cases[i].kind);
        assert_int_equal(bounds.min_bytes, cases[i].min);
        assert_int_equal(bounds.max_bytes, cases[i].max);
    }
}

static void test_key_status__revoked_before_expired_before_active(void **state)
{
    static const struct {
        const char *stored;
        int64_t revoked_at;
        int64_t expires_at;
        const char *status;
    } cases[] = {
        {"active", TIMESTAMP_ABSENT, TIMESTAMP_ABSENT, "active"},
        {"active", TIMESTAMP_ABSENT, 1001, "active"},
        {"active", TIMESTAMP_ABSENT, 1000, "expired"},
        {"active", TIMESTAMP_ABSENT, 999, "expired"},
        {"expired", TIMESTAMP_ABSENT, TIMESTAMP_ABSENT, "expired"},
        {"active", 5, 999, "revoked"},
        {"active", 5000, TIMESTAMP_ABSENT, "revoked"},
        {"revoked", TIMESTAMP_ABSENT, TIMESTAMP_ABSENT, "revoked"},
        {"expired", 5, TIMESTAMP_ABSENT, "revoked"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct key key = {.status = text_of(cases[i].stored),
                                .revoked_at_us = cases[i].revoked_at,
                                .expires_at_us = cases[i].expires_at};
        assert_string_equal(key_status(&key, 1000), cases[i].status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_specs__fields_lie_in_their_struct_and_do_not_overlap),
        cmocka_unit_test(test_record_specs__names_are_distinct_and_found),
        cmocka_unit_test(test_record_specs__what_kinds_need),
        cmocka_unit_test(test_record_clear__everything_absent),
        cmocka_unit_test(test_field_takes_command_time__given_by_this_command_or_by_none),
        cmocka_unit_test(test_field_bounds),
        cmocka_unit_test(test_key_status__revoked_before_expired_before_active),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
