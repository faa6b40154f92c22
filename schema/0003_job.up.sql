-- Jobs (plans) and jobneeds (scheduled occurrences); a tour's jobneed has child jobneeds, its checkpoints.

CREATE SEQUENCE interlock.jobneed_id_seq AS bigint;

CREATE TABLE interlock.job (
    id             bigint  PRIMARY KEY CHECK (id > 0),
    version        bigint  NOT NULL DEFAULT 0 CHECK (version >= 0),
    parent_id      bigint  REFERENCES interlock.job (id),
    asset_id       bigint,
    question_set_id bigint,
    client_id      bigint,
    geofence_id    bigint,
    created_at     timestamptz NOT NULL DEFAULT now(),
    modified_at    timestamptz NOT NULL DEFAULT now(),
    grace_minutes  integer NOT NULL DEFAULT 0 CHECK (grace_minutes >= 0),
    plan_minutes   integer NOT NULL DEFAULT 0 CHECK (plan_minutes >= 0),
    expiry_minutes integer NOT NULL DEFAULT 0 CHECK (expiry_minutes >= 0),
    identifier     text COLLATE "C" NOT NULL DEFAULT 'TASK'
        CONSTRAINT job_identifier CHECK (identifier IN ('TASK', 'TICKET', 'INTERNALTOUR', 'EXTERNALTOUR', 'PPM', 'OTHER',
            'SITEREPORT', 'INCIDENTREPORT', 'ASSETLOG', 'ASSETAUDIT', 'ASSETMAINTENANCE', 'POSTING_ORDER', 'SITESURVEY',
            'GEOFENCE')),
    name           text,
    modified_by    text,
    other_info     jsonb   NOT NULL DEFAULT '{}'
) WITH (fillfactor = 70);

CREATE TABLE interlock.jobneed (
    id                 bigint  PRIMARY KEY CHECK (id > 0),
    version            bigint  NOT NULL DEFAULT 0 CHECK (version >= 0),
    parent_id          bigint  REFERENCES interlock.jobneed (id),
    job_id             bigint  REFERENCES interlock.job (id),
    asset_id           bigint,
    question_set_id    bigint,
    site_id            bigint,
    client_id          bigint,
    assigned_person_id bigint  CHECK (assigned_person_id > 1),
    assigned_group_id  bigint  CHECK (assigned_group_id > 1),
    performed_by       bigint,
    starts_at          timestamptz NOT NULL,
    expires_at         timestamptz,
    started_at         timestamptz,
    ended_at           timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    modified_at        timestamptz NOT NULL DEFAULT now(),
    seq                integer NOT NULL DEFAULT 0 CHECK (seq >= 0),
    grace_minutes      integer NOT NULL DEFAULT 0 CHECK (grace_minutes >= 0),
    attachment_count   integer NOT NULL DEFAULT 0 CHECK (attachment_count >= 0),
    alerts             boolean NOT NULL DEFAULT false,
    mail_sent          boolean NOT NULL DEFAULT false,
    dynamic            boolean NOT NULL DEFAULT false,
    status             text COLLATE "C" NOT NULL DEFAULT 'ASSIGNED'
        CONSTRAINT jobneed_status CHECK (status IN ('ASSIGNED', 'INPROGRESS', 'PARTIALLYCOMPLETED', 'COMPLETED', 'AUTOCLOSED',
            'MAINTENANCE', 'STANDBY', 'WORKING')),
    identifier         text COLLATE "C" NOT NULL
        CONSTRAINT jobneed_identifier CHECK (identifier IN ('TASK', 'TICKET', 'INTERNALTOUR', 'EXTERNALTOUR', 'PPM', 'OTHER',
            'SITEREPORT', 'INCIDENTREPORT', 'ASSETLOG', 'ASSETAUDIT', 'ASSETMAINTENANCE', 'POSTING_ORDER', 'SITESURVEY')),
    type               text COLLATE "C" NOT NULL CONSTRAINT jobneed_type CHECK (type IN ('SCHEDULE', 'ADHOC')),
    modified_by        text,
    remarks            text,
    other_info         jsonb   NOT NULL DEFAULT '{}',
    CONSTRAINT jobneed_expiry_after_start CHECK (expires_at >= starts_at),
    CONSTRAINT jobneed_not_its_own_parent CHECK (parent_id <> id),
    CONSTRAINT jobneed_checkpoint_once UNIQUE (parent_id, asset_id, question_set_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

ALTER TABLE interlock.ticket
    ADD CONSTRAINT ticket_jobneed FOREIGN KEY (jobneed_id) REFERENCES interlock.jobneed (id);

CREATE FUNCTION interlock.draw_jobneed_ids(wanted integer) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE drawn bigint;
BEGIN
    FOR i IN 1 .. wanted LOOP
        LOOP
            drawn := nextval('interlock.jobneed_id_seq');
            EXIT WHEN NOT EXISTS (SELECT 1 FROM interlock.jobneed WHERE id = drawn);
        END LOOP;
        RETURN NEXT drawn;
    END LOOP;
END $$;
