-- R1: one command, one transaction, one statement after another.
\set n :n + 1
\set id random(1, :tickets)
\set person random(2, 500)
\set r random(1, 9000000000000000000)
BEGIN;
SELECT kafka_offset, fence, body_digest, partition_id FROM interlock.inbox WHERE identity = md5(:r::text)::uuid;
SELECT id, version, status, level, escalated, priority, category, site_id, client_id, assigned_person_id,
    assigned_group_id, history_count, comments, modified_at FROM interlock.ticket WHERE id = :id FOR NO KEY UPDATE;
UPDATE interlock.ticket SET version = version + 1, history_count = history_count + 1,
    modified_at = clock_timestamp(), modified_by = 'user/' || :person::int WHERE id = :id;
INSERT INTO interlock.ticket_history (ticket_id, seq, occurred_at, people_id, who, action, details)
    VALUES (:id, :client_id * 100000000::int8 + :n, clock_timestamp(), :person, 'user/' || :person::int, 'NOTE',
    '{"text": "seen on site, called back"}');
INSERT INTO interlock.inbox (identity, body_digest, kafka_offset, fence, partition_id)
    VALUES (md5(:r::text)::uuid, md5(:n::text)::uuid, :n, 1, :client_id + 1);
INSERT INTO interlock.audit_event (event_id, kafka_offset, fence, changed_at, version_from, version_to, person_old,
    person_new, partition_id, lock_wait_us, transaction_us, outcome, operation, format, aggregate, command_source,
    command_id, command_type, status_old, status_new, changed_by, correlation_id, metadata)
    VALUES (md5(:r::text)::uuid, :n, 1, clock_timestamp(), 1, 2, 7, 7, :client_id + 1, 400, 1900, 'applied',
    'HISTORY_APPEND', 1, 'ticket/' || :id::int8, '/bench', md5(:r::text)::uuid::text, 'ticket.append_history', 'OPEN',
    'OPEN', 'user/' || :person::int, 'c-' || :n::int8, '{"seq": 1}');
COMMIT;
