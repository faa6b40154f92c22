-- What the engine itself keeps: who owns a partition, which commands were seen, what became of each.
-- Names that other programs read are part of the contract: inbox, audit_event, their columns.

CREATE TYPE interlock.outcome AS ENUM ('applied', 'unchanged', 'rejected');
CREATE TYPE interlock.operation AS ENUM (
    'STATUS_CHANGE', 'ASSIGNMENT_CHANGE', 'CHECKPOINT_UPDATE', 'AUTOCLOSE', 'ESCALATION', 'CREATION',
    'DELETION', 'HISTORY_APPEND', 'JSON_UPDATE', 'COUNTER_UPDATE', 'FLAG_SET');

-- PROTOCOL O2: one consumer group per schema. The first one to start writes its name here.
CREATE TABLE interlock.consumer_group (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    group_id  text NOT NULL
);

-- PROTOCOL O2, O3: the fence of each partition, raised at every takeover.
CREATE TABLE interlock.partition_owner (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic       text    NOT NULL,
    partition   integer NOT NULL CHECK (partition >= 0),
    fence       bigint  NOT NULL DEFAULT 0 CHECK (fence >= 0),
    owner_token uuid,
    published   bigint  NOT NULL DEFAULT 0 CHECK (published >= 0),
    UNIQUE (topic, partition)
) WITH (fillfactor = 50);

-- PROTOCOL R1: offsets that went back. Never overwritten.
CREATE TABLE interlock.partition_rewind (
    partition_id integer NOT NULL REFERENCES interlock.partition_owner (id),
    fence        bigint  NOT NULL,
    below        bigint  NOT NULL,
    PRIMARY KEY (partition_id, fence)
);

-- One row per distinct command. identity: the first 128 bits of sha256(source, NUL, id); body_digest: of
-- sha256(type, NUL, data with sorted keys). What became of the command is its audit row's to say.
CREATE TABLE interlock.inbox (
    identity     uuid    PRIMARY KEY,
    body_digest  uuid    NOT NULL,
    kafka_offset bigint  NOT NULL,
    fence        bigint  NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    partition_id integer NOT NULL,
    parked       boolean NOT NULL DEFAULT false
);

-- One row per command, whatever its outcome; the event is printed from it byte for byte (PROTOCOL R3).
-- The key is the position the command was decided at: it grows at its right edge, so it costs little.
CREATE TABLE interlock.audit_event (
    event_id       uuid        NOT NULL,
    kafka_offset   bigint      NOT NULL,
    fence          bigint      NOT NULL,
    changed_at     timestamptz NOT NULL,
    version_from   bigint,
    version_to     bigint,
    person_old     bigint,
    person_new     bigint,
    group_old      bigint,
    group_new      bigint,
    partition_id   integer     NOT NULL,
    lock_wait_us   integer     NOT NULL CHECK (lock_wait_us >= 0),
    transaction_us integer     NOT NULL CHECK (transaction_us >= 0),
    outcome        interlock.outcome NOT NULL,
    operation      interlock.operation,
    format         smallint    NOT NULL DEFAULT 1,
    aggregate      text COLLATE "C",
    command_source text COLLATE "C" NOT NULL,
    command_id     text COLLATE "C" NOT NULL,
    command_type   text COLLATE "C" NOT NULL,
    reason         text COLLATE "C",
    status_old     text COLLATE "C",
    status_new     text COLLATE "C",
    changed_by     text COLLATE "C",
    correlation_id text COLLATE "C",
    traceparent    text COLLATE "C",
    also           text,
    metadata       text,
    PRIMARY KEY (partition_id, kafka_offset, fence)
);

-- The audit's four questions: by aggregate, by operation, by author, by status change, each in time.
CREATE INDEX audit_event_by_aggregate ON interlock.audit_event (aggregate, changed_at);
CREATE INDEX audit_event_by_operation ON interlock.audit_event (operation, changed_at);
CREATE INDEX audit_event_by_author ON interlock.audit_event (changed_by, changed_at) WHERE changed_by IS NOT NULL;
CREATE INDEX audit_event_by_status_change ON interlock.audit_event (status_old, status_new, changed_at)
    WHERE status_old IS DISTINCT FROM status_new;

-- PROTOCOL B7: the further aggregates of a command, so that a search by aggregate finds both.
CREATE TABLE interlock.audit_also (
    kafka_offset bigint      NOT NULL,
    fence        bigint      NOT NULL,
    changed_at   timestamptz NOT NULL,
    version_from bigint,
    version_to   bigint,
    partition_id integer     NOT NULL,
    aggregate    text COLLATE "C" NOT NULL,
    PRIMARY KEY (partition_id, kafka_offset, fence, aggregate)
);
CREATE INDEX audit_also_by_aggregate ON interlock.audit_also (aggregate, changed_at);

-- PROTOCOL R2: what could not be read as a command, once per position and content.
CREATE TABLE interlock.dead_letter (
    kafka_offset    bigint  NOT NULL,
    fence           bigint  NOT NULL,
    first_failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    partition_id    integer NOT NULL,
    digest          bytea   NOT NULL CHECK (octet_length(digest) = 32),
    reason          text    NOT NULL,
    PRIMARY KEY (partition_id, kafka_offset, digest)
);

CREATE FUNCTION interlock.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are immutable: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'An audit record is corrected by a further command, never by changing it.';
END $$;

CREATE TRIGGER audit_event_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON interlock.audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION interlock.refuse_change();
CREATE TRIGGER audit_also_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON interlock.audit_also
    FOR EACH STATEMENT EXECUTE FUNCTION interlock.refuse_change();
