#pragma once

#include "base/buffer.h"
#include "base/records.h"
#include "repo/pg/executor.h"

/* Who somebody is in an org: what a decision about a request is based on.
 *
 * The membership: the one asked for; else the user's oldest in the org asked for; else, when no org
 * was asked for, the user's oldest. The org: the one asked for, else the membership's, else the
 * user's primary one (left out when that one does not exist). */

struct identity_request {
    struct text user_id;
    struct text org_id;        /* absent: not asked for */
    struct text membership_id; /* absent: not asked for */
    bool exclude_groups;       /* leave groups and their labels out */
};

struct effective_identity {
    const struct user *user;
    const struct org *org;               /* NULL: none */
    const struct membership *membership; /* NULL: none */
    const struct group *groups; /* those that exist, in the membership's order, each once */
    size_t group_count;
    struct document labels;        /* merged, as JSON: user, org, membership delta, groups in their
                                      order; of a label given twice the later value stands */
    struct text_list roles;        /* the membership's role, or none */
    struct text_list entitlements; /* of user, org and membership; oldest first, each once */
};

/* One statement, so one round trip and one snapshot.
 *
 * ret_identity  in `arena`, with all it points to
 *
 * REJECT  code "not_found": the user, or the org or membership asked for, does not exist;
 *         code "mismatch": the membership asked for is another user's, or in another org
 * else as executor_ops.run */
enum outcome effective_identity_get(struct executor *db, const struct identity_request *request,
                                    struct arena *arena,
                                    const struct effective_identity **ret_identity,
                                    struct err *err);

/* Appends {"userId", "orgId"?, "groups", "labels", "roles", "entitlements", "scopes"}: groups are
 * ids; scopes are empty, they belong to keys and sessions. */
void effective_identity_json(const struct effective_identity *identity, struct buffer *buffer);
