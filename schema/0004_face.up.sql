-- Face recognition: models, embeddings, and the counters of their use. Counters commute, so they are written as
-- additions, last in a batch, and nobody holds them across commands (PROTOCOL B8).

CREATE TABLE interlock.face_model (
    id                       bigint PRIMARY KEY CHECK (id > 0),
    verification_count       bigint NOT NULL DEFAULT 0 CHECK (verification_count >= 0),
    successful_verifications bigint NOT NULL DEFAULT 0 CHECK (successful_verifications >= 0),
    last_used                timestamptz,
    name                     text COLLATE "C" NOT NULL DEFAULT 'FACENET512'
        CONSTRAINT face_model_name CHECK (name IN ('FACENET512', 'ARCFACE', 'INSIGHTFACE', 'ENSEMBLE', 'CUSTOM')),
    CONSTRAINT face_model_successes CHECK (successful_verifications <= verification_count)
) WITH (fillfactor = 50);

CREATE TABLE interlock.face_embedding (
    id       bigint PRIMARY KEY CHECK (id > 0),
    user_id  bigint NOT NULL CHECK (user_id > 0),
    model_id bigint NOT NULL REFERENCES interlock.face_model (id)
);

CREATE TABLE interlock.face_embedding_counter (
    id                       bigint PRIMARY KEY REFERENCES interlock.face_embedding (id),
    verification_count       bigint NOT NULL DEFAULT 0 CHECK (verification_count >= 0),
    successful_verifications bigint NOT NULL DEFAULT 0 CHECK (successful_verifications >= 0),
    last_used                timestamptz,
    CONSTRAINT face_embedding_successes CHECK (successful_verifications <= verification_count)
) WITH (fillfactor = 50);

CREATE TABLE interlock.face_verification_log (
    id           bigint PRIMARY KEY CHECK (id > 0),
    model_id     bigint NOT NULL,
    embedding_id bigint,
    user_id      bigint NOT NULL,
    verified_at  timestamptz NOT NULL,
    result       text COLLATE "C" NOT NULL
        CONSTRAINT face_verification_result CHECK (result IN ('SUCCESS', 'FAILED', 'FAILURE', 'ERROR', 'REJECTED'))
);
