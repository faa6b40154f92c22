-- The audit's four questions by two GIN indexes instead of four b-trees. A b-tree is descended once for each row; an
-- entry of a GIN index waits in a list at first, and thousands are merged at once, by the pool (consumers/audit_merge.h),
-- in no command's transaction.
--
-- An extension has the owner who made it, for good: what a superuser makes is not put where the schema's owner has to be
-- able to drop everything.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'public' AND has_schema_privilege(n.oid, 'CREATE')) THEN
        CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public;
    ELSE
        CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA interlock;
    END IF;
END $$;

DROP INDEX interlock.audit_event_by_aggregate, interlock.audit_event_by_operation, interlock.audit_event_by_author,
    interlock.audit_event_by_status_change;

-- A list that is longer than its limit, in kB, is merged by the transaction of the next command.
CREATE INDEX audit_event_by_value ON interlock.audit_event USING gin (aggregate, changed_by, operation)
    WITH (fastupdate = on, gin_pending_list_limit = 16384);
CREATE INDEX audit_event_by_status_change ON interlock.audit_event USING gin (status_old, status_new)
    WITH (fastupdate = on, gin_pending_list_limit = 16384) WHERE status_old IS DISTINCT FROM status_new;
CREATE INDEX audit_event_by_time ON interlock.audit_event (changed_at);

-- How frequent a value is decides whether an index by values or the one by time is the shorter way to its newest rows.
ALTER TABLE interlock.audit_event ALTER COLUMN aggregate SET STATISTICS 500, ALTER COLUMN changed_by SET STATISTICS 1000;

-- For a role that does not own the indexes. Whoever comes while another one merges leaves it to that one. The result: the
-- pages that were merged.
CREATE FUNCTION interlock.merge_audit_indexes() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(4812407, 'interlock'::regnamespace::oid::int) THEN
        RETURN 0;
    END IF;
    RETURN gin_clean_pending_list('interlock.audit_event_by_value')
        + gin_clean_pending_list('interlock.audit_event_by_status_change');
END $$;
REVOKE ALL ON FUNCTION interlock.merge_audit_indexes() FROM PUBLIC;
