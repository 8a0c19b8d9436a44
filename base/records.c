#include "base/records.h"

#include "base/timestamp.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RECORD_SPEC(name_, table_, struct_, fields_)                                               \
    {                                                                                              \
        .name = (name_), .table = (table_), .fields = (fields_), .field_count = COUNT(fields_),    \
        .size = sizeof(struct_)                                                                    \
    }

#define UPSERT_REQUIRED                                                                            \
    {                                                                                              \
        [COMMAND_UPSERT] = FIELD_REQUIRED                                                          \
    }
#define UPSERT_OPTIONAL                                                                            \
    {                                                                                              \
        [COMMAND_UPSERT] = FIELD_OPTIONAL                                                          \
    }
#define EVERY_REQUIRED                                                                             \
    {                                                                                              \
        FIELD_REQUIRED, FIELD_REQUIRED, FIELD_REQUIRED                                             \
    }

#define AT(field) .offset = offsetof(struct user, field)
static const struct field_spec user_fields[] = {
    {"id", "id", FIELD_ID, AT(id), UPSERT_REQUIRED},
    {"authentikId", "authentik_id", FIELD_ID, AT(authentik_id), UPSERT_REQUIRED},
    {"email", "email", FIELD_EMAIL, AT(email), UPSERT_REQUIRED},
    {"primaryOrgId", "primary_org_id", FIELD_ID, AT(primary_org_id), UPSERT_OPTIONAL},
    {"displayName", "display_name", FIELD_NAME, AT(display_name), UPSERT_OPTIONAL},
    {"avatarUrl", "avatar_url", FIELD_TEXT, AT(avatar_url), UPSERT_OPTIONAL},
    {"labels", "labels", FIELD_LABELS, AT(labels), UPSERT_OPTIONAL, .absent = ABSENT_EMPTY},
    {"metadata", "metadata", FIELD_MAP, AT(metadata), UPSERT_OPTIONAL},
};
#undef AT
const struct record_spec user_spec = RECORD_SPEC("user", "auth_users", struct user, user_fields);

static const char *const org_statuses[] = {"active", "suspended", "invited", "archived", NULL};

static const struct field_spec profile_parts[] = {
    {"name", NULL, FIELD_NAME, FIELD_NO_OFFSET, UPSERT_REQUIRED},
    {"logoUrl", NULL, FIELD_TEXT, FIELD_NO_OFFSET, UPSERT_OPTIONAL},
    {"description", NULL, FIELD_TEXT, FIELD_NO_OFFSET, UPSERT_OPTIONAL},
    {"websiteUrl", NULL, FIELD_TEXT, FIELD_NO_OFFSET, UPSERT_OPTIONAL},
    {"brandColors", NULL, FIELD_MAP, FIELD_NO_OFFSET, UPSERT_OPTIONAL},
    {"address", NULL, FIELD_MAP, FIELD_NO_OFFSET, UPSERT_OPTIONAL},
    {"links", NULL, FIELD_MAP, FIELD_NO_OFFSET, UPSERT_OPTIONAL},
};

#define AT(field) .offset = offsetof(struct org, field)
static const struct field_spec org_fields[] = {
    {"id", "id", FIELD_ID, AT(id), UPSERT_REQUIRED},
    {"slug", "slug", FIELD_ID, AT(slug), UPSERT_REQUIRED},
    {"status", "status", FIELD_CHOICE, AT(status), UPSERT_REQUIRED, .choices = org_statuses},
    {"ownerUserId", "owner_user_id", FIELD_ID, AT(owner_user_id), UPSERT_REQUIRED},
    {"profile", "profile", FIELD_OBJECT, AT(profile), UPSERT_REQUIRED, .parts = profile_parts,
     .part_count = COUNT(profile_parts)},
    {"labels", "labels", FIELD_LABELS, AT(labels), UPSERT_OPTIONAL, .absent = ABSENT_EMPTY},
    {"settings", "settings", FIELD_MAP, AT(settings), UPSERT_OPTIONAL, .absent = ABSENT_EMPTY},
};
#undef AT
const struct record_spec org_spec = RECORD_SPEC("org", "auth_orgs", struct org, org_fields);

