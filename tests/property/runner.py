"""Runs sequences through the program, many at once, and compares one by one. A sequence that fails is run again in parts, all
parts at once, until no part that is left out makes it pass."""

import itertools
import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field

from check.evidence import end_offsets, to_event, to_record
from harness.commands import Message
from harness.database import Database

from . import tables
from .compare import Mismatch, compare_rows, run_model
from .model import Domain
from .model.domain import parse
from .sequences import SOURCE, Sequence
from .templates import SPAN, fill, uuid_of

FIRST_ID = 1_000_000_000          # far above what the program draws
SHRINKING_ROUNDS = 12
DRAWN = ("ticket", "jobneed")


@dataclass
class Run:
    """A sequence under ids of its own."""

    sequence: Sequence
    base: int
    key: str
    rows: list
    messages: list = field(default_factory=list)     # parsed bodies
    values: list = field(default_factory=list)       # as they are published
    events: dict = field(default_factory=dict)       # identity -> events, in order
    domain: object = None


@dataclass
class Failure:
    sequence: Sequence
    why: str
    shrunk: Sequence = None
    shrunk_why: str = ""

    def text(self):
        sequence = self.shrunk or self.sequence
        lines = [f"seed {sequence.seed}, sequence {sequence.number} ({sequence.scope}): {self.why}",
                 f"shrunk from {len(self.sequence.commands)} to {len(sequence.commands)} commands: "
                 f"{self.shrunk_why or self.why}",
                 "rows before: " + json.dumps(sequence.rows, ensure_ascii=False)]
        lines += [json.dumps(each, ensure_ascii=False)[:2000] for each in sequence.commands]
        return "\n".join(lines)


class AuditReader:
    """The audit topic from where it was read to last, up to its end."""

    def __init__(self, bootstrap, topic):
        from confluent_kafka import Consumer, TopicPartition
        self.bootstrap, self.topic = bootstrap, topic
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"property-{os.getpid()}-{topic}",
                                  "enable.auto.commit": False, "enable.partition.eof": True, "fetch.wait.max.ms": 20,
                                  "auto.offset.reset": "earliest", "isolation.level": "read_committed"})
        numbers = self.consumer.list_topics(topic, timeout=20).topics[topic].partitions
        self.partitions = [TopicPartition(topic, number, 0) for number in numbers]
        self.consumer.assign(self.partitions)
        self.reached = {number: 0 for number in numbers}

    def read(self, timeout=60):
        from confluent_kafka import KafkaError
        ends = {partition: end for (_, partition), end in end_offsets(self.bootstrap, self.partitions).items()}
        events, deadline = [], time.monotonic() + timeout
        while any(self.reached[number] < end for number, end in ends.items()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.topic}: read to {self.reached}, ends at {ends}")
            for message in self.consumer.consume(1000, timeout=0.1):
                if message.error() is None:
                    events.append(to_event(to_record(message)))
                elif message.error().code() != KafkaError._PARTITION_EOF:
                    continue
                self.reached[message.partition()] = message.offset() + (message.error() is None)
        return events

    def close(self):
        self.consumer.close()


