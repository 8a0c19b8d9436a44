#include "repo/seed_records.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/timestamp.h"

/* 2026-01-01T00:00:00Z; everything happened in the minutes after it. */
static const int64_t EPOCH_US = 1767225600000000;
static const int64_t MINUTE_US = 60000000;
static const int64_t MONTH_US = INT64_C(2592000000000); /* 30 days */

/* What a number is drawn for, so that draws for one record do not repeat each other. */
enum draw {
    DRAW_NAME,
    DRAW_TIER,
    DRAW_ORG,
    DRAW_STATUS,
    DRAW_OWNER,
    DRAW_REGION,
    DRAW_GROUPS,
    DRAW_ROLE,
    DRAW_KEY_OWNER,
    DRAW_SCOPES,
};

/* splitmix64 (Steele, Lea, Flood 2014): one round per draw is enough to look random. */
static size_t drawn(const struct seed_maker *maker, enum draw what, size_t index, size_t below)
{
    uint64_t z = maker->options.seed + UINT64_C(0x9e3779b97f4a7c15) * (index + 1) +
                 UINT64_C(0xd1b54a32d192ed03) * ((uint64_t)what + 1);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ (z >> 31)) % below);
}

#define PICK(maker, what, index, list)                                                             \
    ((list)[drawn((maker), (what), (index), sizeof(list) / sizeof((list)[0]))])

__attribute__((format(printf, 2, 3))) static struct text make(struct seed_maker *maker,
                                                              const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    char *copy = length < 0 || (size_t)length >= sizeof(text)
                     ? NULL
                     : arena_copy(maker->arena, text, (size_t)length);
    if (copy == NULL) {
        maker->full = true;
        return TEXT("");
    }
    return (struct text){copy, (size_t)length};
}

static struct text id_of(struct seed_maker *maker, const char *kind, size_t index)
{
    return make(maker, "%s-%" PRIu64 "-%06zu", kind, maker->options.seed, index + 1);
}

static struct text group_id(struct seed_maker *maker, size_t org, size_t number)
{
    return make(maker, "group-%" PRIu64 "-%06zu-%zu", maker->options.seed, org + 1, number + 1);
}

static struct text membership_id(struct seed_maker *maker, size_t user, size_t number)
{
    return make(maker, "membership-%" PRIu64 "-%06zu-%zu", maker->options.seed, user + 1,
                number + 1);
}

static int64_t time_of(size_t index)
{
    return EPOCH_US + (int64_t)index * MINUTE_US;
}

/* The org of a membership; the second one is never the first. */
static size_t org_of(const struct seed_maker *maker, size_t user, size_t number)
{
    size_t orgs = maker->options.orgs;
    size_t first = drawn(maker, DRAW_ORG, user, orgs);

    return number == 0 ? first : (first + 1 + drawn(maker, DRAW_ORG, ~user, orgs - 1)) % orgs;
}

void seed_user(struct seed_maker *maker, size_t index, struct user *ret_user)
{
    static const char *const first[] = {"Ada",     "Grace", "Alan",  "Barbara", "Edsger",
                                        "Frances", "Ken",   "Radia", "Tim",     "Zo\xC3\xAB"};
    static const char *const last[] = {"Almeida", "Brandt", "Chen",  "Dubois",  "Eriksen",
                                       "Fofana",  "Garcia", "Huang", "Ivanova", "Okafor"};
    static const char *const tiers[] = {"free", "free", "pro", "enterprise"};
    const char *given = PICK(maker, DRAW_NAME, index, first);
    const char *family = PICK(maker, DRAW_NAME, ~index, last);

    record_clear(&user_spec, ret_user);
    ret_user->id = id_of(maker, "user", index);
    ret_user->authentik_id = id_of(maker, "authentik", index);
    ret_user->email =
        make(maker, "user%zu.seed%" PRIu64 "@example.org", index + 1, maker->options.seed);
    if (maker->options.orgs > 0)
        ret_user->primary_org_id = id_of(maker, "org", org_of(maker, index, 0));
    ret_user->display_name = make(maker, "%s %s", given, family);
    if (index % 2 == 0)
        ret_user->avatar_url = make(maker, "https://avatars.example.org/%zu.png", index + 1);
    ret_user->labels.json =
        make(maker, "{\"tier\":\"%s\",\"level\":%zu,\"beta\":%s}",
             PICK(maker, DRAW_TIER, index, tiers), index % 5, index % 7 == 0 ? "true" : "false");
    if (index % 3 == 0)
        ret_user->metadata.json = make(maker, "{\"seed\":%" PRIu64 "}", maker->options.seed);
}

