#include "repo/schema/trusted_schema.h"

#include "repo/pg/pg_binary.h"
#include "repo/schema/migrate.h"

/* pg_temp would come first if it were not named. */
const struct statement trusted_schema_enter = {
    .own = true,
    .sql = "SET LOCAL search_path TO {schema}, pg_temp",
};

static const char others_sql[] =
    "SELECT string_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC'"
    " ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ')"
    " FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a"
    " LEFT JOIN pg_roles AS r ON r.oid = a.grantee"
    " WHERE n.nspname = $1 AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner"
    " AND r.rolname IS DISTINCT FROM current_user AND r.rolsuper IS NOT TRUE";

enum outcome trusted_schema_check(struct executor *db, const char *schema, struct arena *arena,
                                  struct err *err)
{
    struct statement statement = {.sql = others_sql, .own = true};
    struct params params;
    struct rows rows;
    struct pg_row row;

    params_init(&params, arena, 1);
    params_text(&params, text_of(schema));
    if (!params_done(&params, &statement))
        return err_no_memory(err, "schema");
    enum outcome outcome = executor_run(db, &statement, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "schema");
    pg_row_init(&row, &rows, 0, arena);
    struct text others = pg_row_text(&row);
    outcome = pg_row_done(&row, "schema", err);
    if (outcome == OUTCOME_OK && text_present(others))
        outcome = err_set(err, OUTCOME_FATAL, MIGRATE_SCHEMA,
                          "schema: others may create objects in it (%.*s), and could capture the "
                          "functions that the worker calls; REVOKE CREATE ON SCHEMA from them",
                          TEXT_ARG(others));
    return outcome;
}
