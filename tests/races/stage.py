"""Where scenarios run: worlds, pairs of workers under a setting of the layers, and the counting of what came out."""

import itertools

import psycopg2

from harness.commands import Message
from harness.database import session
from harness.waiting import NotReached, until
from old_pattern import OldSystem
from scenarios.description import ORDERED, SPAN, attendance_uuid

LAYERS = ("retry", "Redis lock", "row lock", "transaction", "constraints")
SETTING_OF = {"retry": "protections_retry", "Redis lock": "protections_redis_lock", "row lock": "protections_row_locks",
              "transaction": "protections_transaction"}

# Short delays and no folding: layers are judged by how often two meet, not by how well a batch avoids it.
LAYER_SETTINGS = {"worker_batch_max": "1", "worker_batch_linger": "0ms", "worker_lanes": "4"}
BRISK = {f"retries_{policy}_{name}": value for policy in ("lock_acquisition", "database_operation", "default", "aggressive",
                                                          "conservative")
         for name, value in (("first", "20ms"), ("longest", "200ms"))}
# Nothing is parked: what comes back one after another meets nobody.
BRISK["worker_park_when_blocking"] = "60s"

# The constraints that DOMAIN.md asks of PostgreSQL. Primary keys of roots stay: they are what a row is found by.
DROP_CONSTRAINTS = """
DO $$
DECLARE each record;
BEGIN
    FOR each IN SELECT c.conrelid::regclass AS of, c.conname AS name FROM pg_constraint c
                JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace s ON s.oid = t.relnamespace
                WHERE s.nspname = 'interlock' AND (c.contype IN ('c', 'f', 'u') OR
                    (c.contype = 'p' AND t.relname IN ('ticket_history', 'behavioural_event')))
                AND t.relname NOT IN ('inbox', 'audit_event', 'audit_also', 'dead_letter', 'consumer_group',
                    'partition_owner', 'partition_published', 'partition_rewind', 'parked_command')
                ORDER BY c.contype = 'f' DESC
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', each.of, each.name);
    END LOOP;
    FOR each IN SELECT i.indexrelid::regclass AS name FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
                JOIN pg_namespace s ON s.oid = t.relnamespace
                WHERE s.nspname = 'interlock' AND i.indisunique AND NOT i.indisprimary
                AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
    LOOP
        EXECUTE format('DROP INDEX %s', each.name);
    END LOOP;
END $$
"""

HELD_SECONDS = 0.7  # a hold that is not for good: longer than any retry's delay
MEANWHILE_SECONDS = 5


class Result:
    """The counts, against the expected ones."""

    def __init__(self, expected, found):
        self.expected, self.found = expected, found

    @property
    def whole(self):
        return self.expected == self.found

    def differences(self):
        return {fact: (self.found[fact], number) for fact, number in self.expected.items() if self.found[fact] != number}

    def text(self):
        return "; ".join(f"{fact} {found} of {wanted}" for fact, (found, wanted) in self.differences().items()) or "all"

    def __repr__(self):
        return self.text()