class Runner:
    """On a world of the system tests, whose worker runs."""

    def __init__(self, world):
        self.world = world
        self.database = Database(world.database.url)
        self.reader = AuditReader(world.stack.bootstrap, world.audit_topic)
        self.bases = itertools.count(FIRST_ID, SPAN)

    def close(self):
        self.reader.close()

    # ---- a batch of sequences ----

    def run(self, sequences):
        """[(sequence, None or why it failed)]"""
        return self.judge(self.collect(sequences))

    def collect(self, sequences):
        """The results of the program for them."""
        runs = [self.prepare(sequence) for sequence in sequences]
        tables.insert(self.database.url, [row for run in runs for row in run.rows])
        self.publish(runs)
        self.world.drain(120)
        self.take_events(runs)
        return runs

    def prepare(self, sequence):
        base = next(self.bases)
        rows = [(table, tables.seed_row(table, row)) for table, row in parse(fill(sequence.rows, base))]
        run = Run(sequence, base, fill(sequence.key, base).strip('"'), rows)
        for template in sequence.commands:
            text = fill(template["data"], base)
            body = {"specversion": "1.0", "id": f"{base}-{template['id']}", "source": SOURCE, "type": template["type"],
                    **template["attributes"]}
            run.values.append((json.dumps(body)[:-1] + f', "data": {text}' + "}").encode())
            run.messages.append({"id": body["id"], "source": SOURCE, "type": template["type"], "data": parse(text),
                                 "attributes": template["attributes"]})
        return run

    def publish(self, runs):
        """All sequences side by side; of each its commands in order, under one key."""
        headers = [("content-type", b"application/cloudevents+json")]
        messages = []
        for step in range(max((len(run.values) for run in runs), default=0)):
            messages += [Message(run.values[step], run.key, headers) for run in runs if step < len(run.values)]
        self.world.publish(*messages)

    def take_events(self, runs):
        by_identity = defaultdict(list)
        for event in self.reader.read():
            by_identity[event.identity].append(event)
        for run in runs:
            for message in run.messages:
                identity = (message["source"], message["id"])
                # Those of one name may lie in several partitions; no two have one time.
                run.events[identity] = sorted(by_identity.get(identity, []), key=lambda event: event.body["time"])

    def judge(self, runs):
        """The results of the model for them: [(sequence, None or why it failed)]"""
        reasons = {}
        if not runs:
            return []
        for run in runs:
            run.domain = Domain(run.rows)
            try:
                run_model(run.domain, run)
            except Mismatch as mismatch:
                reasons[run.base] = str(mismatch)
        found = self.fetch(runs)
        for run in runs:
            if run.base not in reasons:
                try:
                    compare_rows(run.domain, found)
                except Mismatch as mismatch:
                    reasons[run.base] = str(mismatch)
        for (table, key), row in found.items():
            base = self.base_of(row)
            if base is not None and base not in reasons:
                reasons[base] = f"{table} {key}: the model has no such row: {row!r}"
        return [(run.sequence, reasons.get(run.base)) for run in runs]

    def fetch(self, runs):
        low, high = min(run.base for run in runs), max(run.base for run in runs) + SPAN - 1
        drawn = {table: [key for run in runs for key in run.domain.table(table) if key < FIRST_ID] for table in DRAWN}
        return tables.fetch(self.database.url, low, high, (uuid_of(low), uuid_of(high)), drawn)

    @staticmethod
    def base_of(row):
        numbers = [int(value[24:], 16) if name == "id" and isinstance(value, str) else value
                   for name, value in row.items() if name in ("id", "parent_id", "ticket_id", "jobneed_id", "user_id")]
        numbers = [number for number in numbers if isinstance(number, int) and number >= FIRST_ID]
        return numbers[0] // SPAN * SPAN if numbers else None

    # ---- smaller ----

    def shrink(self, sequence, why):
        """The shortest part that still fails, found by leaving out runs of commands of ever smaller size."""
        size = max(len(sequence.commands) // 2, 1)
        for _ in range(SHRINKING_ROUNDS):
            count = len(sequence.commands)
            parts = [[place for place in range(count) if not start <= place < start + size]
                     for start in range(0, count, size)]
            results = self.run([sequence.only(part) for part in parts if part])
            failing = [(part, reason) for part, reason in results if reason]
            if failing:
                sequence, why = min(failing, key=lambda each: len(each[0].commands))
                size = min(size, max(len(sequence.commands) // 2, 1))
            elif size == 1:
                break
            else:
                size = max(size // 2, 1)
        return sequence, why

    def check(self, runs, shrink_at_most=3):
        """The failures among what was collected, the first ones shrunk."""
        failures = [Failure(sequence, why) for sequence, why in self.judge(runs) if why]
        for failure in failures[:shrink_at_most]:
            failure.shrunk, failure.shrunk_why = self.shrink(failure.sequence, failure.why)
        return failures
