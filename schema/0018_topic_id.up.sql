-- PROTOCOL O5: which topic of its name a partition is of. A topic that was created again has another id, and what owners
-- before topic_fence committed is a position in the former one.
ALTER TABLE interlock.partition_owner
    ADD COLUMN topic_id    text COLLATE "C" CHECK (length(topic_id) <= 64),
    ADD COLUMN topic_fence bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN interlock.partition_owner.topic_id IS 'as Kafka told the last owner that asked; null: none did';
COMMENT ON COLUMN interlock.partition_owner.topic_fence IS 'of the first owner under topic_id; 0: no other is known';
