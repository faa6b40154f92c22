-- Attendance: one row is one person's visit. Beside it what a face result is judged by: geofences and shifts, which no
-- command changes.

CREATE TABLE interlock.attendance (
    id              uuid    PRIMARY KEY,
    version         bigint  NOT NULL DEFAULT 0 CHECK (version >= 0),
    person_id       bigint  NOT NULL CHECK (person_id > 1),
    site_id         bigint  CHECK (site_id > 0),
    shift_id        bigint  CHECK (shift_id > 1),
    punch_in        timestamptz,
    punch_out       timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    modified_at     timestamptz NOT NULL DEFAULT now(),
    start_latitude  double precision CHECK (start_latitude BETWEEN -90 AND 90),
    start_longitude double precision CHECK (start_longitude BETWEEN -180 AND 180),
    end_latitude    double precision CHECK (end_latitude BETWEEN -90 AND 90),
    end_longitude   double precision CHECK (end_longitude BETWEEN -180 AND 180),
    face_in         boolean NOT NULL DEFAULT false,
    face_out        boolean NOT NULL DEFAULT false,
    modified_by     text,
    extras          jsonb   NOT NULL DEFAULT '{}',
    CONSTRAINT attendance_punched CHECK (punch_in IS NOT NULL OR punch_out IS NOT NULL),
    CONSTRAINT attendance_out_after_in CHECK (punch_out >= punch_in),
    CONSTRAINT attendance_start_together CHECK ((start_latitude IS NULL) = (start_longitude IS NULL)),
    CONSTRAINT attendance_end_together CHECK ((end_latitude IS NULL) = (end_longitude IS NULL)),
    CONSTRAINT attendance_start_punched CHECK (start_latitude IS NULL OR punch_in IS NOT NULL),
    CONSTRAINT attendance_end_punched CHECK (end_latitude IS NULL OR punch_out IS NOT NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

COMMENT ON COLUMN interlock.attendance.shift_id IS
    'no foreign key: a phone may name a shift before the planning side has made it; null: none';
COMMENT ON COLUMN interlock.attendance.extras IS
    'verified_in, distance_in, verified_out, distance_out, start_in_geofence, end_in_geofence, and what json.* puts in';

-- A circle has centre and radius, a polygon has vertices. Who has which geofence: the assignments in interlock.job.
CREATE TABLE interlock.geofence (
    id               bigint  PRIMARY KEY CHECK (id > 1),
    enabled          boolean NOT NULL DEFAULT true,
    center_latitude  double precision CHECK (center_latitude BETWEEN -90 AND 90),
    center_longitude double precision CHECK (center_longitude BETWEEN -180 AND 180),
    radius_m         double precision CHECK (radius_m > 0 AND radius_m <= 20037508),
    name             text,
    CONSTRAINT geofence_circle CHECK (num_nulls(center_latitude, center_longitude, radius_m) IN (0, 3))
);

-- In the order of seq, the last one joined to the first.
CREATE TABLE interlock.geofence_vertex (
    geofence_id bigint  NOT NULL REFERENCES interlock.geofence (id) ON DELETE CASCADE,
    seq         integer NOT NULL CHECK (seq BETWEEN 1 AND 1000),
    latitude    double precision NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude   double precision NOT NULL CHECK (longitude BETWEEN -180 AND 180),
    PRIMARY KEY (geofence_id, seq)
);

-- Minutes of the day at the shift's own distance from UTC. A shift whose end is not later than its start ends on the
-- next day.
CREATE TABLE interlock.shift (
    site_id            bigint  NOT NULL CHECK (site_id > 0),
    id                 bigint  PRIMARY KEY CHECK (id > 1),
    enabled            boolean NOT NULL DEFAULT true,
    start_minute       integer NOT NULL CHECK (start_minute BETWEEN 0 AND 1439),
    end_minute         integer NOT NULL CHECK (end_minute BETWEEN 0 AND 1439),
    utc_offset_minutes integer NOT NULL DEFAULT 0 CHECK (utc_offset_minutes BETWEEN -720 AND 840),
    name               text
);

COMMENT ON COLUMN interlock.shift.utc_offset_minutes IS
    'minutes east of UTC. An offset, not the name of a zone: a command decided again must find the same shift';

CREATE INDEX shift_by_site ON interlock.shift (site_id);
