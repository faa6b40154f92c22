"""Kafka's own test of transactions in group mode, made again here: seed commands over nine partitions, three workers in one
group, all of them or the brokers bounced, cleanly or hard, while a read_committed reader runs. Afterwards what came in
is what came out, once each and in the order of the input, for that reader and for a fresh one.

(apache/kafka, kafkatest: group_mode_transactions_test.)
"""

import itertools
from collections import Counter

import pytest

from brokers import cluster, wide  # noqa: F401  fixtures
from check.evidence import read_topic, to_event
from harness.commands import append, create_ticket, escalate
from harness.fixtures import finish
from harness.load import rows
from harness.proxy import LateProduce, Proxy
from harness.waiting import until
from trial import minutes

PARTITIONS, WORKERS, AGGREGATES = 9, 3, 360
SEEDS = 100_000 if minutes() else 5_000
PIECE = 1_000  # published at a time


@pytest.fixture
def world(request, make_world):
    made = make_world(request.node.name.removeprefix("test_"), partitions=PARTITIONS)
    yield made
    finish(request, made)


class Seeds:
    """The commands that come in, and where each lies."""

    def __init__(self, trial, count):
        self.trial, self.left = trial, count
        self.made = itertools.count()
        self.places = {}  # identity -> (partition, offset) of the command topic

    def one(self):
        turn = next(self.made)
        number = 1 + turn % AGGREGATES
        if turn < AGGREGATES:
            return create_ticket(number)
        return escalate(number) if self.trial.random.random() < 0.7 else append(number, {"turn": turn})

    def publish(self, count):
        while count > 0 and self.left > 0:
            piece = [self.one() for _ in range(min(count, PIECE, self.left))]
            for message, place in zip(piece, self.trial.world.publish(*piece)):
                self.places[message.identity] = place
            count, self.left = count - len(piece), self.left - len(piece)


def judge_reader(reader, events, seeds):
    """The events that one reader saw, in the order in which it saw them."""
    times = Counter(event.identity for event in events)
    doubled = [identity for identity, count in times.items() if count > 1]
    assert not doubled, f"{reader}: {len(doubled)} commands have several events, {doubled[:3]}"
    missing, strange = seeds.places.keys() - times.keys(), times.keys() - seeds.places.keys()
    assert not missing and not strange, f"{reader}: {len(missing)} lost, {len(strange)} nobody sent"
    last, read = {}, {}
    for event in events:
        partition, offset = seeds.places[event.identity]
        before = last.get(event.subject)
        assert before is None or before[0] == partition and before[1] < offset, \
            f"{reader}: {event.subject}: the event of {partition}/{offset} comes after that of {before}"
        last[event.subject] = (partition, offset)
        assert read.get(event.partition, -1) < event.offset, f"{reader}: read backwards"
        read[event.partition] = event.offset


def bounce_workers(trial, clean):
    """One after another, each back before the next."""
    for worker in trial.world.workers:
        if clean:
            assert worker.end() == 0
        else:
            worker.kill()
        worker.start().wait_ready()


def crash_broker(trial):
    """A single one. Stopped cleanly it could lose what it acknowledged (deploy/OPERATING.md, not promised)."""
    trial.world.stack.kill("kafka")
    trial.world.stack.start("kafka")


def bounce_brokers(cluster, clean):
    """All three, one after another, each in sync before the next."""
    for number in cluster.nodes:
        cluster.restart(number, hard=not clean)
        cluster.wait_in_sync()


BOUNCES = {"clean workers": lambda trial: bounce_workers(trial, True),
           "hard workers": lambda trial: bounce_workers(trial, False),
           "hard broker": crash_broker}


