-- Who stands before whom in an aggregate is asked of those that block, which are few where many wait for their time.
CREATE INDEX parked_command_blocking ON interlock.parked_command (aggregate, partition_id, place)
    WHERE blocks AND aggregate IS NOT NULL;
