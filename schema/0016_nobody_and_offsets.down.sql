COMMENT ON COLUMN interlock.behaviour_profile.arrival_average IS
    'minutes since midnight, UTC; null before the first arrival';

ALTER TABLE interlock.job DROP COLUMN utc_offset_minutes;

-- What was 1 stays null: both said nobody.
ALTER TABLE interlock.jobneed DROP CONSTRAINT jobneed_performed_by;
ALTER TABLE interlock.ticket_history DROP CONSTRAINT ticket_history_people_id;
