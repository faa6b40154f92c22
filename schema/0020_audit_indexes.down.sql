DROP FUNCTION interlock.merge_audit_indexes();

ALTER TABLE interlock.audit_event ALTER COLUMN aggregate SET STATISTICS -1, ALTER COLUMN changed_by SET STATISTICS -1;
DROP INDEX interlock.audit_event_by_value, interlock.audit_event_by_status_change, interlock.audit_event_by_time;

CREATE INDEX audit_event_by_aggregate ON interlock.audit_event (aggregate, changed_at);
CREATE INDEX audit_event_by_operation ON interlock.audit_event (operation, changed_at);
CREATE INDEX audit_event_by_author ON interlock.audit_event (changed_by, changed_at) WHERE changed_by IS NOT NULL;
CREATE INDEX audit_event_by_status_change ON interlock.audit_event (status_old, status_new, changed_at)
    WHERE status_old IS DISTINCT FROM status_new;

-- Elsewhere it may have been there before, and others may use it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'btree_gin' AND extnamespace = 'interlock'::regnamespace) THEN
        DROP EXTENSION btree_gin;
    END IF;
END $$;
