-- Tickets, their history, and who an escalation goes to.

CREATE SEQUENCE interlock.ticket_id_seq AS bigint;

CREATE TABLE interlock.ticket (
    id                 bigint  PRIMARY KEY CHECK (id > 0),
    version            bigint  NOT NULL DEFAULT 0 CHECK (version >= 0),
    assigned_person_id bigint  CHECK (assigned_person_id > 1),
    assigned_group_id  bigint  CHECK (assigned_group_id > 1),
    site_id            bigint,
    client_id          bigint,
    asset_id           bigint,
    jobneed_id         bigint,
    history_count      bigint  NOT NULL DEFAULT 0 CHECK (history_count >= 0),
    created_at         timestamptz NOT NULL DEFAULT now(),
    modified_at        timestamptz NOT NULL DEFAULT now(),
    level              integer NOT NULL DEFAULT 0 CHECK (level >= 0),
    escalated          boolean NOT NULL DEFAULT false,
    status             text COLLATE "C" NOT NULL DEFAULT 'NEW'
        CONSTRAINT ticket_status CHECK (status IN ('NEW', 'OPEN', 'ONHOLD', 'RESOLVED', 'CLOSED', 'CANCELLED')),
    priority           text COLLATE "C" NOT NULL DEFAULT 'LOW'
        CONSTRAINT ticket_priority CHECK (priority IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
    source             text COLLATE "C" NOT NULL DEFAULT 'USERDEFINED'
        CONSTRAINT ticket_source CHECK (source IN ('SYSTEMGENERATED', 'USERDEFINED')),
    category           text COLLATE "C",
    modified_by        text,
    comments           text,
    number             text NOT NULL GENERATED ALWAYS AS ('T' || id) STORED
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- At most one system ticket per jobneed, whoever creates it (domain.md, race 1).
CREATE UNIQUE INDEX ticket_one_per_jobneed ON interlock.ticket (jobneed_id) WHERE jobneed_id IS NOT NULL;

-- No foreign key: a history row is written only by a transaction that holds its ticket's row (PROTOCOL B1), and
-- the check would cost as much as the rest of the row.
CREATE TABLE interlock.ticket_history (
    ticket_id      bigint NOT NULL,
    seq            bigint NOT NULL CHECK (seq > 0),
    occurred_at    timestamptz NOT NULL,
    people_id      bigint,
    who            text,
    action         text NOT NULL,
    details        json,
    previous_state json,
    PRIMARY KEY (ticket_id, seq)
);

-- The row for (site, category, client, level) says whom a ticket of that level goes to, and how long the level
-- below may last before the sweep escalates.
CREATE TABLE interlock.escalation_matrix (
    site_id            bigint  NOT NULL,
    category           text COLLATE "C" NOT NULL,
    client_id          bigint  NOT NULL,
    level              integer NOT NULL CHECK (level > 0),
    assigned_person_id bigint  CHECK (assigned_person_id > 1),
    assigned_group_id  bigint  CHECK (assigned_group_id > 1),
    interval_minutes   integer NOT NULL DEFAULT 60 CHECK (interval_minutes >= 0),
    PRIMARY KEY (site_id, category, client_id, level)
);

-- Ids for rows created without one: skips ids that commands named themselves.
CREATE FUNCTION interlock.draw_ticket_ids(wanted integer) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE drawn bigint;
BEGIN
    FOR i IN 1 .. wanted LOOP
        LOOP
            drawn := nextval('interlock.ticket_id_seq');
            EXIT WHEN NOT EXISTS (SELECT 1 FROM interlock.ticket WHERE id = drawn);
        END LOOP;
        RETURN NEXT drawn;
    END LOOP;
END $$;