void seed_org(struct seed_maker *maker, size_t index, struct org *ret_org)
{
    static const char *const statuses[] = {"active", "active",  "active",   "active",
                                           "active", "invited", "suspended"};
    static const char *const regions[] = {"eu", "us", "ap"};
    /* Without users the owner is one that a larger seed would have. */
    size_t users = maker->options.users > 0 ? maker->options.users : 1;

    record_clear(&org_spec, ret_org);
    ret_org->id = id_of(maker, "org", index);
    ret_org->slug = id_of(maker, "acme", index);
    ret_org->status = text_of(PICK(maker, DRAW_STATUS, index, statuses));
    ret_org->owner_user_id = id_of(maker, "user", drawn(maker, DRAW_OWNER, index, users));
    ret_org->profile.json =
        make(maker, "{\"name\":\"Acme %zu\",\"description\":\"Org %zu of seed %" PRIu64 "\"}",
             index + 1, index + 1, maker->options.seed);
    ret_org->labels.json =
        make(maker, "{\"region\":\"%s\"}", PICK(maker, DRAW_REGION, index, regions));
    ret_org->settings.json = make(maker, "{\"sso\":%s}", index % 2 == 0 ? "true" : "false");
}

void seed_group(struct seed_maker *maker, size_t org, size_t number, struct group *ret_group)
{
    static const char *const slugs[SEED_GROUPS_PER_ORG] = {"engineering", "operations", "support"};
    static const char *const names[SEED_GROUPS_PER_ORG] = {"Engineering", "Operations", "Support"};

    assert(number < SEED_GROUPS_PER_ORG);
    const char *name = names[number];
    record_clear(&group_spec, ret_group);
    ret_group->id = group_id(maker, org, number);
    ret_group->org_id = id_of(maker, "org", org);
    ret_group->slug = text_of(slugs[number]);
    ret_group->name = text_of(name);
    if (number > 0) {
        ret_group->description = make(maker, "%s of org %zu", name, org + 1);
        ret_group->parent_group_id = group_id(maker, org, 0);
    }
    ret_group->labels.json = make(maker, "{\"team\":\"%s\"}", slugs[number]);
}

bool seed_membership(struct seed_maker *maker, size_t user, size_t number,
                     struct membership *ret_membership)
{
    static const char *const roles[] = {"member", "member", "admin", "viewer"};
    size_t slot = user * SEED_MEMBERSHIPS_PER_USER + number;

    if (maker->options.orgs <= number || (number > 0 && user % 3 != 0))
        return false;
    size_t org = org_of(maker, user, number);
    size_t group_count = drawn(maker, DRAW_GROUPS, slot, SEED_GROUPS_PER_ORG + 1);
    struct text *groups = ARENA_ARRAY(maker->arena, struct text, group_count);
    if (groups == NULL) {
        maker->full = true;
        return false;
    }
    for (size_t i = 0; i < group_count; i++)
        groups[i] = group_id(maker, org, i);

    record_clear(&membership_spec, ret_membership);
    ret_membership->id = membership_id(maker, user, number);
    ret_membership->user_id = id_of(maker, "user", user);
    ret_membership->org_id = id_of(maker, "org", org);
    ret_membership->role = text_of(PICK(maker, DRAW_ROLE, slot, roles));
    ret_membership->group_ids = (struct text_list){groups, group_count};
    ret_membership->labels_delta.json = number > 0 ? TEXT("{\"tier\":\"guest\"}") : TEXT("{}");
    ret_membership->created_at_us = time_of(slot);
    ret_membership->updated_at_us = time_of(slot);
    return true;
}

bool seed_org_entitlement(struct seed_maker *maker, size_t org, struct entitlement *ret)
{
    record_clear(&entitlement_spec, ret);
    ret->id = id_of(maker, "entitlement-org", org);
    ret->subject_kind = TEXT("org");
    ret->subject_id = id_of(maker, "org", org);
    ret->entitlement = org % 2 == 0 ? TEXT("plan:team") : TEXT("plan:business");
    ret->created_at_us = time_of(org);
    ret->metadata.json = TEXT("{\"source\":\"seed\"}");
    return true;
}

bool seed_user_entitlement(struct seed_maker *maker, size_t user, struct entitlement *ret)
{
    if (user % 3 != 0)
        return false;
    record_clear(&entitlement_spec, ret);
    ret->id = id_of(maker, "entitlement-user", user);
    ret->subject_kind = TEXT("user");
    ret->subject_id = id_of(maker, "user", user);
    ret->entitlement = TEXT("feature:export");
    ret->created_at_us = time_of(user);
    ret->metadata.json = TEXT("{}");
    return true;
}

bool seed_membership_entitlement(struct seed_maker *maker, size_t user, struct entitlement *ret)
{
    if (maker->options.orgs == 0 || user % 5 != 0)
        return false;
    record_clear(&entitlement_spec, ret);
    ret->id = id_of(maker, "entitlement-membership", user);
    ret->subject_kind = TEXT("membership");
    ret->subject_id = membership_id(maker, user, 0);
    ret->entitlement = TEXT("feature:audit");
    ret->created_at_us = time_of(user);
    ret->metadata.json = TEXT("{}");
    return true;
}

