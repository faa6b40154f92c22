"""Faults by a proxy that understands the bytes: the answer to a COMMIT lost, the end of a Kafka transaction or the
events of a worker that is gone arriving when nobody expects them any more. Each with the protection and without."""

import contextlib
import time

import pytest

from harness.commands import create_ticket, escalate
from harness.cut import ANSWER_LOST, REQUEST_LOST
from harness.fixtures import finish
from harness.proxy import DelayedEndTxn, LateEndTxn, LateProduce, Proxy
from harness.waiting import until
from harness.wires import wires
from trial import minutes


LATE_ENDS = 10


@contextlib.contextmanager
def another(request, make_world, name):
    """A world for the run without the protection: what it shows is counted, not judged."""
    made = make_world(name)
    try:
        yield made
    finally:
        finish(request, made)


def times(quick, long):
    return quick if minutes() == 0 else long


def events_in_question(violations):
    """As the table of defences shows them."""
    lost = sum("is not on the topic" in each.text for each in violations)
    twice = sum(" times" in each.text for each in violations)
    return f"{lost} events lost, {twice} seen twice"


# ---- row 11: the connection breaks right after COMMIT was sent ------------------------------------------------

def lose_commits(database, generator, number):
    """So many COMMITs under load, one after another: each happened and nobody heard of it, or it never arrived."""
    lost = {ANSWER_LOST: 0, REQUEST_LOST: 0}
    for place in range(number):
        what = generator.choice(list(lost))
        database.arm(what)
        if what == REQUEST_LOST:
            database.cut(lanes=True)  # a session says COMMIT in words only the first time
        until(f"the {what} of a COMMIT is lost", lambda: database.cuts == place + 1, 60, pause=0.005)
        lost[what] += 1
    return lost


@pytest.mark.fault(11)
@pytest.mark.seconds(900)
def test_the_answer_to_a_commit_or_the_commit_itself_is_lost(trial):
    """Whether it happened nobody can know but by looking again."""
    with wires(trial.world) as wired:
        trial.workers(1, DATABASE_URL=wired.settings["DATABASE_URL"], retries_database_operation_longest="300ms")
        load = trial.load(burst=8)
        load.pause = 0.05
        with load:
            lost = lose_commits(wired.database, trial.random, times(20, 200))
            trial.recovered()
        trial.note(commits_whose_answer_was_lost=lost[ANSWER_LOST], commits_lost=lost[REQUEST_LOST])
        trial.judge()


def applied_twice(world, sent):
    """Without an inbox the inbox says nothing: what the tickets say, and what was sent."""
    return world.database.value("SELECT sum(level) FROM interlock.ticket") - sent


def lose_answers_and_die(world, generator, rounds, inbox):
    """The answer to a COMMIT is lost, and its worker dies before it looks again: the next owner reads the commands
    again, under a fence of its own. (Under the old one the position of the audit row stands against a second time.)"""
    sent = 0
    with wires(world) as wired:
        worker = world.worker(DATABASE_URL=wired.settings["DATABASE_URL"], protections_inbox=inbox)
        world.ask(*[create_ticket(number) for number in range(1, 11)])
        for place in range(rounds):
            wired.database.arm()
            numbers = generator.sample(range(1, 11), generator.randrange(1, 11))
            world.publish(*[escalate(number) for number in numbers])
            until("the answer is lost", lambda: wired.database.cuts > place, 30, pause=0.001)
            worker.kill()
            worker.start().wait_ready()
            sent += len(numbers)
        world.drain()
        return applied_twice(world, sent), sent


@pytest.mark.fault(11)
@pytest.mark.seconds(400)
def test_without_the_inbox_a_commit_whose_answer_was_lost_is_applied_again(trial, request, make_world):
    rounds = times(2, 20)
    with another(request, make_world, "no_inbox") as world:
        without, sent = lose_answers_and_die(world, trial.random, rounds, "false")
    with_it, sent_with = lose_answers_and_die(trial.world, trial.random, rounds, "true")
    trial.defence("inbox", "the answer to a COMMIT is lost and the worker dies", f"{without} of {sent} applied twice",
                  f"{with_it} of {sent_with}")
    trial.judge()
    assert without > 0 and with_it == 0


# ---- row 12: the end of a transaction arrives in the next one ----------------------------------------------

