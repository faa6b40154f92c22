-- :rows audit rows as a year of work leaves them: spread evenly over 90 days up to now, 12 partitions, half as many tickets
-- and jobs as a hundredth of the rows, a few busy ones among them, 500 people of whom user/2 does a fifth of the work.
-- Everything of a row follows from its number by integers without a common pattern, so that two fills are equal.
SET synchronous_commit = off;
INSERT INTO interlock.partition_owner (topic, partition) SELECT 'interlock.commands', p FROM generate_series(0, 11) p;

INSERT INTO interlock.audit_event (event_id, kafka_offset, fence, changed_at, version_from, version_to, person_old,
    person_new, partition_id, lock_wait_us, transaction_us, outcome, operation, aggregate, command_source, command_id,
    command_type, reason, status_old, status_new, changed_by, correlation_id, metadata)
SELECT md5(n::text)::uuid, n / 12, 1, now() - (:rows - n) * (interval '90 days' / :rows), n / 1000, n / 1000 + 1, 7,
    2 + h % 500, 1 + n % 12, 300 + h % 900, 1500 + h % 4000,
    (CASE WHEN h % 25 = 0 THEN 'rejected' WHEN h % 40 = 1 THEN 'unchanged' ELSE 'applied' END)::interlock.outcome,
    -- Some are rare: a question about them must not walk all the others.
    (CASE WHEN h % 5000 = 3 THEN 'DELETION' WHEN h % 400 = 2 THEN 'FLAG_SET' ELSE
        (ARRAY['STATUS_CHANGE', 'ASSIGNMENT_CHANGE', 'CHECKPOINT_UPDATE', 'AUTOCLOSE', 'ESCALATION', 'CREATION',
        'HISTORY_APPEND', 'HISTORY_APPEND', 'JSON_UPDATE', 'COUNTER_UPDATE'])[1 + h % 10] END)::interlock.operation,
    CASE WHEN h % 50 = 4 THEN 'ticket/1' WHEN h % 3 = 0 THEN 'jobneed/' || 1 + h % GREATEST(:rows / 200, 1)
        ELSE 'ticket/' || 2 + h % GREATEST(:rows / 100, 1) END,
    '/helpdesk', md5('command' || n), 'ticket.transition', CASE WHEN h % 25 = 0 THEN 'invalid_transition' END,
    CASE WHEN h % 10 = 5 THEN NULL ELSE (ARRAY['NEW', 'OPEN', 'OPEN', 'ONHOLD', 'RESOLVED'])[1 + h % 5] END,
    CASE WHEN h % 4 > 0 AND h % 10 <> 5 THEN (ARRAY['NEW', 'OPEN', 'OPEN', 'ONHOLD', 'RESOLVED'])[1 + h % 5]
        WHEN h % 3000 = 8 THEN 'CANCELLED' ELSE (ARRAY['OPEN', 'RESOLVED', 'ONHOLD', 'OPEN', 'CLOSED'])[1 + h % 5] END,
    CASE WHEN h % 5 = 1 THEN 'user/2' WHEN h % 20 = 2 THEN NULL ELSE 'user/' || 3 + h % 499 END, 'c-' || n,
    '{"level": {"old": 0,"new": 1}}'
FROM (SELECT n, (n * 2654435761 % 4294967296 * 40503 + n / 7) % 1000000007 AS h
      FROM generate_series(1::bigint, :rows::bigint) n) numbers;

INSERT INTO interlock.audit_also (kafka_offset, fence, changed_at, version_from, version_to, partition_id, aggregate)
SELECT kafka_offset, fence, changed_at, 1, 2, partition_id, 'ticket/' || 2 + kafka_offset % GREATEST(:rows / 100, 1)
FROM interlock.audit_event WHERE kafka_offset % 20 = 0;
VACUUM (FREEZE, ANALYZE) interlock.audit_event, interlock.audit_also;
