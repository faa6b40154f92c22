-- Face users and their embeddings. The root row of the aggregate face-user/<id> is interlock.face_user; its embeddings
-- are the rows of interlock.face_embedding that name it. A root row is made by the first command that changes the user.

CREATE TABLE interlock.face_user (
    id          bigint PRIMARY KEY CHECK (id > 0),
    version     bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    modified_at timestamptz NOT NULL DEFAULT now(),
    modified_by text
) WITH (fillfactor = 70);

-- Embeddings from before this migration have no vector and no confidence; none of them is primary or validated.
ALTER TABLE interlock.face_embedding
    ADD COLUMN created_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN modified_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN confidence  double precision CONSTRAINT face_embedding_confidence CHECK (confidence BETWEEN 0 AND 1),
    ADD COLUMN is_primary  boolean NOT NULL DEFAULT false,
    ADD COLUMN validated   boolean NOT NULL DEFAULT false,
    ADD COLUMN modified_by text,
    ADD COLUMN vector      real[],
    -- NaN is greater than infinity in PostgreSQL's order, so one comparison refuses both.
    ADD CONSTRAINT face_embedding_vector CHECK (vector IS NULL OR (array_ndims(vector) = 1 AND cardinality(vector) = 512
        AND array_position(vector, NULL) IS NULL
        AND '-Infinity'::real < ALL (vector) AND 'Infinity'::real > ALL (vector)));

-- 2 KiB of floats do not get smaller, so trying costs time only.
ALTER TABLE interlock.face_embedding ALTER COLUMN vector SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX face_embedding_one_primary ON interlock.face_embedding (user_id, model_id) WHERE is_primary;
CREATE INDEX face_embedding_by_user ON interlock.face_embedding (user_id);

INSERT INTO interlock.face_user (id) SELECT DISTINCT user_id FROM interlock.face_embedding;

-- Counters are locked nowhere else (PROTOCOL B8): with a foreign key a removal would wait for them, and they for it, in
-- whatever order. Without one a verification and a removal that meet both go through, and what was counted stays, as in
-- the log.
ALTER TABLE interlock.face_embedding_counter DROP CONSTRAINT face_embedding_counter_id_fkey;

CREATE SEQUENCE interlock.face_embedding_id_seq AS bigint;

CREATE FUNCTION interlock.draw_face_embedding_ids(wanted integer) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE drawn bigint;
BEGIN
    FOR i IN 1 .. wanted LOOP
        LOOP
            drawn := nextval('interlock.face_embedding_id_seq');
            EXIT WHEN NOT EXISTS (SELECT 1 FROM interlock.face_embedding WHERE id = drawn);
        END LOOP;
        RETURN NEXT drawn;
    END LOOP;
END $$;
