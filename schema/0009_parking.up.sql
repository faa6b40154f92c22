-- Commands that wait in PostgreSQL (PROTOCOL L4): because they are early (notbefore), because they were held too long,
-- or because they stand behind such a one. When due they return through their command topic, and are deleted in the
-- transaction that applies them.

CREATE TABLE interlock.parked_command (
    identity       uuid        PRIMARY KEY,
    token          uuid        NOT NULL DEFAULT gen_random_uuid(),
    place          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    kafka_offset   bigint      NOT NULL,
    fence          bigint      NOT NULL,
    parked_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at         timestamptz NOT NULL,
    returned_at    timestamptz,
    partition_id   integer     NOT NULL REFERENCES interlock.partition_owner (id),
    returns        integer     NOT NULL DEFAULT 0 CHECK (returns >= 0),
    parkings       integer     NOT NULL DEFAULT 1 CHECK (parkings > 0),
    blocks         boolean     NOT NULL,
    waits          boolean     NOT NULL,
    reason         text COLLATE "C" NOT NULL
        CONSTRAINT parked_command_reason CHECK (reason IN ('notbefore', 'held', 'behind')),
    aggregate      text COLLATE "C",
    command_source text COLLATE "C" NOT NULL,
    command_id     text COLLATE "C" NOT NULL,
    command_type   text COLLATE "C" NOT NULL,
    kafka_key      bytea,
    headers        bytea,
    value          bytea       NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

COMMENT ON COLUMN interlock.parked_command.place IS 'the order within its aggregate; kept when it is parked again';
COMMENT ON COLUMN interlock.parked_command.blocks IS 'later commands of the aggregate, of the same partition, are parked behind it';
COMMENT ON COLUMN interlock.parked_command.waits IS 'it waits for every earlier one of its aggregate (afterparked)';
COMMENT ON COLUMN interlock.parked_command.headers IS 'the Kafka headers, as consumers/parcels keeps them';

CREATE INDEX parked_command_by_aggregate ON interlock.parked_command (aggregate, place) WHERE aggregate IS NOT NULL;
CREATE INDEX parked_command_by_due ON interlock.parked_command (due_at);
