-- What a grant alone would allow too much of.

-- The inbox row of a command that is answered says where, for ever. That of a parked one moves with its command (PROTOCOL
-- L4), which is why a worker may update these columns at all.
CREATE FUNCTION interlock.refuse_move() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'the inbox row of a command that is answered does not change'
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Only the row of a parked command moves, when its command is applied.';
END $$;

CREATE TRIGGER inbox_moves_with_parked_commands BEFORE UPDATE OF kafka_offset, fence, partition_id, parked ON interlock.inbox
    FOR EACH ROW WHEN (NOT OLD.parked) EXECUTE FUNCTION interlock.refuse_move();

-- PROTOCOL R8, for a role that has no rights on the tables themselves. Counts, or deletes, the rows of one stretch of
-- `target` that can never be needed again: published, below the log's start, older than `older_than`, not parked. What
-- Kafka still has is the caller's word, so younger ones than a day stay whatever he says.
CREATE FUNCTION interlock.prune_rows(target text, executes boolean, topics text[], partitions integer[],
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

REVOKE ALL ON FUNCTION interlock.prune_rows(text, boolean, text[], integer[], bigint[], interval, tid, tid) FROM PUBLIC;
