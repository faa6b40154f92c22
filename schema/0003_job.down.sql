DROP FUNCTION interlock.draw_jobneed_ids(integer);
ALTER TABLE interlock.ticket DROP CONSTRAINT ticket_jobneed;
-- What a ticket was raised for goes with the jobneeds.
UPDATE interlock.ticket SET jobneed_id = NULL WHERE jobneed_id IS NOT NULL;
DROP TABLE interlock.jobneed, interlock.job;
DROP SEQUENCE interlock.jobneed_id_seq;
