DROP FUNCTION interlock.draw_ticket_ids(integer);
DROP TABLE interlock.escalation_matrix, interlock.ticket_history, interlock.ticket;
DROP SEQUENCE interlock.ticket_id_seq;
