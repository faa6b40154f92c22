"""What is there to judge: everything the checker reads, as plain values. Tests make it by hand."""

import functools
import json
import time
import uuid
from dataclasses import dataclass, field

from .envelope import Record


@dataclass
class Evidence:
    records: list = field(default_factory=list)       # command topics, as envelope.Record
    events: list = field(default_factory=list)        # audit topic, read_committed, as AuditEvent, in topic order
    dead_letters: list = field(default_factory=list)  # dead letter topics, read_committed, as envelope.Record
    inbox: list = field(default_factory=list)         # rows: dict(identity, topic, partition, offset, parked)
    audit: list = field(default_factory=list)         # rows: dict(event_id, topic, partition, offset, ...)
    dead_rows: int = 0
    tables: dict = field(default_factory=dict)        # table name -> list of dict rows
    committed: dict = field(default_factory=dict)     # (topic, partition) -> committed offset of the group
    ends: dict = field(default_factory=dict)          # (topic, partition) -> end offset


@dataclass
class AuditEvent:
    partition: int
    offset: int
    key: str
    body: dict

    @property
    def event_id(self):
        return self.body["id"]

    @property
    def data(self):
        return self.body["data"]

    @property
    def identity(self):
        command = self.data["command"]
        return (command["source"], command["id"])

    @property
    def subject(self):
        return self.body.get("subject")

    @property
    def outcome(self):
        return self.data["outcome"]

    @property
    def reason(self):
        return self.data.get("reason")

    def changes(self):
        """(aggregate, version from, version to) of every aggregate whose version this event raised."""
        if self.outcome != "applied":
            return []
        entries = [(self.subject, self.data.get("version"))]
        entries += [(also["aggregate"], also.get("version")) for also in self.data.get("also") or []]
        return [(name, version["from"], version["to"]) for name, version in entries
                if version and version.get("to") is not None and version["to"] != version.get("from")]


def to_event(record):
    key = record.key.decode() if record.key is not None else None
    return AuditEvent(record.partition, record.offset, key, json.loads(record.value))


