-- Brings tables that data-postgres made (by its migration 0001, or 0001 and 0002) to the shape of
-- 0001_tables, without losing a row; adds the worker's own columns to the audit log. On tables that
-- 0001_tables made it does only the latter. auth_sessions and the webhook tables stay as they are.
--
-- LOCKS: ACCESS EXCLUSIVE on all seven tables from the first statement to the commit, since each
-- table that changes is written anew, once, with its indexes. docs name the measured duration; it
-- needs free space for one more copy of the largest table.

LOCK TABLE auth_users, auth_orgs, auth_groups, auth_memberships, auth_entitlements, auth_keys,
    auth_audit_events IN ACCESS EXCLUSIVE MODE;

-- All nullable without default: the rows stay untouched here, and the inserts of data-postgres,
-- which do not name them, go on working.
ALTER TABLE auth_audit_events
    ADD COLUMN IF NOT EXISTS command_digest uuid,
    ADD COLUMN IF NOT EXISTS "offset" bigint,
    ADD COLUMN IF NOT EXISTS "partition" integer,
    ADD COLUMN IF NOT EXISTS topic_id smallint,
    ADD COLUMN IF NOT EXISTS outcome text,
    ADD COLUMN IF NOT EXISTS entity text COLLATE "C",
    ADD COLUMN IF NOT EXISTS error json,
    ADD COLUMN IF NOT EXISTS command_source text,
    ADD COLUMN IF NOT EXISTS command_id text,
    ADD COLUMN IF NOT EXISTS command_type text,
    ADD COLUMN IF NOT EXISTS traceparent text,
    ADD COLUMN IF NOT EXISTS tracestate text,
    ADD COLUMN IF NOT EXISTS carried_correlation_id text,
    ADD COLUMN IF NOT EXISTS legacy_id text;

-- Before data-postgres' 0002 an entitlement always was a membership's.
DO $adopt$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = 'auth_entitlements'::regclass AND attname = 'membership_id'
               AND NOT attisdropped) THEN
        ALTER TABLE auth_entitlements RENAME COLUMN membership_id TO subject_id;
        ALTER TABLE auth_entitlements
            ADD COLUMN subject_kind text COLLATE "C" NOT NULL DEFAULT 'membership',
            ADD COLUMN metadata json DEFAULT '{}';
        ALTER TABLE auth_entitlements ALTER COLUMN subject_kind DROP DEFAULT;
    END IF;
END
$adopt$;

