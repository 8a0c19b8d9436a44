#include "repo/testing/fixtures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct text two_ids[] = {{"first", 5}, {"second", 6}};

struct document fixture_document(const char *json)
{
    return (struct document){.json = text_of(json)};
}

struct user fixture_user(const char *id)
{
    return (struct user){
        .id = text_of(id),
        .authentik_id = text_of(id),
        .email = TEXT("somebody@example.org"),
        .primary_org_id = TEXT("org-of-somebody"),
        .display_name = TEXT("Somebody"),
        .avatar_url = TEXT("https://example.org/somebody.png"),
        .labels = fixture_document("{\"tier\":\"gold\"}"),
        .metadata = fixture_document("{\"seen\":[1,2]}"),
    };
}

struct org fixture_org(const char *id)
{
    return (struct org){
        .id = text_of(id),
        .slug = text_of(id),
        .status = TEXT("active"),
        .owner_user_id = TEXT("owner"),
        .profile = fixture_document("{\"name\":\"An Org\"}"),
        .labels = fixture_document("{\"region\":\"eu\"}"),
        .settings = fixture_document("{\"sso\":true}"),
    };
}

struct group fixture_group(const char *id, const char *org_id)
{
    return (struct group){
        .id = text_of(id),
        .org_id = text_of(org_id),
        .slug = text_of(id),
        .name = TEXT("A Group"),
        .description = TEXT("those who"),
        .parent_group_id = TEXT("parent"),
        .labels = fixture_document("{\"floor\":3}"),
    };
}

struct membership fixture_membership(const char *id, const char *user_id, const char *org_id)
{
    return (struct membership){
        .id = text_of(id),
        .user_id = text_of(user_id),
        .org_id = text_of(org_id),
        .role = TEXT("admin"),
        .group_ids = {two_ids, 2},
        .labels_delta = fixture_document("{\"tier\":\"platinum\"}"),
        .created_at_us = FIXTURE_TIME_US,
        .updated_at_us = FIXTURE_TIME_US + 1,
    };
}

struct entitlement fixture_entitlement(const char *id, const char *user_id)
{
    return (struct entitlement){
        .id = text_of(id),
        .subject_kind = TEXT("user"),
        .subject_id = text_of(user_id),
        .entitlement = text_of(id),
        .created_at_us = FIXTURE_TIME_US,
        .metadata = fixture_document("{\"by\":\"sales\"}"),
    };
}

struct key fixture_key(const char *id)
{
    return (struct key){
        .id = text_of(id),
        .hash = text_of(id),
        .owner = {TEXT("user"), TEXT("owner")},
        .name = TEXT("A Key"),
        .description = TEXT("for the build"),
        .created_by = {TEXT("service"), TEXT("console")},
        .created_at_us = FIXTURE_TIME_US,
        .updated_at_us = FIXTURE_TIME_US,
        .expires_at_us = FIXTURE_TIME_US + 3600000000,
        .last_used_at_us = TIMESTAMP_ABSENT,
        .status = TEXT("active"),
        .scopes = {two_ids, 2},
        .labels = fixture_document("{\"env\":\"test\"}"),
        .metadata = fixture_document("{\"rotation\":1}"),
        .revoked_at_us = TIMESTAMP_ABSENT,
    };
}

struct audit_event fixture_audit_event(const char *name)
{
    return (struct audit_event){
        .id = audit_id_of(TEXT("fixtures"), text_of(name)),
        .occurred_at_us = FIXTURE_TIME_US,
        .category = TEXT("identity"),
        .action = TEXT("user.seen"),
        .outcome = TEXT("applied"),
        .actor = fixture_document("{\"type\":\"user\",\"id\":\"somebody\"}"),
        .subject = fixture_document("{\"type\":\"user\",\"id\":\"somebody\"}"),
        .resource = fixture_document("{\"type\":\"user\",\"id\":\"somebody\"}"),
        .metadata = fixture_document("{\"where\":\"here\"}"),
        .correlation_id = TEXT("correlation"),
        .entity = TEXT("somebody"),
    };
}

