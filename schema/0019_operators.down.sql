-- Actions, their items and the pauses are gone after this. Commands that wait stay: what a pause held is due at once, and
-- goes on blocking its aggregate until it is applied. A cancelled one would be applied, so those must be decided first.
DO $$
BEGIN
    IF EXISTS (SELECT FROM interlock.parked_command WHERE cancelled_by IS NOT NULL) THEN
        RAISE EXCEPTION 'cancelled commands are still parked' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Let the workers run until interlock.parked_command has no row with cancelled_by.';
    END IF;
END $$;

-- As schema/0014 has it.
CREATE OR REPLACE FUNCTION interlock.prune_rows(target text, executes boolean, topics text[], partitions integer[],
    log_starts bigint[], older_than interval, first tid, behind tid)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Migrations before and behind this one keep `published` in different places.
    owners text := CASE WHEN to_regclass('interlock.partition_published') IS NULL THEN 'interlock.partition_owner'
        ELSE '(SELECT w.id, w.topic, w.partition, p.published FROM interlock.partition_owner w '
             'JOIN interlock.partition_published p ON p.partition_id = w.id)' END;
    written text := CASE target WHEN 'inbox' THEN 'NOT t.parked AND t.recorded_at'
        WHEN 'dead_letter' THEN 't.first_failed_at' END;
    rest text;
    gone bigint;
BEGIN
    IF written IS NULL THEN
        RAISE EXCEPTION 'nothing of % is ever pruned: inbox and dead_letter are', target
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF older_than IS NULL OR older_than < interval '1 day' THEN
        RAISE EXCEPTION 'rows younger than 24 hours are never pruned: give a greater age than %', older_than
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    rest := owners || ' o, unnest($1, $2, $3) AS s (topic, partition, log_start) WHERE o.topic = s.topic '
        'AND o.partition = s.partition AND t.partition_id = o.id AND t.kafka_offset < least(o.published, s.log_start) '
        'AND t.ctid >= $4 AND t.ctid < $5 AND ' || written || ' < now() - $6';
    IF executes THEN
        EXECUTE format('DELETE FROM interlock.%I t USING %s', target, rest)
            USING topics, partitions, log_starts, first, behind, older_than;
        GET DIAGNOSTICS gone = ROW_COUNT;
    ELSE
        EXECUTE format('SELECT count(*) FROM interlock.%I t, %s', target, rest) INTO gone
            USING topics, partitions, log_starts, first, behind, older_than;
    END IF;
    RETURN gone;
END $$;
DROP FUNCTION interlock.try_repair_lock();

ALTER TABLE interlock.partition_published DROP COLUMN committed, DROP COLUMN end_offset, DROP COLUMN pause_epoch,
    DROP COLUMN pruned_below;
ALTER TABLE interlock.partition_owner DROP COLUMN owner_slot, DROP COLUMN owned;
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

ALTER TABLE interlock.crash_suspect
    DROP COLUMN identity, DROP COLUMN command_source, DROP COLUMN command_id, DROP COLUMN command_type;

DROP FUNCTION interlock.require_action(bigint);
DROP FUNCTION interlock.action_words(bigint);
DROP FUNCTION interlock.ago(timestamptz);
DROP FUNCTION interlock.clock(timestamptz);
DROP TABLE interlock.operator_outbox;
DROP TABLE interlock.operator_item;
DROP TABLE interlock.operator_action;
DROP FUNCTION interlock.note_action();
