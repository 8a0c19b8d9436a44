#include "worker/cli/check_rights.h"

#include "repo/pg/pg_binary.h"
#include "repo/schema/trusted_schema.h"
#include "worker/cli/check_question.h"

static const char where[] = "database";

/* What each table is used for; deploy/grants.sql grants the same. */
#define NEEDED                                                                                     \
    "(VALUES ('auth_users', 'SELECT,INSERT,UPDATE'), ('auth_orgs', 'SELECT,INSERT,UPDATE'),"       \
    " ('auth_groups', 'SELECT,INSERT,UPDATE,DELETE'),"                                             \
    " ('auth_memberships', 'SELECT,INSERT,UPDATE,DELETE'),"                                        \
    " ('auth_entitlements', 'SELECT,INSERT,UPDATE,DELETE'),"                                       \
    " ('auth_keys', 'SELECT,INSERT,UPDATE'), ('auth_audit_events', 'SELECT,INSERT'),"              \
    " ('catalyst_topics', 'SELECT,INSERT'),"                                                       \
    " ('catalyst_consumer_offsets', 'SELECT,INSERT,UPDATE'),"                                      \
    " ('catalyst_recoveries', 'SELECT,INSERT,DELETE'),"                                            \
    " ('catalyst_skip_requests', 'SELECT,INSERT,DELETE'),"                                         \
    " ('catalyst_schema_migrations', 'SELECT')) AS t (name, needed)"

static const struct statement missing = {
    .own = true,
    .sql = "SELECT t.name || ': ' || p.privilege FROM " NEEDED
           " CROSS JOIN unnest(string_to_array(t.needed, ',')) AS p (privilege)"
           " WHERE to_regclass('{schema_text}.' || t.name) IS NOT NULL"
           " AND NOT has_table_privilege(to_regclass('{schema_text}.' || t.name), p.privilege)"
           " ORDER BY 1"};

static const struct statement surplus = {
    .own = true,
    .sql = "SELECT t.name || ': ' || p.privilege FROM " NEEDED
           " CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE',"
           " 'REFERENCES', 'TRIGGER']) AS p (privilege)"
           " WHERE to_regclass('{schema_text}.' || t.name) IS NOT NULL"
           " AND p.privilege <> ALL (string_to_array(t.needed, ','))"
           " AND has_table_privilege(to_regclass('{schema_text}.' || t.name), p.privilege)"
           " UNION ALL SELECT 'the schema: CREATE'"
           " WHERE has_schema_privilege(to_regnamespace('{schema_text}'), 'CREATE')"
           " ORDER BY 1"};

/* A superuser, or a member of a role that owns one of the tables. */
static const struct statement owner = {
    .own = true,
    .sql = "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
           " OR EXISTS (SELECT FROM " NEEDED
           " JOIN pg_class AS c ON c.oid = to_regclass('{schema_text}.' || t.name)"
           " WHERE pg_has_role(c.relowner, 'USAGE'))"};

static void look_at_owner(struct executor *db, struct arena *arena, struct findings *findings)
{
    struct rows rows;
    struct pg_row row;

    if (!check_ask(db, &owner, arena, findings, &rows))
        return;
    pg_row_init(&row, &rows, 0, NULL);
    if (pg_row_bool(&row))
        finding_add(findings, FINDING_WARNING, where,
                    "the role owns the tables or is a superuser: it could rewrite the audit log; "
                    "run as a role of its own (deploy/grants.sql)");
    else if (check_ask(db, &surplus, arena, findings, &rows))
        check_tell_each(&rows, "the role may more than it needs: ", "", findings);
}

void check_rights(struct executor *db, const char *schema, struct arena *arena,
                  struct findings *findings)
{
    struct rows rows;
    struct err err;

    if (trusted_schema_check(db, schema, arena, &err) != OUTCOME_OK) {
        finding_add_failure(findings, where, &err);
        executor_recover(db, &err);
    }
    if (check_ask(db, &missing, arena, findings, &rows))
        check_tell_each(&rows, "the role lacks a privilege: ", "", findings);
    look_at_owner(db, arena, findings);
}