/* --- rows -------------------------------------------------------------------------------- */

static size_t put_cells(struct recording_executor *db, const struct field_spec *field,
                        const void *value, struct cell *cells)
{
    switch (field->kind) {
    case FIELD_ID:
    case FIELD_LONG_ID:
    case FIELD_EMAIL:
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_CHOICE:
        cells[0] = scripted_text(*(const struct text *)value);
        return 1;
    case FIELD_TIME:
        cells[0] = scripted_time(db, *(const int64_t *)value);
        return 1;
    case FIELD_COUNT:
        cells[0] = scripted_int8(db, *(const int64_t *)value);
        return 1;
    case FIELD_ID_LIST:
        cells[0] = scripted_list(db, *(const struct text_list *)value);
        return 1;
    case FIELD_LABELS:
    case FIELD_MAP:
    case FIELD_OBJECT:
        cells[0] = scripted_text(((const struct document *)value)->json);
        return 1;
    case FIELD_PARTY:
        cells[0] = scripted_text(((const struct party *)value)->whole.json);
        return 1;
    case FIELD_REF:
        cells[0] = scripted_text(((const struct ref *)value)->kind);
        cells[1] = scripted_text(((const struct ref *)value)->id);
        return 2;
    }
    return 0;
}

const struct cell *scripted_record(struct recording_executor *db, const struct record_spec *spec,
                                   const void *record, size_t *ret_count)
{
    /* A reference takes two columns. */
    struct cell *cells = ARENA_ARRAY(db->arena, struct cell, 2 * spec->field_count);
    size_t count = 0;

    assert_non_null(cells);
    for (size_t i = 0; i < spec->field_count; i++)
        count += put_cells(db, &spec->fields[i], field_of_const(&spec->fields[i], record),
                           cells + count);
    *ret_count = count;
    return cells;
}

struct scripted_reply scripted_records(struct recording_executor *db,
                                       const struct record_spec *spec, const void *const *records,
                                       size_t count)
{
    struct cell *cells = ARENA_ARRAY(db->arena, struct cell, 2 * spec->field_count * count);
    size_t columns = 0;

    assert_non_null(cells);
    for (size_t i = 0; i < count; i++) {
        const struct cell *row = scripted_record(db, spec, records[i], &columns);
        memcpy(cells + i * columns, row, columns * sizeof(cells[0]));
    }
    return scripted_rows(cells, count, columns);
}

/* --- comparison -------------------------------------------------------------------------- */

static bool same_text(struct text a, struct text b)
{
    return text_present(a) == text_present(b) && text_equal(a, b);
}

static bool same_list(const struct text_list *a, const struct text_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!same_text(a->items[i], b->items[i]))
            return false;
    }
    return true;
}

static bool same_ref(const struct ref *a, const struct ref *b)
{
    return same_text(a->kind, b->kind) && same_text(a->id, b->id);
}

static bool same_value(enum field_kind kind, const void *a, const void *b)
{
    switch (kind) {
    case FIELD_ID:
    case FIELD_LONG_ID:
    case FIELD_EMAIL:
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_CHOICE:
        return same_text(*(const struct text *)a, *(const struct text *)b);
    case FIELD_TIME:
    case FIELD_COUNT:
        return *(const int64_t *)a == *(const int64_t *)b;
    case FIELD_ID_LIST:
        return same_list(a, b);
    case FIELD_LABELS:
    case FIELD_MAP:
    case FIELD_OBJECT:
        return same_text(((const struct document *)a)->json, ((const struct document *)b)->json);
    case FIELD_PARTY:
        return same_text(((const struct party *)a)->whole.json,
                         ((const struct party *)b)->whole.json);
    case FIELD_REF:
        return same_ref(a, b);
    }
    return false;
}

void assert_record_equal(const struct record_spec *spec, const void *got, const void *expected)
{
    assert_non_null(got);
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct field_spec *field = &spec->fields[i];
        if (!same_value(field->kind, field_of_const(field, got), field_of_const(field, expected)))
            fail_msg("%s.%s differs", spec->name, field->name);
    }
}
