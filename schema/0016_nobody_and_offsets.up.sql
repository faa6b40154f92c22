-- 1 is nobody wherever a person or a group stands, and nobody is null.
UPDATE interlock.ticket_history SET people_id = NULL WHERE people_id <= 1;
ALTER TABLE interlock.ticket_history
    ADD CONSTRAINT ticket_history_people_id CHECK (people_id > 1);

UPDATE interlock.jobneed SET performed_by = NULL WHERE performed_by <= 1;
ALTER TABLE interlock.jobneed
    ADD CONSTRAINT jobneed_performed_by CHECK (performed_by > 1);

-- The minutes of a geofence assignment are of a day of its own, as those of a shift.
ALTER TABLE interlock.job
    ADD COLUMN utc_offset_minutes integer NOT NULL DEFAULT 0
        CONSTRAINT job_utc_offset CHECK (utc_offset_minutes BETWEEN -720 AND 840);

COMMENT ON COLUMN interlock.job.utc_offset_minutes IS
    'of a geofence assignment: the offset of from_minute and until_minute, minutes east of UTC';
COMMENT ON COLUMN interlock.behaviour_profile.arrival_average IS
    'minutes since midnight in the offsets in which the arrivals were sent; null before the first arrival';
