-- Behaviour: what is usual for a user, and one row for every observation that it was learned from. A profile is made by
-- the first observation.

CREATE TABLE interlock.behaviour_profile (
    id                 bigint  PRIMARY KEY CHECK (id > 0),
    version            bigint  NOT NULL DEFAULT 0 CHECK (version >= 0),
    event_count        bigint  NOT NULL DEFAULT 0 CHECK (event_count >= 0),
    created_at         timestamptz NOT NULL DEFAULT now(),
    modified_at        timestamptz NOT NULL DEFAULT now(),
    -- NaN is greater than any number in PostgreSQL's order, so BETWEEN refuses it too.
    fraud_risk_score   double precision NOT NULL DEFAULT 0
        CONSTRAINT behaviour_fraud_risk_score CHECK (fraud_risk_score BETWEEN 0 AND 1),
    regularity         double precision NOT NULL DEFAULT 0.5
        CONSTRAINT behaviour_regularity CHECK (regularity BETWEEN 0 AND 1),
    arrival_average    double precision
        CONSTRAINT behaviour_arrival_average CHECK (arrival_average >= 0 AND arrival_average < 1440),
    modified_by        text,
    anomaly_history    jsonb   NOT NULL DEFAULT '[]',
    arrivals           jsonb   NOT NULL DEFAULT '{}',
    frequent_locations jsonb   NOT NULL DEFAULT '{}'
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

COMMENT ON COLUMN interlock.behaviour_profile.id IS 'the user''s';
COMMENT ON COLUMN interlock.behaviour_profile.arrival_average IS 'minutes since midnight, UTC; null before the first arrival';
COMMENT ON COLUMN interlock.behaviour_profile.anomaly_history IS 'array, oldest first, the newest 50';
COMMENT ON COLUMN interlock.behaviour_profile.arrivals IS
    'attendance record -> punch-in of the 30 days before the newest one; regularity is computed from these';
COMMENT ON COLUMN interlock.behaviour_profile.frequent_locations IS
    '"latitude,longitude" in 6 decimals -> how often; the ten most frequent';

-- No foreign key: a row is written only by a transaction that holds its profile's row (PROTOCOL B1).
CREATE TABLE interlock.behavioural_event (
    user_id           bigint  NOT NULL CHECK (user_id > 0),
    seq               bigint  NOT NULL CHECK (seq > 0),
    recorded_at       timestamptz NOT NULL,
    punch_in          timestamptz,
    fraud_probability double precision NOT NULL
        CONSTRAINT behavioural_event_fraud_probability CHECK (fraud_probability BETWEEN 0 AND 1),
    face_confidence   double precision NOT NULL
        CONSTRAINT behavioural_event_face_confidence CHECK (face_confidence BETWEEN 0 AND 1),
    latitude          double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude         double precision CHECK (longitude BETWEEN -180 AND 180),
    face_verified     boolean NOT NULL,
    attendance_id     uuid    NOT NULL,
    anomaly           json,
    PRIMARY KEY (user_id, seq),
    CONSTRAINT behavioural_event_location CHECK ((latitude IS NULL) = (longitude IS NULL))
);

COMMENT ON COLUMN interlock.behavioural_event.attendance_id IS
    'no foreign key: an observation may come before the punch that it is about';
