"""The evidence: everything the checker reads, as plain values. Tests make it by hand."""

import functools
import json
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Optional

from property.compare import COMPARED
from property.tables import SELECT, adapt

from .commits import Unreadable, read_commits
from .envelope import Record
from .rest import BLOCKING


@dataclass
class Evidence:
    records: list = field(default_factory=list)       # command topics, as envelope.Record
    events: list = field(default_factory=list)        # audit topic, read_committed, as AuditEvent, in topic order
    dead_letters: list = field(default_factory=list)  # dead letter topics, read_committed, as envelope.Record
    inbox: list = field(default_factory=list)         # rows of QUERIES, as the next ones
    audit: list = field(default_factory=list)
    dead: list = field(default_factory=list)
    parked: list = field(default_factory=list)
    cancelled: list = field(default_factory=list)     # the outcomes that operators' cancellations came to
    owners: list = field(default_factory=list)
    rewinds: list = field(default_factory=list)
    tables: dict = field(default_factory=dict)        # table name -> list of dict rows; times in Unix microseconds
    before: Optional[dict] = None                     # the same, of the moment before the first command
    written: dict = field(default_factory=dict)       # what commands look up -> the last transaction that wrote there
    committed: dict = field(default_factory=dict)     # (topic, partition) -> committed offset of the group
    commits: Optional[list] = None                    # commits.Commit in Kafka's order; None: see commits_problem
    commits_problem: str = ""
    ends: dict = field(default_factory=dict)          # (topic, partition) -> end offset
    waited: Optional[float] = None                    # seconds until everything was at rest; None: nobody waited
    usage: list = field(default_factory=list)         # rest.Usage: what the processes were seen to use


@dataclass
class AuditEvent:
    partition: int
    offset: int
    key: str
    body: dict
    published_at: Optional[int] = None  # Unix microseconds, by the clock of who published it

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
    body = json.loads(record.value, parse_float=Decimal)  # numbers as they are printed: metadata repeat what rows hold
    return AuditEvent(record.partition, record.offset, key, body, record.at)


def to_answer(record):
    """The event of a command; None for an act of an operator, which is no answer to anything."""
    event = to_event(record)
    return None if event.body.get("type") == "interlock.operator" else event


def read_topic(bootstrap, topic, committed_only=True, timeout=60.0):
    """Every record of a topic up to where it ended at the call, partition by partition; whoever writes on meanwhile
    does not keep it. With committed_only it waits, bounded, until no transaction is open before that end: what an open
    one holds is neither there nor not there."""
    from confluent_kafka import Consumer, TopicPartition

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
        ends = end_offsets(bootstrap, partitions, "read_uncommitted")
        if committed_only:
            while any(stable < ends[each]
                      for each, stable in end_offsets(bootstrap, partitions, "read_committed").items()):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"a transaction on {topic} stays open")
        consumer.assign(partitions)
        return read_to(consumer, topic, ends, deadline)
    finally:
        consumer.close()


def read_to(consumer, topic, ends, deadline):
    """An end may be that of a transaction, which no reader is shown: the records after it show that it was passed."""
    from confluent_kafka import KafkaError, TopicPartition

    records, waiting = {number: [] for _, number in ends}, {number for _, number in ends}
    while waiting:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic} could not be read to its end")
        for message in consumer.consume(1000, timeout=0.1):
            number, end = message.partition(), ends[topic, message.partition()]
            if message.error() is None and message.offset() < end:
                records[number].append(to_record(message))
            elif message.error() is not None and message.error().code() != KafkaError._PARTITION_EOF:
                continue  # it tries again
            if number in waiting and message.offset() >= end - (message.error() is None):
                waiting.discard(number)
                consumer.pause([TopicPartition(topic, number)])
    return [record for number in sorted(records) for record in records[number]]


def to_record(message):
    kind, time_ms = message.timestamp()
    return Record(message.topic(), message.partition(), message.offset(), message.key(), message.value(),
                  message.headers() or [], 1000 * time_ms if kind else None)


@functools.lru_cache
def admin_of(bootstrap):
    """Kept for good: a client that is collected while it works never answers."""
    from confluent_kafka.admin import AdminClient
    return AdminClient({"bootstrap.servers": bootstrap})


def end_offsets(bootstrap, partitions, isolation="read_uncommitted", which="latest"):
    from confluent_kafka import IsolationLevel, TopicPartition
    from confluent_kafka.admin import OffsetSpec

    level = IsolationLevel.READ_COMMITTED if isolation == "read_committed" else IsolationLevel.READ_UNCOMMITTED
    request = {TopicPartition(each.topic, each.partition): getattr(OffsetSpec, which)() for each in partitions}
    answers = admin_of(bootstrap).list_offsets(request, isolation_level=level, request_timeout=20)
    return {(each.topic, each.partition): future.result(30).offset for each, future in answers.items()}


def committed_offsets(bootstrap, group, partitions):
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    request = ConsumerGroupTopicPartitions(group, [TopicPartition(each.topic, each.partition) for each in partitions])
    answers = admin_of(bootstrap).list_consumer_group_offsets([request], require_stable=True, request_timeout=20)
    answer = answers[group].result(30)
    return {(each.topic, each.partition): each.offset for each in answer.topic_partitions}


# Tables that commands only look up. No command writes them: the planning side does, or a test.
LOOKED_UP = {
    "geofence": "id, enabled, center_latitude, center_longitude, radius_m",
    "geofence_vertex": "geofence_id, seq, latitude, longitude",
    "shift": "id, site_id, enabled, start_minute, utc_offset_minutes",
    "escalation_matrix": "site_id, category, client_id, level, assigned_person_id, assigned_group_id",
}
WRITTEN = " UNION ALL ".join(
    [f"SELECT '{table}' AS name, NULL::bigint AS id, max(xmin::text::bigint) AS transaction FROM interlock.{table}"
     for table in LOOKED_UP] +
    [f"SELECT '{table}', id, xmin::text::bigint FROM interlock.{table}" for table in ("job", "face_model")])

