DROP INDEX interlock.dead_letter_crashed;
DROP TRIGGER parked_command_noted ON interlock.parked_command;
DROP FUNCTION interlock.clear_parking();
DROP FUNCTION interlock.note_parked();
DROP TABLE interlock.parking;
UPDATE interlock.partition_owner o SET published = greatest(o.published, p.published)
    FROM interlock.partition_published p WHERE p.partition_id = o.id;
COMMENT ON COLUMN interlock.partition_owner.published IS NULL;
DROP TABLE interlock.partition_published;
DROP TABLE interlock.schema_identity;
