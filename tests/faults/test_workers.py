"""Workers die, sleep and end, under load; afterwards the same judgement. PROTOCOL O3: whoever comes after them."""

import time

import pytest

from harness import sleeper
from harness.commands import Message, create_ticket, escalate, partition_of
from harness.kafka import Publisher
from harness.waiting import until
from trial import minutes

ZOMBIE = {"consumers_session_timeout": "1s", "consumers_static": "false", "database_idle_in_transaction_timeout": "2s",
          "consumers_transaction_timeout": "2s"}


def light(trial, **options):
    """Two deaths in a row make a worker run its commands one by one for a while: not more than it can do then."""
    load = trial.load(burst=6, **options)
    load.pause = 0.1
    return load


# ---- workers die -------------------------------------------------------------------------------------

def kill_at_random(trial, rounds, spread=False):
    """One of two workers, or both; sometimes the other one gets on before it comes back."""
    workers = trial.workers(2)
    with light(trial, spread=spread):
        for _ in range(rounds):
            trial.progress(trial.random.randrange(1, 60))
            victims = trial.random.choice([workers[:1], workers[1:], workers])
            died = time.monotonic()
            for victim in victims:
                victim.kill()
            if len(victims) == 1 and trial.random.random() < 0.3:
                trial.progress(1)
            for victim in victims:
                victim.start()
        trial.recovered(since=died)
    for worker in workers:
        worker.wait_ready()
    trial.note(deaths=rounds)
    trial.judge(ordered=not spread)


@pytest.mark.fault(1)
@pytest.mark.seconds(180)
def test_workers_are_killed_at_random_moments(trial):
    kill_at_random(trial, 6)


@pytest.mark.long
@pytest.mark.fault(1)
@pytest.mark.seconds(600)
@pytest.mark.parametrize("spread", [False, True], ids=["keyed", "spread"])
def test_workers_are_killed_at_random_moments_again_and_again(trial, spread):
    """A fifth of the commands twice; spread: through wrong partitions."""
    kill_at_random(trial, 30 if minutes() > 10 else 15, spread)


@pytest.mark.long
@pytest.mark.fault(3)
@pytest.mark.seconds(180)
def test_workers_come_and_go(trial):
    """Ended cleanly under load, joined by others, never fewer than one: each exit is clean."""
    settings = {"consumers_static": "false"}
    workers = trial.workers(1, **settings)
    with light(trial):
        for _ in range(4):
            workers += trial.workers(1, **settings)
            trial.progress(30)
            assert workers.pop(0).end() == 0
            trial.progress(30)
        trial.recovered()
    trial.judge()
    assert workers[0].end() == 0


def publish_after_a_crash(world, copies, first):
    """Each command has a duplicate; a held ticket keeps all of them from being published; the worker dies."""
    worker = world.worker(worker_park_when_blocking="0s")
    world.ask(*[create_ticket(number) for number in range(1, 31)])
    world.drain()
    messages = [escalate(number).at(4) for number in range(2, 31)]
    again = [each.at(5 if copies == "other partition" else 4) for each in messages]
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        world.publish(escalate(1).at(4), escalate(1).at(5))
        pairs = [pair if first == "the command" else pair[::-1] for pair in zip(messages, again)]
        world.publish(*[each for pair in pairs for each in pair])
        until("all others are applied", lambda: world.database.value("SELECT sum(level) FROM interlock.ticket") == 29)
        worker.kill()
    worker.start().wait_ready()
    world.await_events(messages)
    world.drain()
    world.check(ordered=False)


@pytest.mark.fault(1)
@pytest.mark.seconds(60)
def test_an_applied_command_that_was_not_published_is_published_after_a_crash(world):
    publish_after_a_crash(world, "other partition", "its duplicate")


