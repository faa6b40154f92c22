-- When a parked command is looked at next, and where its last copy is (PROTOCOL L4). next_at is pushed on by whoever
-- looked, so that what cannot return yet is not looked at again and again; due_at stays the command's own time.

ALTER TABLE interlock.parked_command
    ADD COLUMN next_at               timestamptz,
    ADD COLUMN returned_offset       bigint,
    ADD COLUMN returned_partition_id integer,
    ADD COLUMN returned_fence        bigint;
ALTER TABLE interlock.parked_command
    ADD COLUMN turn_at timestamptz NOT NULL GENERATED ALWAYS AS (greatest(due_at, next_at)) STORED;

COMMENT ON COLUMN interlock.parked_command.returned_at IS 'a copy of it was sent to its topic; null: none is known to be there';
COMMENT ON COLUMN interlock.parked_command.returned_offset IS 'where that copy is, or below; null while not known';
COMMENT ON COLUMN interlock.parked_command.returned_partition_id IS 'in another partition than its own; null: in its own';
COMMENT ON COLUMN interlock.parked_command.returned_fence IS 'of its partition when it was sent: a later rewind makes returned_offset meaningless';

DROP INDEX interlock.parked_command_by_due;
CREATE INDEX parked_command_by_turn ON interlock.parked_command (turn_at, place);

-- What status and the log name.
CREATE INDEX parked_command_held ON interlock.parked_command (place) WHERE reason = 'held';
