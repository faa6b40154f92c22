"""A world of its own for a test or a group of tests: database, topics, consumer group, workers."""

import contextlib
import os
import re

import psycopg2

from check.evidence import gather, snapshot, to_answer
from check.invariants import Options, check

from .commands import partition_of
from .database import Database
from .kafka import Kafka, Publisher, Tail
from .waiting import NotReached, until
from .worker import Worker, run_verb

PARTITIONS = 6
AUDIT_PARTITIONS = 3


class World:
    def __init__(self, stack, binary, name, log_directory, partitions=PARTITIONS):
        self.stack, self.binary = stack, binary
        self.name = re.sub(r"[^a-z0-9_]+", "_", name.lower())[:50].strip("_")
        self.partitions = partitions
        self.log_directory = log_directory
        self.topic, self.audit_topic, self.group = f"{self.name}.commands", f"{self.name}.audit", self.name
        self.dlq_topic = self.topic + ".dlq"
        self.more_topics = []  # further command topics, where a test makes some
        self.kafka = Kafka(stack.bootstrap, stack.replication)
        self.database = Database(stack.url_of(self.name))
        self.workers, self.tails, self.closed = [], [], False
        self.settings = {}
        self.rows_before = None
        self.broker_crashed = False  # while it was alone
        self._publisher = None

    # ---- making and ending ----

    def make(self, template):
        Database(self.stack.database_url).execute(f'CREATE DATABASE "{self.name}" TEMPLATE "{template}"')
        self.kafka.create_topics({self.topic: self.partitions, self.audit_topic: AUDIT_PARTITIONS, self.dlq_topic: 1})
        self.audit = Tail(self.stack.bootstrap, self.audit_topic, to_answer)
        self.letters = Tail(self.stack.bootstrap, self.dlq_topic)
        self.tails = [self.audit, self.letters]
        return self

    def close(self):
        """Ends what runs; returns what sanitizers complained of."""
        for worker in self.workers:
            if worker.stopped:
                worker.cont()
            worker.kill()
        for tail in self.tails:
            tail.close()
        self._publisher = None  # a client with its threads: hundreds of them would slow down the tests behind this one
        self.closed = True
        return [f"{worker.log.name}: {line}" for worker in self.workers for line in worker.complaints()]

    def forget(self):
        """Takes the topics away: a broker with a thousand partitions stops slowly. The database may stay."""
        more = [name for topic in self.more_topics for name in (topic, topic + ".dlq")]
        for future in self.kafka.admin.delete_topics([self.topic, self.audit_topic, self.dlq_topic, *more]).values():
            future.result(30)
        self.kafka.admin, self.tails, self.audit, self.letters = None, [], None, None

    # ---- the program ----

    def environment(self, **settings):
        """The worker's: settings in lower case become INTERLOCK_..., in upper case they are taken as they are."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
        # A sanitizer's deadline must not hide the worker's own exit code; leaks are judged at a clean end.
        environment.update({
            "KAFKA_BOOTSTRAP": self.stack.bootstrap,
            "DATABASE_URL": self.database.url,
            "REDIS_URL": self.stack.redis_url,
            "INTERLOCK_KAFKA_TOPICS": self.topic,
            "INTERLOCK_KAFKA_GROUP": self.group,
            "INTERLOCK_KAFKA_AUDIT_TOPIC": self.audit_topic,
            "INTERLOCK_REDIS_PREFIX": f"{self.name}:",
            "INTERLOCK_HTTP_LISTEN": "127.0.0.1:0",
            "INTERLOCK_CONSUMERS_SESSION_TIMEOUT": "6s",
        })
        for name, value in {**self.settings, **settings}.items():
            key = name if name.isupper() else f"INTERLOCK_{name.upper()}"
            if value is None:
                environment.pop(key, None)
            else:
                environment[key] = str(value)
        return environment

    def worker(self, start=True, ready=True, **settings):
        log = self.log_directory / f"{self.name}.worker-{len(self.workers) + 1}.log"
        worker = Worker(self.binary, self.environment(**settings), log)
        self.workers.append(worker)
        if start:
            worker.start()
            if ready:
                # A worker that stops or dies at a fault point may do so before anybody asks whether it is ready.
                worker.wait_ready(or_at_a_fault_point=re.search("(stop|crash)@", settings.get("FAULT_POINTS", "")))
        return worker

    def verb(self, *arguments, stdin=None, timeout=60, **settings):
        return run_verb(self.binary, self.environment(**settings), *arguments, stdin=stdin, timeout=timeout)

    # ---- sending and awaiting ----

    @property
    def publisher(self):
        if self._publisher is None:
            self._publisher = Publisher(self.stack.bootstrap, self.topic, self.partitions, partition_of)
        return self._publisher

    def publish(self, *messages):
        return self.publisher.send(list(messages))

    def events_of(self, message):
        return [event for event in self.audit.all() if event.identity == message.identity]

    def events_by_identity(self):
        found = {}
        for event in self.audit.all():
            found.setdefault(event.identity, []).append(event)
        return found

    def await_events(self, messages, timeout=30):
        """The first event of each message, in their order."""
        def answered():
            found = self.events_by_identity()
            missing = [each.identity for each in messages if each.identity not in found]
            return found if not missing else None
        try:
            found = until(f"{len(messages)} commands are answered by events", answered, timeout)
        except NotReached as late:
            raise NotReached(f"{late}\n{self.where_they_are(messages)}") from None
        return [found[each.identity][0] for each in messages]

    def where_they_are(self, messages):
        """How far the unanswered ones came, for the message of a failure."""
        found = self.events_by_identity()
        lines = []
        for each in messages:
            if each.identity in found:
                continue
            try:
                rows = self.database.rows(
                    "SELECT p.topic, p.partition, e.kafka_offset, e.outcome, s.published FROM interlock.audit_event e "
                    "JOIN interlock.partition_owner p ON p.id = e.partition_id "
                    "JOIN interlock.partition_published s ON s.partition_id = p.id "
                    "WHERE e.command_source = %s AND e.command_id = %s", *each.identity)
            except psycopg2.Error as error:
                rows = f"not known: {error}"
            lines.append(f"{each.identity}, key {each.key}: " + (f"in PostgreSQL: {rows}" if rows else "not in PostgreSQL"))
        lines += [f"{worker.log.name}: {worker.get('/readyz') if worker.runs() else 'does not run'}" for worker in self.workers]
        return "\n".join(lines)

    def ask(self, *messages, timeout=30):
        """Sends commands and returns their events."""
        self.publish(*messages)
        events = self.await_events(messages, timeout)
        return events[0] if len(messages) == 1 else events

    def lag(self, whole=False):
        """`whole`: what open transactions hold counts, too."""
        total = 0
        for topic in [self.topic, *self.more_topics]:
            committed = self.kafka.committed(self.group, topic)
            total += sum(end - max(committed.get(number, 0), 0) for number, end in self.kafka.ends(topic, whole).items())
        return total

    def drain(self, timeout=60):
        """Waits until the group's offsets stand at the end of the topic, and what was parked because it was held has
        come back; early commands (notbefore) are left to wait."""
        until(f"the group {self.group} has reached the end of its topic", self.is_drained, timeout, pause=0.1)
        with contextlib.suppress(NotReached):  # a dead worker's transaction may be open; a test may hold one
            until("no transaction is open there", lambda: self.lag(whole=True) == 0, 20, pause=0.1)

    def is_drained(self):
        return self.lag() == 0 and self.held_in_parking() == 0 and self.lag() == 0

    def held_in_parking(self):
        try:
            return self.database.value("SELECT count(*) FROM interlock.parked_command WHERE blocks")
        except psycopg2.OperationalError:
            return -1  # it is just being restarted

    # ---- judging ----

    def remember_rows(self):
        """Called when every row is there that no command makes: the checker then knows what each aggregate began as."""
        self.rows_before = snapshot(self.database.url)

    def evidence(self):
        topics = [self.topic, *self.more_topics]
        return gather(self.stack.bootstrap, self.database.url, topics, self.audit_topic, self.group,
                      before=self.rows_before)

    def violations(self, ordered=True, drained=True, **options):
        evidence = self.evidence()
        assert evidence.commits is not None, f"I5: the group's offsets cannot be judged: {evidence.commits_problem}"
        return check(evidence, Options(ordered=ordered, drained=drained, broker_crashed=self.broker_crashed, **options))

    def check(self, ordered=True):
        violations = self.violations(ordered)
        assert not violations, f"{len(violations)} violations:\n" + "\n".join(str(each) for each in violations[:20])

    def outcomes(self):
        counts = {}
        for event in self.audit.all():
            name = event.outcome if event.reason is None else f"{event.outcome}:{event.reason}"
            counts[name] = counts.get(name, 0) + 1
        return counts
