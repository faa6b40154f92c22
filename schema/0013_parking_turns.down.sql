DROP INDEX interlock.parked_command_held;
DROP INDEX interlock.parked_command_by_turn;
ALTER TABLE interlock.parked_command
    DROP COLUMN turn_at,
    DROP COLUMN next_at,
    DROP COLUMN returned_offset,
    DROP COLUMN returned_partition_id,
    DROP COLUMN returned_fence;
COMMENT ON COLUMN interlock.parked_command.returned_at IS NULL;
CREATE INDEX parked_command_by_due ON interlock.parked_command (due_at);
