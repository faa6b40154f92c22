DROP FUNCTION interlock.draw_face_embedding_ids(integer);
DROP SEQUENCE interlock.face_embedding_id_seq;
-- What counted for embeddings that were removed since has nothing to refer to.
DELETE FROM interlock.face_embedding_counter c
    WHERE NOT EXISTS (SELECT 1 FROM interlock.face_embedding e WHERE e.id = c.id);
ALTER TABLE interlock.face_embedding_counter
    ADD CONSTRAINT face_embedding_counter_id_fkey FOREIGN KEY (id) REFERENCES interlock.face_embedding (id);
DROP INDEX interlock.face_embedding_by_user;
ALTER TABLE interlock.face_embedding
    DROP COLUMN vector, DROP COLUMN modified_by, DROP COLUMN validated, DROP COLUMN is_primary, DROP COLUMN confidence,
    DROP COLUMN modified_at, DROP COLUMN created_at;
DROP TABLE interlock.face_user;
