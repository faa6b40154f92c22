DROP FUNCTION interlock.draw_jobneed_ids(integer);
ALTER TABLE interlock.ticket DROP CONSTRAINT ticket_jobneed;
DROP TABLE interlock.jobneed, interlock.job;
DROP SEQUENCE interlock.jobneed_id_seq;
