"""A sequence of commands of one aggregate is parked (PROTOCOL L3, L4) and comes back, and the worker dies at every step
of that; members come and go meanwhile. Each command is applied once, in the order of the topic, and by itself."""

import contextlib
import itertools

import psycopg2
import pytest

from harness.commands import append, create_ticket, escalate
from harness.database import session
from harness.parking import parked, settled
from harness.waiting import until
from trial import minutes

SETTINGS = {"worker_park_after": "300ms", "retries_default_longest": "100ms",
            "retries_database_operation_longest": "200ms"}


class Sequence:
    """The commands for ticket 1, in order, and the history that they must leave."""

    def __init__(self, world):
        self.world, self.sent, self.numbers = world, [], itertools.count()

    def send(self, count):
        messages = [append(1, next(self.numbers)) for _ in range(count)]
        self.sent += messages
        self.world.publish(*messages)
        return messages

    def noted(self):
        return [row[0] for row in self.world.database.rows(
            "SELECT details FROM interlock.ticket_history WHERE ticket_id = 1 AND action = 'note' ORDER BY seq")]

    def is_parked(self):
        """All that has not been answered, and the partition moved on."""
        return parked(self.world) == len(self.sent) - len(self.noted()) and self.world.lag() == 0

    def judge(self):
        settled(self.world)
        self.world.await_events(self.sent, 60)
        assert self.noted() == list(range(len(self.sent)))
        assert all(len(events) == 1 for events in self.world.events_by_identity().values())
        assert self.world.violations(ordered=False) == []


def row_held(world):
    return world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE")


# ---- the steps -------------------------------------------------------------------------------------------

def lanes_that(world, where):
    try:
        return world.database.value(f"SELECT count(*) FROM pg_stat_activity a WHERE datname = current_database() AND "
                                    f"application_name LIKE 'lane-%%' AND {where}")
    except psycopg2.Error:
        return 0


@contextlib.contextmanager
def waiting_for_table(world, _worker):
    """The inbox row says parked; the command's own row is not there yet."""
    with world.database.holding("LOCK TABLE interlock.parked_command IN SHARE MODE"):
        yield lambda: lanes_that(world, "EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted AND "
                                        "l.relation = 'interlock.parked_command'::regclass)")


@contextlib.contextmanager
def sleeping(world, when):
    """The server takes its time over it, and does it although the worker has died, if that was its COMMIT."""
    with session(world.database.url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE OR REPLACE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS "
                       f"$$ BEGIN PERFORM pg_sleep(1.5); RETURN coalesce(NEW, OLD); END $$; {when} "
                       f"ON interlock.parked_command {{}} FOR EACH ROW EXECUTE FUNCTION public.dawdle()".replace(
                           "{}", "DEFERRABLE INITIALLY DEFERRED" if "CONSTRAINT" in when else ""))
    yield lambda: lanes_that(world, "wait_event = 'PgSleep'")
    until("its trigger is gone", lambda: dropped(world), 20)


def dropped(world):
    try:
        world.database.execute("SET lock_timeout = '1s'; DROP TRIGGER dawdle ON interlock.parked_command")
        return True
    except psycopg2.errors.LockNotAvailable:
        return False


def in_commit(event):
    return lambda world, _worker: sleeping(world, f"CREATE CONSTRAINT TRIGGER dawdle AFTER {event}")


def in_statement(event):
    return lambda world, _worker: sleeping(world, f"CREATE TRIGGER dawdle BEFORE {event}")


def at(point, count=1):
    """A fault point that nothing else reaches before, since nothing else is left to do."""
    @contextlib.contextmanager
    def arranged(_world, worker):
        worker.environment["FAULT_POINTS"] = f"{point}=crash@{count}"
        yield lambda: False                                          # it dies by itself
        assert f"fault point {point}" in worker.text()
        del worker.environment["FAULT_POINTS"]
    return arranged


PUBLISHED = ("before_begin_txn", "after_begin_txn", "after_send_offsets", "before_commit_txn", "after_commit_txn")
PARKS = {"before the command's row": waiting_for_table, "in its COMMIT": in_commit("INSERT"),
         **{name: at(name) for name in PUBLISHED}}
