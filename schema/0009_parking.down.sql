-- What is parked is lost. Without its inbox row, whoever sends it again is not taken for a duplicate.
DELETE FROM interlock.inbox WHERE parked;
DROP TABLE interlock.parked_command;
