-- Two roles for Catalyst Worker: one that owns the tables and migrates them, one that the daemon runs as, with the least
-- rights. Run it as a superuser, or as a role that may create roles and schemas, in the worker's database:
--
--   psql -v schema=public -v owner=catalyst_owner -v runtime=catalyst_worker -f grants.sql     (1) roles, schema
--   catalyst-worker migrate up                                            as the owner         (2) tables
--   psql -v schema=public -v owner=catalyst_owner -v runtime=catalyst_worker -f grants.sql     (3) rights on the tables
--
-- Safe to run again; run it after every migration that adds a table. It gives the roles no password.
-- As the owner run: migrate, retention. As the runtime role: run, check --online, and the other verbs.
\set ON_ERROR_STOP on
\if :{?schema} \else \set schema public \endif
\if :{?owner} \else \set owner catalyst_owner \endif
\if :{?runtime} \else \set runtime catalyst_worker \endif
BEGIN;

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY[:'owner', :'runtime']) AS name
WHERE to_regrole(quote_ident(name)) IS NULL \gexec

-- Nobody but the owner creates objects in the schema: they could capture functions that migrations call.
CREATE SCHEMA IF NOT EXISTS :"schema" AUTHORIZATION :"owner";
ALTER SCHEMA :"schema" OWNER TO :"owner";
REVOKE ALL ON SCHEMA :"schema" FROM PUBLIC, :"runtime";
GRANT USAGE ON SCHEMA :"schema" TO :"runtime";

-- What each table is used for. The audit log is only added to and read: what happened can't be rewritten.
CREATE TEMPORARY TABLE needed (name text, privileges text) ON COMMIT DROP;
INSERT INTO needed VALUES
    ('auth_users', 'SELECT, INSERT, UPDATE'),
    ('auth_orgs', 'SELECT, INSERT, UPDATE'),
    ('auth_groups', 'SELECT, INSERT, UPDATE, DELETE'),
    ('auth_memberships', 'SELECT, INSERT, UPDATE, DELETE'),
    ('auth_entitlements', 'SELECT, INSERT, UPDATE, DELETE'),
    ('auth_keys', 'SELECT, INSERT, UPDATE'),
    ('auth_audit_events', 'SELECT, INSERT'),
    ('catalyst_topics', 'SELECT, INSERT'),
    ('catalyst_consumer_offsets', 'SELECT, INSERT, UPDATE'),
    ('catalyst_recoveries', 'SELECT, INSERT, DELETE'),
    ('catalyst_skip_requests', 'SELECT, INSERT, DELETE'),
    ('catalyst_schema_migrations', 'SELECT');

-- Tables, also partitions and what adoption set aside, belong to the owner; the runtime role has nothing that is not named.
SELECT format('ALTER TABLE %I.%I OWNER TO %I', n.nspname, c.relname, :'owner')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = :'schema' AND c.relkind IN ('r', 'p') AND c.relname ~ '^(auth|catalyst)_'
ORDER BY c.relname \gexec
SELECT format('REVOKE ALL ON %I.%I FROM PUBLIC, %I', n.nspname, c.relname, :'runtime')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = :'schema' AND c.relkind IN ('r', 'p') AND c.relname ~ '^(auth|catalyst)_'
ORDER BY c.relname \gexec
SELECT format('GRANT %s ON %I.%I TO %I', needed.privileges, :'schema', needed.name, :'runtime')
FROM needed WHERE to_regclass(format('%I.%I', :'schema', needed.name)) IS NOT NULL
ORDER BY needed.name \gexec

COMMIT;