OWNER = "LEFT JOIN interlock.partition_owner o ON o.id = r.partition_id"
WHERE = 'o.topic, o.partition, r.kafka_offset AS "offset", r.fence'
QUERIES = {
    "inbox": f"SELECT r.identity::text, {WHERE}, r.parked FROM interlock.inbox r {OWNER}",
    "audit": f"""SELECT r.event_id::text, {WHERE}, r.outcome::text, r.operation::text, r.aggregate, r.command_source,
                 r.command_id, r.reason, r.version_from, r.version_to, r.xmin::text::bigint AS transaction,
                 (extract(epoch FROM r.changed_at) * 1000000)::bigint AS at FROM interlock.audit_event r {OWNER}""",
    "dead": f"SELECT {WHERE}, r.reason, r.state, r.command_source AS of_source, r.command_id AS of_id "
            f"FROM interlock.dead_letter r {OWNER}",
    "parked": f"SELECT {WHERE}, r.command_source, r.command_id, r.aggregate, r.blocks, r.due_at::text "
              f"FROM interlock.parked_command r {OWNER}",
    "cancelled": "SELECT action_id, subject FROM interlock.operator_item WHERE outcome = 'rejected: cancelled'",
    "owners": "SELECT o.topic, o.partition, o.fence, coalesce(r.published, 0) AS published "
              "FROM interlock.partition_owner o LEFT JOIN interlock.partition_published r ON r.partition_id = o.id",
    "rewinds": f"SELECT o.topic, o.partition, r.fence, r.below FROM interlock.partition_rewind r {OWNER}",
}


def connect(url):
    """JSON is left as text: rows are adapted as the model has them, with exact numbers."""
    import psycopg2
    import psycopg2.extras

    connection = psycopg2.connect(url, cursor_factory=psycopg2.extras.RealDictCursor, connect_timeout=20,
                                  application_name="tests/check")
    psycopg2.extras.register_default_json(connection, loads=lambda text: text)
    psycopg2.extras.register_default_jsonb(connection, loads=lambda text: text)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    return connection


def read_tables(cursor):
    tables = {}
    for table in COMPARED + tuple(LOOKED_UP):
        columns = SELECT.get(table) or LOOKED_UP.get(table) or "*"
        cursor.execute(f"SELECT {columns} FROM interlock.{table}")
        tables[table] = [adapt(row) for row in cursor.fetchall()]
    return tables


def read_database(url, evidence):
    """One snapshot of everything, so that a worker still running cannot make two reads disagree."""
    connection = connect(url)
    try:
        with connection.cursor() as cursor:
            for name, query in QUERIES.items():
                cursor.execute(query)
                setattr(evidence, name, cursor.fetchall())
            cursor.execute(WRITTEN)
            evidence.written = {(row["name"], row["id"]): row["transaction"] for row in cursor.fetchall()}
            evidence.tables = read_tables(cursor)
    finally:
        connection.close()


def snapshot(url):
    """The rows as they are now: taken before the first command, they say what every aggregate began as."""
    connection = connect(url)
    try:
        with connection.cursor() as cursor:
            return read_tables(cursor)
    finally:
        connection.close()


def gather(bootstrap, database, topics, audit_topic, group, dlq_suffix=".dlq", before=None):
    from confluent_kafka import TopicPartition

    evidence = Evidence(before=before)
    for topic in topics:
        evidence.records += read_topic(bootstrap, topic)  # as the worker: what a publisher aborted is no command
        evidence.dead_letters += read_topic(bootstrap, topic + dlq_suffix)
    evidence.events = [event for event in map(to_answer, read_topic(bootstrap, audit_topic)) if event]
    read_database(database, evidence)
    seen = sorted({(record.topic, record.partition) for record in evidence.records})
    partitions = [TopicPartition(topic, partition) for topic, partition in seen]
    if partitions:
        evidence.ends = end_offsets(bootstrap, partitions)
        evidence.committed = committed_offsets(bootstrap, group, partitions)
    read_group(bootstrap, group, evidence)
    return evidence


def read_group(bootstrap, group, evidence):
    """Every row was committed: where not one of their events is to be seen, the topic is hidden and not empty."""
    try:
        evidence.commits = read_commits(bootstrap, group)
    except Unreadable as problem:
        evidence.commits_problem = str(problem)
    if evidence.commits == [] and any(offset >= 0 for offset in evidence.committed.values()):
        evidence.commits, evidence.commits_problem = None, "the group has offsets, and no commit is to be seen"


class Standing:
    """Whether the group has done everything, asked often."""

    def __init__(self, bootstrap, database, topics, group):
        self.bootstrap, self.database, self.topics, self.group = bootstrap, database, topics, group

    def ask(self, query):
        connection = connect(self.database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchone()["count"]
        finally:
            connection.close()

    def is_at_rest(self):
        """Nothing is behind and nothing waits that will be behind again."""
        return self.lag() == 0 and self.ask(BLOCKING) == 0 and self.lag() == 0

    def lag(self):
        from confluent_kafka import TopicPartition

        found = admin_of(self.bootstrap).list_topics(timeout=20).topics
        partitions = [TopicPartition(topic, number) for topic in self.topics if topic in found
                      for number in found[topic].partitions]
        if not partitions:
            return 0
        ends = end_offsets(self.bootstrap, partitions)
        stands = committed_offsets(self.bootstrap, self.group, partitions)
        return sum(end - max(stands.get(place, 0), 0) for place, end in ends.items())