def torn_transaction(world, generator, guard):
    """The old end of one transaction arrives in the middle of the next one, the worker dies then, another goes on."""
    worker = world.worker(start=False, protections_producer_guard=guard)
    late = LateEndTxn(then=worker.kill)
    proxy = Proxy(world.stack.bootstrap, late)
    worker.environment["KAFKA_BOOTSTRAP"] = proxy.address
    size = generator.randrange(5, 40)
    try:
        worker.start().wait_ready()
        world.ask(*[create_ticket(number) for number in range(1, 2 * size + 1)])
        world.drain()
        late.arm()
        world.publish(*[escalate(number) for number in range(1, size + 1)])
        until("the end of their transaction is held", lambda: late.held, 40)
        world.publish(*[escalate(number) for number in range(size + 1, 2 * size + 1)])
        assert late.delivered.wait(40), "no second transaction came"
    finally:
        proxy.close()
    world.worker()
    world.drain()


@pytest.mark.fault(12)
@pytest.mark.seconds(900)
def test_an_end_that_arrives_in_the_next_transaction_tears_it_unless_the_guard_rebuilds(trial, request, make_world):
    rounds, torn, shown = times(1, 15), 0, []
    for place in range(rounds):
        with another(request, make_world, f"no_guard_{place}") as world:
            torn_transaction(world, trial.random, "false")
            violations = world.violations()
            torn, shown = torn + bool(violations), shown + violations
    for place in range(rounds - 1):
        with another(request, make_world, f"guard_{place}") as world:
            torn_transaction(world, trial.random, "true")
            world.check()
    torn_transaction(trial.world, trial.random, "true")
    trial.defence("producer guard", "a retried end arrives in the next transaction",
                  f"{torn} of {rounds} runs torn: {events_in_question(shown)}", f"0 of {rounds} runs")
    trial.judge()
    assert torn == rounds


@pytest.mark.long
@pytest.mark.fault(12)
@pytest.mark.seconds(600)
def test_an_end_that_is_late_and_nobody_dies(trial):
    """Held for longer than the producer waits for an answer: it asks again, or gives up and is rebuilt; then the old
    one arrives."""
    late = DelayedEndTxn()
    with wires(trial.world, late) as wired:
        trial.workers(1, KAFKA_BOOTSTRAP=wired.settings["KAFKA_BOOTSTRAP"], consumers_transaction_timeout="4s")
        load = trial.load(burst=8)
        load.pause = 0.1
        with load:
            trial.progress(30)
            for _ in range(LATE_ENDS):
                late.hold_next()
                until("an end is held, and the client is gone or asks again", late.given_up, 60)
                trial.progress(trial.random.randrange(1, 60))
                late.release()
                began = time.monotonic()
                trial.progress(30)
            trial.recovered(since=began)
        trial.note(late_ends=LATE_ENDS)
        trial.judge()


# ---- what a worker that is gone had sent arrives late -----------------------------------------------------------

def late_events(world, generator, delivery):
    """Its commands are committed, its events on their way when its session ends; another one publishes them; then they
    arrive."""
    settings = {"kafka_delivery": delivery, "consumers_transaction_timeout": "5s", "consumers_session_timeout": "2s"}
    late, number = LateProduce(), generator.randrange(10, 60)
    proxy = Proxy(world.stack.bootstrap, late)
    escalations = [escalate(each) for each in range(1, number + 1)]
    try:
        zombie = world.worker(KAFKA_BOOTSTRAP=proxy.address, **settings)
        world.ask(*[create_ticket(each) for each in range(1, number + 1)])
        world.drain()
        late.arm()
        world.publish(*escalations)
        until("they are committed, and the events on their way", lambda: late.held and world.database.value(
            "SELECT sum(level) FROM interlock.ticket") == number)
        zombie.stop()
        world.worker(**settings)
        world.await_events(escalations, 90)
        requests = late.release()
        until("the broker has answered the late ones", lambda: late.answers == requests, 30)
        zombie.kill()
    finally:
        proxy.close()
    world.drain()


@pytest.mark.fault(12)
@pytest.mark.seconds(900)
def test_events_that_a_lost_worker_had_sent_arrive_late(trial, request, make_world):
    rounds, shown = times(1, 8), []
    for place in range(rounds):
        with another(request, make_world, f"at_least_once_{place}") as world:
            late_events(world, trial.random, "at_least_once")
            found = [each for each in world.violations() if each.invariant == "I2"]
            assert found, "no event came twice: nothing shows what the transaction is for"
            shown += found
    for place in range(rounds - 1):
        with another(request, make_world, f"exactly_once_{place}") as world:
            late_events(world, trial.random, "exactly_once")
            world.check()
    late_events(trial.world, trial.random, "exactly_once")
    trial.defence("exactly-once delivery", "a lost worker's events arrive late", f"{rounds} of {rounds} runs: "
                  f"{events_in_question(shown)}", f"0 of {rounds} runs")
    trial.judge()
