-- Plans that commands change: checkpoint jobs and geofence assignments are child rows of their root job. Roots are made
-- by the planning side.

CREATE SEQUENCE interlock.job_id_seq AS bigint;

ALTER TABLE interlock.job
    ADD COLUMN person_id    bigint CHECK (person_id > 1),
    ADD COLUMN starts_at    timestamptz,
    ADD COLUMN ends_at      timestamptz,
    ADD COLUMN seq          integer NOT NULL DEFAULT 0 CHECK (seq >= 0),
    ADD COLUMN from_minute  integer CHECK (from_minute BETWEEN 0 AND 1439),
    ADD COLUMN until_minute integer CHECK (until_minute BETWEEN 0 AND 1439),
    ADD CONSTRAINT job_end_after_start CHECK (ends_at >= starts_at),
    ADD CONSTRAINT job_minutes_together CHECK ((from_minute IS NULL) = (until_minute IS NULL)),
    ADD CONSTRAINT job_not_its_own_parent CHECK (parent_id <> id),
    ADD CONSTRAINT job_geofence_assignment_complete CHECK (identifier <> 'GEOFENCE' OR parent_id IS NULL OR
        (name IS NOT NULL AND person_id IS NOT NULL AND geofence_id IS NOT NULL AND starts_at IS NOT NULL));

COMMENT ON COLUMN interlock.job.person_id IS 'of a geofence assignment: whose';
COMMENT ON COLUMN interlock.job.starts_at IS 'of a geofence assignment: its first moment';
COMMENT ON COLUMN interlock.job.ends_at IS 'of a geofence assignment: its last moment; null: until it is removed';
COMMENT ON COLUMN interlock.job.from_minute IS
    'of a geofence assignment: the minute of the day from which it holds; later than until_minute: across midnight';

-- Version 0 is that of what does not exist: a root made by SQL begins at 1, so that the first command's event does not
-- read as its creation and `expectedversion` can name it.
ALTER TABLE interlock.job ALTER COLUMN version SET DEFAULT 1;
UPDATE interlock.job SET version = 1 WHERE version = 0 AND parent_id IS NULL;

-- A child whose asset or question set is "none" is still one of its kind, so nulls are not distinct. Indexes and not
-- constraints, because a geofence assignment is no checkpoint, and a root is neither.
CREATE UNIQUE INDEX job_checkpoint_once ON interlock.job (parent_id, asset_id, question_set_id) NULLS NOT DISTINCT
    WHERE parent_id IS NOT NULL AND identifier <> 'GEOFENCE';
CREATE UNIQUE INDEX job_name_once ON interlock.job (parent_id, name, identifier, asset_id, question_set_id, client_id)
    NULLS NOT DISTINCT WHERE parent_id IS NOT NULL AND name IS NOT NULL;

-- Children are loaded by their parent, geofence assignments looked up by their person. Before a job is removed
-- PostgreSQL looks for what refers to it.
CREATE INDEX job_by_parent ON interlock.job (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX job_by_person ON interlock.job (person_id) WHERE person_id IS NOT NULL;
CREATE INDEX jobneed_by_job ON interlock.jobneed (job_id) WHERE job_id IS NOT NULL;

ALTER TABLE interlock.jobneed ADD CONSTRAINT jobneed_end_after_beginning CHECK (ended_at >= started_at);

CREATE FUNCTION interlock.draw_job_ids(wanted integer) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE drawn bigint;
BEGIN
    FOR i IN 1 .. wanted LOOP
        LOOP
            drawn := nextval('interlock.job_id_seq');
            EXIT WHEN NOT EXISTS (SELECT 1 FROM interlock.job WHERE id = drawn);
        END LOOP;
        RETURN NEXT drawn;
    END LOOP;
END $$;
