-- What every batch reads of a partition changes at takeovers only; what changes every few seconds has a table of its own:
-- under a snapshot that somebody holds, each version of a row stays, and a batch would have to pass all of them.

-- PROTOCOL R1: commits of the group that carry this id, and a fence, are of workers of this schema.
CREATE TABLE interlock.schema_identity (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id        uuid    NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO interlock.schema_identity DEFAULT VALUES;

-- PROTOCOL R1. Fence and token are those of the last takeover, so that a former owner's late write finds no row.
CREATE TABLE interlock.partition_published (
    partition_id integer PRIMARY KEY REFERENCES interlock.partition_owner (id),
    fence        bigint  NOT NULL,
    owner_token  uuid,
    published    bigint  NOT NULL CHECK (published >= 0),
    audit_topic  text COLLATE "C",
    audit_from   bigint[]
) WITH (fillfactor = 50);

COMMENT ON COLUMN interlock.partition_published.published IS 'the events of every earlier position are on the audit topic';
COMMENT ON COLUMN interlock.partition_published.audit_from IS 'by partition of audit_topic: the events from published on are not before this offset';

INSERT INTO interlock.partition_published (partition_id, fence, owner_token, published)
    SELECT id, fence, owner_token, published FROM interlock.partition_owner;
-- Workers of the version before go on with the old column until they are replaced; a takeover by a new one takes over
-- what it says.
COMMENT ON COLUMN interlock.partition_owner.published IS 'of workers before 0017; else 0, see partition_published';

-- PROTOCOL L4: whether anything is parked, as one row that every batch reads. It is set by whoever parks, in the same
-- transaction. Taking it back needs the lock that waits for those, so that none of them is overlooked.
CREATE TABLE interlock.parking (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    parked    boolean NOT NULL
);
INSERT INTO interlock.parking (parked) SELECT EXISTS (SELECT FROM interlock.parked_command);

CREATE FUNCTION interlock.note_parked() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    UPDATE interlock.parking SET parked = true WHERE NOT parked;
    RETURN NULL;
END $$;

CREATE TRIGGER parked_command_noted AFTER INSERT ON interlock.parked_command
    FOR EACH STATEMENT EXECUTE FUNCTION interlock.note_parked();

-- False: something is parked, or just being parked.
CREATE FUNCTION interlock.clear_parking() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM interlock.parking WHERE parked) THEN
        RETURN true;
    END IF;
    IF EXISTS (SELECT FROM interlock.parked_command) THEN
        RETURN false;
    END IF;
    LOCK TABLE interlock.parked_command IN SHARE MODE NOWAIT;
    UPDATE interlock.parking SET parked = false WHERE NOT EXISTS (SELECT FROM interlock.parked_command);
    RETURN FOUND;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $$;

-- What a takeover asks of the dead letters, however many there are.
CREATE INDEX dead_letter_crashed ON interlock.dead_letter (partition_id) WHERE reason = 'crashed_worker';
