#include "tests/integration/data_postgres_sql.h"

#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LABELS(column) column " jsonb DEFAULT '{}'::jsonb"

const char *const data_postgres_0001[] = {
    "CREATE TABLE auth_users (id text PRIMARY KEY, authentik_id text NOT NULL, email text NOT NULL,"
    " primary_org_id text, display_name text, avatar_url text, " LABELS(
        "labels") ","
                  " metadata jsonb)",
    "CREATE TABLE auth_orgs (id text PRIMARY KEY, slug text UNIQUE NOT NULL, status text NOT NULL,"
    " owner_user_id text NOT NULL, profile jsonb NOT NULL, " LABELS("labels") ","
                                                                              " " LABELS(
                                                                                  "settings") ")",
    "CREATE TABLE auth_groups (id text PRIMARY KEY, org_id text NOT NULL, slug text NOT NULL,"
    " name text NOT NULL, description text, parent_group_id text, " LABELS("labels") ")",
    "CREATE TABLE auth_memberships (id text PRIMARY KEY, user_id text NOT NULL,"
    " org_id text NOT NULL, role text NOT NULL, group_ids text[] DEFAULT ARRAY[]::text[],"
    " " LABELS(
        "labels_delta") ", created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL)",
    "CREATE TABLE auth_entitlements (id text PRIMARY KEY, membership_id text NOT NULL,"
    " entitlement text NOT NULL, created_at timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE auth_sessions (id text PRIMARY KEY, user_id text NOT NULL,"
    " created_at timestamptz NOT NULL, last_seen_at timestamptz NOT NULL,"
    " factors_verified jsonb DEFAULT '[]'::jsonb, metadata jsonb)",
    "CREATE TABLE auth_keys (id text PRIMARY KEY, hash text NOT NULL UNIQUE,"
    " owner_kind text NOT NULL, owner_id text NOT NULL, name text, description text,"
    " created_by_kind text, created_by_id text, created_at timestamptz NOT NULL,"
    " updated_at timestamptz NOT NULL, expires_at timestamptz, last_used_at timestamptz,"
    " usage_count integer NOT NULL DEFAULT 0, status text NOT NULL, scopes text[] NOT NULL,"
    " " LABELS("labels") ", metadata jsonb, revoked_at timestamptz, revoked_by_kind text,"
                         " revoked_by_id text, revocation_reason text)",
    "CREATE TABLE auth_audit_events (id text PRIMARY KEY, occurred_at timestamptz NOT NULL,"
    " category text NOT NULL, action text NOT NULL, actor jsonb, subject jsonb, resource jsonb,"
    " metadata jsonb, correlation_id text)",
    NULL,
};

const char *const data_postgres_0002[] = {
    "DROP TABLE auth_entitlements",
    "CREATE TABLE auth_entitlements (id text PRIMARY KEY, subject_kind text NOT NULL,"
    " subject_id text NOT NULL, entitlement text NOT NULL,"
    " created_at timestamptz NOT NULL DEFAULT now(), " LABELS("metadata") ")",
    "CREATE UNIQUE INDEX auth_entitlements_unique_subject"
    " ON auth_entitlements (subject_kind, subject_id, entitlement)",
    "CREATE INDEX auth_entitlements_subject_idx ON auth_entitlements (subject_kind, subject_id)",
    "CREATE INDEX auth_sessions_user_idx ON auth_sessions (user_id)",
    "CREATE TABLE auth_webhook_subscriptions (id text PRIMARY KEY, org_id text,"
    " event_types text[] NOT NULL, target_url text NOT NULL, secret text NOT NULL,"
    " headers jsonb DEFAULT '{}'::jsonb, retry_policy jsonb, active boolean NOT NULL DEFAULT true,"
    " created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),"
    " metadata jsonb)",
    NULL,
};

#define ISO "2026-01-02T03:04:05.678Z"

