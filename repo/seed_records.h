#pragma once

#include "base/records.h"
#include "repo/seed.h"

/* The records of a seed, each a function of the options and its index. Texts lie in the arena. */
struct seed_maker {
    struct seed_options options;
    struct arena *arena;
    bool full; /* the arena was; what was made since is not complete */
};

enum { SEED_GROUPS_PER_ORG = 3, SEED_MEMBERSHIPS_PER_USER = 2 };

void seed_user(struct seed_maker *maker, size_t index, struct user *ret_user);
void seed_org(struct seed_maker *maker, size_t index, struct org *ret_org);
void seed_group(struct seed_maker *maker, size_t org, size_t number, struct group *ret_group);

/* Every user is a member of one org, every third of two where there are two.
 * false: the user has no such membership. */
bool seed_membership(struct seed_maker *maker, size_t user, size_t number,
                     struct membership *ret_membership);

/* Every org has a plan, every third user an entitlement of their own, every fifth user one that
 * goes with the first membership. false: no such entitlement. */
bool seed_org_entitlement(struct seed_maker *maker, size_t org, struct entitlement *ret);
bool seed_user_entitlement(struct seed_maker *maker, size_t user, struct entitlement *ret);
bool seed_membership_entitlement(struct seed_maker *maker, size_t user, struct entitlement *ret);

/* A key as it is issued; a quarter of them expire. */
void seed_key(struct seed_maker *maker, size_t index, struct key *ret_key);

/* What happened to it since: usages at `ret_used_at_us` (half of the keys; at most
 * SEED_USAGES_MAX), and a revocation (every eighth). false: it was not revoked. */
enum { SEED_USAGES_MAX = 7 };
size_t seed_key_usages(struct seed_maker *maker, size_t index,
                       int64_t ret_used_at_us[SEED_USAGES_MAX]);
bool seed_key_revocation(struct seed_maker *maker, size_t index, struct key *ret_revocation);

/* The creation of a user, an org, a key. */
void seed_user_event(struct seed_maker *maker, size_t index, struct audit_event *ret_event);
void seed_org_event(struct seed_maker *maker, size_t index, struct audit_event *ret_event);
void seed_key_event(struct seed_maker *maker, size_t index, struct audit_event *ret_event);
