DROP FUNCTION interlock.prune_rows(text, boolean, text[], integer[], bigint[], interval, tid, tid);
DROP TRIGGER inbox_moves_with_parked_commands ON interlock.inbox;
DROP FUNCTION interlock.refuse_move();