const struct data_postgres_statement data_postgres_statements[] = {
    {"user upsert",
     "INSERT INTO auth_users (id, authentik_id, email, primary_org_id, display_name, avatar_url,"
     " labels, metadata) VALUES ($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT (id) DO UPDATE SET"
     " authentik_id = EXCLUDED.authentik_id, email = EXCLUDED.email,"
     " primary_org_id = EXCLUDED.primary_org_id, display_name = EXCLUDED.display_name,"
     " avatar_url = EXCLUDED.avatar_url, labels = EXCLUDED.labels, metadata = EXCLUDED.metadata"
     " RETURNING *",
     8,
     {"u-new", "ak", "a@example.org", NULL, "Ada", NULL, "{\"a\":true}", NULL}},
    {"org upsert",
     "INSERT INTO auth_orgs (id, slug, status, owner_user_id, profile, labels, settings)"
     " VALUES ($1,$2,$3,$4,$5,$6,$7) ON CONFLICT (id) DO UPDATE SET slug = EXCLUDED.slug,"
     " status = EXCLUDED.status, owner_user_id = EXCLUDED.owner_user_id,"
     " profile = EXCLUDED.profile, labels = EXCLUDED.labels, settings = EXCLUDED.settings"
     " RETURNING *",
     7,
     {"o-new", "slug-new", "active", "u-new", "{\"name\":\"O\"}", NULL, NULL}},
    {"group upsert",
     "INSERT INTO auth_groups (id, org_id, slug, name, description, parent_group_id, labels)"
     " VALUES ($1,$2,$3,$4,$5,$6,$7) ON CONFLICT (id) DO UPDATE SET org_id = EXCLUDED.org_id,"
     " slug = EXCLUDED.slug, name = EXCLUDED.name, description = EXCLUDED.description,"
     " parent_group_id = EXCLUDED.parent_group_id, labels = EXCLUDED.labels RETURNING *",
     7,
     {"g-new", "o-new", "g", "G", NULL, NULL, "{}"}},
    {"membership upsert",
     "INSERT INTO auth_memberships (id, user_id, org_id, role, group_ids, labels_delta, created_at,"
     " updated_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT (id) DO UPDATE SET"
     " user_id = EXCLUDED.user_id, org_id = EXCLUDED.org_id, role = EXCLUDED.role,"
     " group_ids = EXCLUDED.group_ids, labels_delta = EXCLUDED.labels_delta,"
     " created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at RETURNING *",
     8,
     {"m-new", "u-new", "o-new", "admin", "{\"g-new\"}", "{}", ISO, ISO}},
    {"entitlement upsert",
     "INSERT INTO auth_entitlements (id, subject_kind, subject_id, entitlement, created_at,"
     " metadata) VALUES ($1,$2,$3,$4,$5,$6) ON CONFLICT (id) DO UPDATE SET"
     " subject_kind = EXCLUDED.subject_kind, subject_id = EXCLUDED.subject_id,"
     " entitlement = EXCLUDED.entitlement, created_at = EXCLUDED.created_at,"
     " metadata = EXCLUDED.metadata RETURNING *",
     6,
     {"e-new", "user", "u-new", "feature", ISO, NULL}},
    {"key issue",
     "INSERT INTO auth_keys (id, hash, owner_kind, owner_id, name, description, created_by_kind,"
     " created_by_id, created_at, updated_at, expires_at, last_used_at, usage_count, status,"
     " scopes, labels, metadata, revoked_at, revoked_by_kind, revoked_by_id, revocation_reason)"
     " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21)"
     " RETURNING *",
     21,
     {"k-new", "h-new",       "user",  "u-new",  NULL,
      NULL,    "user",        "u-new", ISO,      ISO,
      NULL,    NULL,          "0",     "active", "{\"read\",\"write\"}",
      "{}",    "{\"k\":[1]}", NULL,    NULL,     NULL,
      NULL}},
    {"key usage",
     "UPDATE auth_keys SET usage_count = usage_count + 1, last_used_at = $2, updated_at = $2"
     " WHERE id = $1 RETURNING *",
     2,
     {"k-new", ISO}},
    {"key revoke",
     "UPDATE auth_keys SET status = 'revoked', revoked_at = $2, revoked_by_kind = $3,"
     " revoked_by_id = $4, revocation_reason = $5, updated_at = $2 WHERE id = $1 RETURNING *",
     5,
     {"k-new", ISO, NULL, NULL, "why"}},
    {"audit append",
     "INSERT INTO auth_audit_events (id, occurred_at, category, action, actor, subject, resource,"
     " metadata, correlation_id) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9) RETURNING *",
     9,
     {"0b5f0a52-95a6-4d52-8f1e-0a4b3c2d1e0f", ISO, "auth", "login",
      "{\"type\":\"user\",\"id\":\"u-new\"}", NULL, "{\"type\":\"session\"}", NULL, "corr"}},
    {"user by id", "SELECT * FROM auth_users WHERE id = $1 LIMIT 1", 1, {"u-new"}},
    {"org by slug", "SELECT * FROM auth_orgs WHERE slug = $1 LIMIT 1", 1, {"slug-new"}},
    {"groups by org",
     "SELECT * FROM auth_groups WHERE org_id = $1 ORDER BY slug ASC",
     1,
     {"o-new"}},
    {"groups by id", "SELECT * FROM auth_groups WHERE id = ANY($1::text[])", 1, {"{\"g-new\"}"}},
    {"memberships by user",
     "SELECT * FROM auth_memberships WHERE user_id = $1 ORDER BY created_at ASC",
     1,
     {"u-new"}},
    {"entitlements",
     "SELECT * FROM auth_entitlements WHERE (subject_kind = $1 AND subject_id = $2)"
     " ORDER BY created_at ASC, id ASC",
     2,
     {"user", "u-new"}},
    {"keys by owner",
     "SELECT * FROM auth_keys WHERE owner_kind = $1 AND owner_id = $2 ORDER BY created_at DESC",
     2,
     {"user", "u-new"}},
    {"audit list", "SELECT * FROM auth_audit_events ORDER BY occurred_at ASC, id ASC", 0, {NULL}},
    {"group delete", "DELETE FROM auth_groups WHERE id = $1 RETURNING *", 1, {"g-new"}},
    {"membership delete", "DELETE FROM auth_memberships WHERE id = $1 RETURNING *", 1, {"m-new"}},
    {"entitlement delete", "DELETE FROM auth_entitlements WHERE id = $1 RETURNING *", 1, {"e-new"}},
    {NULL, NULL, 0, {NULL}},
};

static PGconn *plain_connection(const struct pg_fixture *fixture)
{
    PGconn *connection = PQconnectdb(getenv("CATALYST_DATABASE_URL"));
    char sql[128];

    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    snprintf(sql, sizeof(sql), "SET search_path TO \"%s\"", fixture->schema);
    PQclear(PQexec(connection, sql));
    return connection;
}

void data_postgres_speaks(const struct pg_fixture *fixture)
{
    PGconn *connection = plain_connection(fixture);

    for (const struct data_postgres_statement *statement = data_postgres_statements;
         statement->sql != NULL; statement++) {
        PGresult *result = PQexecParams(connection, statement->sql, statement->param_count, NULL,
                                        statement->params, NULL, NULL, 0);
        if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) == 0)
            fail_msg("%s: %s", statement->name, PQresultErrorMessage(result));
        PQclear(result);
    }
    PQfinish(connection);
}
