-- What changed fields that are neither status nor assignment.
ALTER TYPE interlock.operation ADD VALUE IF NOT EXISTS 'FIELD_UPDATE';
