DROP TABLE interlock.face_verification_log, interlock.face_embedding_counter, interlock.face_embedding, interlock.face_model;
