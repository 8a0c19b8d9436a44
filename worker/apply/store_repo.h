#pragma once

#include "worker/apply/apply.h"
#include "worker/lane/store.h"

/* The store on the repositories: check, apply and record as three round trips of one transaction,
 * BEGIN and COMMIT riding along; many new keys and many audit events go by COPY, two more each.
 * Reconnecting is the executor's recover(). */
struct store_repo {
    struct store port;
    struct applier applier;
    bool in_transaction;
    bool no_copy; /* the audit table refused COPY as such: the next events go by statement */
};

void store_repo_init(struct store_repo *store, struct executor *db);
