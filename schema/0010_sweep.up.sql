-- What `interlock sweep` reads by. Updates of the hot path must stay HOT: no index here holds, or has in its condition,
-- a column that an ordinary command changes. A job's status is therefore looked at in the row; the index is walked
-- over one day only. A ticket's changes of status are many and its end is one, so the index asks a generated column.

CREATE INDEX jobneed_expiring ON interlock.jobneed (expires_at, id)
    WHERE parent_id IS NULL AND NOT dynamic AND expires_at IS NOT NULL
        AND identifier IN ('TASK', 'INTERNALTOUR', 'EXTERNALTOUR', 'PPM', 'SITEREPORT');

ALTER TABLE interlock.ticket
    ADD COLUMN final boolean NOT NULL GENERATED ALWAYS AS (status IN ('CLOSED', 'CANCELLED')) STORED;
CREATE INDEX ticket_not_final ON interlock.ticket (created_at, id) WHERE NOT final;