-- Audit ids were texts; the inbox needs UUIDs. Those that are UUIDs stay; of the others (and of one
-- that is the same UUID as another row's, in other letters) the program makes UUIDv5s, since
-- PostgreSQL has no SHA-1 without an extension.
CREATE TEMPORARY TABLE catalyst_new_audit_ids (
    old_id text COLLATE "C" PRIMARY KEY,
    new_id uuid NOT NULL
) ON COMMIT DROP;

--! new audit ids

CREATE FUNCTION pg_temp.catalyst_new_audit_id(old text) RETURNS uuid LANGUAGE plpgsql AS $body$
BEGIN
    RETURN coalesce((SELECT new_id FROM catalyst_new_audit_ids WHERE old_id = old), old::uuid);
END
$body$;

CREATE FUNCTION pg_temp.catalyst_legacy_audit_id(old text) RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
    RETURN (SELECT old_id FROM catalyst_new_audit_ids WHERE old_id = old);
END
$body$;

-- One ALTER TABLE, and so one rewrite, per table that needs any.
DO $adopt$
DECLARE
    has_new_ids CONSTANT boolean := EXISTS (SELECT FROM catalyst_new_audit_ids);
    change record;
BEGIN
    FOR change IN
        SELECT wanted.table_name, string_agg(action.text, ', ' ORDER BY wanted.column_name) AS actions
        FROM (VALUES
            ('auth_users', 'id', 'key'),
            ('auth_users', 'labels', 'json or empty'),
            ('auth_users', 'metadata', 'json'),
            ('auth_orgs', 'id', 'key'),
            ('auth_orgs', 'slug', 'key'),
            ('auth_orgs', 'profile', 'json'),
            ('auth_orgs', 'labels', 'json or empty'),
            ('auth_orgs', 'settings', 'json or empty'),
            ('auth_groups', 'id', 'key'),
            ('auth_groups', 'org_id', 'key'),
            ('auth_groups', 'slug', 'key'),
            ('auth_groups', 'labels', 'json or empty'),
            ('auth_memberships', 'id', 'key'),
            ('auth_memberships', 'user_id', 'key'),
            ('auth_memberships', 'org_id', 'key'),
            ('auth_memberships', 'labels_delta', 'json or empty'),
            ('auth_entitlements', 'id', 'key'),
            ('auth_entitlements', 'subject_kind', 'key'),
            ('auth_entitlements', 'subject_id', 'key'),
            ('auth_entitlements', 'entitlement', 'key'),
            ('auth_entitlements', 'metadata', 'json or empty'),
            ('auth_keys', 'id', 'key'),
            ('auth_keys', 'hash', 'key'),
            ('auth_keys', 'owner_kind', 'key'),
            ('auth_keys', 'owner_id', 'key'),
            ('auth_keys', 'usage_count', 'bigint'),
            ('auth_keys', 'labels', 'json or empty'),
            ('auth_keys', 'metadata', 'json'),
            ('auth_audit_events', 'id', 'audit id'),
            ('auth_audit_events', 'actor', 'json'),
            ('auth_audit_events', 'subject', 'json'),
            ('auth_audit_events', 'resource', 'json'),
            ('auth_audit_events', 'metadata', 'json')
        ) AS wanted (table_name, column_name, kind)
        JOIN pg_attribute a ON a.attrelid = wanted.table_name::regclass
            AND a.attname = wanted.column_name AND NOT a.attisdropped
        CROSS JOIN LATERAL (SELECT CASE
            WHEN kind = 'key' AND a.attcollation <> 'pg_catalog."C"'::regcollation THEN
                format('ALTER COLUMN %I TYPE text COLLATE "C"', column_name)
            WHEN kind = 'json' AND a.atttypid = 'jsonb'::regtype THEN
                format('ALTER COLUMN %1$I TYPE json USING %1$I::json', column_name)
            WHEN kind = 'json or empty' AND a.atttypid = 'jsonb'::regtype THEN
                format('ALTER COLUMN %1$I DROP DEFAULT, '
                       'ALTER COLUMN %1$I TYPE json USING coalesce(%1$I::json, ''{}''), '
                       'ALTER COLUMN %1$I SET DEFAULT ''{}''', column_name)
            WHEN kind = 'bigint' AND a.atttypid = 'integer'::regtype THEN
                format('ALTER COLUMN %I TYPE bigint', column_name)
            -- The entity of an adopted event is found as the worker finds its own, as long as an
            -- index can hold it.
            WHEN kind = 'audit id' AND a.atttypid = 'text'::regtype AND has_new_ids THEN
                'ALTER COLUMN id TYPE uuid USING pg_temp.catalyst_new_audit_id(id), '
                'ALTER COLUMN legacy_id TYPE text USING CASE'
                ' WHEN id !~* ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'' THEN id'
                ' WHEN id <> lower(id) THEN pg_temp.catalyst_legacy_audit_id(id) END, '
                'ALTER COLUMN entity TYPE text COLLATE "C" USING CASE'
                ' WHEN octet_length(coalesce(resource->>''id'', subject->>''id'')) <= 256'
                ' THEN coalesce(resource->>''id'', subject->>''id'') END'
            WHEN kind = 'audit id' AND a.atttypid = 'text'::regtype THEN
                'ALTER COLUMN id TYPE uuid USING id::uuid, '
                'ALTER COLUMN entity TYPE text COLLATE "C" USING CASE'
                ' WHEN octet_length(coalesce(resource->>''id'', subject->>''id'')) <= 256'
                ' THEN coalesce(resource->>''id'', subject->>''id'') END'
            END AS text) AS action
        WHERE action.text IS NOT NULL
        GROUP BY wanted.table_name
        ORDER BY wanted.table_name
    LOOP
        IF change.table_name <> 'auth_audit_events' THEN
            change.actions := change.actions || ', SET (fillfactor = 85)';
        END IF;
        EXECUTE format('ALTER TABLE %I %s', change.table_name, change.actions);
    END LOOP;
END
$adopt$;

DROP FUNCTION pg_temp.catalyst_new_audit_id(text);

DROP FUNCTION pg_temp.catalyst_legacy_audit_id(text);
