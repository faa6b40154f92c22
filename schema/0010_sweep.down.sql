DROP INDEX interlock.ticket_not_final;
ALTER TABLE interlock.ticket DROP COLUMN final;
DROP INDEX interlock.jobneed_expiring;
