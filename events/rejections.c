#include "events/rejections.h"

#include <stddef.h>
#include <string.h>

static const struct rejection rejections[] = {
    {REJECTION_KEY_DUPLICATE_ID, "A key with this id exists already.", "id"},
    {REJECTION_KEY_DUPLICATE_HASH, "A key with this hash exists already.", "hash"},
    {REJECTION_KEY_DUPLICATE, "A key with this id or hash exists already.", "id"},
    {REJECTION_KEY_NOT_FOUND, "There is no key with this id.", "id"},
    {REJECTION_KEY_REVOKED, "The key is revoked.", "id"},
    {REJECTION_KEY_EXPIRED, "The key had expired when it was used.", "usedAt"},
    {REJECTION_KEY_ALREADY_REVOKED, "The key is revoked already.", "id"},
    {REJECTION_ORG_DUPLICATE_SLUG, "Another organisation has this slug.", "slug"},
    {REJECTION_AUDIT_INVALID_CATEGORY, "The category is blank.", "category"},
    {REJECTION_AUDIT_INVALID_ACTION, "The action is blank.", "action"},
    {REJECTION_GROUP_NOT_FOUND, "There is no group with this id.", "id"},
    {REJECTION_MEMBERSHIP_NOT_FOUND, "There is no membership with this id.", "id"},
    {REJECTION_ENTITLEMENT_NOT_FOUND, "There is no entitlement with this id.", "id"},
    {REJECTION_ENTITLEMENT_DUPLICATE, "The subject has this entitlement under another id.",
     "entitlement"},
    {REJECTION_ID_CONFLICT,
     "A command with this source and id was taken before, with another type or body.", "ce_id"},
};

const struct rejection *rejection_find(const char *code)
{
    for (size_t i = 0; i < sizeof(rejections) / sizeof(rejections[0]); i++) {
        if (strcmp(rejections[i].code, code) == 0)
            return &rejections[i];
    }
    return NULL;
}
