-- The rows of the tables before the sample stream comes: who a ticket goes to at which level, and the face
-- recognition's models. Tickets and jobs are made by the stream's own commands. Safe to run again.

INSERT INTO interlock.escalation_matrix
    (site_id, category, client_id, level, assigned_person_id, assigned_group_id, interval_minutes)
SELECT site, category, 1, level,
       CASE WHEN level < 4 THEN 100 * site + level END, -- the first three levels are people,
       CASE WHEN level >= 4 THEN 10 * site END,         -- the last two the site's duty group
       60 / level
FROM generate_series(1, 3) AS site,
     unnest(ARRAY['lift', 'power', 'water', 'access']) AS category,
     generate_series(1, 5) AS level
ON CONFLICT DO NOTHING;

INSERT INTO interlock.face_model (id, name)
VALUES (1, 'FACENET512'), (2, 'ARCFACE')
ON CONFLICT DO NOTHING;

INSERT INTO interlock.face_embedding (id, user_id, model_id)
SELECT user_id, user_id, 1 + user_id % 2
FROM generate_series(1, 20) AS user_id
ON CONFLICT DO NOTHING;

INSERT INTO interlock.face_embedding_counter (id)
SELECT id FROM interlock.face_embedding
ON CONFLICT DO NOTHING;
