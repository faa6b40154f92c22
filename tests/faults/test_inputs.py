"""Input of any kind: poison, duplicates, commands that the domain refuses, and everything at once on one ticket. Workers
are killed meanwhile."""

import json
import statistics
import time
import uuid
from collections import defaultdict

import pytest
from confluent_kafka import Producer

from check.evidence import read_topic
from harness.bad_input import DEAD, IDENTITY, INVALID, data_of
from harness.bounds import is_sanitized, peak_rss_kib
from harness.commands import (Message, append, command, create_job, create_ticket, escalate, event, structured,
                              transition)
from harness.kafka import Tail
from harness.load import TICKETS, Load
from harness.waiting import until
from trial import minutes


def long_or(quick, long):
    return long if minutes() else quick


class Mixture(Load):
    """A part of the messages is drawn by `strange`: (message, what it must become)."""

    def __init__(self, world, part, **options):
        self.part, self.letters, self.wanted = part, 0, defaultdict(list)
        super().__init__(world, **options)

    def publish_burst(self):
        messages = []
        for _ in range(self.burst):
            if self.generator.random() >= self.part:
                message = self.one()
                self.distinct[message.identity] = message
                messages.append(message)
            else:
                messages += self.drawn()
        for message in list(messages):
            if self.generator.random() < self.duplicates:
                again = message.at(self.generator.randrange(self.world.partitions))
                messages.insert(self.generator.randrange(len(messages) + 1), again)
        self.letters += sum(each.identity is None for each in messages)
        self.sent += len(messages)
        self.world.publish(*messages)

    def drawn(self):
        message, outcome = self.strange()
        if message.identity is not None:
            self.distinct[message.identity] = message
            self.wanted[outcome].append(message.identity)
        return [message]


def mixture(trial, kind, **options):
    """A load of that kind."""
    load = kind(trial.world, seed=trial.random.random(), **options)
    trial.loads.append(load)
    return load


