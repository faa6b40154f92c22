DROP FUNCTION interlock.draw_job_ids(integer);
ALTER TABLE interlock.jobneed DROP CONSTRAINT jobneed_end_after_beginning;
-- A geofence assignment is not one without its person and its time.
UPDATE interlock.jobneed n SET job_id = NULL FROM interlock.job j
    WHERE n.job_id = j.id AND j.identifier = 'GEOFENCE' AND j.parent_id IS NOT NULL;
DELETE FROM interlock.job WHERE identifier = 'GEOFENCE' AND parent_id IS NOT NULL;
DROP INDEX interlock.jobneed_by_job, interlock.job_by_person, interlock.job_by_parent, interlock.job_name_once,
    interlock.job_checkpoint_once;
ALTER TABLE interlock.job
    ALTER COLUMN version SET DEFAULT 0,
    DROP CONSTRAINT job_geofence_assignment_complete,
    DROP CONSTRAINT job_not_its_own_parent,
    DROP CONSTRAINT job_minutes_together,
    DROP CONSTRAINT job_end_after_start,
    DROP COLUMN until_minute,
    DROP COLUMN from_minute,
    DROP COLUMN seq,
    DROP COLUMN ends_at,
    DROP COLUMN starts_at,
    DROP COLUMN person_id;
DROP SEQUENCE interlock.job_id_seq;