RETURNS = {"after_claim": at("after_claim"), "after_return": at("after_return"),
           "after_return of several": at("after_return", 3),
           "before its row goes": in_statement("DELETE"), "in the COMMIT that applies it": in_commit("DELETE"),
           **{name: at(name) for name in PUBLISHED}}


def die_at(world, worker, step, begin=lambda: None):
    with step(world, worker) as is_there:
        begin()
        worker.start()
        until("the worker is there, or has died", lambda: not worker.runs() or is_there(), 60, pause=0.005)
        worker.kill()


def one_round(world, worker, sequence, parks, returns):
    """The worker is dead, before and afterwards."""
    with contextlib.ExitStack() as held:
        held.enter_context(row_held(world))
        sequence.send(4)
        die_at(world, worker, PARKS[parks])
        worker.start()
        until("everything is parked", sequence.is_parked, 60)
        worker.kill()
        die_at(world, worker, RETURNS[returns], held.close)
    worker.start()
    world.await_events(sequence.sent, 60)
    settled(world)
    assert sequence.noted() == list(range(len(sequence.sent)))
    worker.kill()


def ready_world(trial, **settings):
    world = trial.world
    worker = world.worker(**SETTINGS, **settings)
    world.ask(create_ticket(1), create_ticket(2))
    world.drain()
    worker.kill()
    return worker, Sequence(world)


def take_turns(trial, rounds, **settings):
    worker, sequence = ready_world(trial, **settings)
    parks, returns = (trial.random.sample(list(steps), len(steps)) for steps in (PARKS, RETURNS))
    for parks_at, returns_at in itertools.islice(zip(itertools.cycle(parks), itertools.cycle(returns)), rounds):
        one_round(trial.world, worker, sequence, parks_at, returns_at)
    worker.start()
    sequence.judge()
    trial.note(deaths=2 * rounds)
    trial.judge(ordered=False)


@pytest.mark.fault(1)
@pytest.mark.seconds(240)
def test_the_worker_dies_while_a_held_command_is_parked_and_while_it_comes_back(trial):
    """PROTOCOL L4. Two steps of each, drawn from the seed; the long tier has them all."""
    take_turns(trial, 2)


@pytest.mark.long
@pytest.mark.fault(1)
@pytest.mark.seconds(1200)
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_the_worker_dies_at_every_step_of_parking_and_coming_back(trial, delivery):
    """Every step of each, in an order and pairs drawn from the seed."""
    if delivery == "at_least_once":                                  # has no transactions, so no points in them
        worker, sequence = ready_world(trial, kafka_delivery=delivery)
        for parks, returns in (("before the command's row", "after_claim"), ("in its COMMIT", "before its row goes"),
                               ("in its COMMIT", "in the COMMIT that applies it"), ("in its COMMIT", "after_return")):
            one_round(trial.world, worker, sequence, parks, returns)
        worker.start()
        settled(trial.world)
        assert sequence.noted() == list(range(len(sequence.sent)))
        return
    take_turns(trial, len(RETURNS))


# ---- members come and go -------------------------------------------------------------------------------------------

@pytest.mark.fault(4)
@pytest.mark.seconds(240)
def test_parked_commands_come_back_in_order_though_their_partition_moves_all_the_time(trial):
    """PROTOCOL L3, L4: a key is held and parked; workers join, end in order and die meanwhile; later commands are
    parked behind it by whoever has the partition."""
    world = trial.world
    settings = {**SETTINGS, "consumers_static": "false", "consumers_session_timeout": "1s"}
    workers = [world.worker(**settings)]
    world.ask(create_ticket(1), create_ticket(2))
    sequence = Sequence(world)
    passing = []
    with row_held(world):
        for _ in range(2 if minutes() == 0 else 10):
            sequence.send(3)
            until("it is parked", sequence.is_parked, 60)
            workers.append(world.worker(ready=False, **settings))
            sequence.send(3)
            passing.append(escalate(2))
            world.publish(passing[-1])
            leaves = workers.pop(0)
            if trial.random.random() < 0.5:
                leaves.kill()
            else:
                assert leaves.end() == 0
        until("it is parked", sequence.is_parked, 60)
        world.await_events(passing, 30)
        workers.append(world.worker(ready=False, **settings))        # and while it comes back
    until("the first came back", lambda: len(sequence.noted()) > 0, 60)
    workers.pop(0).kill()
    sequence.judge()
    trial.judge(ordered=False)