@pytest.mark.long
@pytest.mark.fault(1)
@pytest.mark.seconds(60)
@pytest.mark.parametrize("first", ["the command", "its duplicate"])
@pytest.mark.parametrize("copies", ["other partition", "same partition"])
def test_applied_commands_that_were_not_published_are_published_whichever_came_first(world, copies, first):
    publish_after_a_crash(world, copies, first)


@pytest.mark.fault(1)
@pytest.mark.seconds(60)
def test_another_group_s_dead_letter_does_not_pass_for_one_that_is_not_published_yet(world):
    """PROTOCOL R1: two groups that read one topic share its dead letters, so a position alone says nothing."""
    worker = world.worker()
    world.ask(create_ticket(1))
    world.drain()
    assert worker.end() == 0
    unreadable, place = Message(b"{", "ticket/1").at(4), world.kafka.ends(world.topic)[4]
    foreign = [("__dlq.errors.topic", world.topic.encode()), ("__dlq.errors.partition", b"4"),
               ("__dlq.errors.offset", str(place).encode()), ("interlock.reason", b"not_json"),
               ("interlock.first-failed-at", b"2026-11-30T00:00:00.000000Z")]
    Publisher(world.stack.bootstrap, world.dlq_topic, 1, partition_of).send([Message(b"{", "ticket/1", foreign, 0)])
    until("it is there", world.letters.all)
    worker.environment["FAULT_POINTS"] = "before_begin_txn=crash@1"
    worker.start()
    world.publish(unreadable, escalate(1).at(4))
    until("it has died before it published", lambda: not worker.runs(), 30)
    worker.environment["FAULT_POINTS"] = ""
    worker.start().wait_ready()
    world.drain()
    until("its own letter is there", lambda: len(world.letters.all()) == 2, 20)


# ---- a worker sleeps ------------------------------------------------------------------------------------

def sleep_through_a_takeover(trial):
    """Longer than its session, its locks and its transactions: another one has taken over and gone on."""
    sleeper = trial.world.worker(**ZOMBIE)
    with light(trial):
        trial.progress(trial.random.randrange(10, 120))
        sleeper.stop()
        slept = time.monotonic()
        other = trial.world.worker(ready=False, **ZOMBIE)
        until("the other one publishes",
              lambda: other.port() and other.metric("interlock_events_published_total") > 20, 90)
        taken_over = round(1000 * (time.monotonic() - slept))
        sleeper.cont()
        trial.recovered()
        until("the sleeper works again, or has ended", lambda: not sleeper.runs() or sleeper.ready(), 60)
    return taken_over


@pytest.mark.fault(2)
@pytest.mark.seconds(180)
def test_a_stopped_worker_wakes_after_another_took_over(trial):
    trial.note(taken_over_ms=sleep_through_a_takeover(trial))
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(2)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("turn", range(5))
def test_a_stopped_worker_wakes_at_some_other_moment(trial, turn):
    trial.note(taken_over_ms=sleep_through_a_takeover(trial), turn=turn)
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(2)
@pytest.mark.seconds(120)
def test_the_only_worker_sleeps_and_wakes(trial):
    worker = trial.world.worker(consumers_session_timeout="1s")
    with light(trial):
        trial.progress(20)
        worker.stop()
        until("the group lost it", lambda: trial.world.kafka.group_members(trial.world.group) == 0, 30, pause=0.2)
        worker.cont()
        trial.recovered()
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(2)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("fence", [False, True], ids=["off", "on"])
def test_without_its_fence_a_partition_is_written_by_a_worker_that_slept(trial, fence):
    """The run of P3: offsets moved on while 40 commands waited in a sleeper's memory."""
    late, sent = sleeper.applied_late(trial.world, fence), sleeper.TICKETS
    assert late == (0 if fence else sent)
    stale = f"{late} of {sent} commands applied after later ones of their ticket"
    trial.defence("the partition's fence", "a worker sleeps while the group's offsets are moved past what it holds",
                  None if fence else stale, "refused, none applied" if fence else None)