#define AT(field) .offset = offsetof(struct group, field)
static const struct field_spec group_fields[] = {
    {"id", "id", FIELD_ID, AT(id), EVERY_REQUIRED},
    {"orgId", "org_id", FIELD_ID, AT(org_id), UPSERT_REQUIRED},
    {"slug", "slug", FIELD_ID, AT(slug), UPSERT_REQUIRED},
    {"name", "name", FIELD_NAME, AT(name), UPSERT_REQUIRED},
    {"description", "description", FIELD_TEXT, AT(description), UPSERT_OPTIONAL},
    {"parentGroupId", "parent_group_id", FIELD_ID, AT(parent_group_id), UPSERT_OPTIONAL},
    {"labels", "labels", FIELD_LABELS, AT(labels), UPSERT_OPTIONAL, .absent = ABSENT_EMPTY},
};
#undef AT
const struct record_spec group_spec =
    RECORD_SPEC("group", "auth_groups", struct group, group_fields);

#define AT(field) .offset = offsetof(struct membership, field)
static const struct field_spec membership_fields[] = {
    {"id", "id", FIELD_ID, AT(id), EVERY_REQUIRED},
    {"userId", "user_id", FIELD_ID, AT(user_id), UPSERT_REQUIRED},
    {"orgId", "org_id", FIELD_ID, AT(org_id), UPSERT_REQUIRED},
    {"role", "role", FIELD_ID, AT(role), UPSERT_REQUIRED},
    {"groupIds", "group_ids", FIELD_ID_LIST, AT(group_ids), UPSERT_OPTIONAL,
     .absent = ABSENT_EMPTY},
    {"labelsDelta", "labels_delta", FIELD_LABELS, AT(labels_delta), UPSERT_OPTIONAL,
     .absent = ABSENT_EMPTY},
    {"createdAt", "created_at", FIELD_TIME, AT(created_at_us), UPSERT_OPTIONAL,
     .absent = ABSENT_KEEP, .keep_offset = offsetof(struct membership, keep_created_at)},
    {"updatedAt", "updated_at", FIELD_TIME, AT(updated_at_us), UPSERT_OPTIONAL,
     .absent = ABSENT_COMMAND_TIME},
};
#undef AT
const struct record_spec membership_spec =
    RECORD_SPEC("membership", "auth_memberships", struct membership, membership_fields);

static const char *const subject_kinds[] = {"user", "org", "membership", NULL};

#define AT(field) .offset = offsetof(struct entitlement, field)
static const struct field_spec entitlement_fields[] = {
    {"id", "id", FIELD_ID, AT(id), EVERY_REQUIRED},
    {"subjectKind", "subject_kind", FIELD_CHOICE, AT(subject_kind), UPSERT_REQUIRED,
     .choices = subject_kinds},
    {"subjectId", "subject_id", FIELD_ID, AT(subject_id), UPSERT_REQUIRED},
    {"entitlement", "entitlement", FIELD_ID, AT(entitlement), UPSERT_REQUIRED},
    {"createdAt", "created_at", FIELD_TIME, AT(created_at_us), UPSERT_OPTIONAL,
     .absent = ABSENT_KEEP, .keep_offset = offsetof(struct entitlement, keep_created_at)},
    {"metadata", "metadata", FIELD_MAP, AT(metadata), UPSERT_OPTIONAL, .absent = ABSENT_EMPTY},
};
#undef AT
const struct record_spec entitlement_spec =
    RECORD_SPEC("entitlement", "auth_entitlements", struct entitlement, entitlement_fields);

static const char *const owner_kinds[] = {"user", "org", "service", "system", NULL};

#define AT(field) .offset = offsetof(struct key, field)
#define ISSUE_REQUIRED                                                                             \
    {                                                                                              \
        [KEY_ISSUE] = FIELD_REQUIRED                                                               \
    }
#define ISSUE_OPTIONAL                                                                             \
    {                                                                                              \
        [KEY_ISSUE] = FIELD_OPTIONAL                                                               \
    }
#define USAGE_OPTIONAL                                                                             \
    {                                                                                              \
        [KEY_RECORD_USAGE] = FIELD_OPTIONAL                                                        \
    }
#define REVOKE_OPTIONAL                                                                            \
    {                                                                                              \
        [KEY_REVOKE] = FIELD_OPTIONAL                                                              \
    }