def read_topic(bootstrap, topic, committed_only=True, timeout=60.0):
    """Every record of a topic, partition by partition. With committed_only it waits, bounded, until no transaction is
    open: what an open one holds is neither there nor not there."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    settings = {"bootstrap.servers": bootstrap, "group.id": f"check-{uuid.uuid4()}", "enable.auto.commit": False,
                "auto.offset.reset": "earliest", "enable.partition.eof": True, "fetch.wait.max.ms": 20,
                "isolation.level": "read_committed" if committed_only else "read_uncommitted"}
    deadline = time.monotonic() + timeout
    consumer = Consumer(settings)
    try:
        metadata = consumer.list_topics(topic, timeout=20).topics[topic]
        if metadata.error is not None:
            return []
        partitions = [TopicPartition(topic, number, 0) for number in metadata.partitions]
        if committed_only:
            ends = end_offsets(bootstrap, partitions, "read_uncommitted")
            while end_offsets(bootstrap, partitions, "read_committed") != ends:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"a transaction on {topic} stays open")
        consumer.assign(partitions)
        records, waiting = {number: [] for number in metadata.partitions}, set(metadata.partitions)
        while waiting:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} could not be read to its end")
            for message in consumer.consume(1000, timeout=0.1):
                if message.error() is None:
                    records[message.partition()].append(to_record(message))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    waiting.discard(message.partition())
        return [record for number in sorted(records) for record in records[number]]
    finally:
        consumer.close()


def to_record(message):
    return Record(message.topic(), message.partition(), message.offset(), message.key(), message.value(),
                  message.headers() or [])


@functools.lru_cache
def admin_of(bootstrap):
    """Kept for good: a client that is collected while it works never answers."""
    from confluent_kafka.admin import AdminClient
    return AdminClient({"bootstrap.servers": bootstrap})


def end_offsets(bootstrap, partitions, isolation="read_uncommitted"):
    from confluent_kafka import IsolationLevel, TopicPartition
    from confluent_kafka.admin import OffsetSpec

    level = IsolationLevel.READ_COMMITTED if isolation == "read_committed" else IsolationLevel.READ_UNCOMMITTED
    request = {TopicPartition(each.topic, each.partition): OffsetSpec.latest() for each in partitions}
    answers = admin_of(bootstrap).list_offsets(request, isolation_level=level, request_timeout=20)
    return {(each.topic, each.partition): future.result(30).offset for each, future in answers.items()}


def committed_offsets(bootstrap, group, partitions):
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    request = ConsumerGroupTopicPartitions(group, [TopicPartition(each.topic, each.partition) for each in partitions])
    answers = admin_of(bootstrap).list_consumer_group_offsets([request], require_stable=True, request_timeout=20)
    answer = answers[group].result(30)
    return {(each.topic, each.partition): each.offset for each in answer.topic_partitions}


TABLES = {
    "ticket": "SELECT * FROM interlock.ticket ORDER BY id",
    "ticket_history": "SELECT * FROM interlock.ticket_history ORDER BY ticket_id, seq",
    "escalation_matrix": "SELECT * FROM interlock.escalation_matrix",
    "jobneed": "SELECT * FROM interlock.jobneed ORDER BY id",
    "job": "SELECT * FROM interlock.job ORDER BY id",
    "face_model": "SELECT * FROM interlock.face_model ORDER BY id",
    "face_embedding": "SELECT id, user_id, model_id, is_primary, validated FROM interlock.face_embedding ORDER BY id",
    "face_user": "SELECT * FROM interlock.face_user ORDER BY id",
    "face_embedding_counter": "SELECT * FROM interlock.face_embedding_counter ORDER BY id",
    "face_verification_log": "SELECT * FROM interlock.face_verification_log ORDER BY id",
}

INBOX = """SELECT i.identity::text, o.topic, o.partition, i.kafka_offset AS "offset", i.parked
           FROM interlock.inbox i LEFT JOIN interlock.partition_owner o ON o.id = i.partition_id"""
AUDIT = """SELECT a.event_id::text, o.topic, o.partition, a.kafka_offset AS "offset", a.fence, a.outcome::text,
                  a.operation::text, a.aggregate, a.command_source, a.command_id, a.reason, a.version_from, a.version_to
           FROM interlock.audit_event a LEFT JOIN interlock.partition_owner o ON o.id = a.partition_id"""


def read_database(url, evidence):
    """One snapshot of everything, so that a worker still running cannot make two reads disagree."""
    import psycopg2
    import psycopg2.extras

    connection = psycopg2.connect(url, cursor_factory=psycopg2.extras.RealDictCursor)
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute(INBOX)
            evidence.inbox = cursor.fetchall()
            cursor.execute(AUDIT)
            evidence.audit = cursor.fetchall()
            cursor.execute("SELECT count(*) AS count FROM interlock.dead_letter")
            evidence.dead_rows = cursor.fetchone()["count"]
            for name, query in TABLES.items():
                cursor.execute(query)
                evidence.tables[name] = cursor.fetchall()
    finally:
        connection.close()


def gather(bootstrap, database, topics, audit_topic, group, dlq_suffix=".dlq"):
    from confluent_kafka import TopicPartition

    evidence = Evidence()
    for topic in topics:
        evidence.records += read_topic(bootstrap, topic, committed_only=False)
        evidence.dead_letters += read_topic(bootstrap, topic + dlq_suffix)
    evidence.events = [to_event(record) for record in read_topic(bootstrap, audit_topic)]
    read_database(database, evidence)
    seen = sorted({(record.topic, record.partition) for record in evidence.records})
    partitions = [TopicPartition(topic, partition) for topic, partition in seen]
    if partitions:
        evidence.ends = end_offsets(bootstrap, partitions)
        evidence.committed = committed_offsets(bootstrap, group, partitions)
    return evidence
