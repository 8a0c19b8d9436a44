-- What the queries need, and no more: each index on the keys costs a third of the throughput of
-- issuing them. None on updated_at or last_used_at, which would make every usage write all indexes.
--
-- LOCKS: SHARE on each table while its index is built (reads go on, writes wait), ACCESS EXCLUSIVE
-- on auth_entitlements.

-- Entitlements that were written when nothing made them unique: the oldest of each triple stays,
-- the others are kept aside.
DO $adopt$
BEGIN
    LOCK TABLE auth_entitlements IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM auth_entitlements
               GROUP BY subject_kind, subject_id, entitlement HAVING count(*) > 1) THEN
        CREATE TABLE auth_entitlements_duplicates (LIKE auth_entitlements);
        WITH surplus AS (
            SELECT id FROM (
                SELECT id, row_number() OVER (PARTITION BY subject_kind, subject_id, entitlement
                                              ORDER BY created_at, id) AS number
                FROM auth_entitlements) AS numbered
            WHERE number > 1
        ), moved AS (
            DELETE FROM auth_entitlements e USING surplus s WHERE e.id = s.id RETURNING e.*
        )
        INSERT INTO auth_entitlements_duplicates SELECT * FROM moved;
    END IF;
END
$adopt$;

CREATE UNIQUE INDEX IF NOT EXISTS auth_entitlements_unique_subject
    ON auth_entitlements (subject_kind, subject_id, entitlement);

-- data-postgres' own; the unique index begins with the same columns.
DROP INDEX IF EXISTS auth_entitlements_subject_idx;

CREATE INDEX IF NOT EXISTS auth_groups_org_idx ON auth_groups (org_id, slug);

CREATE INDEX IF NOT EXISTS auth_memberships_user_idx ON auth_memberships (user_id);

CREATE INDEX IF NOT EXISTS auth_memberships_org_idx ON auth_memberships (org_id);

CREATE INDEX IF NOT EXISTS auth_keys_owner_idx ON auth_keys (owner_kind, owner_id);

CREATE INDEX IF NOT EXISTS auth_audit_events_entity_idx
    ON auth_audit_events (entity, occurred_at);

CREATE INDEX IF NOT EXISTS auth_audit_events_occurred_idx
    ON auth_audit_events USING brin (occurred_at) WITH (autosummarize = on);
