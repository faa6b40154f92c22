DROP TABLE interlock.dead_letter, interlock.audit_also, interlock.audit_event, interlock.inbox,
    interlock.partition_rewind, interlock.partition_owner, interlock.consumer_group;
DROP FUNCTION interlock.refuse_change();
DROP TYPE interlock.operation, interlock.outcome;