def copy(trial, bounces, **settings):
    """Publishes the seeds and bounces in between, each time while some of them are under way."""
    world = trial.world
    trial.workers(WORKERS, worker_batch_max="100", consumers_transaction_timeout="5s", **settings)
    seeds = Seeds(trial, SEEDS)
    share = SEEDS // (len(bounces) + 1)
    for bounce in bounces:
        before = rows(world)
        seeds.publish(share)
        until("some of them are applied", lambda: rows(world) >= before + trial.random.randrange(1, share // 4), 60,
              pause=0.001)
        bounce(trial)
    seeds.publish(seeds.left)
    until("all are applied", lambda: rows(world) == SEEDS, 300, pause=0.2)
    return seeds


def judge_copy(trial, seeds):
    world = trial.world
    world.drain(120)
    until("the reader that ran all the time is at the end", lambda: len(world.audit.all()) >= SEEDS, 120)
    judge_reader("the concurrent reader", world.audit.all(), seeds)
    fresh = [to_event(record) for record in read_topic(world.stack.bootstrap, world.audit_topic)]
    judge_reader("a fresh reader", fresh, seeds)
    trial.note(seeds=SEEDS)
    trial.judge()


@pytest.mark.fault(4)
@pytest.mark.seconds(240)
def test_group_mode_transactions(trial):
    """Workers only: the broker's own rows bounce it, and so does the long tier."""
    names = trial.random.sample(["clean workers", "hard workers"], 2)
    judge_copy(trial, copy(trial, [BOUNCES[name] for name in names]))


@pytest.mark.breaks_stack
@pytest.mark.fault(6)
@pytest.mark.long
@pytest.mark.seconds(1500)
@pytest.mark.parametrize("name", BOUNCES)
def test_group_mode_transactions_with_one_kind_of_bounce(trial, name):
    judge_copy(trial, copy(trial, [BOUNCES[name]] * 4))


@pytest.mark.fault(7)
@pytest.mark.long
@pytest.mark.seconds(1500)
@pytest.mark.parametrize("how", ["clean", "hard"])
def test_group_mode_transactions_with_three_brokers_bounced(wide, cluster, how):
    judge_copy(wide, copy(wide, [lambda _trial: bounce_brokers(cluster, how == "clean")] * 3))


# ---- delivered at least once ---------------------------------------------------------------------------------------

@pytest.mark.breaks_stack
@pytest.mark.fault(6)
@pytest.mark.long
@pytest.mark.seconds(1500)
def test_group_mode_delivered_at_least_once(trial):
    """Hard bounces in the cheaper mode: nothing is lost; whether events come twice is chance, and noted."""
    world = trial.world
    seeds = copy(trial, [BOUNCES["hard workers"]] * 4 + [crash_broker], kafka_delivery="at_least_once")
    world.drain(120)
    until("the reader that ran all the time has an event of each",
          lambda: {event.identity for event in world.audit.all()} == seeds.places.keys(), 120, pause=1)
    times = Counter(event.event_id for event in world.audit.all())
    assert len(times) == SEEDS
    trial.note(seeds=SEEDS, events_seen_again=sum(times.values()) - SEEDS)
    trial.record()


def publish_late(world, ticket, delivery):
    """A worker's events are on their way when its session ends; another finds none of them and publishes them; then
    they arrive. Returns how many a read_committed reader has twice."""
    settings = {"kafka_delivery": delivery, "consumers_transaction_timeout": "5s", "consumers_session_timeout": "2s"}
    late = LateProduce()
    proxy = Proxy(world.stack.bootstrap, late)
    sent = [escalate(ticket) for _ in range(40)]
    try:
        zombie = world.worker(KAFKA_BOOTSTRAP=proxy.address, **settings)
        world.ask(create_ticket(ticket))
        world.drain()
        late.arm()
        world.publish(*sent)
        until("they are committed, and the events on their way", lambda: late.held and world.database.value(
            "SELECT level FROM interlock.ticket WHERE id = %s", ticket) == len(sent), 60)
        zombie.stop()
        other = world.worker(**settings)
        world.await_events(sent, 90)
        requests = late.release()
        until("the broker has answered the late ones", lambda: late.answers >= requests, 30)
        zombie.kill()
    finally:
        proxy.close()
    world.drain()
    assert other.end() == 0
    until("nobody is left of the group", lambda: world.kafka.group_members(world.group) == 0, 60)
    times = Counter(event.event_id for event in world.audit.all() if event.subject == f"ticket/{ticket}")
    assert len(times) == 1 + len(sent)
    return sum(times.values()) - len(times)


@pytest.mark.fault(12)
@pytest.mark.long
@pytest.mark.seconds(400)
def test_late_events_of_a_lost_worker_are_there_twice_only_without_transactions(trial):
    twice = {delivery: publish_late(trial.world, ticket, delivery)
             for ticket, delivery in enumerate(("at_least_once", "exactly_once"), 1)}
    trial.record()
    trial.defence("exactly-once delivery", "a lost worker's events arrive late",
                  f"{twice['at_least_once']} of 40 events twice", f"{twice['exactly_once']} twice")
    assert twice["at_least_once"] > 0, "no event came twice: nothing shows what the transaction is for"
    assert twice["exactly_once"] == 0
