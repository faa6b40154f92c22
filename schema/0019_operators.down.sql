-- Actions, their items and the pauses are gone after this. Commands that wait stay: what a pause held is due at once, and
-- goes on blocking its aggregate until it is applied. A cancelled one would be applied, so those must be decided first.
DO $$
BEGIN
    IF EXISTS (SELECT FROM interlock.parked_command WHERE cancelled_by IS NOT NULL) THEN
        RAISE EXCEPTION 'cancelled commands are still parked' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Let the workers run until interlock.parked_command has no row with cancelled_by.';
    END IF;
END $$;

ALTER TABLE interlock.partition_published DROP COLUMN committed, DROP COLUMN end_offset, DROP COLUMN pause_epoch,
    DROP COLUMN pruned_below;
ALTER TABLE interlock.partition_owner DROP COLUMN owner_slot;
DROP TABLE interlock.worker_seen;

DROP FUNCTION interlock.take_back(bigint, uuid);
DROP FUNCTION interlock.put_back(bigint, text, uuid, uuid, integer, bigint, bigint, timestamptz, text, text, text, text,
    text, bytea, bytea, bytea);

ALTER TABLE interlock.parked_command DROP CONSTRAINT parked_command_reason;
UPDATE interlock.parked_command SET due_at = least(due_at, clock_timestamp()), next_at = NULL WHERE reason = 'paused';
UPDATE interlock.parked_command SET reason = 'held' WHERE reason IN ('paused', 'redriven', 'replayed');
ALTER TABLE interlock.parked_command
    DROP COLUMN action_id, DROP COLUMN cancelled_by, DROP COLUMN released_by, DROP COLUMN pause_id, DROP COLUMN tenant,
    ADD CONSTRAINT parked_command_reason CHECK (reason IN ('notbefore', 'held', 'behind'));

DROP TABLE interlock.pause;
DROP FUNCTION interlock.note_pause();
ALTER TABLE interlock.parking DROP COLUMN pause_epoch;

-- A letter that waits as a parked command is one of both kinds for a version that knows no states: it stays a letter, and
-- its command is applied.
ALTER TABLE interlock.dead_letter
    DROP COLUMN state_at, DROP COLUMN identity, DROP COLUMN action_id, DROP COLUMN bytes, DROP COLUMN attempts,
    DROP COLUMN redrives, DROP COLUMN state, DROP COLUMN key, DROP COLUMN command_source, DROP COLUMN command_id,
    DROP COLUMN command_type, DROP COLUMN says;

DROP FUNCTION interlock.require_action(bigint);
DROP TABLE interlock.operator_outbox;
DROP TABLE interlock.operator_item;
DROP TABLE interlock.operator_action;
DROP FUNCTION interlock.note_action();
