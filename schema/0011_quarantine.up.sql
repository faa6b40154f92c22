-- A command that ends the worker whenever it is tried is found and put aside. Two owners in a row that ended without
-- giving the partition back, at the same committed offset, make the next one careful for a while: it runs the
-- partition's commands alone and writes down which one it is about to try.
ALTER TABLE interlock.partition_owner
    ADD COLUMN crashes      integer NOT NULL DEFAULT 0 CHECK (crashes >= 0),
    ADD COLUMN crash_offset bigint  NOT NULL DEFAULT 0;

COMMENT ON COLUMN interlock.partition_owner.owner_token IS 'null: given back in order';
COMMENT ON COLUMN interlock.partition_owner.crashes IS 'owners in a row that ended at crash_offset without giving it back';

CREATE TABLE interlock.crash_suspect (
    partition_id integer NOT NULL REFERENCES interlock.partition_owner (id),
    kafka_offset bigint  NOT NULL,
    attempts     integer NOT NULL CHECK (attempts >= 0),
    noted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (partition_id, kafka_offset)
);
