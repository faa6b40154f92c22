"""Topics that are cut off, and what must stay as it is when offsets are moved."""

from confluent_kafka import TopicPartition

STEADY = ("ticket", "ticket_history", "jobneed", "inbox", "audit_event", "audit_also", "dead_letter")


def steady(world):
    """The state that must not change: rows, without the bookkeeping of owners; and the events."""
    return world.database.fingerprint(*STEADY), [each.event_id for each in world.audit.all()]


def levels(world):
    return world.database.value("SELECT coalesce(sum(level), 0) FROM interlock.ticket")


def truncate(world, topic, offsets):
    cut = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
    for future in world.kafka.admin.delete_records(cut).values():
        future.result(30)
