#include "events/commands.h"

#include "base/utf8.h"
#include "events/rejections.h"

/* What events say that several commands have in common. */
#define OF_USER .subject_type = "user", .subject_field = "id", .metadata = {"primaryOrgId"}
#define OF_ORG                                                                                     \
    .subject_type = "org", .subject_field = "id", .metadata = {"slug", "status", "ownerUserId"}
#define OF_GROUP                                                                                   \
    .subject_type = "org", .subject_field = "orgId", .metadata = {"slug", "name", "parentGroupId"}
#define OF_MEMBERSHIP                                                                              \
    .subject_type = "user", .subject_field = "userId",                                             \
    .metadata = {"userId", "orgId", "role", "groupIds"}
#define OF_ENTITLEMENT                                                                             \
    .subject_type_field = "subjectKind", .subject_field = "subjectId", .metadata = {"entitlement"}
#define OF_KEY .subject_field = "owner"

const struct command_type command_types[COMMAND_KIND_COUNT] = {
    [USER_UPSERT] = {USER_UPSERT, "dev.catalyst.identity.user.upsert.v1", &user_spec,
                     COMMAND_UPSERT, "identity", "user.updated", "user.created", OF_USER},
    [ORG_UPSERT] = {ORG_UPSERT, "dev.catalyst.identity.org.upsert.v1", &org_spec, COMMAND_UPSERT,
                    "identity", "org.updated", "org.created", OF_ORG},
    [GROUP_UPSERT] = {GROUP_UPSERT, "dev.catalyst.identity.group.upsert.v1", &group_spec,
                      COMMAND_UPSERT, "identity", "group.updated", "group.created", OF_GROUP},
    [GROUP_DELETE] = {GROUP_DELETE, "dev.catalyst.identity.group.delete.v1", &group_spec,
                      COMMAND_REMOVE, "identity", "group.deleted", NULL, OF_GROUP},
    [MEMBERSHIP_UPSERT] = {MEMBERSHIP_UPSERT, "dev.catalyst.identity.membership.upsert.v1",
                           &membership_spec, COMMAND_UPSERT, "identity", "membership.updated",
                           "membership.added", OF_MEMBERSHIP},
    [MEMBERSHIP_REMOVE] = {MEMBERSHIP_REMOVE, "dev.catalyst.identity.membership.remove.v1",
                           &membership_spec, COMMAND_REMOVE, "identity", "membership.removed", NULL,
                           OF_MEMBERSHIP},
    [ENTITLEMENT_UPSERT] = {ENTITLEMENT_UPSERT, "dev.catalyst.identity.entitlement.upsert.v1",
                            &entitlement_spec, COMMAND_UPSERT, "identity", "entitlement.updated",
                            "entitlement.granted", OF_ENTITLEMENT},
    [ENTITLEMENT_REMOVE] = {ENTITLEMENT_REMOVE, "dev.catalyst.identity.entitlement.remove.v1",
                            &entitlement_spec, COMMAND_REMOVE, "identity", "entitlement.revoked",
                            NULL, OF_ENTITLEMENT},
    [KEY_ISSUE_COMMAND] = {KEY_ISSUE_COMMAND, "dev.catalyst.key.issue.v1", &key_spec, KEY_ISSUE,
                           "key", "key.issued", NULL, OF_KEY,
                           .metadata = {"name", "scopes", "expiresAt"}},
    [KEY_RECORD_USAGE_COMMAND] = {KEY_RECORD_USAGE_COMMAND, "dev.catalyst.key.record_usage.v1",
                                  &key_spec, KEY_RECORD_USAGE, "key", "key.used", NULL, OF_KEY,
                                  .metadata = {"usageCount", "usedAt"}},
    [KEY_REVOKE_COMMAND] = {KEY_REVOKE_COMMAND, "dev.catalyst.key.revoke.v1", &key_spec, KEY_REVOKE,
                            "key", "key.revoked", NULL, OF_KEY,
                            .metadata = {"reason", "revokedBy"}},
    [AUDIT_APPEND_COMMAND] = {AUDIT_APPEND_COMMAND, "dev.catalyst.audit.append.v1",
                              &audit_entry_spec, AUDIT_APPEND, "audit", NULL, "audit.appended"},
};

const struct command_type *command_type_find(struct text name)
{
    for (size_t i = 0; i < COMMAND_KIND_COUNT; i++) {
        if (text_is(name, command_types[i].name))
            return &command_types[i];
    }
    return NULL;
}

const char *command_field_name(const struct command_type *type, struct text key)
{
    for (size_t i = 0; i < type->record->field_count; i++) {
        const struct field_spec *field = &type->record->fields[i];
        if (field->use[type->use] != FIELD_NOT_GIVEN && text_is(key, field_wire_name(field)))
            return field_wire_name(field);
    }
    return NULL;
}

const char *command_secret_name(struct text key)
{
    static const char *const names[] = {"secret", "token", "plaintext"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (text_is(key, names[i]))
            return names[i];
    }
    return NULL;
}

const char *audit_entry_rejection(const struct audit_entry *entry)
{
    if (utf8_blank(entry->category))
        return REJECTION_AUDIT_INVALID_CATEGORY;
    if (utf8_blank(entry->action))
        return REJECTION_AUDIT_INVALID_ACTION;
    return NULL;
}

enum outcome command_decode(const struct message *message, struct arena *arena,
                            struct command *ret_command, struct err *err)
{
    struct slice data;

    memset(ret_command, 0, sizeof(*ret_command));
    enum outcome outcome = envelope_decode(message, arena, &ret_command->envelope, &data, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    const struct envelope *envelope = &ret_command->envelope;
    ret_command->type = command_type_find(envelope->type);
    if (ret_command->type == NULL)
        return err_set(err, OUTCOME_REJECT, "type", "ce_type: not a command of the contract");
    outcome =
        command_decode_data(ret_command->type, envelope, data, arena, &ret_command->record, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    const struct text content[] = {envelope->type, text_of_slice(message->value)};
    ret_command->audit_id = audit_id_of(envelope->source, envelope->id);
    ret_command->digest = digest_of(content, 2);
    return OUTCOME_OK;
}
