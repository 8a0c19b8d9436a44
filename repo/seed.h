#pragma once

#include <stddef.h>
#include <stdint.h>

#include "repo/pg/executor.h"

/* Rows to look at and to test with: users, orgs, groups, memberships, entitlements, keys and audit
 * events, made from a number and written through the repositories. Same options, same rows: nothing
 * comes from the clock or chance, and seeding again changes nothing. */

struct seed_options {
    size_t users;
    size_t orgs; /* with three groups each */
    size_t keys;
    uint64_t seed; /* part of every id, so that two seeds keep out of each other's way */
};

static const struct seed_options SEED_DEFAULTS = {.users = 100, .orgs = 10, .keys = 200, .seed = 1};

struct seed_count {
    size_t rows;    /* that the seed consists of */
    size_t created; /* those that were not there before */
};

struct seed_report {
    struct seed_count users;
    struct seed_count orgs;
    struct seed_count groups;
    struct seed_count memberships;
    struct seed_count entitlements;
    struct seed_count keys;
    struct seed_count audit_events;
};

/* Writes them in batches, each a transaction of its own, so not within one. What exists is set back
 * to the seed's values, except keys, which are left as they are.
 *
 * ret_report  set on OUTCOME_OK only; after a failure, seeding again completes it
 *
 * REJECT  a row of somebody else's holds a slug, an entitlement or a key hash of the seed
 * else as executor_ops.run */
enum outcome seed_run(struct executor *db, const struct seed_options *options,
                      struct seed_report *ret_report, struct err *err);
