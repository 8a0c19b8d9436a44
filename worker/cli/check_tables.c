#include "worker/cli/check_tables.h"

#include "base/records.h"
#include "repo/audit/audit_repo.h"
#include "repo/pg/pg_binary.h"
#include "repo/record_sql.h"
#include "worker/cli/check_question.h"

static const char where[] = "database";

/* A policy that lets the role do everything with every row hides nothing. */
static const struct statement hidden = {
    .name = "check.hidden_tables",
    .own = true,
    .sql =
        "SELECT c.relname::text FROM pg_class AS c"
        " WHERE c.oid IN (SELECT to_regclass('{schema_text}.' || t) FROM unnest($1::text[]) AS t)"
        " AND row_security_active(c.oid)"
        " AND (EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND NOT polpermissive)"
        " OR NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND polpermissive"
        " AND polcmd = '*' AND pg_get_expr(polqual, polrelid) = 'true'"
        " AND coalesce(pg_get_expr(polwithcheck, polrelid), 'true') = 'true'"
        " AND EXISTS (SELECT FROM unnest(polroles) AS r"
        " WHERE r = 0 OR pg_has_role(current_user, r, 'USAGE'))))"
        " ORDER BY 1"};

static const struct statement unfilled = {
    .name = "check.unfilled_columns",
    .own = true,
    .sql =
        "SELECT c.relname || '.' || a.attname FROM unnest($1::text[], $2::text[]) AS t (tab, ours)"
        " JOIN pg_class AS c ON c.oid = to_regclass('{schema_text}.' || t.tab)"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''"
        " AND a.attname <> ALL (string_to_array(replace(t.ours, '\"', ''), ', '))"
        " ORDER BY 1"};

static const struct statement read_only = {
    .name = "check.read_only",
    .own = true,
    .sql = "SELECT current_setting('default_transaction_read_only') = 'on'"
           " AND NOT pg_is_in_recovery()"};

static void look_at_session(struct executor *db, struct arena *arena, struct findings *findings)
{
    struct rows rows;
    struct pg_row row;

    if (!check_ask(db, &read_only, arena, findings, &rows))
        return;
    pg_row_init(&row, &rows, 0, arena);
    if (pg_row_bool(&row))
        finding_add(findings, FINDING_ERROR, where,
                    "the role's transactions are read-only: set default_transaction_read_only to "
                    "off for the role or the database");
}

/* One array for the tables, and one for the columns of each that we fill. */
static bool tables_of(struct arena *arena, struct params *ret_tables, struct params *ret_columns)
{
    static const struct record_spec *const specs[] = {
        &user_spec, &org_spec, &group_spec, &membership_spec, &entitlement_spec, &key_spec};
    enum { SPECS = sizeof(specs) / sizeof(specs[0]) };
    struct text tables[SPECS + 1], columns[SPECS + 1];

    for (size_t i = 0; i < SPECS; i++) {
        const struct record_sql *sql = record_sql_of(specs[i]);
        if (sql == NULL)
            return false;
        tables[i] = text_of(specs[i]->table);
        columns[i] = text_of(sql->columns);
    }
    tables[SPECS] = TEXT("auth_audit_events");
    columns[SPECS] = text_of(audit_written_columns);
    params_init(ret_tables, arena, 1);
    params_text_array(ret_tables, tables, SPECS + 1);
    params_init(ret_columns, arena, 2);
    params_text_array(ret_columns, tables, SPECS + 1);
    params_text_array(ret_columns, columns, SPECS + 1);
    return true;
}

void check_tables(struct executor *db, struct arena *arena, struct findings *findings)
{
    struct statement ask_hidden = hidden, ask_unfilled = unfilled;
    struct params tables, columns;
    struct rows rows;

    look_at_session(db, arena, findings);
    if (!tables_of(arena, &tables, &columns) || !params_done(&tables, &ask_hidden) ||
        !params_done(&columns, &ask_unfilled)) {
        findings->full = true;
        return;
    }
    if (check_ask(db, &ask_hidden, arena, findings, &rows))
        check_tell_each(
            &rows, "",
            ": row-level security applies to the role, and may hide or refuse rows; give the "
            "role a policy for all rows, or BYPASSRLS",
            findings);
    if (check_ask(db, &ask_unfilled, arena, findings, &rows))
        check_tell_each(
            &rows, "",
            ": is NOT NULL and has no default; nothing of ours fills it, so every new row is "
            "refused",
            findings);
}
