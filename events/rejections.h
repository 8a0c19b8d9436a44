#pragma once

/* Codes of the answers "the state refuses this command". Stable: they are part of the contract. */
#define REJECTION_KEY_DUPLICATE_ID "key.postgres.duplicate_id"
#define REJECTION_KEY_DUPLICATE_HASH "key.postgres.duplicate_hash"
#define REJECTION_KEY_DUPLICATE "key.postgres.duplicate"
#define REJECTION_KEY_NOT_FOUND "key.postgres.not_found"
#define REJECTION_KEY_REVOKED "key.postgres.revoked"
#define REJECTION_KEY_EXPIRED "key.postgres.expired"
#define REJECTION_KEY_ALREADY_REVOKED "key.postgres.already_revoked"
#define REJECTION_ORG_DUPLICATE_SLUG "org.postgres.duplicate_slug"
#define REJECTION_AUDIT_INVALID_CATEGORY "audit.postgres.invalid_category"
#define REJECTION_AUDIT_INVALID_ACTION "audit.postgres.invalid_action"
#define REJECTION_GROUP_NOT_FOUND "group.postgres.not_found"
#define REJECTION_MEMBERSHIP_NOT_FOUND "membership.postgres.not_found"
#define REJECTION_ENTITLEMENT_NOT_FOUND "entitlement.postgres.not_found"
#define REJECTION_ENTITLEMENT_DUPLICATE "entitlement.postgres.duplicate"
#define REJECTION_ID_CONFLICT "command.id_conflict"

struct rejection {
    const char *code;
    const char *message; /* one sentence for a person, no values */
    const char *field;   /* details.field: which field the state refused */
};

/* NULL: not a code of the contract. The codes of a command stand in its row of commands.def, the
 * id conflict, which any command can meet, here. */
const struct rejection *rejection_find(const char *code);
