"""The effects of time: records that retention takes away, rows that have become old."""

from confluent_kafka import TopicPartition


def cut_log(world, partitions=None, by=0, topic=None):
    """Retention takes away what the partitions have, except for the last `by` records."""
    topic = topic or world.topic
    ends = world.kafka.ends(topic)
    ask = [TopicPartition(topic, number, max(end - by, 0)) for number, end in ends.items()
           if partitions is None or number in partitions]
    for future in world.kafka.admin.delete_records(ask, request_timeout=20).values():
        future.result(30)


def age(world, hours=1000):
    """As if the rows had been written long ago."""
    world.database.execute("UPDATE interlock.inbox SET recorded_at = recorded_at - %s * interval '1 hour'", hours)
    world.database.execute("UPDATE interlock.dead_letter SET first_failed_at = first_failed_at - %s * interval '1 hour'",
                           hours)