/* --- keys -------------------------------------------------------------------------------- */

static struct ref key_owner(struct seed_maker *maker, size_t index)
{
    size_t choice = drawn(maker, DRAW_KEY_OWNER, index, 8);

    if (choice < 5 && maker->options.users > 0)
        return (struct ref){
            TEXT("user"),
            id_of(maker, "user", drawn(maker, DRAW_OWNER, ~index, maker->options.users))};
    if (choice < 7 && maker->options.orgs > 0)
        return (struct ref){
            TEXT("org"), id_of(maker, "org", drawn(maker, DRAW_ORG, index, maker->options.orgs))};
    return (struct ref){TEXT("service"), make(maker, "service-%" PRIu64, maker->options.seed)};
}

void seed_key(struct seed_maker *maker, size_t index, struct key *ret_key)
{
    static const struct text scopes[] = {{"users:read", 10}, {"users:write", 11}, {"orgs:read", 9}};
    char hash[65];

    record_clear(&key_spec, ret_key);
    ret_key->id = id_of(maker, "key", index);
    sha256_hex(slice_of_text(ret_key->id), hash);
    ret_key->hash = make(maker, "%s", hash);
    ret_key->owner = key_owner(maker, index);
    ret_key->name = make(maker, "Key %zu", index + 1);
    if (index % 3 == 0)
        ret_key->created_by = (struct ref){TEXT("service"), TEXT("seed")};
    ret_key->created_at_us = time_of(index);
    ret_key->updated_at_us = time_of(index);
    if (index % 4 == 3)
        ret_key->expires_at_us = time_of(index) + MONTH_US;
    ret_key->scopes = (struct text_list){scopes, 1 + drawn(maker, DRAW_SCOPES, index, 3)};
    ret_key->labels.json =
        index % 2 == 0 ? TEXT("{\"env\":\"production\"}") : TEXT("{\"env\":\"staging\"}");
}

size_t seed_key_usages(struct seed_maker *maker, size_t index,
                       int64_t ret_used_at_us[SEED_USAGES_MAX])
{
    size_t count = index % 2 == 0 ? 0 : 1 + index % SEED_USAGES_MAX;

    (void)maker;
    for (size_t i = 0; i < count; i++)
        ret_used_at_us[i] = time_of(index + i + 1);
    return count;
}

bool seed_key_revocation(struct seed_maker *maker, size_t index, struct key *ret_revocation)
{
    if (index % 8 != 5)
        return false;
    record_clear(&key_spec, ret_revocation);
    ret_revocation->id = id_of(maker, "key", index);
    ret_revocation->revoked_at_us = time_of(index + SEED_USAGES_MAX + 1);
    ret_revocation->revoked_by = (struct ref){TEXT("service"), TEXT("seed")};
    ret_revocation->revocation_reason = TEXT("rotated");
    return true;
}

/* --- audit events ------------------------------------------------------------------------ */

static void event_of(struct seed_maker *maker, const char *type, struct text id, int64_t at_us,
                     struct audit_event *ret_event)
{
    struct text party = make(maker, "{\"type\":\"%s\",\"id\":\"%.*s\"}", type, TEXT_ARG(id));

    *ret_event = (struct audit_event){
        .id = audit_id_of(make(maker, "catalyst-seed-%" PRIu64, maker->options.seed), id),
        .occurred_at_us = at_us,
        .outcome = TEXT("applied"),
        .actor = {.json = TEXT("{\"type\":\"service\",\"id\":\"seed\"}")},
        .subject = {.json = party},
        .resource = {.json = party},
        .entity = id,
    };
}

void seed_user_event(struct seed_maker *maker, size_t index, struct audit_event *ret_event)
{
    event_of(maker, "user", id_of(maker, "user", index), time_of(index), ret_event);
    ret_event->category = TEXT("identity");
    ret_event->action = TEXT("user.created");
}

void seed_org_event(struct seed_maker *maker, size_t index, struct audit_event *ret_event)
{
    event_of(maker, "org", id_of(maker, "org", index), time_of(index), ret_event);
    ret_event->category = TEXT("identity");
    ret_event->action = TEXT("org.created");
}

void seed_key_event(struct seed_maker *maker, size_t index, struct audit_event *ret_event)
{
    struct ref owner = key_owner(maker, index);

    event_of(maker, "key", id_of(maker, "key", index), time_of(index), ret_event);
    ret_event->category = TEXT("key");
    ret_event->action = TEXT("key.issued");
    ret_event->subject.json = make(maker, "{\"type\":\"%.*s\",\"id\":\"%.*s\"}",
                                   TEXT_ARG(owner.kind), TEXT_ARG(owner.id));
}
