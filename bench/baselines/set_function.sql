-- R3: what a batch of the worker writes, without Kafka, Redis or a network: ids and texts are made here, in the server.
-- Half of the commands are escalations (the odd places), half append to the history.
CREATE FUNCTION bench_batch(size integer, tickets integer, partition integer, first bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[] := ARRAY(SELECT DISTINCT 1 + floor(random() * tickets)::bigint AS id FROM generate_series(1, size) ORDER BY id);
    places bigint[] := ARRAY(SELECT generate_series(1, cardinality(ids)));
    identities uuid[] := ARRAY(SELECT gen_random_uuid() FROM generate_series(1, cardinality(ids)));
BEGIN
    PERFORM kafka_offset, fence, body_digest, partition_id FROM interlock.inbox WHERE identity = ANY (identities);
    PERFORM id, version, status, level, escalated, priority, category, site_id, client_id, assigned_person_id,
        assigned_group_id, history_count, comments, modified_at
        FROM interlock.ticket WHERE id = ANY (ids) ORDER BY id FOR NO KEY UPDATE;
    UPDATE interlock.ticket t SET version = t.version + 1, level = t.level + d.place % 2, escalated = true,
        assigned_person_id = 7 + d.place % 400, history_count = t.history_count + 1,
        modified_at = clock_timestamp(), modified_by = 'user/7'
        FROM (SELECT unnest(ids) AS id, unnest(places) AS place) d WHERE t.id = d.id;
    INSERT INTO interlock.ticket_history (ticket_id, seq, occurred_at, people_id, who, action, details, previous_state)
        SELECT id, partition * 1000000000::bigint + first + place, clock_timestamp(), CASE WHEN place % 2 = 0 THEN 7 END,
        'user/7', CASE place % 2 WHEN 1 THEN 'ESCALATION' ELSE 'NOTE' END,
        CASE WHEN place % 2 = 0 THEN '{"text": "seen on site, called back"}'::json END,
        CASE WHEN place % 2 = 1 THEN '{"status": "OPEN","level": 1,"priority": "LOW","assigned_person_id": 7,"assigned_group_id": null,"version": 3}'::json END
        FROM (SELECT unnest(ids) AS id, unnest(places) AS place) d;
    INSERT INTO interlock.inbox (identity, body_digest, kafka_offset, fence, partition_id)
        SELECT identity, identity, first + place, 1, partition
        FROM (SELECT unnest(identities) AS identity, unnest(places) AS place) d;
    INSERT INTO interlock.audit_event (event_id, kafka_offset, fence, changed_at, version_from, version_to, person_old,
        person_new, partition_id, lock_wait_us, transaction_us, outcome, operation, format, aggregate, command_source,
        command_id, command_type, status_old, status_new, changed_by, correlation_id, metadata)
        SELECT identity, first + place, 1, clock_timestamp(), 1, 2, 7, 7 + place % 400, partition, 400, 1900, 'applied',
        CASE place % 2 WHEN 1 THEN 'ESCALATION' ELSE 'HISTORY_APPEND' END::interlock.operation, 1, 'ticket/' || id,
        '/bench', identity::text, CASE place % 2 WHEN 1 THEN 'ticket.escalate' ELSE 'ticket.append_history' END,
        'OPEN', 'OPEN', 'user/' || 7 + place % 400, 'c-' || first + place,
        CASE place % 2 WHEN 1 THEN '{"level": {"old": 0,"new": 1}}' ELSE '{"seq": 1}' END
        FROM (SELECT unnest(ids) AS id, unnest(identities) AS identity, unnest(places) AS place) d;
END $$;