def kill_some(trial, workers, rounds, commands=60):
    """One at a time, and at once started again."""
    for _ in range(rounds):
        trial.progress(trial.random.randrange(commands // 3, commands))
        victim, died = trial.random.choice(workers), time.monotonic()
        victim.kill()
        victim.start()
    trial.recovered(since=died)


def reasons_of(world, identities):
    """(outcome, reason) of the one event of each."""
    until("each has an event", lambda: set(identities) <= set(world.events_by_identity()), 30)  # the reader may lag
    found = world.events_by_identity()
    wrong = {identity: len(found.get(identity, [])) for identity in identities if len(found.get(identity, [])) != 1}
    assert not wrong, f"not exactly one event each: {wrong}"
    return {(found[identity][0].outcome, found[identity][0].reason) for identity in identities}


# ---- row 19: poison ---------------------------------------------------------------------------------------------

def nested(depth):
    return b"[" * depth + b"]" * depth


UNREADABLE = {**DEAD, "2,049 deep": b'{' + IDENTITY + b',"data":' + nested(2049) + b"}",
              "a length that is a lie": b"\x00\x00\x00\x00\x40\x00\x00\x00" + b"{}",
              "random bytes": bytes(range(256)) * 16}
HUGE = [10 ** 300, 2 ** 63, -2 ** 63 - 1, 2 ** 64, 123456789012345678901234567890]


def dense(type_, data, key):
    """Without blanks: a bomb of as many parts as 64 KiB can hold."""
    body = event(type_, data)
    message = structured(body, key)
    message.value = json.dumps(body, separators=(",", ":")).encode()
    return message


def bomb(number, place):
    return dense("json.merge", {"aggregate": f"jobneed/{number}", "field": "other_info",
                                "value": {"bomb": [{}] * 21000, "place": place}}, f"jobneed/{number}")


class Poison(Mixture):
    """Every kind of it that the single tests know, in any order, under keys of its own or those of good commands."""

    def strange(self):
        return self.generator.choice([self.unreadable, self.unreadable, self.invalid, self.huge, self.unknown,
                                      self.keyless, self.bomb])()

    def key(self):
        return self.generator.choice([f"ticket/{self.generator.randint(1, TICKETS)}", f"bad/{self.generator.random()}"])

    def unreadable(self):
        value = UNREADABLE[self.generator.choice(sorted(UNREADABLE))]
        return Message(value, self.key(), [("x-own", b"\x00\xff")]), "letter"

    def invalid(self):
        type_, changes = self.generator.choice(INVALID)
        return command(type_, data_of(type_, **changes), key=self.key()), "invalid_data"

    def huge(self):
        body = event("ticket.escalate", {"ticket_id": self.generator.choice(HUGE)})
        return structured(body, self.key()), "invalid_data"

    def bomb(self):
        return dense("ticket.escalate", {"ticket_id": 1, "surprise": [{}] * 21000}, self.key()), "invalid_data"

    def unknown(self):
        wrong = self.generator.choice([{"type": "ticket.explode"}, {"specversion": "0.3"}, {"specversion": "1.1"}])
        body = {**event("ticket.escalate", {"ticket_id": 1}), **wrong}
        return structured(body, self.key()), "unknown_type" if "type" in wrong else "invalid_data"

    def keyless(self):
        number = 10 ** 6 + self.generator.getrandbits(40)
        return create_ticket(number).keyed(self.generator.choice([None, ""])), "applied"


@pytest.mark.fault(19)
@pytest.mark.seconds(150)
def test_a_stream_a_third_of_which_is_poison(trial):
    """One refusal or one dead letter each, also when the worker dies over it; good commands of the same keys go on.
    PROTOCOL R5: what would be too large as a dead letter is cut."""
    workers = trial.workers(2)
    with mixture(trial, Poison, part=0.3, burst=20, duplicates=0.05) as load:
        load.pause = 0.05
        kill_some(trial, workers, long_or(3, 15))
        until("there was enough of it", lambda: load.letters > 20 and len(load.wanted["invalid_data"]) > 20, 60)
    trial.world.drain(90)
    assert reasons_of(trial.world, load.wanted["invalid_data"]) == {("rejected", "invalid_data")}
    assert reasons_of(trial.world, load.wanted["unknown_type"]) == {("rejected", "unknown_type")}
    assert reasons_of(trial.world, load.wanted["applied"]) == {("applied", None)}
    trial.memory_is_bounded(workers)
    trial.note(letters=load.letters, refused=len(load.wanted["invalid_data"]) + len(load.wanted["unknown_type"]))
    trial.judge(letters=load.letters)


@pytest.mark.long
@pytest.mark.fault(19)
@pytest.mark.seconds(240)
def test_documents_far_larger_than_their_text(trial):
    """Commands of 60 KiB that are right and take dozens of times that when parsed, a whole backlog of them: the batch
    is cut by what they take, not by their number."""
    world, count = trial.world, 150
    jobs = [create_job(number) for number in range(1, 11)]
    bombs = [bomb(1 + place % 10, place) for place in range(count)]
    assert 60000 < len(bombs[0].value) <= 65536
    neighbour = create_ticket(1)
    world.publish(*jobs, *bombs, neighbour)
    worker = world.worker()
    began = time.monotonic()
    told = world.await_events(bombs + [neighbour], 90)
    trial.note(bombs=count, bytes_each=len(bombs[0].value), bombs_s=round(time.monotonic() - began, 1))
    assert {each.outcome for each in told} == {"applied"}
    trial.memory_is_bounded([worker])
    trial.judge()


EXPANDED = 64 << 20


@pytest.mark.long
@pytest.mark.fault(19)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("codec", ["gzip", "lz4"])
def test_a_compressed_batch_that_expands_a_thousand_times(trial, codec):
    """PROTOCOL R5: 64 KiB on the wire, 64 MiB for the worker: one dead letter, cut, and what stands behind it goes on.
    The topic's max.message.bytes and the codec alone bound it: librdkafka takes what a batch expands to."""
    world = trial.world
    worker = world.worker()
    world.ask(create_ticket(1).at(0))
    before = peak_rss_kib(worker.pid)
    producer = Producer({"bootstrap.servers": world.stack.bootstrap, "compression.type": codec, "compression.level": 9,
                         "message.max.bytes": 4 * EXPANDED, "batch.size": 4 * EXPANDED})
    producer.produce(world.topic, value=bytes(EXPANDED), key="ticket/1", partition=0)
    assert producer.flush(60) == 0
    world.ask(escalate(1).at(0), timeout=60)
    world.drain()
    letter, = world.letters.all()
    assert letter.header("interlock.truncated") and len(letter.value) < 2 ** 20
    trial.note(expanded_kib=EXPANDED >> 10, rss_kib_before=before, peak_rss_kib=peak_rss_kib(worker.pid))
    assert is_sanitized(world.binary) or peak_rss_kib(worker.pid) - before < 3 * (EXPANDED >> 10)
    trial.judge(ordered=False, letters=1)


# ---- row 20: duplicates ------------------------------------------------------------------------------------------

class Repeats(Mixture):
    """The same identity again and again: with its body, with another one, through any partition; of commands of every
    kind of aggregate."""

    def strange(self):
        raise NotImplementedError

    def drawn(self):
        number, many = self.generator.randint(1, TICKETS), self.generator.randint(2, 5)
        first = self.generator.choice([
            lambda: escalate(number),
            lambda: command("ticket.bulk_update", {"ticket_ids": sorted({number, 1 + number % TICKETS}),
                                                   "priority": "HIGH"}),
            lambda: command("face.record_verification", {"verification_id": self.generator.getrandbits(40),
                                                         "model_id": 1, "user_id": 1, "result": "SUCCESS"}),
        ])()
        source, identity = first.identity
        other = command("ticket.escalate", {"ticket_id": number, "level": 50}, id=identity, source=source)
        self.distinct[first.identity] = first
        sent = [self.generator.choice([first, first, other]).at(self.generator.randrange(self.world.partitions))
                for _ in range(many)]
        return [first, *sent]


@pytest.mark.fault(20)
@pytest.mark.seconds(150)
def test_every_command_comes_several_times_with_its_body_and_with_others(trial):
    """PROTOCOL R2: one effect and one event for the identity, one `id_reused` for each position with another body, also
    when a worker died between the two. PROTOCOL B7: versions are gapless over `also`. PROTOCOL B8: counters count
    once."""
    trial.world.database.execute("INSERT INTO interlock.face_model (id) VALUES (1)")
    workers = trial.workers(2)
    with mixture(trial, Repeats, part=0.4, burst=15) as load:
        load.pause = 0.05
        kill_some(trial, workers, long_or(3, 15))
    trial.world.drain(90)
    refused = trial.world.outcomes().get("rejected:id_reused", 0)
    assert refused > 20
    trial.note(id_reused=refused, sent=load.sent)
    trial.judge(ordered=False)


# ---- row 21: what the domain refuses -----------------------------------------------------------------------------

class Refusals(Mixture):
    """Stale versions, steps that the machine does not know, ids that are taken, rows that are not there."""

    def strange(self):
        number = self.generator.randint(1, TICKETS)
        return self.generator.choice([
            lambda: (escalate(number, expectedversion=10 ** 6), "stale_object"),
            lambda: (escalate(number, expectedversion=0), "stale_object"),
            lambda: (create_ticket(number), "already_exists"),
            lambda: (transition(number, "NEW"), None),
            lambda: (escalate(10 ** 6 + number), "not_found"),
            lambda: (append(10 ** 6 + number, "nowhere"), "not_found"),
        ])()


def printed_again(world):
    """How many events were printed twice, by whoever decided them and from the recorded row, and those of them that
    differ. The first print was in a Kafka transaction that a crash cut off: only a read_uncommitted reader sees it."""
    prints = defaultdict(list)
    for record in read_topic(world.stack.bootstrap, world.audit_topic, committed_only=False):
        prints[json.loads(record.value)["id"]].append((record.key, record.value, sorted(record.headers)))
    again = {number: each for number, each in prints.items() if len(each) > 1}
    return len(again), {number: each for number, each in again.items() if len(set(map(str, each))) > 1}


@pytest.mark.fault(21)
@pytest.mark.seconds(150)
def test_a_refusal_stays_and_every_event_is_printed_again_byte_by_byte(trial):
    """PROTOCOL R3: the worker dies with its events in Kafka's transaction, again and again; what it publishes after
    that is printed from the recorded rows. PROTOCOL B9: a refusal names the row's version, the same each time."""
    world = trial.world
    worker = world.worker(FAULT_POINTS="before_commit_txn=crash@4", consumers_transaction_timeout="5s")
    with mixture(trial, Refusals, part=0.5, burst=30) as load:
        load.pause = 0.3  # little: a worker that keeps dying must not fall behind for long
        for _ in range(long_or(2, 12)):
            until("it has died", lambda: not worker.runs(), 60)
            worker.start()
        until("it has died", lambda: not worker.runs(), 60)
        load.stop()
        del worker.environment["FAULT_POINTS"]
        died = time.monotonic()
        worker.start()
        trial.recovered(since=died)
    world.drain(90)
    count, different = printed_again(world)
    assert count > 0 and different == {}
    for reason in ("stale_object", "not_found"):
        assert reasons_of(world, load.wanted[reason]) == {("rejected", reason)}
    refused = sum(number for name, number in world.outcomes().items() if name.startswith("rejected"))
    rewind(world, worker)
    assert printed_again(world) == (count, {})
    trial.note(printed_again=count, refused=refused)
    trial.judge()


def rewind(world, worker):
    """To the beginning: everything is read, and answered by its rows: nothing changes, nothing is published."""
    rows = ("ticket", "ticket_history", "inbox", "audit_event")
    before = world.database.fingerprint(*rows), [each.event_id for each in world.audit.all()]
    assert worker.end() == 0
    world.kafka.move_offsets(world.group, world.topic, dict.fromkeys(range(world.partitions), 0))
    worker.start().wait_ready()
    world.drain(90)
    assert (world.database.fingerprint(*rows), [each.event_id for each in world.audit.all()]) == before


# ---- row 22: one hot key -------------------------------------------------------------------------------------------

HOT = 1


class Clocked:
    """When each command was sent, and when a reader saw its event."""

    def __init__(self, world):
        self.sent = {}
        self.tail = Tail(world.stack.bootstrap, world.audit_topic,
                         lambda record: (json.loads(record.value)["causationid"], time.monotonic()))
        world.tails.append(self.tail)

    def send(self, world, messages):
        now = time.monotonic()
        self.sent.update({each.identity[1]: now for each in messages})
        world.publish(*messages)

    def seconds(self, messages):
        seen = dict(self.tail.all())
        return [seen[each.identity[1]] - self.sent[each.identity[1]] for each in messages if each.identity[1] in seen]


def p99_ms(seconds):
    return round(1000 * statistics.quantiles(seconds, n=100)[98])


def steadily(world, clocked, rounds, hot=0):
    """Ten others each round, and so many of the hot one; in the order in which programs would send them."""
    others, hots = [], []
    for step in range(rounds):
        some = [escalate(2 + (step * 10 + place) % (TICKETS - 1)) for place in range(10)]
        flood = [escalate(HOT) for _ in range(hot)]
        clocked.send(world, flood + some)
        others, hots = others + some, hots + flood
    world.await_events(others + hots, 90)
    return others, hots


@pytest.mark.fault(22)
@pytest.mark.seconds(150)
def test_one_hot_ticket_among_others(trial):
    """Nine of ten commands are one ticket's: its order is kept, and the others get their turn between them."""
    world, clocked = trial.world, Clocked(trial.world)
    trial.workers(2)
    world.ask(*[create_ticket(number) for number in range(1, TICKETS + 1)])
    rounds = long_or(30, 150)
    alone, _ = steadily(world, clocked, rounds)
    began = time.monotonic()
    others, hots = steadily(world, clocked, rounds, hot=90)
    took = time.monotonic() - began
    beside, hot = clocked.seconds(others), clocked.seconds(hots)
    assert p99_ms(beside) < 20000, "they starve"
    assert world.database.value("SELECT level FROM interlock.ticket WHERE id = %s", HOT) == len(hots)
    trial.note(others_alone_p99_ms=p99_ms(clocked.seconds(alone)), others_beside_p99_ms=p99_ms(beside),
               hot_p99_ms=p99_ms(hot), commands_per_s=round((len(others) + len(hots)) / took))
    trial.judge()


class Zipf(Load):
    """Half of all is one ticket's, of the rest half the next one's, and so on."""

    def one(self):
        number = 1
        while number < TICKETS and self.generator.random() < 0.5:
            number += 1
        return self.generator.choice([escalate, lambda ticket: append(ticket, {"n": self.sent})])(number)


@pytest.mark.fault(22)
@pytest.mark.seconds(150)
def test_tickets_of_which_each_has_half_of_what_the_one_before_has(trial):
    workers = trial.workers(2)
    with mixture(trial, Zipf, burst=40, duplicates=0.1):
        kill_some(trial, workers, long_or(1, 10), commands=300)
        trial.progress(long_or(300, 5000), 90)
    trial.judge()


@pytest.mark.fault(22)
@pytest.mark.seconds(150)
def test_nothing_but_one_ticket_under_its_key_and_under_any(trial):
    """PROTOCOL B3: a backlog of one ticket's commands is decided in order, one after another, on one row in memory.
    PROTOCOL L1: under other keys they come through all lanes of both workers and meet at the row: isolated, though in
    no order."""
    world = trial.world
    appended = [append(HOT, number) for number in range(long_or(500, 6000))]
    stray = [command("json.append", {"aggregate": f"jobneed/{HOT}", "field": "other_info", "key": "k", "value": number},
                     key=str(uuid.UUID(int=trial.random.getrandbits(128))), partition=number % world.partitions)
             for number in range(long_or(50, 1500))]
    world.publish(create_ticket(HOT), create_job(HOT), *appended)
    began = time.monotonic()
    trial.workers(2)
    world.await_events(appended, 90)
    trial.note(hot_commands_per_s=round(len(appended) / (time.monotonic() - began)))
    noted = world.database.rows("SELECT details FROM interlock.ticket_history WHERE ticket_id = %s AND action = 'note' "
                                "ORDER BY seq", HOT)
    assert [row[0] for row in noted] == list(range(len(appended)))
    world.drain()
    before = world.violations()
    assert before == []
    began = time.monotonic()
    world.publish(*stray)
    world.await_events(stray, 90)
    met = world.database.value("SELECT other_info->'k' FROM interlock.jobneed WHERE id = %s", HOT)
    assert sorted(met) == list(range(len(stray)))
    trial.note(misrouted_commands_per_s=round(len(stray) / (time.monotonic() - began)))
    trial.judge(ordered=False)
