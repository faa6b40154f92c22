ALTER TABLE interlock.partition_owner DROP COLUMN topic_id, DROP COLUMN topic_fence;
