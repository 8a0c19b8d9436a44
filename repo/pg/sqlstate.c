#include "repo/pg/sqlstate.h"

#include <string.h>

const char sqlstate_unique_violation[] = "23505";

enum { RECONNECT = 1, PREPARE_ANEW = 2 };

#define RULE(sqlstate, function, outcome, flags, name, reason)                                     \
    {                                                                                              \
        sqlstate, function, outcome, ((flags)&RECONNECT) != 0, ((flags)&PREPARE_ANEW) != 0, name,  \
            reason                                                                                 \
    }

/* Sorted by code; codes stand in front of their class. */
static const struct sqlstate_rule rules[] = {
    RULE("08", NULL, OUTCOME_RETRY, RECONNECT, "connection exception",
         "the server or the way to it is gone; also what libpq and the worker's own deadline tell"),
    RULE("0A000", "RevalidateCachedQuery", OUTCOME_RETRY, PREPARE_ANEW, "outdated plan",
         "a migration changed what a prepared statement answers with"),
    RULE("21", NULL, OUTCOME_REJECT, 0, "cardinality violation",
         "two rows of a statement meet in one, under a constraint of the installation"),
    RULE("22", NULL, OUTCOME_REJECT, 0, "data exception", "a value is malformed or out of range"),
    RULE("23505", NULL, OUTCOME_REJECT, 0, "unique violation",
         "another replica may have been first: the transaction is tried again before it is split"),
    RULE("23514", "ExecPartitionCheckEmitError", OUTCOME_RETRY, 0, "partition was changed",
         "a partition of the audit log came or went while the row was on its way there"),
    RULE("23514", "ExecFindPartition", OUTCOME_RETRY, 0, "no partition",
         "the DEFAULT partition of the audit log is missing; no row is to blame"),
    RULE("23", NULL, OUTCOME_REJECT, 0, "integrity constraint violation",
         "a constraint that the worker does not know of refuses a row"),
    RULE("25006", NULL, OUTCOME_RETRY, RECONNECT, "read-only transaction",
         "a standby stays one: only another connection finds the primary"),
    RULE("25P03", NULL, OUTCOME_RETRY, RECONNECT, "idle in transaction timeout",
         "the session is gone"),
    RULE("25P04", NULL, OUTCOME_RETRY, RECONNECT, "transaction timeout", "the session is gone"),
    RULE("26000", NULL, OUTCOME_RETRY, PREPARE_ANEW, "unknown prepared statement",
         "the server forgot it: DISCARD, DEALLOCATE"),
    RULE("28", NULL, OUTCOME_FATAL, 0, "invalid authorization",
         "password, role or pg_hba.conf; a passfile or service file is read anew with every "
         "attempt, "
         "a password in the URL only at start"),
    RULE("3D000", NULL, OUTCOME_FATAL, 0, "unknown database", "it is yet to be made or restored"),
    RULE("40", NULL, OUTCOME_RETRY, 0, "transaction rollback",
         "deadlock, serialization failure, or a COMMIT that was a ROLLBACK"),
    RULE("42501", "ExecWithCheckOptions", OUTCOME_REJECT, 0, "row-level security",
         "a policy refuses a row"),
    RULE("42501", NULL, OUTCOME_FATAL, 0, "insufficient privilege", "a GRANT is missing"),
    RULE("42P05", NULL, OUTCOME_RETRY, PREPARE_ANEW, "prepared statement is there already",
         "a pooler handed over a session with statements of its own"),
    RULE("42", NULL, OUTCOME_FATAL, 0, "syntax error or access rule violation",
         "the schema is not what this version expects: a table or column is missing"),
    RULE("44", NULL, OUTCOME_REJECT, 0, "WITH CHECK OPTION violation",
         "a view in a table's place refuses a row"),
    RULE("53", NULL, OUTCOME_RETRY, 0, "insufficient resources",
         "disk full, out of memory, too many connections"),
    RULE("54001", NULL, OUTCOME_FATAL, 0, "statement too complex",
         "max_stack_depth is too small, or a trigger calls itself"),
    RULE("54", NULL, OUTCOME_REJECT, 0, "program limit exceeded",
         "a value is too large for an index of the installation"),
    RULE("55006", NULL, OUTCOME_RETRY, 0, "object in use", "another session has it"),
    RULE("55P03", NULL, OUTCOME_RETRY, 0, "lock not available", "lock_timeout, or NOWAIT"),
    RULE("57014", NULL, OUTCOME_RETRY, 0, "query cancelled",
         "statement_timeout, or an administrator"),
    RULE("57", NULL, OUTCOME_RETRY, RECONNECT, "operator intervention",
         "the server stops, starts, or ends the session"),
    RULE("58030", NULL, OUTCOME_RETRY, 0, "I/O error", "of the server's disk"),
    RULE("P0", NULL, OUTCOME_REJECT, 0, "PL/pgSQL error",
         "a trigger refuses a row with RAISE, an assertion or INTO STRICT"),
    RULE("XX000", NULL, OUTCOME_RETRY, RECONNECT, "internal error",
         "mostly something cached in the server's process, which a new one does not have"),
    RULE("XX", NULL, OUTCOME_FATAL, 0, "data or index corrupted",
         "needs a person; no row is given up for it"),
    RULE("", NULL, OUTCOME_FATAL, 0, "any other code",
         "also those that a trigger makes up: use P0001, or class 22 or 23, to refuse a row"),
};

enum { RULE_COUNT = sizeof(rules) / sizeof(rules[0]) };

const struct sqlstate_rule *sqlstate_rule_of(const char *sqlstate, const char *function)
{
    for (size_t i = 0; i < RULE_COUNT - 1; i++) {
        const struct sqlstate_rule *rule = &rules[i];
        if (strncmp(sqlstate, rule->sqlstate, strlen(rule->sqlstate)) == 0 &&
            (rule->function == NULL || strcmp(function, rule->function) == 0))
            return rule;
    }
    return &rules[RULE_COUNT - 1];
}

enum outcome sqlstate_own_outcome(const struct sqlstate_rule *rule)
{
    return rule->outcome == OUTCOME_REJECT ? OUTCOME_FATAL : rule->outcome;
}

bool sqlstate_rule_at(size_t index, struct sqlstate_rule *ret_rule)
{
    if (index >= RULE_COUNT)
        return false;
    *ret_rule = rules[index];
    return true;
}
