DROP TABLE interlock.crash_suspect;
ALTER TABLE interlock.partition_owner DROP COLUMN crashes, DROP COLUMN crash_offset;
