#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* What the worker does about an error of PostgreSQL. Codes and classes: PostgreSQL manual, appendix
 * "PostgreSQL Error Codes". The table is docs/operations.md's too; a test holds the two together.
 */
struct sqlstate_rule {
    const char *sqlstate; /* a code, or how it begins: its class; "": any other */
    const char *function; /* of the server, that raises it; NULL: whichever. Messages are
                             translated, these names are not */
    /* RETRY   the same statements may succeed later
     * REJECT  a row is refused, for what it holds
     * FATAL   somebody has to mend something: trying again helps only then */
    enum outcome outcome;
    bool reconnect;     /* this connection is of no more use */
    bool prepare_anew;  /* the server's prepared statements are not what we believe */
    const char *name;   /* for people */
    const char *reason; /* of the row */
};

/* The rule for an error: the first that fits. `function`: PG_DIAG_SOURCE_FUNCTION, or "". */
const struct sqlstate_rule *sqlstate_rule_of(const char *sqlstate, const char *function);

/* The same for an error while connecting, or in a statement that holds nothing of a message: what
 * is refused there is the worker's own, and no message is to blame. Never REJECT. */
enum outcome sqlstate_own_outcome(const struct sqlstate_rule *rule);

/* Every rule, in the order of the table. false: there are no more. */
bool sqlstate_rule_at(size_t index, struct sqlstate_rule *ret_rule);

/* A row that another transaction wrote first, or another unique constraint. */
extern const char sqlstate_unique_violation[];
