"""A consistent little world made by hand, as the worker would have left it, for tests to break. The answers and the
rows come from the model that the replay uses: a story is right by construction, and what a test breaks is all that is
wrong."""

import copy
import uuid
from datetime import timedelta

from property.compare import COMPARED
from property.model import Domain
from property.model.rules import EPOCH
from property.model.domain import Command
from property.tables import seed_row

from .beginnings import LOOKED_UP
from .commits import Commit
from .envelope import Record, read_command
from .evidence import AuditEvent, Evidence
from .replay import attributes_of

TOPIC = "commands"
BEGUN = 1_793_000_000_000_000  # Unix microseconds
STEP = 1_000_000


class FakeEvent:
    """The ids that the program draws, as its events name them."""

    def __init__(self, first):
        self.subject, self.data = f"drawn/{first}", {
            "metadata": {"jobneed_id": first, "job_id": first, "embedding_id": first},
            "also": [{"aggregate": f"ticket/{first}"}]}


def printed(moment):
    return (EPOCH + timedelta(microseconds=moment)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def old_and_new(answer, column):
    return {"old": (answer.before or {}).get(column), "new": (answer.after or {}).get(column)}


class Story:
    def __init__(self, *rows):
        """rows: (table, columns) that are there before the first command."""
        self.rows = [(table, seed_row(table, columns)) for table, columns in rows]
        self.domain = Domain(self.rows)
        self.evidence, self.now, self.drawn, self.fence = Evidence(commits=[]), BEGUN, 1_000_000, 1
        self.finish()

    # ---- what happens ----

    def tell(self, *messages, partition=0):
        """Sends each and answers it; returns the events."""
        return [self.answer(self.send(each, partition)) for each in messages]

    def send(self, message, partition=0, topic=TOPIC):
        evidence, place = self.evidence, (topic, partition)
        self.now += STEP
        offset = evidence.ends.get(place, 0)
        key = message.key.encode() if message.key is not None else None
        record = Record(topic, partition, offset, key, message.value, message.headers, self.now)
        evidence.records.append(record)
        evidence.ends[place] = evidence.committed[place] = offset + 1
        evidence.commits.append(Commit(topic, partition, offset + 1, 7, len(evidence.commits), self.now))
        return record

    def answer(self, record, **changes):
        """changes: of the event's data, where it is not to be what the model says."""
        read = read_command(record)
        message = Command(read.id, read.source, read.type, read.data, attributes_of(read))
        self.now, self.drawn = self.now + STEP, self.drawn + 20
        self.domain.event, self.domain.now = FakeEvent(self.drawn), self.now
        self.domain.actor = message.attributes.get("actor")
        answer = self.domain.decide(message)
        version = answer.version if answer.version is not ... else None
        data = {"command": {"source": read.source, "id": read.id, "type": read.type}, "operation": answer.operation,
                "outcome": answer.outcome, "reason": answer.reason,
                "version": {"from": version[0], "to": version[1]} if version else None,
                "status": old_and_new(answer, "status"), "person": old_and_new(answer, "assigned_person_id"),
                "group": old_and_new(answer, "assigned_group_id"), "actor": message.attributes.get("actor"),
                "also": [{"aggregate": name, "version": {"from": start, "to": end}}
                         for name, start, end in answer.also],
                "metadata": copy.deepcopy(answer.metadata), **changes}
        return self.record(record, read, answer.subject, data)

    def record(self, record, read, subject, data):
        evidence = self.evidence
        body = {"id": str(uuid.uuid4()), "subject": subject, "time": printed(self.now), "data": data}
        event = AuditEvent(0, len(evidence.events), subject, body, self.now)
        evidence.events.append(event)
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "fence": self.fence}
        version = data["version"] or {}
        evidence.audit.append({
            **place, "event_id": event.event_id, "outcome": data["outcome"], "operation": data["operation"],
            "command_source": read.source, "command_id": read.id, "reason": data["reason"], "aggregate": subject,
            "version_from": version.get("from"), "version_to": version.get("to"),
            "at": self.now, "transaction": len(evidence.events)})
        if data["reason"] != "id_reused":
            evidence.inbox.append({**place, "identity": read.identity_uuid, "parked": False})
        self.finish()
        return event

    def refuse_reused(self, record):
        """Its identity stands for another body already."""
        read = read_command(record)
        self.now += STEP
        return self.record(record, read, None, {
            "command": {"source": read.source, "id": read.id, "type": read.type}, "operation": None,
            "outcome": "rejected", "reason": "id_reused", "version": None, "also": [], "actor": None, "metadata": None})

    def bury(self, record, reason="not_json"):
        """A message that is not a command, or ended the worker too often."""
        headers = [*record.headers, ("__dlq.errors.topic", record.topic.encode()),
                   ("__dlq.errors.partition", b"%d" % record.partition),
                   ("__dlq.errors.offset", b"%d" % record.offset), ("interlock.reason", reason.encode())]
        letters = self.evidence.dead_letters
        letters.append(Record(record.topic + ".dlq", 0, len(letters), record.key, record.value, headers, self.now))
        self.evidence.dead.append({"topic": record.topic, "partition": record.partition, "offset": record.offset,
                                   "fence": self.fence, "reason": reason, "state": "open", "of_source": None,
                                   "of_id": None})

    def take_over(self):
        """Another owner, of every partition."""
        self.fence += 1
        self.finish()

    # ---- what is there ----

    def finish(self):
        """The rows as the domain has them now. Changes that a test made by hand are gone then."""
        evidence = self.evidence
        evidence.tables = {table: copy.deepcopy(list(self.domain.table(table).values()))
                           for table in COMPARED + LOOKED_UP}
        evidence.owners = [{"topic": topic, "partition": partition, "fence": self.fence, "published": end}
                           for (topic, partition), end in evidence.ends.items()]

    def know_beginning(self):
        """The snapshot that somebody took before the first command."""
        self.evidence.before = {}
        for table, row in self.rows:
            self.evidence.before.setdefault(table, []).append(row)

    def row(self, table, key):
        for each in self.evidence.tables[table]:
            if each.get("id") == key or (each.get("ticket_id"), each.get("seq")) == key or \
                    (each.get("user_id"), each.get("seq")) == key:
                return each
        raise KeyError((table, key))

    def take_away(self, table, row):
        self.evidence.tables[table].remove(row)