static const struct field_spec key_fields[] = {
    {"id", "id", FIELD_ID, AT(id), {FIELD_OPTIONAL, FIELD_REQUIRED, FIELD_REQUIRED}},
    {"hash", "hash", FIELD_ID, AT(hash), ISSUE_REQUIRED},
    {"owner", "owner", FIELD_REF, AT(owner), ISSUE_REQUIRED, .choices = owner_kinds},
    {"name", "name", FIELD_NAME, AT(name), ISSUE_OPTIONAL},
    {"description", "description", FIELD_TEXT, AT(description), ISSUE_OPTIONAL},
    {"createdBy", "created_by", FIELD_REF, AT(created_by), ISSUE_OPTIONAL, .choices = owner_kinds},
    {"createdAt", "created_at", FIELD_TIME, AT(created_at_us), ISSUE_OPTIONAL,
     .absent = ABSENT_COMMAND_TIME},
    {"updatedAt", "updated_at", FIELD_TIME, AT(updated_at_us), .absent = ABSENT_COMMAND_TIME},
    {"expiresAt", "expires_at", FIELD_TIME, AT(expires_at_us), ISSUE_OPTIONAL,
     .infinity_is_absent = true},
    {"lastUsedAt", "last_used_at", FIELD_TIME, AT(last_used_at_us), USAGE_OPTIONAL,
     .wire_name = "usedAt", .absent = ABSENT_COMMAND_TIME},
    {"usageCount", "usage_count", FIELD_COUNT, AT(usage_count)},
    {"status", "status", FIELD_ID, AT(status)},
    {"scopes", "scopes", FIELD_ID_LIST, AT(scopes), ISSUE_REQUIRED, .absent = ABSENT_EMPTY},
    {"labels", "labels", FIELD_LABELS, AT(labels), ISSUE_OPTIONAL, .absent = ABSENT_EMPTY},
    {"metadata", "metadata", FIELD_MAP, AT(metadata), ISSUE_OPTIONAL},
    {"revokedAt", "revoked_at", FIELD_TIME, AT(revoked_at_us), REVOKE_OPTIONAL,
     .absent = ABSENT_COMMAND_TIME},
    {"revokedBy", "revoked_by", FIELD_REF, AT(revoked_by), REVOKE_OPTIONAL, .choices = owner_kinds},
    {"revocationReason", "revocation_reason", FIELD_TEXT, AT(revocation_reason), REVOKE_OPTIONAL,
     .wire_name = "reason"},
};
#undef AT
const struct record_spec key_spec = RECORD_SPEC("key", "auth_keys", struct key, key_fields);

/* Category and action may be blank here: that is a rejection, which the audit log answers, not a
 * dead letter. */
#define AT(field) .offset = offsetof(struct audit_entry, field)
static const struct field_spec audit_entry_fields[] = {
    {"category", "category", FIELD_TEXT, AT(category), UPSERT_REQUIRED},
    {"action", "action", FIELD_TEXT, AT(action), UPSERT_REQUIRED},
    {"occurredAt", "occurred_at", FIELD_TIME, AT(occurred_at_us), UPSERT_OPTIONAL,
     .absent = ABSENT_COMMAND_TIME},
    {"actor", "actor", FIELD_PARTY, AT(actor), UPSERT_OPTIONAL, .party_id_required = true},
    {"subject", "subject", FIELD_PARTY, AT(subject), UPSERT_OPTIONAL, .party_id_required = true},
    {"resource", "resource", FIELD_PARTY, AT(resource), UPSERT_OPTIONAL},
    {"metadata", "metadata", FIELD_MAP, AT(metadata), UPSERT_OPTIONAL},
    {"correlationId", "correlation_id", FIELD_ID, AT(correlation_id), UPSERT_OPTIONAL},
};
#undef AT
const struct record_spec audit_entry_spec =
    RECORD_SPEC("audit", "auth_audit_events", struct audit_entry, audit_entry_fields);

const char *key_status(const struct key *key, int64_t now_us)
{
    if (text_is(key->status, "revoked") || key->revoked_at_us != TIMESTAMP_ABSENT)
        return "revoked";
    if (text_is(key->status, "expired"))
        return "expired";
    if (key->expires_at_us != TIMESTAMP_ABSENT && key->expires_at_us <= now_us)
        return "expired";
    return "active";
}