class Stage:
    """One database and its topics. Copies of scenarios never share an id."""

    def __init__(self, world, constraints=True):
        self.world = world
        self.numbers = itertools.count(1)
        self.pair, self.pair_settings = [], None
        self.old = None
        if not constraints:
            world.database.execute(DROP_CONSTRAINTS)

    def close(self):
        if self.old:
            self.old.close()

    # ---- workers ----

    def start(self, **settings):
        """Two processes that both own partitions; those that run already, if they are as wanted."""
        if self.pair and self.pair_settings == settings:
            return
        for worker in self.pair:
            worker.end()
        self.pair = [self.world.worker(ready=False, **BRISK, **settings) for _ in range(2)]
        self.pair_settings = settings
        for worker in self.pair:
            worker.wait_ready()
        until("both own partitions",
              lambda: all(each.metric("interlock_partitions_assigned") > 0 for each in self.pair))

    # ---- sending ----

    def send(self, messages):
        """Returns the offset after the last one, by partition."""
        ends = {}
        for partition, offset in self.world.publish(*messages):
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        return ends

    def reached(self, ends):
        committed = self.world.kafka.committed(self.world.group, self.world.topic)
        return all(committed.get(partition, 0) >= end for partition, end in ends.items())

    def await_end(self, ends, timeout=60):
        """Commands that were held behind others are parked, and come back through the topic."""
        until("all of it is decided", lambda: self.reached(ends) and not self.parked(), timeout, pause=0.02)

    def parked(self):
        return self.world.database.value("SELECT count(*) FROM interlock.parked_command")

    # ---- a scenario ----

    def set_up(self, scenario, copies):
        """Several at once: [(scenario, copies)] of one kind each. Returns their first ids."""
        return self.set_up_all([(scenario, copies)])[0]

    def set_up_all(self, wanted):
        bases = [[next(self.numbers) * SPAN for _ in range(copies)] for _, copies in wanted]
        with session(self.world.database.url) as connection, connection.cursor() as cursor:
            for (scenario, _), firsts in zip(wanted, bases):
                for b in firsts:
                    for statement in scenario.prepare:
                        cursor.execute(statement, parameters(b))
        messages = [message for (scenario, _), firsts in zip(wanted, bases) for b in firsts
                    for message in scenario.setup(b)]
        if messages:
            self.await_end(self.send(messages))
            assert self.applied(messages) == len(messages), "the rows that the scenarios begin with are not all there"
        return bases

    def applied(self, messages):
        return self.world.database.value(
            "SELECT count(*) FROM interlock.audit_event WHERE command_id = ANY(%s) AND outcome = 'applied'",
            [each.identity[1] for each in messages])

    def run(self, scenario, bases, for_good=False):
        """The storm of every copy at once. `for_good`: what is held for good stays held."""
        storms = [scenario.storm(b) for b in bases]
        mixed = [message for messages in itertools.zip_longest(*storms) for message in messages if message]
        with Held(self.world, scenario.hold, bases) as release:
            ends = self.send(self.misrouted(mixed))
            if scenario.hold:
                seen = self.watch_held(scenario, bases, ends)
                if not (scenario.hold.for_good and for_good):
                    release()
            self.await_end(ends)
        if not scenario.hold:
            self.world.drain(120)  # who waited too long for another was parked, and comes back behind these offsets
        found = self.facts({**scenario.measure, **scenario.audited}, bases)
        if "changed" in scenario.expected:
            found["changed"] = self.applied(mixed)
        if "meanwhile" in scenario.expected:
            found["meanwhile"] = seen
        return self.result(scenario, bases, found)

    @staticmethod
    def misrouted(messages):
        """Each under a key of its own, which is not its aggregate's: partitions and lanes keep nothing apart."""
        sent = []
        for number, message in enumerate(messages):
            if message.partition == ORDERED:
                sent.append(Message(message.value, message.key, message.headers, None, message.identity))
            else:
                sent.append(message.keyed(f"elsewhere/{number}"))
        return sent

    def watch_held(self, scenario, bases, ends):
        """Returns how many copies saw what they are to see while something is held."""
        def seen():
            return [b for b in bases if scenario.hold.meanwhile and self.value(scenario.hold.meanwhile, b)]
        try:
            until("the holder's time", lambda: self.reached(ends), HELD_SECONDS)
        except NotReached:
            pass
        if scenario.hold.meanwhile:
            try:
                until("the others go on meanwhile", lambda: len(seen()) == len(bases), MEANWHILE_SECONDS)
            except NotReached:
                pass
        return len(seen())

    # ---- the old pattern ----

    def run_old(self, scenario, bases):
        self.old = self.old or OldSystem(self.world.database.url)
        with Held(self.world, scenario.hold, bases, redis=False):
            changed = sum(self.old.run(scenario, b) for b in bases)
        found = self.facts(scenario.measure, bases)
        if scenario.expected.get("changed") == 1:
            found["changed"] = changed
        return self.result(scenario, bases, found)

    # ---- counting ----

    def value(self, sql, b):
        with session(self.world.database.url) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters(b))
            row = cursor.fetchone()
            return row[0] if row else None

    def facts(self, measures, bases):
        found = {}
        with session(self.world.database.url) as connection, connection.cursor() as cursor:
            for fact, sql in measures.items():
                found[fact] = 0
                for b in bases:
                    cursor.execute(sql, parameters(b))
                    row = cursor.fetchone()
                    found[fact] += int(row[0] or 0) if row else 0
        return found

    @staticmethod
    def result(scenario, bases, found):
        expected = {fact: number * len(bases) for fact, number in scenario.expected.items() if fact in found}
        return Result(expected, found)


def parameters(b):
    return {"b": b, "uuid": attendance_uuid(b)}


class Held:
    """Somebody else has what the commands want, from before they come."""

    def __init__(self, world, hold, bases, redis=True):
        self.world, self.hold, self.bases = world, hold, bases
        self.redis = redis and hold is not None and hold.redis
        self.sessions = []

    def __enter__(self):
        if self.hold is None:
            return self.release
        for b in self.bases:
            if self.redis:
                self.world.stack.redis("set", self.key(b), "a stranger", "px", "60000")
                continue
            connection = psycopg2.connect(self.world.database.url)
            self.sessions.append(connection)
            connection.cursor().execute(self.hold.row, parameters(b))
        return self.release

    def __exit__(self, *_):
        self.release()

    def key(self, b):
        return f"{self.world.name}:" + self.hold.redis.format(b=b)

    def release(self):
        if self.redis:
            self.world.stack.redis("del", *[self.key(b) for b in self.bases])
        for connection in self.sessions:
            connection.close()
        self.sessions = []


# ---- settings of the layers ------------------------------------------------------------------------------

def layers_off(*off):
    """The settings of a pair with these layers off; constraints are dropped, not set."""
    return {**LAYER_SETTINGS, **{SETTING_OF[layer]: "false" for layer in off if layer in SETTING_OF}}
